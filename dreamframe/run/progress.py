"""Progress of a run, for people: a table on a terminal or in a notebook, a line a minute everywhere else.

The lines go to `logging.getLogger("dreamframe")` as INFO; where a program has set up no logging at all, to stderr, so that a job of hours is not mute.
All counts are read by the clock of a thread; no row waits for it.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING

from dreamframe.run.notebook import running_marimo
from dreamframe.run.notes import noted
from dreamframe.run.options import Purse
from dreamframe.run.stats import RunStats

if TYPE_CHECKING:
    from dreamframe.run.board import Board, Moment

EVERY_S = 0.25
TELL_EVERY_S = 60.0
SHOW_AFTER_S = 0.5  # a run that is over sooner shows nothing
PLAIN = 120  # columns of a table that no terminal shows
log = logging.getLogger("dreamframe")


def wanted(progress: bool | None) -> bool:
    """Whether to show: as asked, else where a person is looking."""
    return is_watched() if progress is None else progress


def is_watched() -> bool:
    """Whether a person is looking: at a terminal that can be drawn on, or at a notebook."""
    return is_notebook() or (sys.stderr.isatty() and os.environ.get("TERM") != "dumb")


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    return "ipykernel" in sys.modules


def is_told() -> bool:
    """Whether anybody hears of lines: a program that has set up logging decides, and stderr is for all others."""
    return log.isEnabledFor(logging.INFO) if log.hasHandlers() else True


class Progress:
    """Shows a run's counts while it is entered. `purse`: what the run spends from; `hides` takes secrets out of a text."""

    def __init__(self, stats: RunStats, progress: bool | None, *, purse: Purse | None = None, hides: Callable[[str], str] = str) -> None:
        self._stats, self._hides = stats, hides
        self._notes: list[str] = []
        self._purse = purse
        self._board: Board | None = None
        self._shows = wanted(progress) and is_watched()
        self._tells = not self._shows and progress is not False and (progress is True or is_told())
        self._ends_with_table = progress is True
        self._marimo = None if self._shows or progress is False else running_marimo()  # which takes outputs from the thread of the cell alone
        self._began = time.monotonic()
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._held = contextlib.ExitStack()

    def __enter__(self) -> Progress:
        if self._shows or self._tells:
            if self._shows:
                self._held.enter_context(noted(self._notes, self._hides))
            work = contextvars.copy_context()  # a notebook shows what comes from here in the cell that runs
            target = (self._show_page if is_notebook() else self._show) if self._shows else self._tell
            self._thread = threading.Thread(target=lambda: work.run(target), name="dreamframe-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        self._held.close()
        if self._marimo is not None and time.monotonic() - self._began > SHOW_AFTER_S:
            moment = self._look()
            self._marimo.output.append(self._marimo.Html(_drawing().page(moment, end=self._ending(moment))))

    def _look(self) -> Moment:
        if self._board is None:
            self._board = _drawing().Board(self._stats, self._purse, self._notes, began=self._began)
        return self._board.look(time.monotonic())

    def _moments(self) -> Iterator[Moment]:
        """What is to be drawn while the run goes on; nothing of a short one."""
        if self._over.wait(SHOW_AFTER_S):
            return
        yield self._look()
        while not self._over.wait(EVERY_S):
            yield self._look()

    def _ending(self, moment: Moment) -> str:
        return f"{summary(self._stats).replace(', trained nothing', '')} · {_drawing().whole_of(moment, is_over=True)}"

    def _tell(self) -> None:
        has_told = False
        while not self._over.wait(TELL_EVERY_S):
            has_told = True
            _say(_drawing().told(self._look()))
        if self._marimo is None and time.monotonic() - self._began > SHOW_AFTER_S and (has_told or self._ends_with_table):
            moment = self._look()
            if self._ends_with_table:
                lines = _drawing().fitted(moment, PLAIN, end=self._ending(moment))
                print("\n".join("".join(p.text for p in one).rstrip() for one in lines), file=sys.stderr, flush=True)
            else:
                _say(self._ending(moment))

    def _show(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console, moment = Console(stderr=True), None
        with Live(console=console, auto_refresh=False, transient=True) as live:
            for moment in self._moments():
                live.update(_drawing().drawn(moment, console.width, console.height), refresh=True)
        if moment is not None:
            moment = self._look()
            console.print(_drawing().drawn(moment, console.width, None, end=self._ending(moment)))

    def _show_page(self) -> None:
        from IPython.display import HTML, display  # type: ignore[import-not-found]  # a notebook has it

        shown = None
        for moment in self._moments():
            if shown is None:
                shown = display(HTML(_drawing().page(moment)), display_id=True)
            else:
                shown.update(HTML(_drawing().page(moment)))
        if shown is not None:
            moment = self._look()
            shown.update(HTML(_drawing().page(moment, end=self._ending(moment))))


def _drawing() -> ModuleType:
    from dreamframe.run import drawing  # which a run that is over in no time does not need

    return drawing


def _say(text: str) -> None:
    if log.hasHandlers():
        log.info("%s", text)
    else:
        print(f"dreamframe: {text}", file=sys.stderr, flush=True)


def summary(stats: RunStats, *, failed: int | None = None) -> str:
    """What a run did, in one line. `failed`: of several runs, how many rows are behind their failures.

    >>> summary(RunStats()), summary(RunStats(rows_reused=59))
    ('0 model calls, trained nothing', '59 rows from the session, 0 model calls, trained nothing')
    """
    failed = sum(s.failed for s in stats.steps) if failed is None else failed
    kept = {"row": stats.rows_reused, "answer": stats.cached, "model": stats.models_reused}
    found = [_counted(n, what) for what, n in kept.items() if n]
    parts = [f"{' and '.join([', '.join(found[:-1]), found[-1]] if len(found) > 1 else found)} from the session"] if found else []
    parts += [_counted(stats.calls, "model call"), f"trained {_counted(stats.trained, 'model')}" if stats.trained else "trained nothing"]
    return ", ".join([*parts, f"{_counted(failed, 'row')} failed"] if failed else parts)


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
