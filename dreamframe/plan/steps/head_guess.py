"""What a head that was trained in the plan guesses about the rows that it never saw, and the draw of those that it learns from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from dreamframe.models.local.settings import place
from dreamframe.models.request import RowContext
from dreamframe.models.task_models.linear import Head, LinearClassifier
from dreamframe.plan.by_content import content_hashes
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import Rows, RowStep, TableStep, kept_columns, step

DIGEST = "__digest"


@step
class DrawLearnt(TableStep):
    """Some of the rows that differ, in their order: those that a head is to learn from. What some columns hold and the seed decide which, and a column of
    64 bits tells what each of them holds. Rows with a null are not drawn."""

    columns: tuple[str, ...]
    n: int
    seed: int = 0

    @property
    def label(self) -> str:
        return self.name or "draw"

    def check(self) -> None:
        super().check()
        self.adds(DIGEST)

    def reads(self) -> frozenset[str]:
        return frozenset(self.columns)

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def rows(self) -> Rows:
        return "fewer"

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {DIGEST: pl.UInt64()})

    def describe(self) -> str:
        return f"DRAW {self.n:,} rows to learn from, seed={self.seed}"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        rows = tables[0].with_columns(content_hashes(tables[0], self.columns, self.seed).alias(DIGEST))
        differing = rows.with_row_index("__row").drop_nulls(self.columns).unique(DIGEST, keep="first", maintain_order=True)
        drawn = differing.sort(DIGEST).head(self.n).get_column("__row").sort()
        return rows[drawn]


@step
class HeadGuess(RowStep):
    """Adds what a head says of each row, and how likely it finds it. Null for rows that hold what the head learnt from, for those without a vector, and
    where the head tells no label. The second input has the rows that it learnt from, the third trains it."""

    llm: LinearClassifier  # called so as in every step that asks a model
    embedding: str
    columns: tuple[str, ...]  # as of DrawLearnt
    seed: int
    into: str
    likely: str
    labels: tuple[str, ...] | None = None  # None: yes and no

    @property
    def label(self) -> str:
        return self.name or "head"

    def check(self) -> None:
        super().check()
        self.need(DIGEST, of=1)
        self.adds(self.into, self.likely)

    def reads(self) -> frozenset[str]:
        return frozenset({self.embedding, *self.columns})

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.Boolean() if self.labels is None else pl.Enum(self.labels), self.likely: pl.Float64()})

    def describe(self) -> str:
        return f"HEAD {self.into} ← {self.llm.label}, of rows that it never saw"

    async def prepare(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> None:
        ctx.once("learnt", lambda: tables[0].get_column(DIGEST))

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        head: Head = ctx.once("head", lambda: Head.of(Path(place(ctx.resolve(self.llm).model))))
        learnt: pl.Series = ctx.once("learnt", lambda: pl.Series(dtype=pl.UInt64))
        is_new = ~content_hashes(rows, self.columns, self.seed).is_in(learnt.implode())
        asked = rows.select(is_new.alias("new") & pl.col(self.embedding).is_not_null()).to_series()
        if head.fitted is None:
            asked = pl.repeat(value=False, n=rows.height, eager=True)
        told = self._told(head, rows.get_column(self.embedding).filter(asked)).with_columns(asked.arg_true().alias("row"))
        every = pl.DataFrame({"row": pl.int_range(rows.height, dtype=pl.UInt32, eager=True)})
        placed = every.join(told, on="row", how="left", maintain_order="left")
        return rows.with_columns(placed.get_column("guess").alias(self.into), placed.get_column("likely").alias(self.likely))

    def _told(self, head: Head, vectors: pl.Series) -> pl.DataFrame:
        """The likeliest label of each vector, and its probability."""
        import numpy as np

        schema = {"guess": self.schema[self.into], "likely": pl.Float64()}
        if not len(vectors):
            return pl.DataFrame(schema=schema)
        chances = head.chances(np.asarray(vectors.to_numpy(), np.float64).reshape(len(vectors), -1))
        best = chances.argmax(axis=1)
        names = pl.Series([head.labels[i] for i in best], dtype=pl.String)
        guess = names == "true" if self.labels is None else names.cast(schema["guess"])
        return pl.DataFrame({"guess": guess, "likely": chances[np.arange(len(best)), best]}, schema=schema)
