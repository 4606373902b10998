"""Steps of users' own: what they do not say is taken to be everything, and what they cannot be is said."""

from __future__ import annotations

import asyncio
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import PlanError
from dreamframe.models.request import Question, RowContext, Sampling
from dreamframe.plan.step import RowStep, step
from tests.laws.cases import Ordinal


@step
class Ask(RowStep):
    """Asks a model that stands inside a value of its own, and lets it sample."""

    held: tuple[tuple[str, Any], ...]

    def output_schema(self) -> pl.Schema:
        return pl.Schema({**self.inputs[0].schema, "said": pl.String()})

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        sampling = Sampling.of(temperature=1.0)
        question = ctx.once("question", lambda: Question(llm=self.held[0][1], system=None, sampling=sampling, json_schema=None, form="text"))
        replies = await ctx.ask(question, rows.get_column("t"))
        return rows.with_columns(replies.answers.get_column("text").alias("said"))


@step
class Careless(Ask):
    """Says that rows before a row do not matter, and samples."""

    @property
    def needs_order(self) -> bool:
        return False


@step
class Even(RowStep):
    """Leaves rows out."""

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        return rows.filter(pl.col("v") % 2 == 0)


@step
class Declared(Even):
    """Leaves rows out, and says so."""

    @property
    def rows(self) -> Any:
        return "fewer"


ROWS = dr.frame({"t": ["tea"] * 6, "v": range(6)})
HELD = (("judge", Ordinal(temperature=0)),)


def test_a_slice_keeps_the_samples_of_a_step_whose_model_cannot_be_seen() -> None:
    asked = dr.Frame(Ask(inputs=(ROWS.step,), held=HELD))
    with dr.Session(None, batch_rows=2):
        assert asked.slice(2, 2).collect().equals(asked.collect().slice(2, 2))


def test_a_batch_without_rows_does_not_hold_up_a_step_whose_model_cannot_be_seen() -> None:
    below = ROWS.prompt(Ordinal(), "{v}", into="n").filter(pl.col("v") >= 2)  # the first batch is empty
    asked = dr.Frame(Ask(inputs=(below.step,), held=HELD))
    with dr.Session(None, batch_rows=2):
        rows = asyncio.run(asyncio.wait_for(asked.collect_async(), 20))
    assert rows["said"].to_list() == [f"tea #{n}" for n in range(4)]


def test_a_step_that_samples_and_needs_no_order_is_refused() -> None:
    with dr.Session(None), pytest.raises(PlanError, match="careless: it asks a model that samples, and says that it needs no order"):
        dr.Frame(Careless(inputs=(ROWS.step,), held=HELD)).collect()


def test_a_row_step_that_leaves_rows_out_is_refused_unless_it_says_so() -> None:
    with dr.Session(None):
        with pytest.raises(PlanError, match=r"even: a row step gives one row for each; it was given 6 and gave 3\."):
            dr.Frame(Even(inputs=(ROWS.step,))).head(6).collect()
        assert dr.Frame(Declared(inputs=(ROWS.step,))).head(2).collect()["v"].to_list() == [0, 2]
