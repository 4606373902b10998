"""An instruction about one input, as DataDreamer's ProcessWithPrompt writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SettingError
from dreamframe.prompts import templates as template
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.room import labelled, need_texts


@dataclass(frozen=True)
class Instruct(Prompt):
    r"""The input, then the instruction: `Input: {x}\n\nInstruction: {i}`.

    A label that is None is left out. The instruction is plain text: braces in it stand for themselves. The strings are those of DataDreamer 0.46
    (https://datadreamer.dev), so that published recipes reproduce.

    >>> df = dr.frame({"abstract": ["We study tea."]})
    >>> df.prompt(dr.testing.Echo(), dr.Instruct("Write a tweet.", input="abstract"), into="tweet").collect()["tweet"].to_list()
    ['Input: We study tea.\n\nInstruction: Write a tweet.']
    """

    instruction: str
    input: str = field(kw_only=True)  # column
    input_label: str | None = field(default="Input:", kw_only=True)
    instruction_label: str | None = field(default="Instruction:", kw_only=True)
    sep: str = field(default="\n\n", kw_only=True)

    def __post_init__(self) -> None:
        need_texts("Instruct", input_label=self.input_label, instruction_label=self.instruction_label)
        if not isinstance(self.instruction, str) or not isinstance(self.sep, str):
            raise SettingError(f"Instruct: instruction={self.instruction!r} and sep={self.sep!r} are texts.")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.input,)

    @property
    def summary(self) -> str:
        return f"Instruct({_cut(self.instruction)!r}, input={self.input!r})"

    def check(self, schema: pl.Schema, *, step: str) -> None:
        need_writable(self.input, schema, step=step)

    def render(self, rows: pl.DataFrame) -> pl.Series:
        tail = f"{self.sep}{labelled(self.instruction_label, self.instruction)}"
        return framed(rows.get_column(self.input), labelled(self.input_label, ""), tail)

    def renamed(self, names: Mapping[str, str]) -> Instruct:
        return replace(self, input=names.get(self.input, self.input))


def framed(column: pl.Series, before: str, after: str) -> pl.Series:
    """Every value between two texts; null stays null."""
    text = template.as_text(column).alias("x")
    return text.to_frame().select(pl.concat_str([pl.lit(before), pl.col("x"), pl.lit(after)]).alias("prompt")).to_series()


def need_writable(column: str, schema: pl.Schema, *, step: str) -> None:
    """Raise ColumnNotFoundError or SchemaError for a column whose values cannot be written into a prompt."""
    if column not in schema:
        raise ColumnNotFoundError(column, columns=schema.names(), step=step)
    template.check("{x}", pl.Schema({"x": schema[column]}), step=f"{step} (column {column!r})")


def _cut(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
