"""Rows of a step of which only some are made: those that walked together in the run, where it noted how many these were."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import polars as pl

from dreamframe.plan.parents import one_by_one
from dreamframe.plan.step import PolarsStep, Step
from dreamframe.run.walk import Batch, Walked

MOST_BATCHES = 32  # that are made again one by one; for more, all rows of the step are


@dataclass(frozen=True)
class Partly:
    """The rows of a step, some at a time."""

    height: int
    batch_of: Callable[[int], Batch]
    made: Callable[[int], Awaitable[pl.DataFrame | None]]  # the rows of a batch; None where they are not as many as they were
    whole: Callable[[], Awaitable[pl.DataFrame]]  # all

    async def slice(self, start: int, n: int) -> pl.DataFrame:
        """n rows from a position on."""
        batch = self.batch_of(start)
        rows = await self.made(batch.number) if start + n <= batch.stop else None
        return (await self.whole()).slice(start, n) if rows is None else rows.slice(start - batch.start, n)


def one_by_one_of(height: int, made: Callable[[int], Awaitable[pl.DataFrame | None]], whole: Callable[[], Awaitable[pl.DataFrame]]) -> Partly:
    """Rows that are made each for itself."""
    return Partly(height, lambda row: Batch(row, row, row + 1), made, whole)


def made_of(step: Step, rows: pl.DataFrame, n: int) -> tuple[pl.DataFrame, pl.Series] | None:
    """The rows that a step makes of a batch, and of which row each of them is; None if they are not n, or nobody can tell."""
    if not isinstance(step, PolarsStep):
        return None
    try:
        made, places = one_by_one(step, rows)
    except pl.exceptions.PolarsError:
        return None
    return None if places is None or made.height != n else (made, places)


def walk_of(walks: list[Walked], keys: tuple[str, ...]) -> Walked | None:
    """The walk in which all these steps have a part."""
    return next((walk for walk in walks if all(key in walk for key in keys)), None)
