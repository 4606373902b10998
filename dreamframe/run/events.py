"""What a run does, written into its log while it does it: what a process that is killed leaves, and what others may read meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from dreamframe.errors import StorageError
from dreamframe.plan.step import Step
from dreamframe.redaction.redactor import Redactor
from dreamframe.run.state import RunState
from dreamframe.run.stats import Told

FIRST_S = 0.5  # a run that is over sooner is written at once, when it ends
EVERY_S = 1.0  # between two looks
ALIVE_S = 10.0  # a run that waits so long for an answer, or for the step of a training, says that it goes on
SHARE = 50  # a look takes at most such a part of the time: a plan of thousands of steps is looked at more rarely
TWICE = ("key", "label")  # what every line of a step has


class Events:
    """The events of one run on their way into its log."""

    def __init__(self, steps: Sequence[Step], state: RunState) -> None:
        self._steps, self._state, self._stats = steps, state, state.stats
        self._log = state.stores.log.begin()
        self._told = Told()
        self._has_begun = False
        self._shown: dict[int, Mapping[str, object]] = {}  # place of a step → the line that was written last
        self._waiting: list[Mapping[str, Any]] = []  # what no disk took so far
        self._wrote = time.monotonic()
        self._lock = threading.Lock()  # a line goes out in a worker thread, and may still be on its way when the run ends

    @contextlib.asynccontextmanager
    async def as_they_happen(self) -> AsyncIterator[None]:
        """Write what is new again and again within the block."""
        watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            watching.cancel()

    async def _watch(self) -> None:
        pause_s = FIRST_S
        while True:
            await asyncio.sleep(pause_s)
            began = time.monotonic()
            with contextlib.suppress(StorageError, OSError):  # it is said at the end
                found = [*self._news(), *self._learnt(), *self._progress()]
                is_quiet = not found and began - self._wrote >= ALIVE_S
                await asyncio.to_thread(self._write, [{"event": "alive", "at": _now()}] if is_quiet else found, self._state.redactor)
            pause_s = max(EVERY_S, SHARE * (time.monotonic() - began))

    def end(self, hides: Redactor) -> None:
        """Write the rest, without what the redactor hides. Raises StorageError where the disk refuses."""
        try:
            self._write([*self._news(), *self._learnt(), *self._stats.step_events(), self._stats.whole_event()], hides)
        finally:
            self.close()

    def close(self) -> None:
        """Write no more."""
        with self._lock:
            self._log.end()

    def _news(self) -> list[dict[str, Any]]:
        begun = [] if self._has_begun else [{"event": "begin", "at": _now(), "plans": [step.label for step in self._steps]}]
        self._has_begun = True
        return [*begun, *self._stats.news(self._told)]

    def _learnt(self) -> list[dict[str, Any]]:
        return [{**line, "at": _now()} for line in self._stats.learnt()]

    def _progress(self) -> list[dict[str, Any]]:
        """For each step that has come further a line with what has changed; its first line has all."""
        lines = []
        for i, line in enumerate(self._stats.step_events()):
            before = self._shown.get(i, {})
            if changed := {name: value for name, value in line.items() if name not in before or before[name] != value}:
                lines.append({**changed, **{name: line[name] for name in TWICE}, "event": "progress", "at": _now()})
                self._shown[i] = {**line, "errors": dict(line["errors"])}  # type: ignore[call-overload]
        return lines

    def _write(self, events: Sequence[Mapping[str, Any]], hides: Redactor) -> None:
        with self._lock:
            self._waiting += events
            self._log.append(*hides.value(self._waiting))
            self._wrote = time.monotonic() if self._waiting else self._wrote
            self._waiting = []


def _now() -> float:
    return round(time.time(), 3)
