"""A join whose left rows come a few at a time: each is put beside its partners in the right input, which is read whole."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, ClassVar

import polars as pl

from dreamframe.models.base import ModelSettings
from dreamframe.models.request import RowContext
from dreamframe.plan.step import Rows, RowStep, step
from dreamframe.plan.steps.algebra import Join, relational


@step
class JoinRows(RowStep):
    """The rows of a join that keeps the order of its left input, a batch of left rows after the other."""

    options: tuple[tuple[str, Any], ...]  # of polars' join, sorted

    is_expensive: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return self.name or "join"

    @cached_property
    def join(self) -> Join:
        """The join of whole tables."""
        made = relational("join", inputs=self.inputs, options=self.options, name=self.name)
        assert isinstance(made, Join)
        return made

    def output_schema(self) -> pl.Schema:
        return self.join.schema

    def models(self) -> tuple[ModelSettings, ...]:
        return ()

    def reads(self) -> frozenset[str] | None:
        return self.join.reads()

    def passes(self) -> Mapping[str, str]:
        return self.join.passes()

    @property
    def rows(self) -> Rows:
        return self.join.rows

    def describe(self) -> str:
        return f"{self.join.describe()}, a few rows at a time"

    async def prepare(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> None:
        ctx.once("partners", lambda: tables[0])

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        import asyncio

        partners: pl.DataFrame = ctx.once("partners", lambda: pl.DataFrame(schema=self.inputs[1].schema))
        query = self.join.apply(rows.lazy(), partners.lazy())
        return await asyncio.to_thread(query.collect, engine="in-memory")
