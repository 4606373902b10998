// The page of a session: one module, no library, no request but to where it came from. Every text of a row, a model or a plan goes in as text, never as
// markup: `h` knows no other way. In a report the same module reads what the file holds.

// ---------------------------------------------------------------- elements and words

const SVG = "http://www.w3.org/2000/svg";
// What would steer a terminal, turn the direction of a text or hide itself is shown as an escape, as everywhere in dreamframe.
const HIDDEN = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/gu;

const code = (c) => {
  const n = c.codePointAt(0);
  return n === 13 ? "\\r" : n < 256 ? `\\x${n.toString(16).padStart(2, "0")}` : n < 65536 ? `\\u${n.toString(16).padStart(4, "0")}` : `\\U${n.toString(16).padStart(8, "0")}`;
};
export const shown = (text) => String(text).replace(/\r\n/g, "\n").replace(HIDDEN, code);

/** An element: its properties, then its children. Children that are not elements are texts. */
function h(tag, props = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const made = SVGS.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  if (classes.length) made.setAttribute("class", classes.join(" "));
  for (const [key, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (key === "on") for (const [event, then] of Object.entries(value)) made.addEventListener(event, then);
    else if (key === "style") for (const [rule, v] of Object.entries(value)) made.style.setProperty(rule, v);
    else if (key === "class") made.setAttribute("class", [made.getAttribute("class"), value].filter(Boolean).join(" "));
    else if (PROPERTIES.has(key)) made[key] = value;
    else if (ATTRIBUTES.has(key) || key.startsWith("aria-") || key.startsWith("data-")) made.setAttribute(key, value === true ? "" : String(value));
    else throw new Error(`no property ${key}`);
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    made.append(child instanceof Node ? child : document.createTextNode(shown(child)));
  }
  return made;
}
const SVGS = new Set(["svg", "rect", "polyline", "circle", "line", "text", "g", "title"]);
const PROPERTIES = new Set(["value", "checked", "disabled", "open", "textContent", "selected"]);
const ATTRIBUTES = new Set(["href", "title", "type", "placeholder", "scope", "tabindex", "role", "src", "alt", "viewBox", "x", "y", "x1", "x2", "y1", "y2",
  "width", "height", "points", "cx", "cy", "r", "colspan", "for", "id", "dir", "name", "text-anchor", "preserveAspectRatio", "open", "label"]);
const clear = (element, ...children) => { element.replaceChildren(...children.flat(Infinity).filter(Boolean)); return element; };

const int = (n) => (n === null || n === undefined ? "unknown" : Math.round(n).toLocaleString("en-US"));
const three = (x) => (x === 0 ? "0" : Math.abs(x) >= 1e15 || Math.abs(x) < 1e-4 ? x.toExponential(2) : decimal(x));
const decimal = (x) => Number(x.toPrecision(3)).toLocaleString("en-US", { maximumFractionDigits: 10 });
const money = (x) => (x === null || x === undefined ? "price unknown" : `$${x >= 100 ? x.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: 2 }) : x < 1e-9 ? "0" : decimal(x)}`);
const big = (n) => (n === null || n === undefined ? "unknown" : n < 10000 ? int(n) : n < 1e6 ? `${three(n / 1e3)} k` : n < 1e9 ? `${three(n / 1e6)} M` : `${three(n / 1e9)} G`);
const plural = (n, one, many = `${one}s`) => `${int(n)} ${n === 1 ? one : many}`;
const seconds = (s) => (s === null || s === undefined ? "unknown" : s < 1 ? `${three(s)} s` : s < 60 ? `${Math.round(s)} s` : s < 3600 ? `${Math.floor(s / 60)} min ${Math.round(s % 60)} s` : `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`);
const bytes = (n) => (n < 1024 ? `${n} bytes` : n < 1 << 20 ? `${three(n / 1024)} kB` : n < 1 << 30 ? `${three(n / (1 << 20))} MB` : `${three(n / (1 << 30))} GB`);
const day = (at) => (at === null || at === undefined ? "" : new Date(at * 1000).toISOString().slice(0, 16).replace("T", " "));

// ---------------------------------------------------------------- where the data comes from

class Served {
  live = true;
  async get(what, query = {}) {
    const words = Object.fromEntries(Object.entries(query).filter(([, v]) => v !== undefined && v !== null && v !== ""));
    const reply = await fetch(`api/${what}?${new URLSearchParams(words)}`, { cache: "no-store" });
    const told = await reply.json();
    if (!reply.ok) throw Object.assign(new Error(told.error ?? `the server answered ${reply.status}`), { isQuiet: reply.status < 500 });
    return told;
  }
}

/** What a report holds: the same answers, from the file alone. */
class Kept {
  live = false;
  constructor(data) { this.data = data; }
  async get(what, query = {}) {
    const { data } = this;
    const output = query.output !== undefined ? data.outputs[query.output] : null;
    if (query.output !== undefined && !output) throw new Error("the report has no such output");
    switch (what) {
      case "overview": return query.since ? { same: true, stamp: "report" } : { ...data.overview, stamp: "report" };
      case "columns": return output.columns;
      case "rows": return pageOf(output, query);
      case "record": return recordOf(output, Number(query.row));
      case "kin": return output.kin[query.row] ?? { from: [], into: [] };
      case "failures": return data.failures;
      case "texts": return data.texts[query.plan] ?? {};
      case "curves": if (data.curves[query.model]) return data.curves[query.model]; break;
      case "card": if (data.cards[query.plan]) return data.cards[query.plan]; break;
      case "map": if (output.maps[query.column]) return output.maps[query.column]; break;
    }
    throw new Error("This is not in a report. Open the session with: dreamframe view FOLDER");
  }
}

const plain = (v) => (v === null || typeof v !== "object" ? (v === null ? "" : String(v)) : v.cut ?? v.num ?? v.text ?? (v.list ? v.list.map(plain).join("\n") : v.fields ? v.fields.map(([, x]) => plain(x)).join("\n") : ""));
const measured = (v, kind) => (v === null ? null : typeof v === "number" ? v : v.num !== undefined ? Number(v.num) : kind === "text" ? plain(v).length : v.n ?? null);

function pageOf(output, query) {
  const names = output.names, kinds = Object.fromEntries(output.columns.columns.map((c) => [c.name, c.kind]));
  let at = output.rows.map((_, i) => i);
  if (query.search) {
    const low = query.search === query.search.toLowerCase();
    at = at.filter((i) => output.rows[i].some((v) => (low ? plain(v).toLowerCase() : plain(v)).includes(query.search)));
  }
  if (query.state) at = at.filter((i) => (query.state === "failed" ? output.states[i]?.startsWith("failed") : output.states[i] === query.state));
  for (const [column, op, value] of JSON.parse(query.where || "[]")) {
    const c = names.indexOf(column);
    at = at.filter((i) => {
      const v = output.rows[i][c];
      if (op === "null") return (v === null) === value;
      if (op === "between") { const m = measured(v, kinds[column]); return m !== null && m >= value[0] && m <= value[1]; }
      return op === "is" ? v !== null && plain(v) === String(value) : plain(v).includes(String(value));
    });
  }
  const by = names.indexOf(query.sort ?? "");
  if (by >= 0) {
    const key = (i) => { const v = output.rows[i][by]; return v === null || typeof v === "number" ? v : kinds[query.sort] === "number" ? measured(v) : plain(v); };
    const sign = query.desc === "1" ? -1 : 1;
    at.sort((i, j) => { const a = key(i), b = key(j); return a === null ? (b === null ? 0 : 1) : b === null ? -1 : a < b ? -sign : a > b ? sign : 0; });
  }
  const no = Number(query.page ?? 0), part = at.slice(no * 100, no * 100 + 100);
  const states = {}, marks = {};
  output.states.forEach((word) => { states[word] = (states[word] ?? 0) + 1; });
  part.forEach((i, j) => { if (output.marks[i]) marks[j] = output.marks[i]; });
  return { states, marks, columns: names, n: at.length, total: output.rows.length, whole: output.total, is_part: query.output.startsWith("plan "), page: no, of: 100, at: part, rows: part.map((i) => output.rows[i]) };
}

function recordOf(output, row) {
  const by = output.columns.by;
  if (!output.rows[row]) throw new Error(`The report has the first ${plural(output.rows.length, "row")} of this output.`);
  const columns = output.columns.columns.map((c, i) => ({ name: c.name, type: c.type, kind: c.kind, value: output.rows[row][i], is_written: c.name in by, by: by[c.name] }));
  return { row, n: output.rows.length, columns, turns: output.turns.map((t) => ({ ...t, messages: t.messages[row] })), marks: output.marks[row] ?? {}, story: output.stories?.[row] ?? null };
}

const held = document.getElementById("session");
const source = held ? new Kept(JSON.parse(held.textContent)) : new Served();

// ---------------------------------------------------------------- what is shown, as the address names it

const TABS = [["rows", "Rows"], ["plan", "Plan"], ["failures", "Failures"], ["spend", "Spend"], ["training", "Training"], ["map", "Map"], ["cards", "Card"], ["diff", "Diff"]];
let seen = null; // the overview
let rates = new Map(); // key of a step → answers a second of the last seconds
let where = {}; // the address
let drawn = 0; // counts what was drawn: an answer that comes too late is dropped
let focused = -1; // the row that the keyboard is at

function address() {
  const [tab, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { tab: tab || "rows", ...Object.fromEntries(new URLSearchParams(query)) };
}
function link(changes) {
  const { tab, ...rest } = { ...changes };
  const words = Object.entries(rest).filter(([, v]) => v !== undefined && v !== null && v !== "" && v !== "0");
  return `#/${tab}${words.length ? `?${new URLSearchParams(words)}` : ""}`;
}
const go = (changes) => { location.hash = link(changes); };
const change = (changes) => go({ ...where, ...changes });

// ---------------------------------------------------------------- values

function value(v, { whole = false } = {}) {
  if (v === null || v === undefined) return h("span.null", {}, "null");
  if (typeof v === "boolean") return h("span", {}, v ? "true" : "false");
  if (typeof v === "number") return h("span", { title: String(v) }, Number.isInteger(v) ? v.toLocaleString("en-US") : three(v));
  if (typeof v === "string") return text(v);
  if (v.cut !== undefined) return h("span", {}, text(v.cut), h("span.dim", {}, ` … ${plural(v.n, "character")}`));
  if (v.num !== undefined) return h("span", {}, v.num);
  if (v.text !== undefined) return h("span", {}, v.text);
  if (v.bytes !== undefined) return h("span.dim", {}, bytes(v.bytes));
  if (v.picture !== undefined && isPicture(v.picture)) return picture(v.picture);
  if (v.far !== undefined) return far(v);
  if (v.list !== undefined) {
    if (whole && v.list.length && v.list.every(isMessage)) return h("div", {}, v.list.map((m) => message(Object.fromEntries(m.fields.map(([k, x]) => [k, k === "role" || k === "content" ? plain(x) : x])))));
    if (v.list.every((x) => typeof x === "number")) return h("span", {}, `[${v.list.map(three).join(", ")}${v.n > v.list.length ? ", …" : ""}]`, v.n > v.list.length ? h("span.dim", {}, ` ${plural(v.n, "number")}`) : null);
    return h("ol.sub", {}, v.list.map((x) => h("li", {}, value(x, { whole }))), v.n > v.list.length ? h("li.dim", {}, `… ${plural(v.n, "item")}`) : null);
  }
  if (v.fields !== undefined) return h("ul.sub", {}, v.fields.map(([k, x]) => h("li", {}, h("b", {}, k, ": "), value(x, { whole }))));
  return h("span", {}, JSON.stringify(v));
}
const isPicture = (address_) => /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=]*$/.test(address_);
const picture = (address_) => h("img.thumb", { src: address_, alt: "a picture of this row" });
/** A picture that is too large to come with a page of rows: it comes when it is looked at. */
function far(v) {
  const place = h("span.far", { role: "img", "aria-label": "a picture of this row" }, bytes(v.n));
  place.fetch = async () => { const found = await source.get("cell", v.far).catch(() => null); if (found?.picture && isPicture(found.picture)) place.replaceWith(picture(found.picture)); };
  inSight.observe(place);
  return place;
}
const inSight = new IntersectionObserver((seen_) => { for (const one of seen_) if (one.isIntersecting) { inSight.unobserve(one.target); one.target.fetch(); } });
const isMessage = (v) => { const keys = v?.fields?.map(([k]) => k) ?? []; return keys.includes("role") && keys.includes("content"); };
function text(t) { return t === "" ? h("span.null", {}, "empty") : h("bdi", {}, t); }

/** What stands in a cell: of a long text three lines, then "more". */
function cell(v, { isNumber }) {
  const inner = h("div.cell", {}, value(v));
  const size = v === null || isNumber ? 0 : typeof v === "string" ? v.length : typeof v === "object" ? 1000 : 0;
  if (size > 60) inner.classList.add("broad");
  if (size <= 40 && !String(v).includes("\n")) return inner;
  inner.classList.add("clamp");
  const more = h("button.plain.fold", { type: "button", tabindex: "-1", "aria-expanded": "false", on: { click: (e) => {
    e.stopPropagation();
    const is = inner.classList.toggle("clamp");
    more.textContent = is ? "more" : "less"; more.setAttribute("aria-expanded", String(!is));
  } } }, "more");
  more.hidden = true;
  return h("div", {}, inner, more);
}
/** Offer "more" where a text is cut: all are measured at once, when they are laid out. */
function unfoldable(into) {
  const cut = [...into.querySelectorAll(".clamp")].map((inner) => [inner, inner.scrollHeight > inner.clientHeight + 2]);
  for (const [inner, is] of cut) if (is) inner.nextElementSibling.hidden = false; else inner.classList.remove("clamp");
}

// ---------------------------------------------------------------- the frame of the page

const app = document.getElementById("app");
const top = h("header"), tree = h("section.tree", { "aria-label": "Plan" }), body = h("main.body"), tabs = h("nav.tabs", { "aria-label": "Views" });
let pane = h("div.pane");
body.append(tabs, pane);

function drawTop() {
  const s = seen.spent, live = seen.live.length;
  document.title = `${shown(seen.name)} · dreamframe`;
  clear(top,
    h("h1", {}, seen.name),
    h("button.steps", { type: "button", "aria-expanded": String(tree.classList.contains("open")), "data-focus": "steps", on: { click: () => { tree.classList.toggle("open"); drawTop(); top.querySelector(".steps").focus(); } } }, "Steps"),
    h("div.sums.num", {},
      h("span", {}, h("b", {}, int(s.calls)), " asked"), h("span", {}, h("b", {}, int(s.cached)), " kept"),
      s.failed ? h("span.failed", {}, `✗ ${int(s.failed)} failed`) : null,
      h("span", {}, h("b", {}, big(s.tokens_in + s.tokens_out)), " tokens"), h("span", {}, h("b", {}, money(s.cost))),
      h("span", {}, plural(seen.n_runs, "run"))),
    h("span.live", { class: live ? "asked" : "dim", role: "status" }, live ? `● ${plural(live, "run")} going on` : source.live ? "no run goes on" : `report · dreamframe ${seen.version}`));
}

/** The same, as far as a narrow column has room: not the model and the type, which stand below and in the plan. */
const inShort = (line) => described(/^[^:]{0,40}:? ?[A-Z_ ]+ .* ← /s.test(line) ? line.split(/ → | ← /)[0] : line);

/** The line of a step in its user's words: the verb small, the rest after it. */
function described(whole) {
  const line = whole.replace(/^((?:[^:]{1,40}: )?PROMPT )prompt\(.*?\)#[0-9a-f]{8}(?= | →)/s, "$1answer"); // of dr.prompt in an expression: the name that it has inside
  const found = /^((?:[^:]{1,40}: )?)([A-Z][A-Z_]+(?: [A-Z]{2,})*)(?: (.*))?$/s.exec(line);
  return found ? [h("span.verb", {}, found[1], found[2].toLowerCase(), " "), h("span", {}, found[3] ?? "")] : [line];
}
const words = { kept: "kept", asked: "asked", failed: "failed", partly: "stopped", runs: "runs", "": "" };

function stepSide(s) {
  const stored = s.output ? seen.outputs.find((o) => o.name === s.output) : null;
  if (stored) return `${plural(stored.rows, "row")} ›`;
  return s.output ? `${stateOf(s) || "rows"} ›` : stateOf(s);
}
function stateOf(s) {
  if (!s.runs) return "";
  const last = s.last, asks = Boolean(s.model);
  if (s.step === "Train") return s.state === "asked" ? stepOf({ step: last.rows, total: last.total }) : s.state === "kept" ? "trained" : words[s.state] ?? s.state;
  if (s.state === "failed") return `✗ ${int(last.failed)} failed`;
  if (s.state === "asked") return s.last.total ? `${int(s.done)} of ${int(s.last.total)} asked` : `${int(s.done)} asked`;
  if (!asks) return plural(last.rows, "row");
  if (s.state === "partly") return `${int(s.done)} of ${int(Math.max(last.total ?? last.rows_in, s.done))} kept`;
  return `${plural(last.rows, "row")} kept`;
}
/** How far a training is. */
const stepOf = (t) => `step ${int(t.step)}${t.total ? ` of ${int(t.total)}` : ""}`;
function stepMore(s) {
  if (!s.runs || !s.model) return "";
  if (s.step === "Train") { const loss = seen.trainings.find((t) => t.is_live && t.key === s.key)?.loss; return typeof loss === "number" ? `${s.model} · loss ${three(loss)}` : s.model; }
  const rate = rates.get(s.key);
  return [s.model, `${int(s.asked)} asked`, s.cost === null || s.cost ? money(s.cost) : null, rate ? `${three(rate)}/s` : null, rate && s.last.total > s.done ? `${seconds((s.last.total - s.done) / rate)} left` : null].filter(Boolean).join(" · ");
}

// Steps of one verb stand together under a line of their own, and are folded away.
const unfolded = new Set();
const foldKey = (plan, steps) => `${plan.name} ${steps[0].key}`;
/** The lines of a plan: a step, or a verb with its steps, and below it, where it is unfolded, those. */
function folded(plan) {
  const lines = [];
  for (let i = 0; i < plan.steps.length;) {
    const s = plan.steps[i], steps = s.fold === undefined ? [s] : plan.steps.slice(i, plan.steps.findLastIndex((x) => x.fold === s.fold) + 1);
    i += steps.length;
    if (steps.length === 1) { lines.push({ s }); continue; }
    lines.push({ s, verb: steps });
    if (unfolded.has(foldKey(plan, steps))) lines.push(...steps.map((x) => ({ s: x, inside: true })));
  }
  return lines;
}
/** A verb as one step: what its steps have asked together; its rows are those of the last. */
function together(steps) {
  const asks = steps.filter((x) => x.model), main = asks.at(-1) ?? steps.at(-1), rank_ = ["failed", "asked", "runs", "partly", "kept", ""];
  const sum = (k) => asks.reduce((t, x) => t + (x[k] ?? 0), 0), state = rank_.find((r) => steps.some((x) => x.state === r)) ?? "";
  const said_ = (asks[0] ?? main).describe.split(" ← ").slice(1).join(" ← ") || main.describe, model = asks[0]?.model ?? "", prompt_ = model && said_.startsWith(`${model} `) ? said_.slice(model.length + 1) : said_;
  return { ...main, ...(asks.length ? { asked: sum("asked"), tokens_in: sum("tokens_in"), tokens_out: sum("tokens_out"), cost: asks.some((x) => x.cost === null) ? null : sum("cost") } : {}), state, verb: steps[0].verb, depth: Math.min(...steps.map((x) => x.depth)),
    describe: prompt_, title: steps.map((x) => x.describe).join("\n"), output: steps.at(-1).output ?? main.output, key: steps.at(-1).key, last: asks.length ? { ...main.last, failed: asks.reduce((t, x) => t + (x.last?.failed ?? 0), 0) } : main.last };
}
function foldButton(plan, steps, then) {
  const key = foldKey(plan, steps), is = unfolded.has(key);
  return h("button.plain.num", { type: "button", tabindex: then === drawTree ? "-1" : "0", "aria-expanded": String(is), "data-fold": key, on: { click: (e) => { e.stopPropagation(); if (is) unfolded.delete(key); else unfolded.add(key); then(); document.querySelector(`${then === drawTree ? ".tree" : ".pane"} [data-fold=${CSS.escape(key)}]`)?.focus(); } } }, `${is ? "▾" : "▸"} ${plural(steps.length, "step")}`);
}
function foldLink(plan, steps) {
  const v = together(steps), more = stepMore(v), chosen = where.plan === plan.name && steps.some((x) => x.key === where.step);
  return h("a", { href: link(v.output ? { tab: "rows", plan: plan.name, step: v.key, output: v.output } : { tab: "plan", plan: plan.name, step: v.key }), tabindex: "-1", "data-step": `${plan.name} ${v.key} verb`, "aria-current": chosen ? "true" : null, title: v.title, style: { "padding-left": `${16 + 16 * Math.min(v.depth, 6)}px` } },
    h("span.what", {}, h("span.verb", {}, `${v.verb} `), v.describe), h("span.side.num", { class: v.state }, stepSide(v)), more ? h("span.more.num", {}, more) : null);
}

/** Of a plan that is the beginning of another only the last step stands there; this unfolds it. */
const wholeButton = (plan) => h("li.fold", {}, h("button.plain.num", { type: "button", tabindex: "-1", "aria-expanded": "false", on: { click: () => { unfolded.add(plan.name); drawTree(); } } }, `▸ ${plural(plan.steps.length - 1, "step")} before`));
const isFolded = (plan) => plan.part && plan.steps.length > 2 && !unfolded.has(plan.name);
/** Note of each plan in which other its steps are, if they all are. */
function partsOf(plans) {
  const keys = plans.map((p) => new Set(p.steps.map((s) => s.key)));
  plans.forEach((p, i) => { const j = plans.findIndex((_, k) => k !== i && keys[k].size > keys[i].size && p.steps.length && p.steps.every((s) => keys[k].has(s.key))); p.part = j < 0 ? null : plans[j].label; });
}
function drawTree() {
  const at = document.activeElement?.closest?.("[data-step]")?.getAttribute("data-step");
  const scroll = tree.scrollTop;
  clear(tree, seen.plans.map((plan) => [
    h("h2", {}, h("span", {}, plan.label), plan.part ? h("span.dim", {}, `a part of ${plan.part}`) : null, h("span.dim", {}, plan.kind === "model" ? "model" : plan.kind === "run" ? "this run's steps" : ""), plan.problem ? h("span.waits", { title: plan.problem }, "kept as text") : null),
    plan.steps.length ? h("ol", {}, isFolded(plan) ? wholeButton(plan) : null, folded(isFolded(plan) ? { ...plan, steps: plan.steps.slice(-1).map((s) => ({ ...s, fold: undefined })) } : plan).map(({ s, verb, inside }) => {
      if (verb) return h("li.fold", {}, foldLink(plan, verb), foldButton(plan, verb, drawTree));
      const chosen = where.plan === plan.name && where.step === s.key;
      const part = s.last?.total && ["asked", "partly", "runs"].includes(s.state) ? Math.min(1, s.last.rows / s.last.total) : null; // a bar only where the total is known
      const more = stepMore(s);
      return h("li", {}, h("a", {
        href: link(s.output ? { tab: "rows", plan: plan.name, step: s.key, output: s.output } : { tab: "plan", plan: plan.name, step: s.key }), tabindex: "-1",
        "data-step": `${plan.name} ${s.key}`, "aria-current": chosen ? "true" : null, title: s.describe, style: { "padding-left": `${16 + 16 * Math.min(s.depth + (inside ? 1 : 0), 6)}px` },
      }, h("span.what", {}, inShort(s.describe)), h("span.side.num", { class: s.state }, stepSide(s)), more ? h("span.more.num", {}, more) : null,
        part === null ? null : h("span.track", {}, h("i", { style: { width: `${100 * part}%` } }))));
    })) : h("pre.empty", {}, plan.explain || "No steps are on record."),
  ]), seen.plans.length ? null : h("p.empty", {}, "No plan has asked a model here yet. Collect a frame in this session, and it shows here while it runs."),
  strays());
  tree.scrollTop = scroll;
  const stop = [...tree.querySelectorAll("[data-step]")].find((a) => a.getAttribute("data-step") === at) ?? tree.querySelector("[aria-current]") ?? tree.querySelector("[data-step]");
  stop?.setAttribute("tabindex", "0"); // the one stop of the tab key: arrows go on from there
  if (at) stop?.focus();
}

/** Stored rows that no kept plan leads to. */
function strays() {
  const known = new Set(seen.plans.flatMap((p) => p.steps.map((s) => s.output)));
  const left = seen.outputs.filter((o) => !known.has(o.name));
  if (!left.length) return null;
  return [h("h2", {}, "Other stored rows"), h("ol", {}, left.map((o) => h("li", {}, h("a", { href: link({ tab: "rows", output: o.name }), tabindex: "-1", "data-step": o.name, title: o.describe, "aria-current": where.output === o.name ? "true" : null },
    h("span.what", {}, described(o.describe || o.label)), h("span.side.kept.num", {}, `${plural(o.rows, "row")} ›`)))))];
}

function drawTabs() {
  const failures = seen.spent.failed;
  const keep = { plan: where.plan, step: where.step, output: where.output };
  clear(tabs, TABS.map(([tab, name]) => h("a", { href: link({ tab, ...keep }), "data-focus": `tab ${tab}`, "aria-current": where.tab === tab || (tab === "rows" && where.tab === "record") ? "page" : null },
    name, tab === "failures" && failures ? h("span.failed", {}, ` ${int(failures)}`) : null)));
}

/** The rows of the plan that ran last; those of one that is not whole are put together anew, so only where they are few. */
const lastOutput = () => {
  if (where.output) return where.output;
  for (const plan of seen.plans) {
    const found = plan.steps.filter((s) => s.output && (named(s.output).rows !== null || Math.max(0, ...plan.steps.map((x) => x.last?.rows_in ?? 0)) <= 5000)).at(-1);
    if (found) return found.output;
  }
  return seen.outputs.at(-1)?.name;
};
const named = (output) => seen.outputs.find((o) => o.name === output) ?? { name: output, label: output.replace(/^plan /, "").replace(/-[0-9a-f]{12}$/, ""), rows: null };
const chosenPlan = () => seen.plans.find((p) => p.name === where.plan) ?? seen.plans[0];

function fresh(kind = "") {
  const made = h(`div.pane${kind}`);
  pane.replaceWith(made); pane = made;
  return made;
}
const failed = (into, error) => clear(into, h(error.isQuiet ? "p.empty" : "p.empty.problem", {}, error.message));

async function draw() {
  where = address();
  const mine = ++drawn, isSame = location.hash === lastHash, scroll = pane.scrollTop, at = document.activeElement?.getAttribute?.("data-focus");
  lastHash = location.hash;
  drawTree(); drawTabs();
  const view = VIEWS[where.tab] ?? VIEWS.rows;
  try { await view(() => mine === drawn); } catch (error) { if (mine === drawn) failed(fresh(), error); }
  if (mine !== drawn) return;
  if (isSame && scroll) pane.scrollTop = scroll;
  if (at && document.activeElement === document.body) document.querySelector(`[data-focus=${CSS.escape(at)}]`)?.focus({ preventScroll: isSame });
}
let lastHash = null;

// ---------------------------------------------------------------- rows

let columnsOf = { name: null, told: null };
async function columnFacts(name) {
  if (columnsOf.name !== name || (named(name).rows === null && columnsOf.stamp !== seen.stamp)) columnsOf = { name, stamp: seen.stamp, told: await source.get("columns", { output: name }) };
  return columnsOf.told;
}
let facetsOpen = true;

async function viewRows(isMine) {
  const name = lastOutput();
  if (!name) return clear(fresh(), h("p.empty", {}, seen.live.length ? "Rows are stored when a step is whole: they show here then." : "No rows are stored. Rows are kept once a plan that asks a model has run without a failure."));
  const query = { output: name, search: where.search, sort: where.sort, desc: where.desc, where: where.where, state: where.state, page: where.page ?? "0" };
  const isFirst = !pane.querySelector("input[type=search]"), slow = setTimeout(() => { if (isMine() && isFirst) clear(fresh(), h("p.empty", { role: "status" }, "Putting the rows together …")); }, 300);
  const [found, facts] = await Promise.all([source.get("rows", query), columnFacts(name)]).finally(() => clearTimeout(slow));
  if (!isMine()) return;
  const chosen = JSON.parse(where.where || "[]");
  const by = Object.fromEntries(facts.columns.map((c) => [c.name, c]));
  const same = pane.querySelector("input[type=search]");
  const isTyping = same && document.activeElement === same;
  const caret = isTyping ? same.selectionStart : 0, typed = isTyping ? same.value : where.search ?? "";
  const choose = (column, op, v) => change({ tab: "rows", output: name, page: null, where: JSON.stringify([...chosen.filter(([c, o]) => c !== column || o !== op), [column, op, v]]) });
  const search = h("input", { type: "search", placeholder: "Search all columns", "aria-label": "Search all columns", value: typed, on: { input: later((e) => change({ tab: "rows", output: name, search: e.target.value, page: null }), 200) } });
  const first = found.page * found.of, last = first + found.rows.length;
  const pages = Math.max(1, Math.ceil(found.n / found.of));
  const into = fresh(".table");
  into.append(
    h("div.bar", {}, search,
      h("span.num", { role: "status" }, found.n === found.total ? plural(found.total, "row") : `${int(found.n)} of ${plural(found.total, "row")}`, found.whole > found.total ? h("span.dim", {}, ` (the first of ${int(found.whole)})`) : null),
      h("span.dim", {}, named(name).label), stateOfRows(found), h("span.grow"),
      h("button", { type: "button", "aria-expanded": String(facetsOpen), "data-focus": "facets", on: { click: () => { facetsOpen = !facetsOpen; draw(); } } }, facetsOpen ? "Fold columns" : "Unfold columns"),
      h("div.pager", {}, h("button", { type: "button", disabled: found.page === 0, "aria-label": "Page before", "data-focus": "before", on: { click: () => change({ page: String(found.page - 1) }) } }, "‹"),
      h("span.num", {}, found.n ? `${int(first + 1)}–${int(last)}` : "0", h("span.dim", {}, ` · page ${int(found.page + 1)} of ${int(pages)}`)),
      h("button", { type: "button", disabled: found.page + 1 >= pages, "aria-label": "Page after", "data-focus": "after", on: { click: () => change({ page: String(found.page + 1) }) } }, "›"))),
    chosen.length ? h("div.bar", {}, h("div.chips", {}, chosen.map((one, i) => h("span.chip", {}, h("span", {}, said(one, by)),
      h("button.plain", { type: "button", "aria-label": "Take away", on: { click: () => change({ page: null, where: JSON.stringify(chosen.filter((_, j) => j !== i)) }) } }, "×"))))) : null ?? "",
    found.rows.length ? h("div.scroll", { tabindex: "-1" }, tableOf(found, by, name, choose)) : h("p.empty", {}, "No row is like this. ", h("a", { href: link({ tab: "rows", plan: where.plan, step: where.step, output: name }) }, "Show all rows")));
  unfoldable(into);
  if (isTyping) { search.focus(); search.setSelectionRange(caret, caret); }
  turn = (step) => { const to = found.page + step; if (to < 0 || to >= pages) return false; arrive = step; change({ page: String(to) }); return true; };
  const rows = into.querySelectorAll("tbody tr[data-at]"), back = [...rows].findIndex((row) => lastRow.output === name && Number(row.getAttribute("data-at")) === lastRow.at);
  focused = -1;
  if (arrive) select(arrive > 0 ? 0 : rows.length - 1); else if (back >= 0 && !isTyping && document.activeElement === document.body) select(back);
  arrive = 0; lastRow = {};
}
let turn = () => false; // to the page after or before
let arrive = 0; // from where a page was turned to by the keyboard
let lastRow = {}; // that was opened

/** Which rows of a plan that is not whole are looked at: those that have their answers, those that failed, and why, and those not asked about. */
function stateOfRows(found) {
  const states = Object.entries(found.states), failed_ = states.filter(([s]) => s.startsWith("failed")), n = failed_.reduce((sum, [, k]) => sum + k, 0);
  if (!found.is_part || (states.length < 2 && !where.state)) return null;
  const options = [["", n ? `any state (✗ ${int(n)} failed)` : "any state"], ...states.filter(([s]) => s === "kept").map(([s, k]) => [s, `kept (${int(k)})`]), ...(n ? [["failed", `✗ failed (${int(n)})`]] : []), ...failed_.map(([s, k]) => [s, `✗ ${s} (${int(k)})`]), ...states.filter(([s]) => s === "not asked").map(([s, k]) => [s, `not asked (${int(k)})`])];
  return h("select", { "aria-label": "State of the rows", "data-focus": "state", class: where.state?.startsWith("failed") ? "failed" : null, on: { change: (e) => change({ tab: "rows", state: e.target.value, page: null }) } }, options.map(([v, words_]) => h("option", { value: v, selected: v === (where.state ?? "") }, words_)));
}

const said = ([column, op, v], by) => (op === "null" ? `${column} is ${v ? "null" : "not null"}` : op === "between" ? `${column}: ${three(v[0])} to ${three(v[1])}${by[column]?.of ? ` ${by[column].of}` : ""}` : `${column} ${op === "is" ? "is" : "has"} ${v}`);

function tableOf(found, by, name, choose) {
  const isNumber = (c) => by[c]?.kind === "number";
  const order = where.desc === "1" ? "descending" : "ascending";
  const head = (c) => h(`th${isNumber(c) ? ".n" : ""}`, { scope: "col", class: by[c]?.is_written ? "written" : null, "aria-sort": where.sort === c ? order : null },
    h("button.sort", { type: "button", "data-focus": `sort ${c}`, tabindex: c === found.columns[0] ? "0" : "-1", title: `Sort by ${c}`, on: { click: () => change({ tab: "rows", output: name, page: null, sort: where.sort === c && where.desc === "1" ? null : c, desc: where.sort === c && where.desc !== "1" ? "1" : null }) } }, c, where.sort === c ? (where.desc === "1" ? " ▾" : " ▴") : ""),
    h("small", { title: by[c]?.type }, by[c]?.type ?? "", by[c]?.distinct && !by[c].top ? ` · ${int(by[c].distinct)} distinct` : "", by[c]?.is_written ? " · by a model" : ""),
    facetsOpen && by[c] ? facet(by[c], choose) : null);
  const kind = (c) => [isNumber(c) ? "n" : "", by[c]?.is_written ? "written" : ""].filter(Boolean).join(" ") || null;
  const open = (at) => { lastRow = { output: name, at }; go({ tab: "record", plan: where.plan, step: where.step, output: name, row: String(at), back: location.hash.includes("?") ? location.hash.slice(2) : null }); };
  return h("table.rows", {}, h("thead", {}, h("tr", {}, h("th.n", { scope: "col" }, h("span.dim", {}, "row")), found.columns.map(head))),
    h("tbody", {}, found.rows.map((row, i) => h("tr", { "data-at": found.at[i], tabindex: i ? "-1" : "0", on: {
      click: () => { if (!String(getSelection())) open(found.at[i]); }, focus: () => select(i), keydown: (e) => { if (e.key === "Enter" && e.target === e.currentTarget) open(found.at[i]); } } },
      h("td.at", {}, int(found.at[i])), row.map((v, j) => h("td", { class: kind(found.columns[j]) }, v === null && found.marks[i]?.[found.columns[j]] ? mark(found.marks[i][found.columns[j]]) : cell(v, { isNumber: isNumber(found.columns[j]) })))))));
}

/** What stands in the place of an answer that there is not. */
const mark = (why) => (why.error ? h("div.cell.mark", {}, h("span.failed", {}, `✗ ${plain(why.error)}`), h("div.clamp.dim", { title: plain(why.message) }, plain(why.message))) : h("div.cell", {}, h("span.waits", {}, "not asked")));

function facet(c, choose) {
  const nulls = c.nulls ? h("button", { type: "button", tabindex: "-1", on: { click: () => choose(c.name, "null", true) } }, h("span.dim", {}, "null"), h("span", {}, int(c.nulls))) : null;
  if (c.top) {
    const most = Math.max(...c.top.map(([, n]) => n), 1);
    return h("span.facet", {}, c.top.slice(0, nulls ? 4 : 5).map(([v, n]) => h("button", { type: "button", tabindex: "-1", title: plain(v), on: { click: () => choose(c.name, "is", plain(v)) } }, h("i", { style: { width: `${100 * n / most}%` } }), h("span", {}, plain(v) || "empty"), h("span", {}, int(n)))), nulls);
  }
  if (!c.bins) return h("span.facet", {}, nulls);
  const most = Math.max(...c.bins, 1), n = c.bins.length, width = (c.high - c.low) / n;
  const high = nulls ? 34 : 44, W = 132;
  return h("span.facet", {}, h("svg", { width: W, height: high, viewBox: `0 0 ${W} ${high}`, role: "group" }, h("title", {}, `${c.of ?? "values"}: ${three(c.low)} to ${three(c.high)}`), c.bins.map((count, i) => {
    const top = count ? Math.max(1, high * count / most) : 0, from = c.low + i * width, to = i === n - 1 ? c.high : from + width;
    const said_ = `${three(from)} to ${three(to)}${c.of ? ` ${c.of}` : ""}: ${int(count)}`;
    return h("rect", { tabindex: "-1", role: "button", "aria-label": said_, x: i * W / n, y: high - top, width: Math.max(1, W / n - 1), height: top, on: { click: () => choose(c.name, "between", [from, to]) } }, h("title", {}, said_));
  })), h("span.ends", {}, h("span", {}, three(c.low)), h("span", {}, c.of ?? ""), h("span", {}, three(c.high))), nulls);
}

function select(i) {
  const rows = [...pane.querySelectorAll("tbody tr[data-at]")];
  if (!rows.length || (i >= rows.length && turn(1)) || (i === -1 && focused === 0 && turn(-1))) return;
  focused = Math.max(0, Math.min(i, rows.length - 1));
  rows.forEach((row, j) => (j === focused ? row.setAttribute("aria-selected", "true") : row.removeAttribute("aria-selected")));
  if (document.activeElement !== rows[focused]) rows[focused].focus({ preventScroll: true });
  rows[focused].scrollIntoView({ block: "nearest" });
}
function later(then, ms) { let timer; return (e) => { clearTimeout(timer); timer = setTimeout(() => then(e), ms); }; }

// ---------------------------------------------------------------- one row

async function viewRecord(isMine) {
  const name = lastOutput();
  const kin = source.get("kin", { output: name, row: where.row ?? "0" }).catch(() => null); // needs a moment where rows are many
  const [found, soon] = await Promise.all([source.get("record", { output: name, row: where.row ?? "0" }), Promise.race([kin, new Promise((then) => { setTimeout(() => then(undefined), 250); })])]);
  if (!isMine()) return;
  const related = h("div.kin", {}, relatives(soon));
  if (soon === undefined) kin.then((late) => { if (isMine()) clear(related, relatives(late)); });
  const to = (row) => link({ ...where, row: String(row) });
  const back = where.back ? `#/${where.back}` : link({ tab: "rows", plan: where.plan, step: where.step, output: name });
  const came = found.columns.filter((c) => !c.is_written), written = found.columns.filter((c) => c.is_written);
  const into = fresh();
  into.append(h("div.record", {},
    h("div.row", {}, h("a", { href: back, "data-back": "" }, where.back?.startsWith("failures") ? "‹ failures" : "‹ rows"), h("h2.num", {}, `Row ${int(found.row)} `, h("span.dim", {}, `of ${named(name).label}`)), h("span.grow"),
      found.row > 0 ? h("a", { href: to(found.row - 1) }, "row before") : h("span.dim", {}, "row before"), found.row + 1 < found.n ? h("a", { href: to(found.row + 1) }, "row after") : h("span.dim", {}, "row after")),
    related,
    found.story ? story(found) : conversation(found, came, written),
    h("details", {}, h("summary", {}, "All columns as JSON"), h("pre", {}, JSON.stringify(Object.fromEntries(found.columns.map((c) => [c.name, bare(c.value)])), null, 1)))));
}

/** Links to the rows that a row was made of, and to those that it was made into. */
function relatives(found) {
  const few = 8, line = (what, kin) => (kin?.length ? h("p.num", {}, h("span.dim", {}, `${what} `), kin.map((k, i) => [i ? h("span.dim", {}, " · ") : null, h("span", { title: k.output }, `${k.label} `), k.rows.slice(0, few).map((row, j) => [j ? ", " : "", h("a", { href: link({ tab: "record", output: k.output, row: String(row), back: where.back }) }, `row ${int(row)}`)]), k.n > few ? h("span.dim", {}, ` and ${int(k.n - few)} more`) : null])) : null);
  return [line("made of", found?.from), line("made into", found?.into)];
}

const bare = (v) => (v === null || typeof v !== "object" ? v : v.list ? v.list.map(bare) : v.fields ? Object.fromEntries(v.fields.map(([k, x]) => [k, bare(x)])) : v.cut ?? v.num ?? v.text ?? (v.bytes !== undefined ? `${v.bytes} bytes` : "a picture"));
const MOST_FIELDS = 14, MOST_TOLD = 3; // that stand unfolded: columns of a row, rows of a step
const fieldsOf = (columns) => (columns.length > MOST_FIELDS + 2 ? [listed(columns.slice(0, MOST_FIELDS)), h("details", {}, h("summary", {}, `${int(columns.length - MOST_FIELDS)} more columns`), listed(columns.slice(MOST_FIELDS)))] : listed(columns));
const listed = (columns) => h("dl.fields", {}, columns.map((c) => [h("dt", { title: c.type ?? "" }, c.name), h("dd.cell", { style: { "max-width": "none" } }, value(c.value, { whole: true }))]));

function conversation(found, came, written) {
  const told = new Set();
  const parts = [came.length ? [h("h3", {}, "Columns that were there"), fieldsOf(came)] : null];
  for (const turn of found.turns) {
    const answer = found.columns.find((c) => c.name === turn.column);
    const more = written.filter((c) => c.by === turn.describe && c.name !== turn.column);
    [turn.column, ...more.map((c) => c.name)].forEach((c) => told.add(c));
    parts.push(h("h3", { title: turn.describe }, turn.column, h("span.dim", {}, turn.model ? ` · ${turn.model}` : "")),
      turn.messages ? turn.messages.map(message) : h("p.dim", {}, "What was asked does not follow from this row alone: ", h("span.mono", {}, turn.describe)),
      answer && answer.value === null && found.marks?.[turn.column] ? noAnswer(found.marks[turn.column]) : answer ? h("div.turn.answer", {}, h("small", {}, "answer"), h("div.said", {}, value(answer.value, { whole: true }))) : null,
      more.length ? fieldsOf(more) : null,
      turn.messages ? copyAsPython(turn.model, turn.messages) : null);
  }
  const left = written.filter((c) => !told.has(c.name));
  if (left.length) parts.push(h("h3", {}, "Written by models"), left.map((c) => h("div.turn.answer", {}, h("small", { title: c.by }, c.name), h("div.said", {}, value(c.value, { whole: true })))));
  return parts;
}

const noAnswer = (why) => (why.error ? h("div.turn.error", {}, h("small.failed", {}, "✗ failed"), h("div.said", {}, `${plain(why.error)}: ${plain(why.message)}`)) : h("div.turn", {}, h("small.waits", {}, "not asked")));
function message(m) {
  const content = Array.isArray(m.content) ? m.content : m.content === null || m.content === undefined || m.content === "" ? [] : [m.content];
  const more = Object.entries(m).filter(([k, v]) => k !== "role" && k !== "content" && v !== null && v !== undefined); // calls of tools, names
  return h("div.turn", {}, h("small", {}, m.role ?? ""), content.map((part) => {
    if (typeof part === "string") return h("div.said", {}, part);
    if (part?.type === "text") return h("div.said", {}, part.text ?? "");
    const address_ = part?.image_url?.url;
    return typeof address_ === "string" && isPicture(address_) ? picture(address_) : part?.type === "image_url" ? h("div.dim", {}, typeof address_ === "string" && !address_.startsWith("data:") ? `a picture at ${address_}` : "a picture") : h("pre", {}, JSON.stringify(part, null, 1));
  }), more.map(([k, v]) => h("div", {}, h("span.dim", {}, `${k} `), typeof v === "object" && (v.list || v.fields || v.text || v.cut) ? value(v, { whole: true }) : h("span.mono", {}, typeof v === "string" ? v : JSON.stringify(v)))));
}

/** The story as df.why tells it. */
function story(found) {
  const outer = [];
  for (const step of found.story.steps ?? []) {
    if (!(step.rows ?? []).length && !step.note) continue;
    const isQuiet = step.kind === "rows" && !step.rows?.some((r) => r.calls?.length || r.error || Object.keys(r.values ?? {}).length);
    outer.push(h("h3", { title: step.describe }, step.kind === "source" ? "Source row" : step.label, step.n_rows > 1 ? h("span.dim", {}, ` · ${plural(step.n_rows, "row")}`) : null, isQuiet ? h("span.dim", {}, ` · ${step.describe}`) : null));
    const model = /^model ([0-9a-f]{12})/.exec(step.note ?? ""), known = model && seen.models.find((m) => m.name.endsWith(`-${model[1]}`));
    if (step.note) outer.push(h("p.dim", {}, step.note, known ? [" · ", h("a", { href: link({ tab: "training", models: known.name }) }, "how it was trained")] : null));
    const all = step.rows ?? [], rest = [];
    for (const [place, row] of all.entries()) {
      const parts = place < MOST_TOLD || all.length === MOST_TOLD + 1 ? outer : rest;
      const calls = row.calls ?? [], columns = Object.entries(row.values ?? {}).map(([name, v]) => ({ name, value: v }));
      const isSaid = columns.length === 1 && calls.at(-1)?.answer === columns[0].value; // the answer as it came: it stands above
      const read = calls.length && step.kind === "asked" && columns.length && !isSaid && !row.error ? h("div.turn.answer", {}, h("small", {}, "read as"), fieldsOf(columns)) : null;
      if (step.kind === "source" && all.length > 1) parts.push(h("p.meta.num", {}, `row ${int(row.row)}`));
      calls.forEach((call, i) => parts.push(callTold(call, i === calls.length - 1 ? read : null)));
      if (row.note) parts.push(h("p.dim", {}, row.note));
      if (row.error) parts.push(h("div.turn.error", {}, h("small.failed", {}, "✗ failed"), h("div.said", {}, row.error)));
      if (columns.length && !read && !isSaid && !row.error) parts.push(fieldsOf(columns));
    }
    if (rest.length) outer.push(h("details", {}, h("summary", {}, `${plural(all.length - MOST_TOLD, "more row")}${step.n_rows > all.length ? ` of ${int(step.n_rows - MOST_TOLD)}` : ""}`), rest));
  }
  return outer;
}

function callTold(c, read) {
  const known = (n, of) => (n === null || n === undefined ? null : of(n));
  const meta = [c.answered_by ?? c.model, c.sample ? `sample ${c.sample}` : null, known(c.tokens_in, (n) => `${int(n)} tokens in`), known(c.tokens_out, (n) => `${int(n)} out`), known(c.tokens_cached || null, (n) => `${int(n)} from the provider's cache`),
    c.cost === null || c.cost === undefined ? "price unknown" : money(c.cost), known(c.seconds, seconds), known(c.attempts > 1 ? c.attempts : null, (n) => `${n} attempts`), known(c.finish === "stop" ? null : c.finish, (f) => `ended: ${f}`), c.at, c.is_kept === false ? "no answer is kept" : null, c.key ? `key ${c.key.slice(0, 12)}` : null];
  return [
    (c.messages ?? []).map(message), c.text ? h("div.turn", {}, h("small", {}, "text"), h("div.said", {}, c.text)) : null,
    c.reasoning ? h("details.turn", {}, h("summary", {}, "thoughts"), h("div.said", {}, c.reasoning)) : null,
    c.answer !== null && c.answer !== undefined ? h("div.turn.answer", {}, h("small", {}, "answer"), h("div.said", {}, c.answer)) : c.dimensions ? h("div.turn.answer", {}, h("small", {}, "answer"), `a vector of ${int(c.dimensions)} numbers`) : null, read,
    c.probabilities ? h("p.meta.num", {}, Object.entries(c.probabilities).sort((a, b) => b[1] - a[1]).map(([label, p]) => `${label} ${(100 * p).toFixed(1)} %`).join(" · ")) : null,
    c.json_schema ? h("details", {}, h("summary", {}, "held to a schema"), h("pre", {}, JSON.stringify(c.json_schema, null, 1))) : null,
    h("p.meta.num", {}, meta.filter(Boolean).join(" · ")), c.note ? h("p.dim", {}, c.note) : null,
    c.messages?.length ? copyAsPython(c.model, c.messages, c.sampling) : null];
}

/** Text as Python writes it: JSON's escapes are Python's, but for characters outside the first plane, which stay as they are. */
const python = (v) => JSON.stringify(v).replace(HIDDEN, code);
function copyAsPython(model, messages, sampling = {}) {
  const system = messages[0]?.role === "system" && typeof messages[0].content === "string" ? messages[0].content : null;
  const rest = system === null ? messages : messages.slice(1);
  if (!rest.length || rest.some((m) => typeof m.content !== "string" || typeof m.role !== "string")) return null;
  const names = rest.map((_, i) => (rest.length === 1 ? "prompt" : `m${i}`));
  const asked = rest.length === 1 ? `"{prompt}"` : `dr.Chat([${rest.map((m, i) => `(${python(m.role)}, "{${names[i]}}")`).join(", ")}])`;
  const more = [...(system === null ? [] : [`system=${python(system)}`]), ...Object.entries(sampling ?? {}).filter(([, v]) => v !== null && typeof v !== "object").map(([k, v]) => `${k}=${v === true ? "True" : v === false ? "False" : python(v)}`)];
  const lines = `llm = ${python(model)}  # or the model's object, as in your script\ndr.frame({${rest.map((m, i) => `${python(names[i])}: [${python(m.content)}]`).join(", ")}}).prompt(llm, ${[asked, ...more].join(", ")}).collect()`;
  const button = h("button.plain", { type: "button", on: { click: async () => { try { await navigator.clipboard.writeText(lines); button.textContent = "copied"; } catch { folded.open = true; } } } }, "copy as Python");
  const folded = h("details", {}, h("summary", {}, "as Python"), h("pre", {}, lines));
  return h("div.python", {}, folded, button);
}

// ---------------------------------------------------------------- the plan

let estimates = new Map();
async function viewPlan(isMine) {
  const plan = chosenPlan();
  if (!plan) return clear(fresh(), h("p.empty", {}, "No plan has asked a model here yet."));
  const texts = await source.get("texts", { plan: plan.name });
  if (!isMine()) return;
  const told = estimates.get(plan.name);
  const byKey = new Map((told?.steps ?? []).map((s) => [s.key, s]));
  const scroll = pane.scrollTop, open = new Set([...pane.querySelectorAll("details[open]")].map((d) => d.getAttribute("data-id")));
  const into = fresh();
  const ask = h("button", { type: "button", on: { click: async () => {
    ask.disabled = true; ask.textContent = "Working it out …";
    try { estimates.set(plan.name, await source.get("estimate", { plan: plan.name })); } catch (error) { estimates.set(plan.name, { steps: [], total: "", notes: [error.message] }); }
    draw();
  } } }, told ? "Work it out again" : "What would running it again ask?");
  into.append(h("div.row", {}, h("h2", {}, plan.label, h("span.dim", {}, plan.kind === "frame" ? "" : ` · ${plan.kind}`)), h("span.grow"), source.live && plan.kind !== "run" && !plan.problem ? ask : null),
    plan.problem ? h("p.waits", {}, `Kept as text alone, and cannot be run from here: ${plan.problem}`) : "",
    told ? h("p", {}, h("b", {}, told.total), told.notes.map((n) => h("div.dim", {}, n))) : "",
    h("div.wide", {}, h("table.plain", {}, h("thead", {}, h("tr", {}, ["step", "state", "rows in", "rows", "asked", "failed", "tokens in", "tokens out", "money"].map((t, i) => h(`th${i > 1 ? ".n" : ""}`, { scope: "col" }, t)))),
      h("tbody", {}, folded(plan).map(({ s, verb, inside }) => (verb ? verbLine(plan, verb, byKey) : planLine(plan, inside ? { ...s, depth: s.depth + 1 } : s, byKey.get(s.key), texts[s.key], open)))))),
    plan.explain ? h("details", { "data-id": "explain", open: open.has("explain") }, h("summary", {}, "As explain() writes it, the last step first"), h("pre", {}, plan.explain)) : "");
  pane.scrollTop = scroll;
  pane.querySelector("[data-chosen]")?.scrollIntoView({ block: "nearest" });
}
function verbLine(plan, steps, byKey) {
  const v = together(steps), n = (x) => h("td.n", {}, x === null || x === undefined ? "" : int(x)), first = steps.find((x) => x.last) ?? v, asks = Boolean(v.model), told = steps.map((x) => byKey.get(x.key)).filter(Boolean);
  return h("tr", { "aria-selected": steps.some((x) => x.key === where.step) ? "true" : null, title: v.title },
    h("td.w", { style: { "padding-left": `${12 + 16 * Math.min(v.depth, 6)}px`, "min-width": "28ch" } }, h("div", {}, h("span.verb", {}, `${v.verb} `), v.describe), v.model ? h("small.dim", {}, v.model) : null, told.length ? h("div.asked", {}, told.map((t) => t.words).find((w) => w) ?? "") : null, h("div.row", {}, foldButton(plan, steps, draw), v.output ? h("a", { href: link({ tab: "rows", plan: plan.name, step: v.key, output: v.output }) }, "rows") : null)),
    h("td", { class: v.state }, v.state === "failed" ? "✗ failed" : v.state === "partly" ? stepSide(v) : words[v.state] ?? v.state),
    v.runs ? [n(first.last?.rows_in), n(steps.at(-1).last?.rows ?? v.last?.rows)] : [h("td"), h("td")], asks ? [n(v.asked), h("td.n", { class: v.last?.failed ? "failed" : "" }, int(v.last?.failed ?? 0)), n(v.tokens_in), n(v.tokens_out), h("td.n", {}, money(v.cost))] : [h("td"), h("td"), h("td"), h("td"), h("td")]);
}
function planLine(plan, s, told, texts, open) {
  const n = (v) => h("td.n", {}, v === null || v === undefined ? "" : int(v)), last = s.last ?? {}, asks = Boolean(s.model), chosen = where.step === s.key;
  return h("tr", { "data-chosen": chosen ? "" : null, "aria-selected": chosen ? "true" : null },
    h("td.w", { style: { "padding-left": `${12 + 16 * Math.min(s.depth, 6)}px`, "min-width": "28ch" } }, h("div", {}, described(s.describe)), asks ? h("small.dim", {}, s.model, last.truncated ? ` · ${plural(last.truncated, "answer")} cut at max_tokens` : "", last.retries ? ` · ${plural(last.retries, "retry", "retries")}` : "", last.skipped ? ` · ${plural(last.skipped, "row")} skipped: a null in the prompt` : "") : null, s.told ? h("small.dim", {}, s.told) : null,
      s.errors && Object.keys(s.errors).length ? h("div.failed", {}, Object.entries(s.errors).map(([k, v]) => `✗ ${int(v)} × ${k}`).join(", "), " ", h("a", { href: link({ tab: "failures", of: s.label }) }, "show")) : null,
      told ? h("div.asked", {}, told.words) : null,
      texts ? h("details", { "data-id": s.key, open: chosen || open.has(s.key) }, h("summary", {}, "what it says to the model"), Object.entries(texts).map(([name, t]) => [h("small.dim", {}, name), h("pre", {}, t)])) : null,
      s.output ? h("div", {}, h("a", { href: link({ tab: "rows", plan: plan.name, step: s.key, output: s.output }) }, "rows")) : null),
    h("td", { class: s.state }, told ? told.state : s.state === "partly" ? stepSide(s) : s.state === "failed" ? "✗ failed" : words[s.state] ?? s.state),
    s.runs ? [n(last.rows_in), n(last.rows)] : [h("td"), h("td")], asks ? [n(s.asked), h("td.n", { class: last.failed ? "failed" : "" }, last.failed ? int(last.failed) : "0"), n(s.tokens_in), n(s.tokens_out), h("td.n", {}, money(s.cost))] : [h("td"), h("td"), h("td"), h("td"), h("td")]);
}

// ---------------------------------------------------------------- failures

let failureSearch = "";
async function viewFailures(isMine) {
  const told = await source.get("failures");
  if (!isMine()) return;
  if (!told.failures.length) return clear(fresh(), h("p.empty", {}, "No failures."));
  const of = (f) => ({ step: plain(f.step), error: plain(f.error), run: f.run });
  const chosen = told.failures.filter((f) => (!where.of || plain(f.step) === where.of) && (!where.error || plain(f.error) === where.error) && (!where.run || f.run === where.run) && (!failureSearch || JSON.stringify(bareAll(f)).toLowerCase().includes(failureSearch.toLowerCase())));
  const pick = (key, name, all) => h("select", { "aria-label": name, "data-focus": key, on: { change: (e) => change({ [key]: e.target.value || null, page: null }) } }, h("option", { value: "" }, `any ${name}`), [...all].map(([v, n]) => h("option", { value: v, selected: where[key] === v }, name === "run" ? v.slice(0, 15) : v, ` (${int(n)})`)));
  const count = (key) => { const made = new Map(); told.failures.forEach((f) => { const v = of(f)[key]; made.set(v, (made.get(v) ?? 0) + 1); }); return made; };
  const isTyping = document.activeElement?.getAttribute?.("data-find") === "failures";
  const find = h("input", { type: "search", placeholder: "Search failures", "aria-label": "Search failures", "data-find": "failures", value: failureSearch, on: { input: later((e) => { failureSearch = e.target.value; draw(); }, 200) } });
  const no = Number(where.page ?? 0), part = chosen.slice(no * 50, no * 50 + 50), pages = Math.ceil(chosen.length / 50);
  const open = new Set([...pane.querySelectorAll("details[open]")].map((d) => d.getAttribute("data-id")));
  const into = fresh();
  into.append(h("div.row", {}, find, pick("of", "step", count("step")), pick("error", "error", count("error")), pick("run", "run", count("run")),
    h("span.num", {}, `${plural(chosen.length, "failure")}`, told.n > told.failures.length ? h("span.dim", {}, ` · the log has the first ${int(told.failures.length)} of ${int(told.n)}`) : null), h("span.grow"),
    pages > 1 ? h("div.pager", {}, h("button", { type: "button", disabled: !no, "aria-label": "Page before", on: { click: () => change({ page: String(no - 1) }) } }, "‹"), h("span.num", {}, `page ${no + 1} of ${pages}`), h("button", { type: "button", disabled: no + 1 >= pages, "aria-label": "Page after", on: { click: () => change({ page: String(no + 1) }) } }, "›")) : null),
    h("div", {}, part.map((f) => h("details.turn.error", { "data-id": `${f.run} ${f.n}`, open: open.has(`${f.run} ${f.n}`) }, h("summary", {}, h("span.failed", {}, `✗ ${plain(f.error)}`), " ", h("span.num", {}, `row ${plain(f.row)} of `, plain(f.step)), " · ", h("span", {}, plain(f.message).slice(0, 200))),
      h("p.row", {}, source.live ? h("a", { href: link({ tab: "failed", run: f.run, n: f.n || "00", back: location.hash.slice(2) }) }, "the row ›") : f.found && source.data.outputs[f.found.output]?.rows[f.found.row] ? h("a", { href: link({ tab: "record", ...f.found, row: String(f.found.row), back: location.hash.slice(2) }) }, "the row ›") : null, h("small.dim", {}, `${plural(Number(plain(f.attempts) || 0), "attempt")} · column ${plain(f.column)} · run ${f.run.slice(0, 15)}`)),
      h("h3", {}, "error"), h("div.said", {}, plain(f.message)), f.request ? [h("h3", {}, "request"), h("div.said", {}, plain(f.request))] : null, f.text ? [h("h3", {}, "answer"), h("div.said", {}, plain(f.text))] : null))),
    part.length ? "" : h("p.empty", {}, "No failure is like this."));
  if (isTyping) { find.focus(); find.setSelectionRange(failureSearch.length, failureSearch.length); }
}
/** From a failure to the row that it is of. */
async function viewFailed(isMine) {
  const found = await source.get("failed", { run: where.run, n: where.n === "00" ? "0" : where.n });
  if (isMine()) location.replace(link({ tab: "record", output: found.output, row: String(found.row), back: where.back }));
}
const bareAll = (o) => Object.fromEntries(Object.entries(o).map(([k, v]) => [k, bare(v)]));

// ---------------------------------------------------------------- spend

async function viewSpend() {
  const runs = seen.runs;
  if (!runs.some((r) => r.steps.some((s) => s.model))) return clear(fresh(), h("p.empty", {}, "Nothing was asked of a model in this session."));
  const by = where.by ?? "model", unknown = runs.some((r) => r.steps.some((s) => s.cost === null)), paid = runs.reduce((sum, r) => sum + r.steps.reduce((t, s) => t + (s.cost ?? 0), 0), 0);
  const what = where.what ?? (paid > 0 ? "money" : "calls");
  const amount = { money: (s) => s.cost ?? 0, calls: (s) => s.calls, tokens: (s) => s.tokens_in + s.tokens_out }[what];
  const written = { money, calls: int, tokens: big }[what];
  const nameOf = { step: (s) => s.label, model: (s) => s.model || "no model", run: (_, r) => r.name.slice(0, 15) }[by];
  const groups = new Map();
  for (const r of runs) for (const s of r.steps) {
    if (!s.model) continue;
    const name = nameOf(s, r), g = groups.get(name) ?? { name, calls: 0, cached: 0, failed: 0, tokens_in: 0, tokens_out: 0, tokens_cached: 0, cost: 0, amount: 0 };
    for (const k of ["calls", "cached", "failed", "tokens_in", "tokens_out", "tokens_cached"]) g[k] += s[k];
    g.cost = s.cost === null || g.cost === null ? null : g.cost + s.cost; g.amount += amount(s); groups.set(name, g);
  }
  const sorted = [...groups.values()].sort((a, b) => b.amount - a.amount || b.calls - a.calls);
  const place = new Map(sorted.map((g, i) => [g.name, Math.min(i, 7)]));
  const pick = (key, now, options) => h("select", { "aria-label": key, "data-focus": key, on: { change: (e) => change({ [key]: e.target.value }) } }, options.map((o) => h("option", { value: o, selected: o === now }, o)));
  const into = fresh();
  into.append(h("div.figures.num", {}, figure(money(unknown ? null : paid), unknown ? `at least ${money(paid)} is known` : "spent"), figure(int(seen.spent.calls), "asked"), figure(int(seen.spent.cached), "kept: read from the session"), figure(big(seen.spent.tokens_in), "tokens in"), figure(big(seen.spent.tokens_out), "tokens out")),
    h("div.row", {}, pick("what", what, ["money", "calls", "tokens"]), h("span.dim", {}, "over time by"), pick("by", by, ["model", "step", "run"])),
    stacked(runs, place, (s, r) => nameOf(s, r), amount, written),
    h("div.key", {}, sorted.slice(0, 8).map((g, i) => h("span", {}, h("i.k", { class: `k${i}` }), i === 7 && sorted.length > 8 ? "others" : g.name))),
    h("div.wide", {}, h("table.plain", {}, h("thead", {}, h("tr", {}, [by, "asked", "kept", "failed", "tokens in", "tokens out", "money"].map((t, i) => h(`th${i ? ".n" : ""}`, { scope: "col" }, t)))),
      h("tbody", {}, sorted.map((g) => h("tr", {}, h("td.w", {}, g.name), h("td.n", {}, int(g.calls)), h("td.n", {}, int(g.cached)), h("td.n", { class: g.failed ? "failed" : "" }, int(g.failed)), h("td.n", {}, int(g.tokens_in)), h("td.n", {}, int(g.tokens_out)), h("td.n", {}, money(g.cost))))))));
}
const figure = (n, what) => h("div", {}, h("b", {}, n), h("span", {}, what));

/** Stacked bars over time: one a run, or one a day where runs are many. */
function stacked(runs, place, nameOf, amount, written) {
  const daily = runs.length > 60, bars = new Map();
  for (const r of runs) {
    const at = daily ? r.day : r.name, bar = bars.get(at) ?? { label: daily ? r.day : day(r.at) || r.name, parts: new Array(8).fill(0) };
    for (const s of r.steps) if (s.model) bar.parts[place.get(nameOf(s, r))] += amount(s);
    bars.set(at, bar);
  }
  const all = [...bars.values()].filter((b) => daily || b.parts.some(Boolean) || runs.length < 20), W = Math.max(320, Math.min(900, (pane.clientWidth || 900) - 32)), H = 180, left = 64, foot = 20;
  const most = Math.max(...all.map((b) => b.parts.reduce((x, y) => x + y, 0)), 1e-12), w = Math.min(64, (W - left) / Math.max(1, all.length));
  return h("svg.chart", { viewBox: `0 0 ${W} ${H + foot}`, role: "img", preserveAspectRatio: "xMinYMin meet" },
    [0, 0.5, 1].map((f) => [h("line.axis", { x1: left, x2: W, y1: H - f * (H - 12), y2: H - f * (H - 12) }), h("text", { x: left - 6, y: H - f * (H - 12) + 4, "text-anchor": "end" }, written(f * most))]),
    all.map((b, i) => {
      let y = H;
      return h("g", {}, b.parts.map((v, k) => { const high = v / most * (H - 12); y -= high; return v ? h("rect.k", { class: `k${k}`, x: left + i * w + 1, y, width: Math.max(1, w - 3), height: high }, h("title", {}, `${b.label}: ${written(v)}`)) : null; }),
        i % Math.ceil(130 / w) === 0 && left + i * w + 110 < W ? h("text", { x: left + i * w + 1, y: H + 14 }, b.label) : null);
    }));
}

// ---------------------------------------------------------------- training

const logged = new Map(); // what was logged by trainings that are over
async function curvesOf(name) {
  if (logged.has(name)) return logged.get(name);
  const told = await source.get("curves", { model: name }).catch((error) => ({ model: name, rows: 0, columns: {}, error: error.message }));
  if (!name.includes(":") && !told.error) logged.set(name, told);
  return told;
}
async function viewTraining(isMine) {
  const all = [...seen.models.map((m) => ({ ...m, said: m.name, state: "trained" })), ...seen.trainings.map((t) => ({ ...t, said: `${t.label} ${t.is_live ? "now" : day(t.at)}`, state: `${t.is_live ? "" : "stopped at "}${stepOf(t)}` }))];
  if (!all.length) return clear(fresh(), h("p.empty", {}, "Nothing was trained in this session."));
  const usual = [...all.filter((m) => m.is_live), ...all.filter((m) => !m.is_live).slice(-4)].slice(0, 8);
  const chosen = (where.models !== undefined ? where.models.split(",") : usual.map((m) => m.name)).filter((n) => all.some((m) => m.name === n)).slice(0, 8);
  const curves = await Promise.all(chosen.map(curvesOf));
  if (!isMine()) return;
  const place = new Map(chosen.map((n, i) => [n, i % 8])), called = new Map(all.map((m) => [m.name, m.said]));
  const skip = new Set(["step", "epoch", "total_flos", "num_tokens", "num_input_tokens_seen"]);
  const metrics = [...new Set(curves.flatMap((c) => Object.keys(c.columns)))].filter((m) => !skip.has(m) && !/_(runtime|samples_per_second|steps_per_second)$/.test(m) && curves.some((c) => (c.columns[m] ?? []).filter((v) => typeof v === "number").length > (c.model.includes(":") ? 0 : 1))).sort((a, b) => rank(a) - rank(b) || a.localeCompare(b));
  const toggle = (n) => change({ models: (chosen.includes(n) ? chosen.filter((c) => c !== n) : [...chosen, n]).join(",") });
  const ofCurve = (m) => (chosen.includes(m.name) ? Object.entries(curves[chosen.indexOf(m.name)].columns).filter(([k]) => !skip.has(k)).map(([k, v]) => [k, v.findLast((x) => x !== null)]) : []);
  const figures = (m) => (Object.keys(m.metrics ?? {}).length ? Object.entries(m.metrics) : ofCurve(m)).filter(([, v]) => v !== undefined).slice(0, 8).map(([k, v]) => h("div", {}, `${k} `, value(v)));
  const scroll = pane.scrollTop, at = document.activeElement?.getAttribute?.("data-model");
  const into = fresh();
  into.append(h("div.key", {}, all.map((m) => h("label", {}, h("input", { type: "checkbox", "data-model": m.name, checked: chosen.includes(m.name), on: { change: () => toggle(m.name) } }), h("i.k", { class: place.has(m.name) ? `k${place.get(m.name)}` : "off" }), h("span", { title: m.describe ?? m.name }, m.said), m.state === "trained" ? null : h("span.num", { class: m.is_live ? "asked" : "waits" }, m.state)))),
    metrics.length ? h("div.charts", {}, metrics.map((m) => h("div", {}, h("h3", {}, m, " ", h("span.dim.num", {}, lastOf(m, curves))), curve(m, curves, place, called)))) : h("p.empty", {}, chosen.length ? "No numbers were logged by this training." : "Choose a training to see what it logged."),
    h("div.wide", {}, h("table.plain", {}, h("thead", {}, h("tr", {}, ["model", "trainer", "rows", "took", "made", "last figures"].map((t, i) => h(`th${i === 2 || i === 3 ? ".n" : ""}`, { scope: "col" }, t)))),
      h("tbody", {}, all.map((m) => (m.state === "trained"
        ? h("tr", {}, h("td.w", {}, m.name, h("div.dim", {}, m.describe), m.notes.map((n) => h("div.waits", {}, n))), h("td", {}, m.trainer), h("td.n", {}, int(m.rows)), h("td.n", {}, seconds(m.seconds)), h("td", {}, m.made_at.replace("T", " ").replace("Z", "")), h("td.w.mono", {}, figures(m)))
        : h("tr", {}, h("td.w", {}, m.label, h("div.dim", {}, m.base)), h("td", { colspan: 3, class: m.is_live ? "asked" : "waits" }, m.is_live ? `● ${m.state}` : m.state), h("td", {}, m.is_live ? "" : day(m.at)), h("td.w.mono", {}, figures(m)))))))));
  pane.scrollTop = scroll;
  if (at) [...pane.querySelectorAll("[data-model]")].find((box) => box.getAttribute("data-model") === at)?.focus();
}
/** The last value of the one training that is looked at. */
const lastOf = (metric, curves) => { const v = curves.length === 1 ? (curves[0].columns[metric] ?? []).findLast((x) => typeof x === "number") : undefined; return v === undefined ? "" : three(v); };
const rank = (m) => (/(^|_)loss$/.test(m) ? 0 : /accuracy|reward|f1|cosine|margin/.test(m) ? 1 : 2);

function curve(metric, curves, place, called) {
  const lines = curves.map((c) => ({ model: c.model, points: (c.columns[metric] ?? []).map((y, i) => [typeof c.columns.step?.[i] === "number" ? c.columns.step[i] : i, y]).filter(([, y]) => typeof y === "number") })).filter((l) => l.points.length);
  const xs = lines.flatMap((l) => l.points.map((p) => p[0])), ys = lines.flatMap((l) => l.points.map((p) => p[1]));
  const [x0, x1, y0, y1] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)], W = 360, H = 140, left = 52;
  const X = (x) => left + (x1 === x0 ? 0.5 : (x - x0) / (x1 - x0)) * (W - left - 4), Y = (y) => 8 + (1 - (y1 === y0 ? 0.5 : (y - y0) / (y1 - y0))) * (H - 16);
  return h("svg.chart", { viewBox: `0 0 ${W} ${H + 18}`, role: "img" }, h("title", {}, `${metric}: ${three(y0)} to ${three(y1)}`),
    [y0, y1].map((y) => [h("line.axis", { x1: left, x2: W, y1: Y(y), y2: Y(y) }), h("text", { x: left - 6, y: Y(y) + 4, "text-anchor": "end" }, three(y))]),
    h("text", { x: left, y: H + 12 }, `step ${three(x0)}`), h("text", { x: W - 4, y: H + 12, "text-anchor": "end" }, three(x1)),
    lines.map((l) => (l.points.length > 1 ? h("polyline.k", { class: `k${place.get(l.model)}`, points: l.points.map(([x, y]) => `${X(x).toFixed(1)},${Y(y).toFixed(1)}`).join(" ") }, h("title", {}, `${called.get(l.model)}: ${three(l.points.at(-1)[1])} at step ${three(l.points.at(-1)[0])}`)) : h("circle.k", { class: `k${place.get(l.model)}`, cx: X(l.points[0][0]), cy: Y(l.points[0][1]), r: 2.5 }))));
}

// ---------------------------------------------------------------- the map

async function viewMap(isMine) {
  const able_ = seen.outputs.filter((o) => o.has_vectors);
  const name = where.output ?? able_.at(-1)?.name ?? lastOutput();
  const facts = name ? await columnFacts(name) : { vectors: [], columns: [] };
  if (!isMine()) return;
  if (!facts.vectors.length) return clear(fresh(), h("p.empty", {}, "These rows have no column of vectors. ", able_.length ? ["There are some in ", able_.map((o) => [h("a", { href: link({ tab: "map", output: o.name }) }, o.label), " "])] : [h("span.mono", {}, "df.embed(embedder, \"text\")"), " makes one."]));
  const column = facts.vectors.includes(where.column) ? where.column : facts.vectors[0];
  const able = facts.columns.filter((c) => ["label", "bool", "number"].includes(c.kind) || (c.kind === "text" && c.top));
  const by = able.find((c) => c.name === where.by)?.name ?? able.find((c) => c.top)?.name ?? "";
  const found = await source.get("map", { output: name, column, by });
  if (!isMine()) return;
  const pick = (key, now, options) => h("select", { "aria-label": key, "data-focus": key, on: { change: (e) => change({ [key]: e.target.value }) } }, options.map((o) => h("option", { value: o, selected: o === now }, o || "one colour")));
  const counts = new Map();
  const isScale = found.by_kind === "number";
  found.by.forEach((v) => counts.set(plain(v), (counts.get(plain(v)) ?? 0) + 1));
  const labels = isScale ? [] : [...counts].sort((a, b) => b[1] - a[1]).slice(0, 8).map(([l]) => l);
  const canvas = h("canvas", { role: "img", "aria-label": `a map of ${found.points.length} rows` }), box = h("div.map", {}, canvas);
  const into = fresh();
  into.append(h("div.row", {}, pick("column", column, facts.vectors), h("span.dim", {}, "coloured by"), pick("by", by, ["", ...able.map((c) => c.name)]),
    h("span.dim.num", {}, `${plural(found.points.length, "row")}${found.every > 1 ? ` (each ${int(found.every)}th)` : ""} · the two first principal components, ${three(100 * found.share)} % of the spread`)),
    h("div.key", {}, labels.map((l, i) => h("span", {}, h("i.k", { class: `k${i}` }), l || "null"))), box);
  paint(canvas, box, found, labels, isScale, name);
}

function paint(canvas, box, found, labels, isScale, name) {
  const style = getComputedStyle(document.documentElement), colour = labels.map((_, i) => style.getPropertyValue(`--c${i}`)), plainColour = style.getPropertyValue("--accent");
  const wide = box.clientWidth || 600, high = box.clientHeight || 400, scale = devicePixelRatio || 1;
  canvas.width = wide * scale; canvas.height = high * scale;
  const xs = found.points.map((p) => p[0]), ys = found.points.map((p) => p[1]);
  const range = (v) => { const a = v.reduce((x, y) => Math.min(x, y), Infinity), b = v.reduce((x, y) => Math.max(x, y), -Infinity); return [a, b - a || 1]; };
  const [x0, w] = range(xs), [y0, t] = range(ys), places = found.points.map(([x, y]) => [12 + (x - x0) / w * (wide - 24), 12 + (1 - (y - y0) / t) * (high - 24)]);
  const numbers = isScale ? found.by.map((v) => measured(v, "number")) : [], [n0, nw] = range(numbers.filter((v) => v !== null));
  const draw2d = canvas.getContext("2d");
  draw2d.scale(scale, scale);
  places.forEach(([x, y], i) => {
    const label = labels.indexOf(plain(found.by[i]));
    draw2d.globalAlpha = isScale ? (numbers[i] === null ? 0.1 : 0.2 + 0.7 * (numbers[i] - n0) / nw) : 0.75;
    draw2d.fillStyle = isScale || !found.by.length ? plainColour : label < 0 ? style.getPropertyValue("--dim") : colour[label];
    draw2d.beginPath(); draw2d.arc(x, y, places.length > 1000 ? 2 : 3.5, 0, 7); draw2d.fill();
  });
  let tip = null;
  const nearest = (e) => { const r = canvas.getBoundingClientRect(), x = e.clientX - r.left, y = e.clientY - r.top; let best = -1, d = 200; places.forEach((p, i) => { const k = (p[0] - x) ** 2 + (p[1] - y) ** 2; if (k < d) { d = k; best = i; } }); return best; };
  canvas.addEventListener("mousemove", (e) => {
    tip?.remove(); tip = null;
    const i = nearest(e);
    if (i < 0) return;
    tip = h("div.tip", { style: { left: `${Math.min(places[i][0] + 8, wide - 180)}px`, top: `${places[i][1] + 8}px` } }, h("div.dim.num", {}, `row ${int(found.at[i])}`, found.by.length ? ` · ${plain(found.by[i])}` : ""), found.said[i] ?? "");
    box.append(tip);
  });
  canvas.addEventListener("click", (e) => { const i = nearest(e); if (i >= 0) go({ tab: "record", output: name, row: String(found.at[i]) }); });
}

// ---------------------------------------------------------------- cards

async function viewCards(isMine) {
  const able = seen.plans.filter((p) => !p.problem && p.kind !== "run");
  if (!able.length) return clear(fresh(), h("p.empty", {}, "No plan is kept here that a card could be made of."));
  const plan = able.find((p) => p.name === where.plan) ?? able[0];
  const told = await source.get("card", { plan: plan.name });
  if (!isMine()) return;
  const into = fresh();
  into.append(h("div.row", {}, h("select", { "aria-label": "plan", on: { change: (e) => change({ plan: e.target.value, step: null, output: null }) } }, able.map((p) => h("option", { value: p.name, selected: p === plan }, p.label, p.kind === "model" ? " (model)" : ""))),
    h("button", { type: "button", on: { click: (e) => navigator.clipboard.writeText(told.text).then(() => { e.target.textContent = "copied"; }, () => {}) } }, "Copy as Markdown")), h("div.markdown", {}, markdown(told.text)));
}

/** The Markdown that cards are written in: headings, lists, tables, code, paragraphs. Links are shown as their text. */
function markdown(source_) {
  const lines = source_.replace(/<!-{2}.*?-->/gs, "").split("\n"), made = [];
  const inline = (t) => t.split(/(`[^`]*`|\*\*[^*]+\*\*|\[[^\]]*\]\([^)]*\))/).filter(Boolean).map((p) => (p.startsWith("`") ? h("code", {}, p.replace(/^`|`$/g, "")) : p.startsWith("**") ? h("b", {}, p.slice(2, -2)) : /^\[[^\]]*\]\(/.test(p) ? h("span", { title: p.replace(/^.*\]\(|\)$/g, "") }, p.replace(/^\[|\]\(.*$/g, "")) : p));
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i], fence = /^(`{3,})/.exec(line);
    if (i === 0 && line === "---") { const end = lines.indexOf("---", 1); if (end > 0) { made.push(h("details", {}, h("summary", {}, "front matter"), h("pre", {}, lines.slice(1, end).join("\n")))); i = end; continue; } }
    if (fence) { const end = lines.findIndex((l, j) => j > i && l.trimEnd() === fence[1]), stop = end < 0 ? lines.length : end; made.push(h("pre", {}, lines.slice(i + 1, stop).join("\n"))); i = stop; continue; }
    const heading = /^(#{1,6}) (.*)$/.exec(line);
    if (heading) { made.push(h(heading[1].length > 2 ? "h3" : heading[1].length > 1 ? "h3" : "h2", {}, inline(heading[2]))); continue; }
    if (line.startsWith("|")) { const rows = []; while (lines[i]?.startsWith("|")) rows.push(lines[i++]); i--; made.push(tableOfText(rows, inline)); continue; }
    if (/^[-*] /.test(line)) { const items = []; while (/^[-*] /.test(lines[i] ?? "")) items.push(lines[i++].slice(2)); i--; made.push(h("ul", {}, items.map((t) => h("li", {}, inline(t))))); continue; }
    if (line.trim()) made.push(h("p", {}, inline(line)));
  }
  return made;
}
function tableOfText(rows, inline) {
  const cells = (r) => r.replace(/^\||\|\s*$/g, "").split(/(?<!\\)\|/).map((c) => c.trim().replace(/\\\|/g, "|"));
  const [head, , ...rest] = rows;
  return h("div.wide", {}, h("table.plain", {}, h("thead", {}, h("tr", {}, cells(head).map((c) => h("th", { scope: "col" }, inline(c))))), h("tbody", {}, rest.map((r) => h("tr", {}, cells(r).map((c) => h("td.w", {}, inline(c))))))));
}

// ---------------------------------------------------------------- diff

async function viewDiff(isMine) {
  const runs = seen.runs, outputs = seen.outputs;
  const busy = runs.filter((r) => r.steps.length), [was, is] = busy.length > 1 ? busy.slice(-2) : runs.slice(-2);
  const a = runs.find((r) => r.name === where.a) ?? was, b = runs.find((r) => r.name === where.b) ?? is;
  const into = fresh();
  if (runs.length < 2) into.append(h("p.empty", {}, "There is one run: nothing to compare it with yet."));
  else {
    const pick = (key, now) => h("select", { "aria-label": key === "a" ? "run before" : "run after", on: { change: (e) => change({ [key]: e.target.value }) } }, [...runs].reverse().map((r) => h("option", { value: r.name, selected: r === now }, `${day(r.at) || r.name} · ${int(r.calls)} asked${r.steps.length ? ` · ${r.steps.map((s) => s.label).slice(0, 3).join(", ")}` : ""}`)));
    const labels = [...new Set([...a.steps, ...b.steps].map((s) => s.label))], sum = (r, l, k) => r.steps.filter((s) => s.label === l).reduce((t, s) => t + (s[k] ?? 0), 0);
    const pair = (x, y, f = int) => h("td.n", { class: x === y ? "dim" : "" }, x === y ? f(x) : `${f(x)} → ${f(y)}`);
    into.append(h("h2", {}, "Two runs"), h("div.row", {}, pick("a", a), h("span.dim", {}, "→"), pick("b", b)),
      h("div.wide", {}, h("table.plain", {}, h("thead", {}, h("tr", {}, ["step", "rows", "asked", "kept", "failed", "tokens in", "tokens out", "money"].map((t, i) => h(`th${i ? ".n" : ""}`, { scope: "col" }, t)))),
        h("tbody", {}, labels.map((l) => h("tr", {}, h("td.w", {}, l), ["rows", "calls", "cached", "failed", "tokens_in", "tokens_out"].map((k) => pair(sum(a, l, k), sum(b, l, k))), pair(sum(a, l, "cost"), sum(b, l, "cost"), money))), labels.length ? null : h("tr", {}, h("td.dim", { colspan: 8 }, "Neither run did more than read what was stored."))))));
  }
  if (outputs.length < 2 || !source.live) return;
  const after = outputs.find((o) => o.name === where.after) ?? outputs.findLast((o, i) => outputs.slice(0, i).some((x) => x.label === o.label)) ?? outputs.at(-1);
  const before = outputs.find((o) => o.name === where.before) ?? outputs.slice(0, outputs.indexOf(after)).findLast((o) => o.label === after.label) ?? outputs.filter((o) => o !== after).at(-1);
  const choose = (key, now) => h("select", { "aria-label": `rows ${key}`, on: { change: (e) => change({ [key]: e.target.value }) } }, [...outputs].reverse().map((o) => h("option", { value: o.name, selected: o === now }, `${o.label} · ${plural(o.rows, "row")} · ${o.made_at.slice(0, 16).replace("T", " ")}`)));
  const part = h("div", {}, h("p.dim", {}, "Comparing …"));
  into.append(h("h3", {}, "Two stored outputs"), h("div.row", {}, choose("before", before), h("span.dim", {}, "→"), choose("after", after)), part);
  let told;
  try { told = await source.get("contrast", { before: before.name, after: after.name }); } catch (error) { if (isMine()) failed(part, error); return; }
  if (!isMine()) return;
  clear(part, told.steps.length ? [h("h3", {}, "Steps that differ"), h("ul", {}, told.steps.map((s) => h("li.mono", {}, s)))] : h("p.dim", {}, "The steps are the same."),
    told.n_values ? [h("p.num", {}, `${plural(told.n_rows, "row")} differ, ${plural(told.n_values, "value")}${told.n_values > told.rows.length ? `; the first ${int(told.rows.length)}` : ""}`),
      h("div.wide", {}, h("table.plain", {}, h("thead", {}, h("tr", {}, ["row", "column", "before", "after"].map((t, i) => h(`th${i ? "" : ".n"}`, { scope: "col" }, t)))),
        h("tbody", {}, told.rows.map(([row, before_, column, x, y]) => h("tr", {}, h("td.n", {}, row === null ? "only before" : before_ === null ? "only after" : int(row)), h("td", {}, column), h("td.w", {}, cell(x, {})), h("td.w.written", {}, cell(y, {}))))))) ] : h("p.dim", {}, "No value differs."));
  unfoldable(part);
}

const VIEWS = { rows: viewRows, record: viewRecord, plan: viewPlan, failures: viewFailures, failed: viewFailed, spend: viewSpend, training: viewTraining, map: viewMap, cards: viewCards, diff: viewDiff };

// ---------------------------------------------------------------- keyboard

const KEYS = [["/", "search"], ["j k ↓ ↑", "row after, row before"], ["enter", "the chosen row as a conversation"], ["m", "its long texts, whole"], ["esc", "back"], ["← → ↓", "in the heads of a table: columns, and what is in one"], ["↓ ↑", "in the plan: steps"], ["[ ]", "step before, step after"], ["f", "failures"], ["?", "this list"]];
const help = h("dialog", { "aria-label": "Keys" }, h("h2", {}, "Keys"), h("dl", {}, KEYS.map(([k, what]) => [h("dt", {}, h("kbd", {}, k)), h("dd", {}, what)])));

/** The arrow keys, where the focus is; whether they did something. */
function arrow(e) {
  const by = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[e.key], isDown = e.key === "ArrowDown" || e.key === "ArrowUp", at = e.target;
  const among = (items, from = items.indexOf(at)) => { const to = items[from + by]; to?.focus(); to?.scrollIntoView?.({ block: "nearest", inline: "nearest" }); return true; };
  if (tree.contains(at)) return isDown && among([...tree.querySelectorAll("a[data-step], button")]);
  if (tabs.contains(at)) return !isDown && among([...tabs.querySelectorAll("a")]);
  const head = at.closest?.("thead th");
  if (head) {
    const inside = [head.querySelector(".sort"), ...head.querySelectorAll(".facet button, .facet rect")].filter(Boolean);
    return at.classList.contains("sort") && !isDown ? among([...head.parentNode.querySelectorAll(".sort")]) : among(inside);
  }
  if (isDown && where.tab !== "record" && (at === document.body || at.closest?.("tbody tr[data-at]")) && pane.querySelector("tbody tr[data-at]")) { select(focused + by); return true; }
  return false;
}

function stepBy(n) {
  const links = [...tree.querySelectorAll("a[data-step]")];
  if (!links.length) return;
  const at = links.findIndex((a) => a.getAttribute("aria-current") === "true");
  location.hash = links[Math.max(0, Math.min(links.length - 1, at < 0 ? 0 : at + n))].getAttribute("href");
}
document.addEventListener("keydown", (e) => {
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName ?? "");
  if (e.ctrlKey || e.metaKey || e.altKey) return;
  if (e.key === "Escape") {
    if (help.open) return;
    if (isTyping) e.target.blur();
    else if (where.tab === "record") location.hash = pane.querySelector("[data-back]")?.getAttribute("href") ?? "#/rows";
    else if (where.search || where.where || where.state) change({ search: null, where: null, state: null, page: null });
    return;
  }
  if (isTyping) return;
  if (e.key.startsWith("Arrow") && !help.open) { if (arrow(e)) e.preventDefault(); return; }
  if ((e.key === "Enter" || e.key === " ") && e.target.tagName === "rect") { e.preventDefault(); e.target.dispatchEvent(new MouseEvent("click")); return; }
  const on = where.tab === "record" ? "record" : "rows";
  const act = {
    "/": () => { const to = pane.querySelector("input[type=search]"); if (to) { to.focus(); to.select(); } else go({ tab: "rows", output: where.output }); },
    j: () => (on === "record" ? [...pane.querySelectorAll("a")].find((a) => a.textContent === "row after")?.click() : select(focused + 1)),
    k: () => (on === "record" ? [...pane.querySelectorAll("a")].find((a) => a.textContent === "row before")?.click() : select(focused - 1)),
    Enter: () => { if (on === "rows" && e.target === document.body) pane.querySelector("tr[aria-selected=true]")?.click(); },
    m: () => pane.querySelectorAll("tr[aria-selected=true] .fold:not([hidden])").forEach((more) => more.click()),
    "[": () => stepBy(-1), "]": () => stepBy(1), f: () => go({ tab: "failures" }), "?": () => help.showModal(),
  }[e.key];
  if (act && !(e.key === "Enter" && e.target !== document.body)) { e.preventDefault(); act(); }
});

// ---------------------------------------------------------------- life

let looked = 0;
function measure(now, before, s) {
  rates = new Map();
  if (!before || s <= 0) return;
  const was = new Map(before.plans.flatMap((p) => p.steps.map((x) => [x.key, x.asked ?? 0])));
  for (const x of now.plans.flatMap((p) => p.steps)) if (x.state === "asked" && was.has(x.key) && x.asked > was.get(x.key)) rates.set(x.key, (x.asked - was.get(x.key)) / s);
}
async function poll() {
  try {
    const told = await source.get("overview", { since: seen?.stamp });
    top.querySelector("[data-gone]")?.remove();
    if (!told.same) {
      const now = performance.now() / 1000, before = seen;
      measure(told, seen, looked ? now - looked : 0);
      looked = now; seen = told;
      partsOf(told.plans);
      drawTop();
      const isNew = before === null || before.outputs.length !== told.outputs.length;
      if (isNew || ["plan", "spend", "failures", "training", "diff"].includes(where.tab)) await draw();
      else { drawTree(); drawTabs(); }
    }
  } catch (error) {
    if (!seen) return failed(app, error);
    if (!top.querySelector("[data-gone]")) top.append(h("span.waits", { "data-gone": "" }, "the server has ended: this is what was last seen"));
  }
  if (source.live) setTimeout(poll, document.hidden ? 5000 : seen?.live.length ? 1000 : 2000);
}

if (app) {
  app.replaceChildren(top, tree, body);
  document.body.append(help);
  addEventListener("hashchange", () => { tree.classList.remove("open"); if (seen) { drawTop(); draw(); } });
  poll();
}
