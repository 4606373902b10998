"""An engine that runs every segment in partitions of odd sizes, in another process, from plan JSON. What is asked and numbered stays with the run.

It proves the seam: nothing of a run but what crosses the pipe is there.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import multiprocessing
import threading
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import replace
from typing import Any

import polars as pl

from dreamframe.models.request import Question
from dreamframe.plan.step import ModelStep
from dreamframe.run.context import RunContext
from dreamframe.run.engines.base import Feed, Segment, SegmentResult
from dreamframe.run.engines.local import LocalEngine
from dreamframe.run.engines.wire import segment_record
from tests.engines.worker import work

SIZES = (7, 3, 11)  # rows
AT_ONCE = 3  # partitions


class PartitionEngine(LocalEngine):
    """Tables and trainings run here; every segment runs in the worker."""

    name = "partitions"

    def __init__(self, sizes: tuple[int, ...] = SIZES, *, numbers_itself: bool = False) -> None:
        self._sizes = sizes
        self._numbers_itself = numbers_itself  # the fault that the laws must find: samples are numbered in each partition anew
        self._worker: Worker | None = None
        self.ran: list[tuple[int, int]] = []  # (process, rows) of each partition

    def rows(self, segment: Segment, source: Feed, ctx: RunContext) -> AsyncGenerator[SegmentResult, None]:
        return self._parts(segment, source, ctx)

    async def _parts(self, segment: Segment, source: Feed, ctx: RunContext) -> AsyncGenerator[SegmentResult, None]:
        if self._worker is None:
            self._worker = Worker(asyncio.get_running_loop())
        rows = source if isinstance(source, pl.DataFrame) else await self.query(source)
        number = self._worker.open(segment, Counted(ctx) if self._numbers_itself else ctx)
        try:
            pending: deque[Awaitable[tuple[int, SegmentResult]]] = deque()
            for order, part in enumerate(self._cut(rows)):
                if len(pending) == AT_ONCE:
                    yield self._noted(await pending.popleft())
                pending.append(self._worker.run(number, order, part))
            while pending:
                yield self._noted(await pending.popleft())
        finally:
            self._worker.close(number)

    def _cut(self, rows: pl.DataFrame) -> list[pl.DataFrame]:
        parts, at = [], 0
        for size in itertools.cycle(self._sizes):
            if at >= rows.height:
                return parts
            parts.append(rows.slice(at, size))
            at += size
        return parts

    def _noted(self, done: tuple[int, SegmentResult]) -> SegmentResult:
        process, result = done
        self.ran.append((process, result.counts[0][0]))
        return result

    def end(self) -> None:
        """End the worker."""
        if self._worker is not None:
            self._worker.end()


class Counted:
    """A context that numbers the samples of each batch from 0."""

    def __init__(self, ctx: RunContext) -> None:
        self._ctx = ctx

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ctx, name)

    async def number(self, place: int, order: int, keys: list[bytes | None]) -> list[int]:
        return [keys[:i].count(key) if key is not None else 0 for i, key in enumerate(keys)]


class Worker:
    """The other process, seen from the loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._loop = loop
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=work, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._segments: dict[int, tuple[Segment, RunContext]] = {}
        self._running: dict[tuple[int, int], asyncio.Future[tuple[int, SegmentResult]]] = {}
        self._numbers = itertools.count()
        self._questions: dict[tuple[int, int, str], Question] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        threading.Thread(target=self._listen, daemon=True).start()

    def open(self, segment: Segment, ctx: RunContext) -> int:
        """Tell the worker of a segment; gives its number."""
        number = next(self._numbers)
        self._segments[number] = (segment, ctx)
        places = range(len(segment.steps))
        trained = {(p, i): ctx.artefact(below) for p in places for i, below in enumerate(segment.steps[p].inputs) if isinstance(below, ModelStep)}
        self._pipe.send(("open", number, json.dumps(segment_record(segment)), [ctx.tables(p) for p in places], trained))
        return number

    def run(self, number: int, order: int, rows: pl.DataFrame) -> Awaitable[tuple[int, SegmentResult]]:
        """The result of one partition, and the process that it ran in."""
        self._running[number, order] = made = self._loop.create_future()
        self._pipe.send(("run", number, order, rows))
        return made

    def close(self, number: int) -> None:
        """Tell the worker that nobody wants more of a segment."""
        self._pipe.send(("close", number))
        self._segments.pop(number)
        for known in [k for k in self._running if k[0] == number]:
            self._running.pop(known).cancel()
        for asked in [k for k in self._questions if k[0] == number]:
            del self._questions[asked]

    def end(self) -> None:
        self._process.terminate()
        self._process.join()

    def _listen(self) -> None:
        while True:
            try:
                said = self._pipe.recv()
            except (EOFError, OSError):
                self._loop.call_soon_threadsafe(self._lost)
                return
            self._loop.call_soon_threadsafe(self._heard, said)

    def _lost(self) -> None:
        for made in self._running.values():
            if not made.done():
                made.set_exception(RuntimeError("the worker has ended"))

    def _heard(self, said: tuple[Any, ...]) -> None:
        kind, number = said[0], said[1]
        if kind == "done":
            made = self._running.pop((number, said[2]), None)
            if made is not None and not made.done():
                made.set_exception(said[3]) if isinstance(said[3], BaseException) else made.set_result((said[4], said[3]))
        elif number in self._segments:
            task = self._loop.create_task(self._serve(*said))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _serve(self, kind: str, number: int, call: int, asked: Mapping[str, Any]) -> None:
        """Do for a partition what only the run can do."""
        segment, ctx = self._segments[number]
        try:
            if kind == "ask":
                question = self._question(number, segment, ctx, asked["place"], asked["question"])
                made: Any = await ctx.ask(**{**asked, "question": question})
            else:
                made = await ctx.number(**asked)
        except BaseException as exc:  # noqa: BLE001  whatever it is, it is the partition's to hear
            made = exc
        self._pipe.send(("reply", call, made))

    def _question(self, number: int, segment: Segment, ctx: RunContext, place: int, theirs: Question) -> Question:
        """The question with the run's own model in it: what does not cross (a log, a client, a key) is on that one."""
        known = (number, place, theirs.digest)
        if known not in self._questions:
            models = [m.resolve(lambda trained: ctx.artefact(trained.step)) for m in segment.steps[place].asks()]
            mine = next(found for m in models if (found := m.matching(theirs.llm)) is not None)
            self._questions[known] = replace(theirs, llm=mine)
        return self._questions[known]
