"""A session as HTML for notebooks: where it is, what it has done, and the steps of its last run."""

from __future__ import annotations

import html
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dreamframe.plan.style import STYLE
from dreamframe.redaction.visible import visible
from dreamframe.run.bars_page import page
from dreamframe.run.board import Board
from dreamframe.run.stats import RunStats


def session_html(folder: Path | None, runs: Sequence[RunStats], *, summary: str, is_there: bool) -> str:
    """What a session object shows of itself; nothing is read."""
    where = "Session in memory" if folder is None else f"Session <code>{html.escape(visible(str(folder)))}</code>"
    head = f'{STYLE}<div class="dreamframe"><div>{where}</div></div>'
    if not runs:
        kept = "Nothing has run in this object. What is on record: .runs(), .steps(), .models(), .usage(by=…)."
        said = kept if is_there else "Nothing has run yet."
        return f'{head}<div class="dreamframe"><small>{html.escape(said)}</small></div>'
    last = Board(runs[-1]).look(time.monotonic())
    last = replace(last, lines=tuple(replace(one, speed=None, left_s=None, waits=False) for one in last.lines))
    told = f"{summary} · {len(runs):,} run{'' if len(runs) == 1 else 's'}" + (", the last one above" if last.lines else "")
    return head + page(last, end=told)
