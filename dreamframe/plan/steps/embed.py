"""Turn texts into vectors, and compare two texts of a row: the steps behind `df.embed(...)` and `df.similarity(...)`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import polars as pl

from dreamframe.errors import ColumnNotFoundError, DuplicateColumnError, ParseError, SchemaError, need_name
from dreamframe.models import vectors
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.embedders.names import need_embedder
from dreamframe.models.request import Failure, Question, RowContext
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import RowStep, Step, kept_columns, step
from dreamframe.prompts import templates as template

TEXT = (pl.String, pl.Categorical, pl.Enum)


@step
class Embedding(RowStep):
    """What the steps share that ask an embedder about each row. Null texts give null, and no call is made."""

    by: Embedder
    into: str = "embedding"

    is_expensive: ClassVar[bool] = True

    @classmethod
    def over(cls, below: Step, by: Any, *more: Step, **fields: Any) -> Self:
        """The step over `below` and further tables, its edges also being the models that the embedder waits for."""
        by = need_embedder(by, where=fields.get("name") or cls.__name__.lower())
        return cls(inputs=(below, *more, *(e.step for e in by.edges())), by=by, **fields)

    @property
    def label(self) -> str:
        return self.name or self.into

    @property
    def where(self) -> str:
        return self.name or type(self).__name__.lower()

    def check(self) -> None:
        need_name(self.into, step=self.where)
        for column in sorted(self.reads()):
            need_string(self.inputs[0], column, where=self.where)
        if self.into in self.inputs[0].schema:
            raise DuplicateColumnError(
                f"{self.where}: column {self.into!r} exists already. Give the new one another name with into=, or drop the old one first: .drop({self.into!r})."
            )

    @abstractmethod
    def reads(self) -> frozenset[str]:
        """The columns of texts."""

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def llm(self) -> Embedder:
        """The model that is asked, for counts and progress."""
        return self.by

    @property
    def width(self) -> int:
        return int(getattr(self.by, "concurrency", None) or 64) * max(2, int(getattr(self.by, "batch_size", 1)) // 2)

    def question(self, ctx: RowContext) -> Question:
        """What is the same for every text."""
        return ctx.once("question", lambda: Question(llm=ctx.resolve(self.by), form="input"))

    async def vectors_of(self, texts: pl.Series, ctx: RowContext, *, rows: int) -> pl.Series:
        """The vectors of texts; text i belongs to row i modulo `rows`, which fails where its vector does."""
        question = self.question(ctx)
        replies = await ctx.ask(question, texts)
        for position, failure in replies.failures.items():
            ctx.fail(position % rows, failure)
        data = replies.answers.get_column("data")
        for position in (data.bin.size() != 4 * self.by.dim).fill_null(False).arg_true():
            exc = ParseError(f"the vector has {len(data[position]) // 4} numbers, not the {self.by.dim} that {self.by.label} promised")
            ctx.fail(position % rows, Failure.of(exc, request=texts[position], keys=replies.keys_of(position)))
        return vectors.column(data, self.by.dim)


def need_string(below: Step, column: str, *, where: str) -> None:
    """Raise ColumnNotFoundError or SchemaError for a column of `below` that does not hold strings."""
    have = below.schema
    if column not in have:
        raise ColumnNotFoundError(column, columns=have.names(), step=where)
    if have[column] not in TEXT:
        raise SchemaError(f"{where}: column {column!r} has type {have[column]}, and text is needed. Cast it first: .cast({{{column!r}: pl.String}}).")


def need_vectors(below: Step, column: str, *, where: str) -> int:
    """The length of a column's vectors. Raises ColumnNotFoundError, or SchemaError where it holds none."""
    have = below.schema
    if column not in have:
        raise ColumnNotFoundError(column, columns=have.names(), step=where)
    kind = have[column]
    if not isinstance(kind, pl.Array) or not kind.inner.is_numeric():
        raise SchemaError(f"{where}: column {column!r} has type {kind}, not vectors such as Array(Float32, 384). Give by= to embed a text column.")
    return int(kind.shape[0])


@step
class Embed(Embedding):
    """One column of vectors."""

    column: str = "text"

    def reads(self) -> frozenset[str]:
        return frozenset({self.column})

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.Array(pl.Float32, self.by.dim)})

    def describe(self) -> str:
        return f"EMBED {self.into} ← {self.by.label} {self.column!r}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        texts = template.as_text(rows.get_column(self.column))
        return rows.with_columns((await self.vectors_of(texts, ctx, rows=rows.height)).alias(self.into))


@step
class Similarity(Embedding):
    """The cosine of the vectors of two texts."""

    a: str
    b: str

    def reads(self) -> frozenset[str]:
        return frozenset({self.a, self.b})

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.Float32()})

    def describe(self) -> str:
        return f"SIMILARITY {self.into} ← {self.by.label} {self.a!r} and {self.b!r}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        a, b = (template.as_text(rows.get_column(c)).rename("text") for c in (self.a, self.b))
        both = pl.select(has=pl.lit(a).is_not_null() & pl.lit(b).is_not_null()).to_series()
        texts = pl.concat([a, b]).set(~pl.concat([both, both]), None)  # a row with one text has no answer: nothing is asked for it
        found = await self.vectors_of(texts, ctx, rows=rows.height)
        pairs = pl.DataFrame({"a": found.head(rows.height), "b": found.tail(rows.height)})
        return rows.with_columns(pairs.select(vectors.cosine("a", "b", self.by.dim).alias(self.into)).to_series())
