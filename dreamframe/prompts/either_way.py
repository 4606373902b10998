"""A question about a pair that has the same answer whichever of the two comes first: both orders are one request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from dreamframe.models.request import Form, RowContext
from dreamframe.prompts.base import Prompt


@dataclass(frozen=True)
class EitherWay(Prompt):
    """A prompt, or the same with columns in one another's place: of the two texts, the one that sorts first.

    >>> from dreamframe.prompts.base import Template
    >>> asked = EitherWay(Template("{a} = {b}?"), (("a", "b"), ("b", "a")))
    >>> asked.render(pl.DataFrame({"a": ["tea", "jam"], "b": ["jam", "tea"]})).to_list()
    ['jam = tea?', 'jam = tea?']
    """

    prompt: Prompt
    places: tuple[tuple[str, str], ...]  # column → the one that stands in its place

    @property
    def form(self) -> Form:  # type: ignore[override]  # that of the prompt, not of the class
        return self.prompt.form

    @property
    def cites(self) -> tuple[str, ...]:  # type: ignore[override]
        return self.prompt.cites

    @property
    def other(self) -> Prompt:
        """The prompt of the pair the other way round."""
        return self.prompt.renamed(dict(self.places))

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.prompt.columns, *self.other.columns)))

    @property
    def summary(self) -> str:
        return f"{self.prompt.summary}, either way round"

    def reads_files(self, schema: pl.Schema) -> bool:
        return self.prompt.reads_files(schema) or self.other.reads_files(schema)

    def check(self, schema: pl.Schema, *, step: str) -> None:
        self.prompt.check(schema, step=step)
        self.other.check(schema, step=step)

    def render(self, rows: pl.DataFrame) -> pl.Series:
        return _first(self.prompt.render(rows), self.other.render(rows))

    async def rendered(self, rows: pl.DataFrame, ctx: RowContext) -> pl.Series:
        return _first(await self.prompt.rendered(rows, ctx), await self.other.rendered(rows, ctx))

    def renamed(self, names: Mapping[str, str]) -> EitherWay:
        places = tuple((names.get(a, a), names.get(b, b)) for a, b in self.places)
        return replace(self, prompt=self.prompt.renamed(names), places=places)



def _first(one: pl.Series, other: pl.Series) -> pl.Series:
    """Of two texts, the one that sorts first; null where either is."""
    texts = pl.DataFrame({"one": one, "other": other})
    return texts.select(pl.when(pl.col("one") <= pl.col("other")).then("one").when(pl.col("one") > pl.col("other")).then("other").alias("prompt")).to_series()
