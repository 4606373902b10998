"""Progress of a run, for people: bars on a terminal or in a notebook, silence everywhere else."""

from __future__ import annotations

import importlib.util
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
SHOW_AFTER_S = 0.5  # a run that is over sooner shows nothing


def wanted(progress: bool | None) -> bool:
    """Whether to show: as asked, else where a person is looking."""
    if progress is not None:
        return progress
    return sys.stderr.isatty() or "ipykernel" in sys.modules


class Progress:
    """Shows a run's counts while it is entered. One line a step: rows, rows a second, from cache, failures, tokens, time to go."""

    def __init__(self, stats: RunStats, progress: bool | None) -> None:
        self._stats = stats
        self._wanted = wanted(progress)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Progress:
        if self._wanted:
            self._thread = threading.Thread(target=self._show, name="dreamframe-progress", daemon=True)
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _show(self) -> None:
        if self._over.wait(SHOW_AFTER_S):
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True)
        if console.is_jupyter and importlib.util.find_spec("ipywidgets") is None:
            return  # without it rich leaves a warning and an empty field in the notebook, and shows nothing
        with Live(console=console, auto_refresh=False, transient=False) as live:
            while not self._over.wait(EVERY_S):
                live.update(render(self._stats, time.monotonic()), refresh=True)
            live.update(render(self._stats, time.monotonic()), refresh=True)


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


def summary(stats: RunStats) -> str:
    """What a run did, in one line.

    >>> summary(RunStats())
    '0 model calls, 0 answers from the session, trained nothing'
    """
    failed = sum(s.failed for s in stats.steps)
    trained = f"trained {stats.trained} model{'s' if stats.trained > 1 else ''}" if stats.trained else "trained nothing"
    parts = [f"{stats.calls:,} model call{'' if stats.calls == 1 else 's'}", f"{stats.cached:,} answers from the session", trained]
    return ", ".join([*parts, f"{failed:,} rows failed"] if failed else parts)

