"""Rounds: one pipeline that is fed a few rows at a time, until the step above it has enough."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Protocol

import polars as pl

from dreamframe.plan.step import RoundsStep, Step
from dreamframe.run.engines.pipeline import Lender, Opened, pipeline


class Opener(Lender, Protocol):
    """What a run lends to a step that takes rows in rounds."""

    async def opened(self, step: Step) -> Opened | None: ...
    async def frame(self, step: Step) -> pl.DataFrame: ...
    def need_whole(self, step: Step, *, needed_by: Step) -> None: ...


async def in_rounds(run: Opener, step: RoundsStep) -> pl.DataFrame:
    """The rows that the step takes. The stages live through all rounds, so that samples of equal requests are numbered as in one run over all rows."""
    below = step.inputs[0]
    opened = await run.opened(below)
    if opened is None:  # nothing is asked row by row, or all is stored
        rows = await run.frame(below)
        run.need_whole(below, needed_by=step)
        return step.enough(rows, None)
    source = await asyncio.to_thread(opened.source.lazy().collect, engine="in-memory")
    kept = [pl.DataFrame(schema=below.schema)]
    seen = n_kept = 0
    while (take := min(step.next_round(seen, n_kept), source.height - seen)) > 0:
        fed: Iterator[pl.DataFrame] = source.slice(seen, take).iter_slices(opened.batch_rows)
        async for rows in pipeline(opened.stages, fed, run, window=opened.window, first=opened.n_batches, in_memory=True):
            kept.append(rows)
            n_kept += rows.height
        seen += take
        run.need_whole(below, needed_by=step)
    return step.enough(pl.concat(kept), seen)
