"""The plain prompt: a template with `{column}` in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from dreamframe.prompts import templates as template
from dreamframe.prompts.base import Prompt


@dataclass(frozen=True)
class Template(Prompt):
    """Text in which `{column}` stands for a column's value.

    >>> Template("Sum up {body}.").columns
    ('body',)
    """

    text: str

    @classmethod
    def parsed(cls, text: str, *, step: str) -> Template:
        """A template that was read once, so that a mistake in it is told with the step's name."""
        template.pieces(text, step)
        return cls(text)

    @property
    def columns(self) -> tuple[str, ...]:
        return template.columns(self.text)

    @property
    def summary(self) -> str:
        return repr(self.text if len(self.text) <= 60 else self.text[:59] + "…")

    def check(self, schema: pl.Schema, *, step: str) -> None:
        template.check(self.text, schema, step=step)

    def render(self, rows: pl.DataFrame) -> pl.Series:
        return template.render(self.text, rows)

    def renamed(self, names: Mapping[str, str]) -> Template:
        return replace(self, text=template.renamed(self.text, names))
