"""The first rows of steps of which nobody knows how many rows they leave: as many are asked about as it takes, and no more."""

from __future__ import annotations

import math
from collections.abc import Mapping

import polars as pl

from dreamframe.plan.step import RoundsStep, Rows, kept_columns, step

ROUND = 128  # rows at the most that are asked about at once, unless more are wanted


@step
class FirstRows(RoundsStep):
    """The first n rows of the input, as `head(n)`; the row steps below run in rounds until there are enough."""

    n: int

    @property
    def label(self) -> str:
        return self.name or "head"

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    def reads(self) -> frozenset[str]:
        return frozenset()

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def rows(self) -> Rows:
        return "fewer"

    def describe(self) -> str:
        return f"FIRST {self.n} rows, asking in rounds (in batch mode: HEAD {self.n}, all at once)"

    def next_round(self, seen: int, kept: int) -> int:
        """As many rows as the rate so far calls for."""
        missing = self.n - kept
        if missing <= 0:
            return 0
        return min(self.n if seen == 0 else math.ceil(missing * (seen + 2) / (kept + 1)), max(ROUND, self.n))

    def enough(self, rows: pl.DataFrame, seen: int | None) -> pl.DataFrame:  # noqa: ARG002
        return rows.head(self.n)
