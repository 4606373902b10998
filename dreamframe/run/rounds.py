"""Rounds: one segment that is fed a few rows at a time, until the step above it has enough."""

from __future__ import annotations

import polars as pl

from dreamframe.plan.step import RoundsStep
from dreamframe.run.segment_run import SegmentRun
from dreamframe.run.state import RunState


async def in_rounds(step: RoundsStep, opened: SegmentRun, state: RunState) -> pl.DataFrame:
    """The rows that the step takes. The segment lives through all rounds, so that samples of equal requests are numbered as in one run over all rows."""
    below = step.inputs[0]
    source = await opened.whole_source()
    kept = [pl.DataFrame(schema=below.schema)]
    seen = n_kept = 0
    while (take := min(step.next_round(seen, n_kept), source.height - seen)) > 0:
        async for rows in opened.rows(source.slice(seen, take)):
            kept.append(rows)
            n_kept += rows.height
        seen += take
        state.need_whole(below, needed_by=step)
    return step.enough(pl.concat(kept), seen)
