"""The cards: what was made by which steps, of what, under which licences, at what cost, and how to make it again."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dreamframe.cards import markdown as md
from dreamframe.cards.asked import settings_table
from dreamframe.cards.citations import citation_section, is_bibtex
from dreamframe.cards.figures import evaluation_section
from dreamframe.cards.lineage import conflicts, licence_of_all, licence_stated, lineage, training_inputs
from dreamframe.cards.records import Records, StepFacts
from dreamframe.hub.readme import marked
from dreamframe.models.base import LLM
from dreamframe.models.provenance import ON_THE_HUB, Provenance, is_repo_id
from dreamframe.plan.explain import by_name, line
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Source, Step
from dreamframe.plan.steps.train import Train, model_name

SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"), (10**8, "10M<n<100M"))
BARS = "▁▂▃▄▅▆▇█"
LONGEST = 1_000  # characters of a value that a card quotes
Shown = Callable[[object], str]  # a value as a card may show it: without keys and other secrets, cut at LONGEST


def data_card(step: Step, records: Records, *, repo: str | None = None, version: str = "", n_rows: int | None = None) -> str:
    """README.md of the rows that a plan makes. `n_rows`: how many are published, where they are at hand."""
    shown = _redacting(records)
    found = lineage(step)
    n = rows_of(step, records) if n_rows is None else n_rows
    title = _title(repo, "Rows made with dreamframe")
    front = {
        **_licence(found, licence_stated(step)),
        "pretty_name": shown(title),
        "size_categories": [size_category(n)] if n is not None else [],
        "tags": [*(["synthetic"] if _is_synthetic(step, found) else []), "dreamframe"],
        "source_datasets": [p.name for p in found if p.kind == "dataset" and p.is_on_hub],
    }
    made = f"{n:,} row{'' if n == 1 else 's'}" if n is not None else "Rows" if has_run(step, records) else "Planned, not run yet: rows"
    use = f'from datasets import load_dataset\n\nrows = load_dataset("{_repo(repo)}")'
    parts = [
        f"{made} of {len(step.schema)} column{'' if len(step.schema) == 1 else 's'}, made with [dreamframe](https://pypi.org/project/dreamframe/).{_dates(records)}",
        "## Use",
        md.block(use, "python"),
        "## Columns",
        md.table(("column", "type"), [(md.code(shown(c), cell=True), md.code(shown(t), cell=True)) for c, t in step.schema.items()]),
        *_example(records, shown),
        *_body(step, found, records, shown, repo=repo, version=version, trains=bool(training_inputs(step))),
    ]
    return _readme(front, shown(title), parts)


def model_card(step: Train, records: Records, *, repo: str | None = None, version: str = "") -> str:
    """README.md of a model that a plan trains."""
    shown = _redacting(records)
    found = lineage(step)
    trainer = step.trainer
    record = records.trainings.get(records.key(step), {})
    title = _title(repo, f"{shown(trainer.summary)}")
    base = _base(trainer.base, shown)
    has_adapter = bool(getattr(trainer, "is_adapter", False))
    front = {
        **_licence(found, licence_stated(step)),
        "base_model": base,
        "library_name": trainer.kind.library_of(is_adapter=has_adapter),
        "pipeline_tag": trainer.kind.pipeline_tag,
        "tags": ["synthetic", "dreamframe", trainer.label.lower()] if _is_synthetic(step, found) else ["dreamframe", trainer.label.lower()],
        "datasets": [p.name for p in found if p.kind == "dataset" and p.is_on_hub],
        "widget": _widget(step, records, shown),
    }
    state = "Trained" if record else "Planned, not trained yet: made"
    parts = [
        f"{state} by {md.text(shown(line(step).removeprefix('TRAIN ')))}, with [dreamframe](https://pypi.org/project/dreamframe/).{_dates(records)}",
        "## Use",
        *_use(trainer, _repo(repo), (base or "owner/base") if has_adapter else None),
        "## Training",
        _settings(step, shown),
        *_results(step, record, records, shown),
        *_example(records, shown, what="A training row"),
        *_body(step, found, records, shown, repo=repo, version=version, trains=True),
    ]
    return _readme(front, shown(title), parts)


def _readme(front: dict[str, Any], title: str, parts: Sequence[str]) -> str:
    """Front matter, title and our section: what a later push may write anew."""
    section = "\n\n".join(parts)
    return f"{md.yaml_text(front)}\n# {md.text(title)}\n\n{marked(section, md.as_read(front))}\n"


def _use(trainer: Any, repo: str, base: str | None) -> list[str]:
    """How the model is used: with the libraries that everybody has, and with dreamframe."""
    ways = (("", trainer.kind.use), ("With dreamframe:", trainer.kind.ask))
    return [part for head, use in ways if use is not None for part in (head, md.block(use(repo, base), "python")) if part]


def _redacting(records: Records) -> Shown:
    def shown(value: object) -> str:
        clean = md.scrub(str(value), records.secrets)
        return clean if len(clean) <= LONGEST else clean[: LONGEST - 1] + "…"

    return shown


def _base(base: object, shown: Shown) -> str | None:
    """The repository of what a training started from; that of an adapter's own base, where it went on from one."""
    while step := getattr(base, "step", None):
        base = getattr(step.trainer, "base", None)
    name = base if isinstance(base, str) else getattr(base, "model", None)
    if not isinstance(name, str):
        return None if name is None or name is base else _base(name, shown)
    named = ON_THE_HUB.get(name, name)
    return named if is_repo_id(named) and shown(named) == named else None


def _title(repo: str | None, default: str) -> str:
    return repo.rpartition("/")[2] if repo else default


def _repo(repo: str | None) -> str:
    return repo if repo and all(c.isalnum() or c in "._-/" for c in repo) else "owner/name"


def size_category(n: int) -> str:
    """The Hub's word for a number of rows.

    >>> size_category(1_000), size_category(999)
    ('1K<n<10K', 'n<1K')
    """
    return next((name for below, name in SIZES if n < below), "100M<n<1B" if n < 10**9 else "n>1B" if n < 10**12 else "n>1T")


def _licence(found: Sequence[Provenance], stated: str | None) -> dict[str, Any]:
    """Of the whole: what its maker says, else the one licence that holds for everything. Else nothing is claimed."""
    only = stated or licence_of_all(found)
    if only is not None:
        names = only.split(", ")
        if all(re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", name) for name in names):
            return {"license": only if len(names) == 1 else names}
        return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", only.removeprefix("other")).strip("-") or "other"}
    things = [p for p in found if p.kind != "technique"]
    if things and all(p.license for p in things):
        return {"license": "other", "license_name": "several-licenses", "license_link": "README.md"}
    return {}


def has_run(step: Step, records: Records) -> bool:
    """Whether one of the last steps of a plan that ask, call or train was run; or there is none."""
    waiting, last = [step], list[Step]()
    while waiting:
        node = waiting.pop()
        if node.is_expensive:
            last.append(node)
        else:
            waiting += node.inputs
    return not last or any(records.key(node) in records.steps for node in last)


def _is_synthetic(step: Step, found: Sequence[Provenance]) -> bool:
    return any(p.kind == "model" for p in found) or any(isinstance(m, LLM) for n in step.walk() for m in n.models())


def _dates(records: Records) -> str:
    days = list(dict.fromkeys(records.days))
    return f" Run: {' to '.join(days)} (UTC)." if days else ""


def rows_of(step: Step, records: Records) -> int | None:
    """How many rows a step gave, as far as the records or the plan tell."""
    return _counted(step.walk(), records)[id(step)]


def _counted(nodes: Sequence[Step], records: Records) -> dict[int, int | None]:
    """Rows by id of the step: what was counted when it ran; of sources, and after a run of limits and the like that run as part of other steps, what the
    plan tells."""
    found: dict[int, int | None] = {}
    for node in nodes:
        has_run = isinstance(node, Source) or (not node.is_expensive and any(found[id(i)] is not None and not isinstance(i, Source) for i in node.inputs))
        told = node.n_out(*(found[id(i)] for i in node.inputs)) if has_run else None
        counted = records.of(node).rows
        found[id(node)] = told if counted is None else counted
    return found


# Sections


def _example(records: Records, shown: Shown, *, what: str = "A row") -> list[str]:
    if not records.examples:
        return []
    return [f"{what}:", md.block(shown(json.dumps(dict(records.examples[0]), ensure_ascii=False, indent=1, default=str)), "json")]


def _body(
    step: Step, found: Sequence[Provenance], records: Records, shown: Shown, *, repo: str | None, version: str, trains: bool
) -> list[str]:
    return [
        *evaluation_section(records, shown),
        "## How it was made" if has_run(step, records) else "## How it will be made",
        "The last step reads the ones above it." + (" “–”: nothing to count, or not counted." if records.steps else ""),
        _steps(step, records, shown),
        *_totals(step, records),
        *_prompts(step, shown),
        *settings_table(step, shown),
        "## Sources, models and techniques",
        _things(found, shown),
        "## Licences",
        _conflicts(found, shown, trains=trains, stated=licence_stated(step)),
        *citation_section(found, shown),
        "## Make it again",
        *_again(step, records, shown, repo, version),
    ]


def _steps(step: Step, records: Records, shown: Shown) -> str:
    nodes = step.walk()
    number = {id(n): i for i, n in enumerate(nodes, 1)}
    read_by = {id(n.inputs[0]): records.of(n).rows_in for n in reversed(nodes) if n.inputs}
    counted_rows = _counted(nodes, records)
    rows = []
    for node in nodes:
        facts = records.of(node)
        training = records.trainings.get(records.key(node), {})
        out = counted_rows[id(node)]
        out = read_by.get(id(node)) if out is None else out
        entered = training.get("rows") if isinstance(node, Train) else facts.rows_in
        failed = f"{facts.failed}" + (f" ({', '.join(f'{md.text(shown(k))}: {n}' for k, n in facts.errors.items())})" if facts.errors else "")
        of = ", ".join(str(number[id(i)]) for i in node.inputs) or "–"
        is_training = isinstance(node, Train)
        counted = [_number(entered), "a model" if is_training else _number(out), failed if facts.failed else "0" if records.steps else "–"]
        rows.append([str(number[id(node)]), md.code(shown(by_name(node, line(node), plan_redactor([node]))), cell=True), of, *counted, *_calls(facts)])
    if not records.steps:
        return md.table(("#", "step", "reads"), [r[:3] for r in rows])
    table = md.table(("#", "step", "reads", "rows in", "rows out", "failed", "calls", "reused", "tokens in", "tokens out", "cost"), rows)
    moved = any(n.inputs and (records.of(n).rows_in or 0) > (records.of(n.inputs[0]).rows or math.inf) for n in nodes)
    return f"{table}\n\nModels were asked only about the rows that somebody reads: steps that leave rows out ran before them." if moved else table


def _number(n: object) -> str:
    return f"{n:,}" if isinstance(n, int) else "–"


def _calls(facts: StepFacts) -> list[str]:
    if not facts.asked and not facts.cached:
        return ["–"] * 5
    cost = "unknown" if facts.cost is None else f"${facts.cost:.4f}" if facts.cost else "$0"
    return [_number(facts.asked), _number(facts.cached), _number(facts.n_in), _number(facts.n_out), cost]


def _totals(step: Step, records: Records) -> list[str]:
    facts = [records.of(n) for n in step.walk()]
    if not any(f.asked for f in facts):
        return []
    costs = [f.cost for f in facts]
    known = [c for c in costs if c is not None]
    cost = f"${sum(known):.4f}"
    if len(known) < len(costs):  # no sum stands for a price that nobody knows
        cost = f"{cost} and calls whose price is not known" if sum(known) else "at a price that is not known"
    return [f"Together: {sum(f.asked for f in facts):,} model calls, {sum(f.n_in for f in facts):,} tokens in, {sum(f.n_out for f in facts):,} out, {cost}."]


def _prompts(step: Step, shown: Shown) -> list[str]:
    told: list[str] = []
    for node in step.walk():
        prompt, asked = getattr(node, "prompt", None), node.models()
        if prompt is None or not dataclasses.is_dataclass(prompt):
            continue
        texts = {f.name: v for f in dataclasses.fields(prompt) if isinstance(v := getattr(prompt, f.name), str) and v not in ("", f.default)}
        system = getattr(node, "system", None) or (getattr(asked[0], "system", None) if asked else None)
        for name, value in {**({"system": system} if isinstance(system, str) else {}), **texts}.items():
            is_short = "\n" not in value and len(value) <= 60
            what = f"{md.code(shown(node.label))}, {name.replace('_', ' ')}:"
            told += [f"{what} {md.code(shown(value))}"] if is_short else [what, md.block(shown(value), "text")]
    return ["### Prompts", *told] if told else []


def _things(found: Sequence[Provenance], shown: Shown) -> str:
    if not found:
        return "None on record."
    rows = []
    for p in found:
        name = md.text(shown(p.name)) + (f" at {md.code(shown(p.revision), cell=True)}" if p.revision else "")
        licence = "–" if p.kind == "technique" else md.text(shown(p.license or ("the provider's terms" if p.terms else "unknown")))
        address = p.terms or p.url or ""
        paper = "" if is_bibtex(p.citation) else p.citation or ""
        cite = " ".join(dict.fromkeys(md.text(shown(c)) if not c.startswith("https://") else _link(c, shown) for c in (address, paper) if c))
        rows.append([p.kind, name, licence, cite or "–"])
    return md.table(("kind", "name", "licence", "terms, page or paper"), rows)


def _link(url: str, shown: Shown) -> str:
    clean = shown(url)
    plain = all((c.isalnum() and c.isascii()) or c in ":/._-?=%#&" for c in clean)
    return f"<{clean}>" if plain else md.text(clean)


def _conflicts(found: Sequence[Provenance], shown: Shown, *, trains: bool, stated: str | None) -> str:
    only = licence_of_all(found)
    told = conflicts(found, trains=trains)
    if stated is not None:
        head = f"Whoever made this publishes it under {md.text(shown(stated))}."
        lines = [f"- **{md.text(shown(name))}** ({_link(what, shown) if '://' in what else md.text(shown(what))}): {why}." for name, what, why in told]
        return "\n".join([f"{head} What its sources and models say:", "", *lines]) if lines else head
    if only is not None and not told:
        return f"Every source and model is under {md.text(shown(only))}."
    lines = [f"- **{md.text(shown(name))}** ({_link(what, shown) if '://' in what else md.text(shown(what))}): {why}." for name, what, why in told]
    head = f"Every source and model is under {md.text(shown(only))}." if only else "No single licence is claimed for the whole."
    return "\n".join([head, "", *lines]) if lines else head + " The table above lists the licence of each source and model."


def _again(step: Step, records: Records, shown: Shown, repo: str | None, version: str) -> list[str]:
    made = "model" if isinstance(step, Train) else "rows"
    script = [
        f"# pip install dreamframe=={version}",
        "import dreamframe as dr",
        "",
        f'{made} = dr.from_hub("{_repo(repo)}")  # dreamframe.json: the plan; rows=[…] hands over what it began with, where that was not published',
        f"print({made}.explain())",
        "",
        '# With what session.export("run.tar.zst") wrote, the same again without a call:',
        'with dr.Session.load("run.tar.zst", "./replayed", offline=True):',
        "    model.fit()" if isinstance(step, Train) else "    rows.collect()",
    ]
    told = [md.block("\n".join(script), "python"), f"Fingerprint of the plan: {md.code(records.key(step) or 'known when its models are on this machine')}"]
    if records.versions:
        told.append("Versions: " + ", ".join(f"{md.text(shown(k))} {md.text(shown(v))}" for k, v in sorted(records.versions.items())) + ".")
    return told


# Training


def _settings(step: Train, shown: Shown) -> str:
    rows = [(md.code(role, cell=True), md.code(shown(column), cell=True)) for role, column in step.columns]
    for f in dataclasses.fields(step.trainer):
        value = getattr(step.trainer, f.name)
        if value is None or value == () or f.metadata.get("secret") or f.metadata.get("runtime"):
            continue
        named = model_name(value) if f.name == "base" else _setting(value)
        rows.append((md.code(f.name, cell=True), md.code(shown(named), cell=True)))
    return md.table(("setting", "value"), rows)


def _setting(value: object) -> str:
    if isinstance(value, (str, int, float, bool, tuple, list, dict)):
        return str(value)
    given = value.to_dict() if hasattr(value, "to_dict") else {}
    kept = {k: v for k, v in given.items() if k in ("r", "lora_alpha", "lora_dropout", "target_modules", "bias", "load_in_4bit", "load_in_8bit")}
    kept = {k: sorted(v) if isinstance(v, (set, frozenset)) else v for k, v in kept.items() if v is not None}
    return f"{type(value).__name__}({', '.join(f'{k}={v!r}' for k, v in kept.items())})"


def _results(step: Train, record: Mapping[str, Any], records: Records, shown: Shown) -> list[str]:
    told: list[str] = []
    numbers = {k: v for k, v in record.items() if isinstance(v, (int, float)) and not isinstance(v, bool) and k not in ("began", "format", "rows", "processes")}
    numbers |= {k: v for k, v in dict(record.get("metrics") or {}).items() if isinstance(v, (int, float))}
    if numbers:
        cells = [(md.code(shown(k), cell=True), f"{v:.4g}" if isinstance(v, float) else f"{v:,}") for k, v in numbers.items()]
        told += ["### Results", md.table(("measure", "value"), cells)]
    curves = [(name, values) for name, values in records.curves.get(records.key(step), {}).items() if len(values) > 1]
    if curves:
        drawn = [(md.code(shown(n), cell=True), f"{v[0]:.4g}", sparkline(v), f"{v[-1]:.4g}") for n, v in curves]
        told += ["### Curves", md.table(("logged", "first", "over the steps", "last"), drawn)]
    notes = [str(n) for n in record.get("notes") or ()]
    return [*told, *(["Notes:\n\n" + "\n".join(f"- {md.text(shown(n))}" for n in notes)] if notes else [])]


def sparkline(values: Sequence[float], *, width: int = 40) -> str:
    """Numbers as a row of bars, at most `width` of them.

    >>> sparkline([3.0, 2.0, 1.0])
    '█▅▁'
    """
    picked = [values[i * (len(values) - 1) // (width - 1)] for i in range(width)] if len(values) > width else values
    if math.isinf(max(picked) - min(picked)):
        picked = [v / 4 for v in picked]
    low, span = min(picked), (max(picked) - min(picked)) or 1.0
    return "".join(BARS[round((v - low) / span * (len(BARS) - 1))] for v in picked)


def _widget(step: Train, records: Records, shown: Shown) -> list[dict[str, str]]:
    column = dict(step.columns).get("prompt") or dict(step.columns).get("input") or dict(step.columns).get("text")
    if column is None or not step.trainer.kind.reads_text:
        return []
    return [{"text": shown(row[column])} for row in records.examples[:3] if isinstance(row.get(column), str) and row[column]]
