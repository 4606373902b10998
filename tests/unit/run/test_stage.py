"""The account of a step: failures are placed by their row of the step's input, over all batches."""

from __future__ import annotations

import polars as pl

import dreamframe as dr
from dreamframe.models.request import Failure
from dreamframe.run.stage import Stage
from dreamframe.run.stats import StepStats


def stage() -> Stage:
    step = dr.frame({"t": ["a"]}).map(lambda row: {"w": row["t"]}, schema={"w": pl.String}).step
    return Stage(step, StepStats("map"))


def failed(kind: str) -> Failure:
    return Failure(kind, "no", request="x", attempts=1)


def test_failures_are_placed_by_the_rows_that_came_before():
    it = stage()
    it.add(5, 4, [(3, failed("A"))])
    it.add(7, 5, [(6, failed("B")), (0, failed("A"))])
    assert [(f.row, f.failure.error) for f in it.failed_rows()] == [(3, "A"), (5, "A"), (11, "B")]


def test_batches_are_counted():
    it = stage()
    it.add(5, 4, [(3, failed("A"))])
    new = it.add(7, 5, [(6, failed("B")), (0, failed("A"))])
    assert (it.stats.rows_in, it.stats.rows, it.stats.failed, it.stats.errors) == (12, 9, 3, {"A": 2, "B": 1})
    assert [f.row for f in new] == [5, 11]
