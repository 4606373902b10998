"""A plan as text and as a graph. Pure: nothing is run, opened or asked."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass

from dreamframe.plan.hidden import readable
from dreamframe.plan.optimizer.rules import Applied
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Step
from dreamframe.redaction.redactor import Redactor
from dreamframe.redaction.visible import in_line, visible


def plan_text(step: Step, *, note: Callable[[Step], str] = lambda _: "", is_kept: bool = False) -> str:
    """One line a step, the last step first, inputs indented below it, as polars' own explain() does.

    A step that is read more than once is drawn once and named by number afterwards. `note` may add to a line. What is kept names no whole path.
    """
    seen: dict[int, int] = {}
    hides = plan_redactor([step])
    shared = _read_twice(step)
    lines: list[str] = []
    waiting = [(step, 0)]
    while waiting:
        node, depth = waiting.pop()
        indent = "  " * depth
        if id(node) in seen:
            lines.append(f"{indent}[{seen[id(node)]}] as above")
            continue
        number = ""
        if id(node) in shared:
            seen[id(node)] = len(seen) + 1
            number = f"[{seen[id(node)]}] "
        lines.append(f"{indent}{number}{by_name(node, (line if is_kept else whole_line)(node, hides), hides)}{note(node)}")
        waiting += [(below, depth + 1) for below in reversed(node.inputs)]
    return "\n".join(lines)


def rules_text(trace: Sequence[Applied]) -> str:
    """What the rules of the optimiser did, a line for each use: the rule, the step that it changed, and what stands in its place."""
    if not trace:
        return "rules: none was used"
    uses = [f"  {used.rule}: {whole_line(used.step)} → {whole_line(used.made)}" for used in trace]
    return "\n".join(["rules, in the order in which they were used:", *uses])


def line(step: Step, hides: Redactor | None = None) -> str:
    """What a step does, in one line without secrets: those that `hides` knows, or its own."""
    hides = plan_redactor([step]) if hides is None else hides
    return in_line(hides.text(" ".join(readable(step.describe()).split("\n"))))


def by_name(step: Step, text: str, hides: Redactor) -> str:
    """The line of a step with its name before it, which is the user's or that of the verb which made the step; without, where it begins with it."""
    if step.name is None or text.startswith(step.name.upper().replace("_", " ")):
        return text
    return f"{in_line(hides.text(step.name))}: {text}"


def whole_line(step: Step, hides: Redactor | None = None) -> str:
    """As `line`, with the addresses and whole paths that the step reaches for: to be shown, not to be kept."""
    hides = plan_redactor([step]) if hides is None else hides
    return in_line(hides.text(" ".join(readable(step.explained()).split("\n"))))


def _read_twice(step: Step) -> set[int]:
    counts: dict[int, int] = {}
    for node in step.walk():
        for below in node.inputs:
            counts[id(below)] = counts.get(id(below), 0) + 1
    return {i for i, n in counts.items() if n > 1}


def plan_dot(step: Step) -> str:
    """The plan in Graphviz' DOT language, data flowing downwards.

    >>> import polars as pl
    >>> from dreamframe.plan.steps.source import Table
    >>> print(plan_dot(Table(data=pl.DataFrame({"a": [1]}))))
    digraph plan {
      node [shape=box, fontname="sans-serif"];
      s0 [label="TABLE 1 rows"];
    }
    """
    nodes = step.walk()
    number = {id(n): i for i, n in enumerate(nodes)}
    hides = plan_redactor([step])
    labels = [f"  s{i} [label={_quoted(by_name(n, whole_line(n, hides), hides))}];" for i, n in enumerate(nodes)]
    arrows = [f"  s{number[id(b)]} -> s{number[id(n)]};" for n in nodes for b in n.inputs]
    return "\n".join(["digraph plan {", '  node [shape=box, fontname="sans-serif"];', *labels, *arrows, "}"])


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def plan_html(step: Step) -> str:
    """Schema and plan for a notebook. Everything is escaped: names and prompts may hold markup."""
    hides = plan_redactor([step])
    rows = "".join(
        f"<tr><td>{html.escape(visible(hides.text(name)))}</td><td><code>{html.escape(str(dtype))}</code></td></tr>" for name, dtype in step.schema.items()
    )
    return (
        '<div class="dreamframe"><table><thead><tr><th>column</th><th>type</th></tr></thead>'
        f"<tbody>{rows}</tbody></table><pre>{html.escape(plan_text(step))}</pre>{_prompts_html(step, hides)}"
        "<small>lazy: nothing has run. .collect() runs it, .show() looks at some rows.</small></div>"
    )


def _prompts_html(step: Step, hides: Redactor) -> str:
    """What each step says to its model, folded: the texts of its prompt and its system prompt, as they stand in the plan."""
    made: list[str] = []
    for node in step.walk():
        texts = prompt_texts(node, hides)
        if texts:
            said = "".join(f"<dt>{html.escape(name)}</dt><dd><pre>{html.escape(visible(text))}</pre></dd>" for name, text in texts.items())
            made.append(f"<details><summary>prompt of {html.escape(in_line(hides.text(node.label)))}</summary><dl>{said}</dl></details>")
    return "".join(made)


def prompt_texts(node: Step, hides: Redactor) -> dict[str, str]:
    """What a step says to its model: the texts of its system prompt and its prompt, as they stand in the plan, without secrets."""
    prompt = getattr(node, "prompt", None)
    held = {f.name: getattr(prompt, f.name) for f in fields(prompt)} if is_dataclass(prompt) else {}
    return {name: hides.text(text) for name, text in {"system": getattr(node, "system", None), **held}.items() if isinstance(text, str) and text}
