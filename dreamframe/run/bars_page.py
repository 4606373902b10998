"""A moment of a run as HTML, for a notebook: it needs no widgets and no script, and stays as it is when the notebook is exported."""

from __future__ import annotations

import html

from dreamframe.plan.style import STYLE
from dreamframe.run.bars import MOST_NOTES, columns, is_short, whole_of
from dreamframe.run.board import Line, Moment

CLASSES = {"dim": "dim", "cyan": "ask", "red": "bad", "yellow": "waits", "": ""}
BARS = """<style>
.dreamframe .run{overflow-x:auto;max-height:800px}
.dreamframe .run table{border-collapse:collapse;font:13px/20px ui-monospace,monospace;font-variant-numeric:tabular-nums;margin:0;color:inherit}
.dreamframe .run th,.dreamframe .run td{padding:2px 12px 2px 0!important;text-align:right!important}
.dreamframe .run th,.dreamframe .run td{white-space:nowrap;border:0;background:none;font-weight:normal}
.dreamframe .run th{color:var(--df-dim)}.dreamframe .run tr{background:none!important}
.dreamframe .run td:first-child,.dreamframe .run th:first-child{text-align:left!important;max-width:28ch;overflow:hidden;text-overflow:ellipsis}
.dreamframe .bar{display:inline-flex;width:96px;height:6px;background:var(--df-line);border-radius:3px;overflow:hidden;vertical-align:middle}
.dreamframe .bar i{display:block;height:6px;background:var(--df-ask)}.dreamframe .bar i.dim{background:var(--df-dim)}
.dreamframe .run .dim{color:var(--df-dim)}.dreamframe .run .ask{color:var(--df-ask)}.dreamframe .run .bad{color:var(--df-bad)}
.dreamframe .run .waits,.dreamframe .below.waits{color:var(--df-waits)}
</style>"""


def page(moment: Moment, *, end: str | None = None) -> str:
    """The lines as a table; `end`: what is said below it once the run is over."""
    cells = columns(moment.lines, is_over=end is not None)
    heads = "".join(f"<th>{html.escape(c.head)}</th>" for c in cells)
    rows = []
    for i, one in enumerate(moment.lines):
        parts = "".join(f'<td class="{CLASSES[c.parts[i].style]}">{html.escape(c.parts[i].text)}</td>' for c in cells)
        rows.append(f'<tr><td title="{html.escape(one.name)}">{html.escape(one.name)}</td><td>{_bar(one)}</td>{parts}</tr>')
    table = f'<div class="run"><table><tr><th></th><th></th>{heads}</tr>{"".join(rows)}</table></div>' if rows else ""
    notes = [f"note: {one}" for one in moment.notes[:MOST_NOTES]]
    if len(moment.notes) > MOST_NOTES:
        notes.append(f"and {len(moment.notes) - MOST_NOTES} more notes")
    below = "".join(f"<div><small>{html.escape(one)}</small></div>" for one in notes)
    last = f'<div class="below{" waits" if end is None and is_short(moment) else ""}">{html.escape(whole_of(moment) if end is None else end)}</div>'
    return f'{STYLE}{BARS}<div class="dreamframe">{table}{below}{last}</div>'


def _bar(one: Line) -> str:
    if not one.total:
        return ""
    done = min(1.0, one.done / one.total)
    kept = done * one.kept / max(1, one.kept + one.asked)
    asked = "" if one.asked or one.kept or not one.is_over else ' class="dim"'  # a filter that is through has asked nobody
    return f'<span class="bar"><i class="dim" style="width:{100 * kept:.1f}%"></i><i{asked} style="width:{100 * (done - kept):.1f}%"></i></span>'
