"""A kind of prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from dreamframe.prompts.base import Prompt


@dataclass(frozen=True)
class Twice(Prompt):
    """A column's text, two times."""

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def summary(self) -> str:
        return f"Twice({self.column})"

    def check(self, schema: pl.Schema, *, step: str) -> None: ...

    def render(self, rows: pl.DataFrame) -> pl.Series:
        return (rows.get_column(self.column) + rows.get_column(self.column)).alias("prompt")

    def renamed(self, names: Mapping[str, str]) -> Twice:
        return replace(self, column=names.get(self.column, self.column))
