"""A segment that is ready to be fed: its models are trained, and the tables that it reads besides its rows are there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import cast

import polars as pl

from dreamframe.plan.step import Step
from dreamframe.run.engines.base import Engine, Feed, Segment, SegmentResult
from dreamframe.run.segment_context import SegmentContext
from dreamframe.run.stage import Stage
from dreamframe.run.state import RunState
from dreamframe.run.walk import Walk

PIECE = 1_024  # rows of a query that are made at once


class Source:
    """Rows in order, of which no more are made than are taken: those of a query come in pieces."""

    def __init__(self, feed: Feed) -> None:
        self._pieces = iter([feed]) if isinstance(feed, pl.DataFrame) else iter(feed.collect_batches(chunk_size=PIECE, maintain_order=True))
        self._here = pl.DataFrame()

    async def take(self, n: int) -> pl.DataFrame:
        """The next n rows, or as many as there are."""
        while self._here.height < n and (piece := await asyncio.to_thread(next, self._pieces, None)) is not None:
            self._here = pl.concat([self._here, piece]) if self._here.height else piece
        taken, self._here = self._here.head(n), self._here.slice(n)
        return taken


class SegmentRun:
    """A segment of one run, the accounts of its steps, and the rows that feed it."""

    def __init__(self, segment: Segment, stages: Sequence[Stage], source: Feed, *, lent: SegmentContext, engine: Engine, state: RunState) -> None:
        self.segment, self.stages, self._source = segment, stages, source
        self._lent, self._engine, self._state = lent, engine, state
        self.walk = Walk(segment.steps)

    def over(self, steps: tuple[Step, ...], stages: Sequence[Stage], *, at: int, n_new: int) -> SegmentRun:
        """The same with `n_new` further steps from place `at` on, none of which reads a table of its own."""
        self.walk.is_known = False
        tables = self._lent.all_tables
        lent = SegmentContext(self._state, stages, (*tables[:at], *((),) * n_new, *tables[at:]))
        return SegmentRun(replace(self.segment, steps=steps), stages, self._source, lent=lent, engine=self._engine, state=self._state)

    def source(self) -> Source:
        """The rows that feed the segment, for one who takes some at a time."""
        return Source(self._source)

    async def rows(self, source: Feed | None = None) -> AsyncGenerator[pl.DataFrame, None]:
        """The rows that leave the segment, in input order, when `source` enters (all that feeds it, if that is not said). Each is on account by then."""
        for stage in self.stages:
            stage.samples.go_on()
        results = self._engine.rows(self.segment, self._source if source is None else source, self._lent)
        async with contextlib.aclosing(cast("AsyncGenerator[SegmentResult, None]", results)):
            async for result in results:
                count(self.stages, result, self._state)
                self.walk.add(result.counts)
                yield result.rows


def count(stages: Sequence[Stage], result: SegmentResult, state: RunState) -> None:
    """Put a result on the accounts of its steps. A failure is kept without the secrets of the plan."""
    for place, (stage, (rows_in, rows)) in enumerate(zip(stages, result.counts, strict=True)):
        failures = [(position, state.redactor.value(failure)) for at, position, failure in result.failures if at == place]
        state.stats.failed_so_far += stage.add(rows_in, rows, failures)
