"""Labels that the rows of a frame give: what an answer may be, and the question that names them. They are known when the frame has run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError
from dreamframe.models.edges import Rows, Values
from dreamframe.prompts import templates as template
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.base import Prompt, Template
from dreamframe.prompts.instruct import need_writable

MOST = 1_000  # labels: providers take no more in a schema
TEXTS = (pl.String, pl.Enum, pl.Categorical)


@dataclass(frozen=True)
class LabelsOf(AnswerSchema):
    """One of the different values of a column of a frame, in order of appearance. Until the frame has run, an answer is some text: so is its column."""

    rows: Any = field(kw_only=True, default=None)  # Rows: an edge of the plan
    column: str = field(kw_only=True, default="")

    @classmethod
    def of_column(cls, values: Values, *, step: str = "prompt") -> LabelsOf:
        """The labels that a column gives. Raises ColumnNotFoundError, and SchemaError where it holds no texts."""
        have = values.step.schema
        if values.column not in have:
            raise ColumnNotFoundError(values.column, columns=have.names(), step=f"{step} (labels)")
        if not isinstance(have[values.column], TEXTS):
            raise SchemaError(f"{step}: the labels in {values.column!r} are {have[values.column]}, and labels are texts. Cast the column to pl.String first.")
        return cls(pl.String(), {"type": "string"}, rows=Rows(values.step), column=values.column)

    @property
    def inputs(self) -> tuple[Rows, ...]:
        return (self.rows,)

    @property
    def described(self) -> str:
        return f"one of {self.column!r}"

    def key_fields(self) -> Mapping[str, object]:
        return {"labels of": self.column}  # of which frame, the inputs of the step say

    def found(self, table: pl.DataFrame, *, step: str) -> list[str]:
        """The labels, once the frame has run. Raises SchemaError where there is none, or where there are too many."""
        made: list[str] = table.get_column(self.column).cast(pl.String).drop_nulls().unique(maintain_order=True).to_list()
        if not made:
            raise SchemaError(f"{step}: the labels are those in {self.column!r} of a frame, and it has none: {table.height:,} rows without a value.")
        if len(made) > MOST:
            raise SchemaError(
                f"{step}: the labels are those in {self.column!r} of a frame, which are {len(made):,}; an answer can be one of {MOST:,} at most. "
                "Filter the frame first, or ask for a coarser label."
            )
        return made


def which_label(labels: Sequence[object], column: str) -> str:
    """The question which of some labels fits a text, as a template."""
    named = template.literal(", ".join(map(str, labels)))
    return f"Which label fits the text: {named}? Answer with the label alone.\n\nText: {template.placeholder(column)}"


@dataclass(frozen=True)
class WhichLabel(Prompt):
    """The question which of the labels of a frame fits a text: as `which_label` writes it once they are known.

    >>> WhichLabel("review").with_labels(["good", "bad"]).text
    'Which label fits the text: good, bad? Answer with the label alone.\\n\\nText: {review}'
    """

    column: str

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def summary(self) -> str:
        return f"'Which label fits the text: …? Answer with the label alone.' of {self.column!r}"

    def check(self, schema: pl.Schema, *, step: str) -> None:
        need_writable(self.column, schema, step=step)

    def with_labels(self, labels: Sequence[str]) -> Template:
        return Template(which_label(labels, self.column))

    def render(self, rows: pl.DataFrame) -> pl.Series:
        return self.with_labels(["…"]).render(rows)

    def renamed(self, names: Mapping[str, str]) -> WhichLabel:
        return replace(self, column=names.get(self.column, self.column))
