"""Rounds: one segment that is fed a few rows at a time, until the step above it has enough."""

from __future__ import annotations

import sys

import polars as pl

from dreamframe.plan.step import RoundsStep
from dreamframe.plan.steps.first import FirstRows
from dreamframe.run.segment_run import SegmentRun
from dreamframe.run.state import RunState


async def in_rounds(step: RoundsStep, opened: SegmentRun, state: RunState) -> pl.DataFrame:
    """The rows that the step takes. The segment lives through all rounds, so that samples of equal requests are numbered as in one run over all rows."""
    below = step.inputs[0]
    source = opened.source()
    at_once = isinstance(step, FirstRows) and state.options.mode == "batch"  # a batch takes hours, however short it is
    kept = [pl.DataFrame(schema=below.schema)]
    seen = n_kept = 0
    fed = opened.stages[0].stats
    most = fed.total
    while (take := step.next_round(seen, n_kept)) > 0 and (taken := await source.take(sys.maxsize if at_once else take)).height:
        fed.total = most if at_once else min(seen + take, seen + take if most is None else most)  # as far as anybody knows that more will not be needed
        async for rows in opened.rows(taken):
            kept.append(rows)
            n_kept += rows.height
        seen += taken.height
        state.need_whole(below, needed_by=step)
    return step.enough(pl.concat(kept), seen)
