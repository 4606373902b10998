"""Whether the answer of each row is right, as a column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from dreamframe.models.request import RowContext
from dreamframe.plan.aside import aside
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import RowStep, kept_columns, step
from dreamframe.prompts.verifier import Verifier


@step
class Verify(RowStep):
    """True where the answer is right, false where it is wrong or not there, null where the truth is not there."""

    verifier: Verifier
    into: str

    is_expensive: ClassVar[bool] = True  # tests of code are run

    @property
    def label(self) -> str:
        return self.name or "verify"

    def key_fields(self) -> Mapping[str, object]:
        return {**super().key_fields(), **self.verifier.system_fields()}

    def check(self) -> None:
        super().check()
        self.adds(self.into)
        self.verifier.check(self.inputs[0].schema, where=self.label)

    def reads(self) -> frozenset[str]:
        return frozenset(self.verifier.columns)

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.Boolean()})

    def describe(self) -> str:
        return f"VERIFY {self.into} ← {self.verifier!r}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        if (said := await aside(self.verifier.isolation)) is not None:
            ctx.once("told", lambda: ctx.note(str(said), warns=bool(said.missing), not_held=len(said.missing)))
        made = await aside(lambda: self.verifier.right(*(rows[c].to_list() for c in self.verifier.columns)))
        return rows.with_columns(pl.Series(self.into, made, dtype=pl.Boolean))
