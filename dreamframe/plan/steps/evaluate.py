"""Evaluation: the figures of a frame's rows, and of two plans row by row, the steps behind `df.evaluate(...)` and `dr.compare(...)`."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.measure.figures import FIGURES, measured
from dreamframe.measure.metric import Metric
from dreamframe.measure.paired import COMPARED, compared
from dreamframe.models.request import RowContext
from dreamframe.plan.step import TableStep, step

Metrics = tuple[tuple[str, Metric], ...]  # what each is called


@step
class Measured(TableStep):
    """A table of figures: what the log of the run tells, for cards and diffs."""

    confidence: float = 0.95
    seed: int = 0
    draws: int = 1_000

    is_expensive: ClassVar[bool] = True  # a thousand resamples, and the record of what was promised
    is_reported: ClassVar[bool] = True

    def check(self) -> None:
        if not 0 < self.confidence < 1:
            raise SettingError(f"{self.label}: confidence={self.confidence!r} must be above 0 and below 1, e.g. 0.95.")
        if self.draws < 2:
            raise SettingError(f"{self.label}: draws={self.draws!r}; an interval needs many resamples, e.g. 1000.")


@step
class Evaluate(Measured):
    """Each metric of all rows and of each slice, with its interval."""

    metrics: Metrics
    by: tuple[str, ...] = ()

    cites: ClassVar[tuple[str, ...]] = ("https://doi.org/10.1080/01621459.1987.10478410", "https://doi.org/10.1080/01621459.1927.10502953")

    @property
    def label(self) -> str:
        return self.name or "evaluate"

    def functions(self) -> object:
        return super().functions(), [value for _, metric in self.metrics for _, value in metric.options if callable(value)]

    def reads(self) -> frozenset[str] | None:
        of_each = [metric.reads for _, metric in self.metrics]
        return None if None in of_each else frozenset((*self.by, *(c for columns in of_each for c in columns or ())))

    def check(self) -> None:
        super().check()
        for column in self.by:
            self.need(column)
        for _, metric in self.metrics:
            metric.check(self.inputs[0].schema, where=self.label)

    def output_schema(self) -> pl.Schema:
        return pl.Schema(FIGURES)

    def describe(self) -> str:
        told = [repr(m) if name == m.kind else f"{name}={m!r}" for name, m in self.metrics]
        by = f" by {', '.join(self.by)}" if self.by else ""
        return f"EVALUATE {', '.join(told)}{by}"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        import asyncio

        of_each = partial(measured, confidence=self.confidence, seed=self.seed, draws=self.draws, where=self.label)
        return await asyncio.to_thread(of_each, tables[0], self.metrics, self.by)


@step
class Compare(Measured):
    """One metric of two plans over the same rows, their difference, and how likely so large a difference is by chance."""

    metric: Metric
    on: tuple[str, ...]
    names: tuple[str, str] = ("a", "b")

    cites: ClassVar[tuple[str, ...]] = ("https://doi.org/10.1007/BF02295996", "https://doi.org/10.1002/sim.1781")

    @property
    def label(self) -> str:
        return self.name or "compare"

    def check(self) -> None:
        super().check()
        for i, _ in enumerate(self.inputs):
            for column in self.on:
                self.need(column, of=i)
            self.metric.check(self.inputs[i].schema, where=self.label)

    def output_schema(self) -> pl.Schema:
        return pl.Schema(COMPARED)

    def describe(self) -> str:
        return f"COMPARE {self.metric!r} on {', '.join(self.on)}"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        import asyncio

        of_both = partial(compared, confidence=self.confidence, seed=self.seed, draws=self.draws, where=self.label)
        return await asyncio.to_thread(of_both, tables[0], tables[1], self.metric, self.on, self.names)
