"""The local engine: everything in this process, on its event loop, its threads and its devices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import polars as pl

from dreamframe.models.local.memory import loaded_models
from dreamframe.plan.aside import aside
from dreamframe.plan.step import TableStep
from dreamframe.plan.steps.train import Train
from dreamframe.run.context import RunContext
from dreamframe.run.engines.base import Feed, Segment, SegmentResult, batches_of
from dreamframe.run.engines.pipeline import BatchContext, pipeline, prepare, through
from dreamframe.trainers.job import TrainJob

STOP_S = 60.0  # how long a training that was stopped may take to save a checkpoint


class LocalEngine:
    """Batches stream through a segment at their own pace. Nothing is carried from run to run."""

    name = "local"

    async def query(self, lazy: pl.LazyFrame) -> pl.DataFrame:
        return await asyncio.to_thread(lazy.collect, engine="in-memory")

    def rows(self, segment: Segment, source: Feed, ctx: RunContext) -> AsyncGenerator[SegmentResult, None]:
        return self._rows(segment, source, ctx)

    async def _rows(self, segment: Segment, source: Feed, ctx: RunContext) -> AsyncGenerator[SegmentResult, None]:
        await prepare(segment, ctx)
        batches = batches_of(source, segment.batch_rows, segment.later_rows)
        is_here = isinstance(source, pl.DataFrame)
        async for result in pipeline(batches, lambda order, batch: through(segment, order, batch, ctx), window=segment.window, in_memory=is_here):
            yield result

    async def table(self, step: TableStep, tables: tuple[pl.DataFrame, ...], ctx: RunContext) -> SegmentResult:
        own = BatchContext(ctx, step, 0, 0)
        rows = await step.run(tables, own)
        failures = tuple((0, position, failure) for position, failure in own.failures.items())
        return SegmentResult(rows, ((tables[0].height, rows.height),), failures)

    async def train(self, step: Train, job: TrainJob) -> Mapping[str, Any]:
        if not step.trainer.is_light:
            await loaded_models().clear()  # a training needs the memory more than models that wait
        working = asyncio.create_task(aside(lambda: step.trainer.train(job)))
        try:
            summary: Mapping[str, Any] = await asyncio.shield(working)
        except asyncio.CancelledError:
            job.stop.set()  # the trainer saves a checkpoint and returns at the next step
            await asyncio.wait([working], timeout=STOP_S)
            raise
        return summary


def engine() -> LocalEngine:
    """The engine of this process."""
    return LocalEngine()
