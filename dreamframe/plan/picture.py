"""A plan as a picture: SVG without Graphviz and without scripts. Everything in it is escaped: names and prompts may hold markup."""

from __future__ import annotations

import html
from collections.abc import Callable

from dreamframe.plan.explain import by_name, whole_line
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Step
from dreamframe.plan.style import KEPT
from dreamframe.redaction.visible import visible

WIDE, HIGH, GAP = 440, 28, 20  # pixels of a box, and between boxes
MOST = 60  # characters of a line in a box; the whole is its tooltip
STYLE = "font:13px system-ui,sans-serif"
ASK, DIM = "#0b6bcb", "#5f6b7a"  # what is to be asked; what is kept, and lines


def plan_svg(step: Step, *, note: Callable[[Step], str] = lambda _: "") -> str:
    """The plan as SVG, data flowing downwards: a box for each step, with what `note` says of it, an arrow for each input.

    >>> import polars as pl
    >>> from dreamframe.plan.steps.source import Table
    >>> plan_svg(Table(data=pl.DataFrame({"a": [1]}))).count("<rect")
    1
    """
    nodes = step.walk()
    hides = plan_redactor([step])
    notes = [visible(note(node)) for node in nodes]
    tall = HIGH + 20 if any(notes) else HIGH
    level: dict[int, int] = {}
    place: dict[int, tuple[int, int]] = {}  # x, y of the upper left corner
    filled: dict[int, int] = {}  # boxes of a level so far
    for node in nodes:
        at = level[id(node)] = max((level[id(i)] + 1 for i in node.inputs), default=0)
        place[id(node)] = GAP + filled.get(at, 0) * (WIDE + GAP), GAP + at * (tall + 2 * GAP)
        filled[at] = filled.get(at, 0) + 1
    wide, high = max(filled.values()) * (WIDE + GAP) + GAP, len(filled) * (tall + 2 * GAP)
    arrows = [_arrow(place[id(i)], place[id(node)], tall) for node in nodes for i in node.inputs]
    boxes = [_box(place[id(node)], visible(by_name(node, whole_line(node, hides), hides)), said, tall) for node, said in zip(nodes, notes, strict=True)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}" role="img" aria-label="plan">'
    tip = '<defs><marker id="tip" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto"><path d="M0 0L8 4L0 8z" fill="#5f6b7a"/></marker></defs>'
    return "\n".join([head, tip, *arrows, *boxes, "</svg>"])


def _arrow(above: tuple[int, int], below: tuple[int, int], tall: int) -> str:
    """From a box to one below it; past the boxes of the levels between them, in the gap beside their column."""
    (x, y), (to_x, to_y) = above, below
    past = f"L{x + WIDE + GAP // 2} {y + tall + GAP}V{to_y - GAP}" if to_y - y > tall + 2 * GAP else ""
    return f'<path d="M{x + WIDE // 2} {y + tall}{past}L{to_x + WIDE // 2} {to_y}" stroke="#5f6b7a" fill="none" marker-end="url(#tip)"/>'


def _box(at: tuple[int, int], text: str, note: str, tall: int) -> str:
    x, y = at
    asks = bool(note) and note not in KEPT
    rect = f'<rect x="{x}" y="{y}" width="{WIDE}" height="{tall}" rx="4" fill="none" stroke="{ASK if asks else DIM}"/>'
    said = f'<text x="{x + 8}" y="{y + 39}" style="{STYLE};fill:{ASK if asks else DIM}">{_cut(note)}</text>' if note else ""
    tip = f"{text}\n{note}" if note else text
    return f'<g><title>{_escaped(tip)}</title>{rect}<text x="{x + 8}" y="{y + 19}" style="{STYLE};fill:currentColor">{_cut(text)}</text>{said}</g>'


def _cut(text: str) -> str:
    return _escaped(text if len(text) <= MOST else f"{text[: MOST - 1]}…")


def _escaped(text: str) -> str:
    """Text that XML may hold: no markup, and none of the characters that it forbids."""
    return html.escape("".join(c if c >= " " and c not in "\ufffe\uffff" and not "\ud800" <= c <= "\udfff" else "\ufffd" for c in text))
