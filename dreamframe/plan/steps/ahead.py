"""A prompt that is asked ahead of its place in the plan, to leave rows out: its answers are kept, and where it fails it says nothing."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dreamframe.models.request import RowContext
from dreamframe.plan.step import step
from dreamframe.plan.steps.prompt import PromptStep


@step
class Ahead(PromptStep):
    """A PromptStep that fails on no row: those get a null, and are asked about again where the prompt stands."""

    @property
    def needs_order(self) -> bool:
        return False

    def samples(self, rows: pl.DataFrame) -> Sequence[int]:
        return [0] * rows.height

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        made = await super().run(rows, ctx)
        ctx.failures.clear()
        return made
