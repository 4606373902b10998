"""Batches in flight: every batch walks through all row steps of a segment at its own pace, and leaves in input order.

Nothing waits for a whole column. Memory is bounded by the window of rows in flight, whatever the table's length.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import polars as pl

from dreamframe.identity.fingerprint import answer_keys
from dreamframe.models.request import Failure, Question, Replies
from dreamframe.plan.step import PolarsStep, RowStep, Step
from dreamframe.run.stats import FailedRow, StepStats

T = TypeVar("T")


class Turnstile:
    """Lets batches through one by one in input order: samples of equal requests are numbered in that order."""

    def __init__(self) -> None:
        self._next = 0
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def enter(self, index: int) -> None:
        if index != self._next:
            self._waiting[index] = asyncio.get_running_loop().create_future()
            await self._waiting[index]

    def leave(self, index: int) -> None:
        assert index == self._next
        self._next += 1
        if (waiting := self._waiting.pop(self._next, None)) is not None and not waiting.done():
            waiting.set_result(None)


class Stage:
    """A row step, or a polars step that is streamed, with what it carries from batch to batch."""

    def __init__(self, step: Step, stats: StepStats) -> None:
        self.step = step
        self.stats = stats
        self.turn = Turnstile()
        self.ordinals: dict[bytes, int] = {}  # request → samples of it so far
        self.kept: dict[str, Any] = {}  # what the step made at its first batch
        self.heights: dict[int, int] = {}  # batch → rows that entered, to place failures in the step's input
        self.failed: list[tuple[int, int, Failure]] = []  # (batch, position, failure)

    def failed_rows(self) -> list[FailedRow]:
        """The failures with their row numbers, in input order."""
        starts, at = {}, 0
        for batch in sorted(self.heights):
            starts[batch] = at
            at += self.heights[batch]
        column = getattr(self.step, "into", "")
        return [FailedRow(self.step.label, starts[b] + p, column, f) for b, p, f in sorted(self.failed, key=lambda x: x[:2])]


class Opened(NamedTuple):
    """A pipeline that is ready to be fed."""

    stages: list[Stage]
    source: pl.LazyFrame | pl.DataFrame  # a frame where the rows are in memory anyway
    window: int  # rows in flight
    batch_rows: int

    @property
    def n_batches(self) -> int:
        """How many batches have entered so far."""
        return len(self.stages[0].heights)


class Lender(Protocol):
    """What a run lends to its stages."""

    async def ask(self, stage: Stage, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies: ...
    def resolve(self, llm: Any) -> Any: ...
    def clean(self, failure: Failure) -> Failure: ...


class BatchContext:
    """What a row step sees while it works on one batch: `dreamframe.models.request.RowContext`."""

    def __init__(self, lender: Lender, stage: Stage, index: int) -> None:
        self._lender, self._stage, self._index = lender, stage, index
        self._has_turn = True
        self.failures: dict[int, Failure] = {}

    async def ask(self, question: Question, prompts: pl.Series, samples: Sequence[int] | None = None) -> Replies:
        keys = None
        if samples is None:
            samples = [0] * len(prompts)
            keys = answer_keys(question.key_prefix, prompts, samples)
            if not (question.sampling.is_greedy or question.form == "input"):  # a greedy model has one sample
                samples = await self._numbered(keys)
        if keys is None or any(samples):
            keys = answer_keys(question.key_prefix, prompts, samples)
        return await self._lender.ask(self._stage, question, keys, prompts, samples, self._index)

    async def _numbered(self, keys: Sequence[bytes | None]) -> list[int]:
        """The k-th occurrence of a request in its step is sample k."""
        await self.take_turn()
        seen, samples = self._stage.ordinals, []
        for key in keys:
            samples.append(k := seen.get(key, 0) if key is not None else 0)
            if key is not None:
                seen[key] = k + 1
        self.end_turn()
        return samples

    async def take_turn(self) -> None:
        """Wait until all earlier batches have numbered their requests. A batch has one turn in a step."""
        assert self._has_turn, f"{self._stage.step.label}: a step numbers the requests of a batch in one ask"
        await self._stage.turn.enter(self._index)

    def end_turn(self) -> None:
        self._has_turn = False
        self._stage.turn.leave(self._index)

    async def pass_turn(self) -> None:
        """Let later batches number theirs, where this one had nothing to number."""
        if self._has_turn:
            await self.take_turn()
            self.end_turn()

    def fail(self, position: int, failure: Failure) -> None:
        failure, before = self._lender.clean(failure), self.failures.get(position)
        self.failures[position] = failure if before is None else _both(before, failure)

    def resolve(self, llm: Any) -> Any:
        return self._lender.resolve(llm)

    def once(self, name: str, make: Callable[[], T]) -> T:
        if name not in self._stage.kept:
            self._stage.kept[name] = make()
        return self._stage.kept[name]  # type: ignore[no-any-return]


def _both(first: Failure, second: Failure) -> Failure:
    """What is said of a row that fails twice, as two of its samples may: all kept answers of one kind that are to blame, before a call that failed."""
    if first.error == second.error:
        return second._replace(keys=(*first.keys, *second.keys))
    return first if first.keys and not second.keys else second


async def through(stages: Sequence[Stage], index: int, rows: pl.DataFrame, lender: Lender) -> pl.DataFrame:
    """One batch through all stages."""
    for stage in stages:
        step = stage.step
        stage.stats.rows_in += rows.height
        if isinstance(step, RowStep):
            rows = await _row_stage(stage, step, index, rows, lender)
        elif isinstance(step, PolarsStep):
            rows = step.apply(rows.lazy()).collect(engine="in-memory")
        stage.stats.rows += rows.height
    return rows


async def _row_stage(stage: Stage, step: RowStep, index: int, rows: pl.DataFrame, lender: Lender) -> pl.DataFrame:
    stage.heights[index] = rows.height
    ctx = BatchContext(lender, stage, index)
    out = await step.run(rows, ctx) if rows.height else pl.DataFrame(schema=step.schema)
    if step.needs_order:
        await ctx.pass_turn()
    if ctx.failures:
        stage.stats.failed += len(ctx.failures)
        for failure in ctx.failures.values():
            stage.stats.errors[failure.error] = stage.stats.errors.get(failure.error, 0) + 1
        stage.failed += [(index, position, failure) for position, failure in ctx.failures.items()]
        if step.on_error != "null":  # "raise" ends the run when all other rows are done; until then the row takes no further part
            out = out.filter(pl.Series([i not in ctx.failures for i in range(out.height)], dtype=pl.Boolean))
    return out


async def pipeline(
    stages: Sequence[Stage], batches: Iterator[pl.DataFrame], lender: Lender, *, window: int, first: int = 0, in_memory: bool = False
) -> AsyncIterator[pl.DataFrame]:
    """Batches of rows through all stages, at most `window` rows in flight, yielded in input order. `first` batches went through the stages before.

    Batches that are not in memory are pulled in a worker thread, since reading a file must not hold up answers that come in.
    """
    pending: deque[tuple[int, asyncio.Task[pl.DataFrame]]] = deque()
    in_flight = 0
    try:
        index = first
        while (batch := next(batches, None) if in_memory else await asyncio.to_thread(next, batches, None)) is not None:
            while pending and in_flight + batch.height > window:
                height, task = pending.popleft()
                yield await task
                in_flight -= height
            in_flight += batch.height
            pending.append((batch.height, asyncio.create_task(through(stages, index, batch, lender))))
            index += 1
        while pending:
            yield await pending.popleft()[1]
    finally:
        for _, task in pending:
            task.cancel()
        await asyncio.gather(*(t for _, t in pending), return_exceptions=True)


def batches_of(frame: pl.LazyFrame | pl.DataFrame, size: int) -> Iterator[pl.DataFrame]:
    """The rows of a query in order, in batches of at most `size` rows."""
    if isinstance(frame, pl.DataFrame):
        yield from frame.iter_slices(size)
        return
    for chunk in frame.collect_batches(chunk_size=size, maintain_order=True):
        yield from chunk.iter_slices(size)
