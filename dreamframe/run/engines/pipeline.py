"""Batches in flight: every batch walks through all steps of a segment at its own pace, and leaves in input order.

Nothing waits for a whole column. Memory is bounded by the window of rows in flight, whatever the table's length.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

import polars as pl

from dreamframe.errors import PlanError
from dreamframe.identity.fingerprint import answer_keys
from dreamframe.models.request import Failure, Question, Replies
from dreamframe.plan.step import PolarsStep, RowStep, Step
from dreamframe.run.context import RunContext
from dreamframe.run.engines.base import Segment, SegmentResult

T = TypeVar("T")
PREPARED = "the engine has prepared the step"
SAMPLES = "it asks a model that samples, and says that it needs no order. Let needs_order be true, or number the requests yourself: ctx.ask(…, samples)."


class BatchContext:
    """What a step sees while it works on one batch: `dreamframe.models.request.RowContext`."""

    def __init__(self, lent: RunContext, step: Step, place: int, order: int) -> None:
        self._lent, self._step, self._place, self._order = lent, step, place, order
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
        return await self._lent.ask(self._place, question, keys, prompts, samples, self._order)

    async def number(self, question: Question, prompts: pl.Series) -> list[int]:
        return await self._numbered(answer_keys(question.key_prefix, prompts, [0] * len(prompts)))

    async def _numbered(self, keys: Sequence[bytes | None]) -> list[int]:
        """The k-th occurrence of a request in its step is sample k. A batch has one turn in a step."""
        assert self._has_turn, f"{self._step.label}: a step numbers the requests of a batch in one ask"
        if not self._step.needs_order:  # batches would wait for turns that nobody passes on, and rules would cut rows off below it
            raise PlanError(f"{self._step.label}: {SAMPLES}")
        self._has_turn = False
        return await self._lent.number(self._place, self._order, keys)

    async def pass_turn(self) -> None:
        """Let later batches number theirs, where this one had nothing to number."""
        if self._has_turn:
            await self._numbered(())

    def fail(self, position: int, failure: Failure) -> None:
        before = self.failures.get(position)
        self.failures[position] = failure if before is None else _both(before, failure)

    def note(self, said: str, *, warns: bool = False, **figures: float) -> None:
        self._lent.note(self._place, said, figures, warns=warns)

    def resolve(self, llm: Any) -> Any:
        return llm.resolve(lambda model: self._lent.artefact(model.step))

    def once(self, name: str, make: Callable[[], T]) -> T:
        kept = self._lent.kept(self._place)
        if name not in kept:
            kept[name] = make()
        return kept[name]  # type: ignore[no-any-return]


def _both(first: Failure, second: Failure) -> Failure:
    """What is said of a row that fails twice, as two of its samples may: all kept answers of one kind that are to blame, before a call that failed."""
    if first.error == second.error:
        return second._replace(keys=(*first.keys, *second.keys))
    return first if first.keys and not second.keys else second


async def prepare(segment: Segment, ctx: RunContext) -> None:
    """Let every row step look at the tables that it reads besides its rows: once, however often the segment is given rows."""
    for place, step in enumerate(segment.steps):
        if isinstance(step, RowStep) and PREPARED not in ctx.kept(place):
            await step.prepare(ctx.tables(place), BatchContext(ctx, step, place, 0))
            ctx.kept(place)[PREPARED] = True


async def through(segment: Segment, order: int, rows: pl.DataFrame, ctx: RunContext) -> SegmentResult:
    """One batch through all steps."""
    counts: list[tuple[int, int]] = []
    failures: list[tuple[int, int, Failure]] = []
    for place, step in enumerate(segment.steps):
        n_in = rows.height
        ctx.walks(place, n_in, None)
        if isinstance(step, RowStep):
            own = BatchContext(ctx, step, place, order)
            rows = await _row_step(step, rows, own)
            failures += [(place, position, failure) for position, failure in own.failures.items()]
        elif isinstance(step, PolarsStep):
            rows = step.apply(rows.lazy()).collect(engine="in-memory")
        ctx.walks(place, n_in, rows.height)
        counts.append((n_in, rows.height))
    return SegmentResult(rows, tuple(counts), tuple(failures))


async def _row_step(step: RowStep, rows: pl.DataFrame, ctx: BatchContext) -> pl.DataFrame:
    out = await step.run(rows, ctx) if rows.height else pl.DataFrame(schema=step.schema)
    if out.height != rows.height and type(step).rows is RowStep.rows:
        raise PlanError(
            f"{step.label}: a row step gives one row for each; it was given {rows.height} and gave {out.height}. A row that fails goes to ctx.fail(). "
            "A step that leaves rows out, or gives more, is a TableStep."
        )
    if step.needs_order:
        await ctx.pass_turn()
    if ctx.failures and step.on_error != "null":  # "raise" ends the run when all other rows are done; until then the row takes no further part
        out = out.filter(pl.Series([i not in ctx.failures for i in range(out.height)], dtype=pl.Boolean))
    return out


async def pipeline(
    batches: Iterator[pl.DataFrame], run: Callable[[int, pl.DataFrame], Coroutine[Any, Any, SegmentResult]], *, window: int, in_memory: bool
) -> AsyncGenerator[SegmentResult, None]:
    """Batches of rows through all steps, at most `window` rows in flight; results in input order. `run` takes one there, with its number.

    Batches that are not in memory are pulled in a worker thread, since reading a file must not hold up answers that come in.
    """
    pending: deque[tuple[int, asyncio.Task[SegmentResult]]] = deque()
    in_flight = order = 0
    try:
        while (batch := next(batches, None) if in_memory else await asyncio.to_thread(next, batches, None)) is not None:
            while pending and in_flight + batch.height > window:
                height, task = pending.popleft()
                yield await task
                in_flight -= height
            in_flight += batch.height
            pending.append((batch.height, asyncio.create_task(run(order, batch))))
            order += 1
        while pending:
            yield await pending.popleft()[1]
    finally:
        for _, task in pending:
            task.cancel()
        await asyncio.gather(*(t for _, t in pending), return_exceptions=True)
