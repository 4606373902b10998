"""A plan as HTML for notebooks, without scripts: a line a step, prompts that fold open, what is kept and what it costs. Names and prompts may hold markup."""

from __future__ import annotations

import html
from collections.abc import Callable, Container
from typing import Any

from dreamframe.plan.estimate import Looked
from dreamframe.plan.explain import drawn, plan_text, prompt_texts, rules_text, whole_line
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Step
from dreamframe.plan.style import KEPT, STYLE
from dreamframe.redaction.redactor import Redactor
from dreamframe.redaction.visible import in_line, visible

MOST_COLUMNS = 12  # of a schema that is not folded

class Explained(str):
    """What `explain` says: a text, that a notebook shows as a page with the prompts folded. The page is made when it is shown."""

    __slots__ = ("_drawn",)
    _drawn: Callable[[], str]

    def __new__(cls, text: str, drawn: Callable[[], str]) -> Explained:
        made = super().__new__(cls, text)
        made._drawn = drawn
        return made

    def __reduce__(self) -> tuple[type[str], tuple[str]]:
        return str, (str(self),)  # another process has the text

    def _repr_html_(self) -> str:
        return self._drawn()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002  IPython calls it so
        printer.text(str(self))


def explained(looked: Looked, *, rules: bool = False) -> Explained:
    """What was found of a plan, as text and as a page."""
    (plan,) = looked.plans
    cost = looked.estimate
    parts = [plan_text(plan, note=looked.state, helpers=looked.helpers), *looked.told]
    parts += [repr(cost)] if cost is not None else []
    used = rules_text(looked.made) if rules and looked.made is not None else ""
    parts += [used] if used else []

    def page() -> str:
        lines = [*looked.told, *(() if cost is None else (cost.total, *cost.notes))]
        below = "".join(f'<div class="below">{html.escape(visible(line))}</div>' for line in lines)
        folded = f"<details><summary>rules</summary><pre>{html.escape(visible(used))}</pre></details>" if used else ""
        return f'<div class="dreamframe">{STYLE}{steps_html(plan, looked.note, looked.helpers)}{below}{folded}</div>'

    return Explained("\n\n".join(parts), page)


def frame_html(step: Step) -> str:
    """Schema and plan of a frame; a wide schema is folded."""
    hides = plan_redactor([step])
    names = [html.escape(visible(hides.text(name))) for name in step.schema]
    rows = "".join(f"<tr><td>{name}</td><td><code>{html.escape(str(dtype))}</code></td></tr>" for name, dtype in zip(names, step.schema.values(), strict=True))
    table = f"<table><thead><tr><th>column</th><th>type</th></tr></thead><tbody>{rows}</tbody></table>"
    if len(names) > MOST_COLUMNS:
        table = f'<details class="wide"><summary>{len(names)} columns: {", ".join(names[:MOST_COLUMNS])}, …</summary>{table}</details>'
    return plan_html(step, table, "lazy: nothing has run. .collect() runs it, .show() looks at some rows.")


def plan_html(step: Step, above: str, below: str) -> str:
    """A plan that has not run, between what is HTML already and a text."""
    return f'<div class="dreamframe">{STYLE}{above}{steps_html(step)}<small>{html.escape(below)}</small></div>'


def steps_html(step: Step, note: Callable[[Step], str] = lambda _: "", helpers: Container[int] = ()) -> str:
    """A line for each step, the last one first, and what feeds a step of several inputs indented below it: what it does, with
    its prompts folded below, and what there is to say of it at the right edge."""
    hides = plan_redactor([step])
    made: list[str] = []
    above: list[tuple[int, int]] = []  # how far the steps above are indented, and by how many steps each is fed
    for one in drawn(step, helpers):
        del above[one.depth :]
        depth = above[-1][0] + (above[-1][1] > 1) if above else 0  # a long plan without branches stays at the left
        above.append((depth, len(one.step.inputs) if one.is_first else 0))
        text = html.escape(visible(one.text(lambda node: whole_line(node, hides), hides)))
        said = _prompts(one.step, hides) if one.is_first else ""
        told = note(one.step) if one.is_first else ""
        indent = f' style="margin-left:{2 * depth}ch"' if depth else ""
        left = f'<details class="said"{indent}><summary>{text}</summary><dl>{said}</dl></details>' if said else f'<div class="said"{indent}>{text}</div>'
        state = f'<div class="state{" kept" if told in KEPT else ""}">{html.escape(visible(told))}</div>' if told else ""
        made.append(f'<div class="step">{left}{state}</div>')
    return f'<div class="plan">{"".join(made)}</div>'


def _prompts(node: Step, hides: Redactor) -> str:
    """What a step says to its model: the texts of its prompt and its system prompt, as they stand in the plan."""
    texts = prompt_texts(node, hides).items()
    return "".join(f"<dt>{html.escape(in_line(name))}</dt><dd><pre>{html.escape(visible(text))}</pre></dd>" for name, text in texts)
