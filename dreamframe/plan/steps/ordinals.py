"""A sampled prompt in two: numbers first, calls later. The number of a sample counts equal requests from the first row on, and costs no call.

Once each row has its number, rules may leave rows out before the model is asked: those that are left get the samples that they would have had.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import polars as pl

from dreamframe.models.base import ModelSettings
from dreamframe.models.request import RowContext
from dreamframe.plan.hidden import ORDINAL
from dreamframe.plan.schemas import changed, with_columns, without_columns
from dreamframe.plan.step import Step, step, unchecked
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.room import offer_room


@step
class Ordinals(PromptStep):
    """Adds the number of the first sample that each row asks for. Asks nothing."""

    is_expensive: ClassVar[bool] = False

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.UInt32()})

    def models(self) -> tuple[ModelSettings, ...]:
        return ()

    def describe(self) -> str:
        return f"NUMBER samples ← {self.llm.label} {self.prompt.summary}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        question = ctx.once("question", lambda: self.question(ctx))
        offer_room(question, ctx)
        prompts = await ctx.once("prompt", lambda: self.prompt).rendered(rows, ctx)
        ctx.failures.clear()  # a prompt that cannot be written fails where it is asked
        numbers = await ctx.number(question, self.each_sample(prompts))
        return rows.with_columns(pl.Series(self.into, numbers[:: self.n], dtype=pl.UInt32))


@step
class NumberedPrompt(PromptStep):
    """Asks for the samples whose numbers are in a column of the input, which it leaves out."""

    ordinals: str

    def output_schema(self) -> pl.Schema:
        made = super().output_schema()
        return without_columns(made, [self.ordinals])

    def schema_over(self, inputs: Sequence[Step]) -> pl.Schema | None:
        if (same := Step.schema_over(self, inputs)) is not None or not self.is_known_over(inputs):
            return same
        have = inputs[0].schema
        return changed(have, [self.ordinals], {c: self.schema[c] for c in self.writes()})

    def reads(self) -> frozenset[str]:
        return super().reads() | {self.ordinals}

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.inputs[0].schema if c != self.ordinals}

    @property
    def needs_order(self) -> bool:
        return False

    def samples(self, rows: pl.DataFrame) -> Sequence[int]:
        return [first + k for first in rows.get_column(self.ordinals).to_list() for k in range(self.n)]

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        return (await super().run(rows, ctx)).drop(self.ordinals)


def in_two(prompt: PromptStep, below: Step) -> tuple[Ordinals, NumberedPrompt] | None:
    """The numbers of a sampled prompt over `below`, whose columns are those of its input, and the prompt that reads them (its first input is yet to be
    put in); None where what it asks is not known before other models were asked."""
    if type(prompt) is not PromptStep or prompt.prompt.models or prompt.prompt.inputs or prompt.inputs[1:]:
        return None
    column = f"{ORDINAL}{prompt.into}"
    if column in below.schema:
        return None
    counted = with_columns(below.schema, {column: pl.UInt32()})
    numbers = unchecked(Ordinals, prompt, inputs=(below,), schema=counted, into=column, on_error="null", keep=())
    return numbers, unchecked(NumberedPrompt, prompt, inputs=(numbers,), schema=prompt.schema, ordinals=column)
