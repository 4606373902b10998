"""A segment that is ready to be fed: its models are trained, and the tables that it reads besides its rows are there."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import cast

import polars as pl

from dreamframe.run.engines.base import Engine, Feed, Segment, SegmentResult
from dreamframe.run.segment_context import SegmentContext
from dreamframe.run.stage import Stage
from dreamframe.run.state import RunState


class SegmentRun:
    """A segment of one run, the accounts of its steps, and the rows that feed it."""

    def __init__(self, segment: Segment, stages: Sequence[Stage], source: Feed, *, lent: SegmentContext, engine: Engine, state: RunState) -> None:
        self._segment, self._stages, self._source = segment, stages, source
        self._lent, self._engine, self._state = lent, engine, state

    async def whole_source(self) -> pl.DataFrame:
        """All rows that feed the segment."""
        return self._source if isinstance(self._source, pl.DataFrame) else await self._engine.query(self._source)

    async def rows(self, source: Feed | None = None) -> AsyncGenerator[pl.DataFrame, None]:
        """The rows that leave the segment, in input order, when `source` enters (all that feeds it, if that is not said). Each is on account by then."""
        for stage in self._stages:
            stage.samples.go_on()
        results = self._engine.rows(self._segment, self._source if source is None else source, self._lent)
        async with contextlib.aclosing(cast("AsyncGenerator[SegmentResult, None]", results)):
            async for result in results:
                count(self._stages, result, self._state)
                yield result.rows


def count(stages: Sequence[Stage], result: SegmentResult, state: RunState) -> None:
    """Put a result on the accounts of its steps. A failure is kept without the secrets of the plan."""
    for place, (stage, (rows_in, rows)) in enumerate(zip(stages, result.counts, strict=True)):
        failures = [(position, state.redactor.value(failure)) for at, position, failure in result.failures if at == place]
        state.stats.failed_so_far += stage.add(rows_in, rows, failures)
