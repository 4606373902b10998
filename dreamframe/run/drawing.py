"""A moment of a run as a terminal, a notebook and a log show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dreamframe.plan.estimate import count, duration
from dreamframe.run.bars import fitted, money_of, rows_of, speed_of, whole_of
from dreamframe.run.bars_page import page
from dreamframe.run.board import Board, Line, Moment

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Board", "drawn", "fitted", "page", "told", "whole_of"]


def drawn(moment: Moment, width: int, height: int | None, *, end: str | None = None) -> Text:
    """A moment for a terminal of so many columns and lines. A label may look like rich's markup, and is shown as it is."""
    from rich.text import Text

    lines = [Text.assemble(*((p.text, p.style) for p in one)) for one in fitted(moment, width, None if height is None else height - 1, end=end)]
    text = Text("\n").join(lines)
    text.no_wrap, text.overflow = True, "crop"
    return text


def told(moment: Moment) -> str:
    """The steps at work in one line, and the whole.

    >>> from dreamframe.run.stats import RunStats, StepStats
    >>> step = StepStats("summary", rows_in=50, rows=50, asked=50, total=100, started=0.0, n_in=700, n_out=800)
    >>> told(Board(RunStats([step])).look(10.0)).rpartition(";")[0]
    'summary: 50/100 rows, 5.00 rows/s, 50 asked, 1,500 tokens, 10 s left'
    """
    begun = [one for one in moment.lines if one.has_begun]
    at_work = [one for one in begun if not one.is_over] or begun[-1:]
    return "; ".join([*([_told(one) for one in at_work] or ["no row is through yet"]), f"in all {whole_of(moment)}"])


def _told(one: Line) -> str:
    counts = {"asked": one.asked, "kept": one.kept, "failed": one.failed}
    said = [f"{rows_of(one)} {one.unit}", f"{speed_of(one)} {one.unit}/s" if speed_of(one) else "", *(f"{n:,} {what}" for what, n in counts.items() if n)]
    said += [f"{count(one.tokens)} tokens" if one.tokens else "", money_of(one), one.said, "waits" if one.waits else ""]
    said += [f"{duration(one.left_s)} left" if one.left_s else ""]
    return f"{one.name}{f' ({one.model})' if one.model else ''}: " + ", ".join(s for s in said if s)
