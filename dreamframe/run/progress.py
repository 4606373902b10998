"""Progress of a run, for people: bars on a terminal or in a notebook, a line a minute everywhere else.

The lines go to `logging.getLogger("dreamframe")` as INFO; where a program has set up no logging at all, to stderr, so that a job of hours is not mute.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import threading
import time
from types import TracebackType
from typing import TYPE_CHECKING

from dreamframe.redaction.visible import in_line
from dreamframe.run.stats import RunStats, StepStats

if TYPE_CHECKING:
    from rich.table import Table

EVERY_S = 0.25
TELL_EVERY_S = 60.0
TELL_IN_NOTEBOOK_S = 10.0  # where a person looks, and nothing can be drawn
log = logging.getLogger("dreamframe")
SHOW_AFTER_S = 0.5  # a run that is over sooner shows nothing


def wanted(progress: bool | None) -> bool:
    """Whether to show: as asked, else where a person is looking."""
    return is_watched() if progress is None else progress


def is_watched() -> bool:
    """Whether a person is looking: at a terminal, or at a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def is_told() -> bool:
    """Whether anybody hears of lines: a program that has set up logging decides, and stderr is for all others."""
    return log.isEnabledFor(logging.INFO) if log.hasHandlers() else True


class Progress:
    """Shows a run's counts while it is entered. One line a step: rows, rows a second, from cache, failures, tokens, time to go."""

    def __init__(self, stats: RunStats, progress: bool | None) -> None:
        self._stats = stats
        self._shows = wanted(progress) and is_watched()
        self._tells = not self._shows and progress is not False and (progress is True or is_told())
        self._ends_with_table = progress is True
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        if self._shows or self._tells:
            self._thread = threading.Thread(target=self._show if self._shows else self._tell, name="dreamframe-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _tell(self, every_s: float | None = None) -> None:
        began = time.monotonic()
        while not self._over.wait(TELL_EVERY_S if every_s is None else every_s):
            told = line(self._stats, time.monotonic())
            if log.hasHandlers():
                log.info("%s", told)
            else:
                print(f"dreamframe: {told}", file=sys.stderr, flush=True)
        if self._ends_with_table and time.monotonic() - began > SHOW_AFTER_S:
            from rich.console import Console

            Console(stderr=True).print(render(self._stats, time.monotonic()))

    def _show(self) -> None:
        if self._over.wait(SHOW_AFTER_S):
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        if console.is_jupyter and importlib.util.find_spec("ipywidgets") is None:
            self._tell(TELL_IN_NOTEBOOK_S)  # without it rich leaves a warning and an empty field in the notebook, and shows nothing
            return
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while not self._over.wait(EVERY_S):
                live.update(render(self._stats, time.monotonic()), refresh=True)
            live.update(render(self._stats, time.monotonic()), refresh=True)


def line(stats: RunStats, now: float) -> str:
    """The steps at work, in one line.

    >>> line(RunStats([StepStats("summary", rows=50, asked=50, total=100, started=0.0, n_in=700, n_out=800)]), 10.0)
    'summary: 50/100 rows, 5.0 rows/s, 50 asked, 1.5k tokens, 10 s left'
    """
    begun = [s for s in list(stats.steps) if s.rows or s.rows_in or s.asked or s.failed or s.logged]
    at_work = [s for s in begun if s.total is None or s.rows < s.total] or begun[-1:]
    return "; ".join(_told(s, now) for s in at_work) or "no row is through yet"


def _told(s: StepStats, now: float) -> str:
    label, model, rows, speed, asked, cached, failed, tokens, left = cells(s, now)
    counts = {"asked": asked, "cached": cached, "failed": failed, "tokens": tokens, "left": left}
    unit = "steps" if s.logged else "rows"  # a training counts its steps
    said = ", ".join([f"{rows} {unit}", f"{speed} {unit}/s", *(f"{n} {what}" for what, n in counts.items() if n not in ("", "0"))])
    return f"{label}{f' ({model})' if model else ''}: {said}"


def render(stats: RunStats, now: float) -> Table:
    """The table of a moment; `now` is the monotonic clock."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("step", "model", "rows", "rows/s", "asked", "cached", "failed", "tokens", "left"):
        table.add_column(name, justify="left" if name in ("step", "model") else "right")
    for s in list(stats.steps):
        table.add_row(*map(Text, cells(s, now)))  # as they are: a label may look like rich's markup
    return table


def cells(s: StepStats, now: float) -> tuple[str, ...]:
    """One step's line.

    >>> s = StepStats("summary", rows=50, asked=50, total=100, model="gpt", started=0.0, n_in=700, n_out=800)
    >>> cells(s, 10.0)
    ('summary', 'gpt', '50/100', '5.0', '50', '0', '0', '1.5k', '10 s')
    """
    took = max(1e-9, now - s.started)
    speed = s.rows / took
    of = f"/{s.total:,}" if s.total is not None else ""
    left = duration((s.total - s.rows) / speed) if s.total is not None and speed > 0 and s.rows < s.total else ""
    loss = f"  loss {s.logged['loss']:.3f}" if "loss" in s.logged else ""
    label, model = in_line(s.label) + loss, in_line(s.model)
    return (label, model, f"{s.rows:,}{of}", f"{speed:,.1f}", f"{s.asked:,}", f"{s.cached:,}", f"{s.failed:,}", short(s.n_in + s.n_out), left)


def short(n: int) -> str:
    """1234 → 1.2k.

    >>> short(999), short(1234), short(5_600_000)
    ('999', '1.2k', '5.6M')
    """
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if n >= size:
            return f"{n / size:.1f}{unit}"
    return str(n)


def duration(seconds: float) -> str:
    """Seconds as a person says them.

    >>> duration(4.2), duration(150), duration(7300)
    ('4 s', '2 min 30 s', '2 h 1 min')
    """
    s = int(seconds)
    if s < 60:
        return f"{s} s"
    return f"{s // 60} min {s % 60} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60} min"


def summary(stats: RunStats, *, failed: int | None = None) -> str:
    """What a run did, in one line. `failed`: of several runs, how many rows are behind their failures.

    >>> summary(RunStats())
    '0 model calls, 0 answers from the session, trained nothing'
    """
    failed = sum(s.failed for s in stats.steps) if failed is None else failed
    trained = f"trained {stats.trained} model{'s' if stats.trained > 1 else ''}" if stats.trained else "trained nothing"
    parts = [f"{stats.calls:,} model call{'' if stats.calls == 1 else 's'}", f"{stats.cached:,} answers from the session", trained]
    return ", ".join([*parts, f"{failed:,} row{'' if failed == 1 else 's'} failed"] if failed else parts)

