"""A small head learns what a strong model says of some rows, and guesses about the rows that it never saw: the settings, the draw, the guesses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.measure.promise import Promise
from dreamframe.models.embedders.base import Embedder
from dreamframe.models.embedders.names import need_embedder
from dreamframe.models.habits import Settings
from dreamframe.models.local.settings import place
from dreamframe.models.request import RowContext
from dreamframe.models.task_models.linear import Head, LinearClassifier
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import Rows, RowStep, TableStep, kept_columns, step
from dreamframe.plan.steps.by_content import content_hashes

DIGEST = "__digest"
LEAST_LABELS = 40  # with fewer, neither half says anything


@dataclass(frozen=True)
class Distil(Settings):
    """Let a small head decide where that is certified: `df.filter_by(strong, "…", distil=dr.Distil(dr.MiniLM()))`, also of `classify`.

    The strong model is asked about up to `labels` rows. With half of them a `dr.LogisticRegression` learns its answers from what `embedder` makes of the
    columns that the prompt reads; with the others, which the head never saw, it is found out where the head may decide: the share of all rows whose answer
    is that of the strong model is at least `accuracy`, but for `delta` of all samples. The strong model answers all other rows, and those that it was asked
    about. Where it gives one label alone, or too few rows, it answers all.

    Which rows are asked about is drawn by what they hold and by `seed`. Labels are kept answers of the same verb without `distil=`, and the head is a
    kept model: `df.models()` gives it, to look at and to publish. What is promised is promised against the strong model, right or wrong. Other rows make
    another head and are certified anew: asked are the new ones among those that are drawn, and those that another threshold leaves to the strong model.

    Raises SettingError for fewer than 40 labels, and for an accuracy or a delta that no sample can promise, as 1.0.

    >>> texts = [f"{'good' if i % 2 else 'bad'} tea number {i}" for i in range(400)]
    >>> strong = dr.testing.Scripted(lambda asked: "yes" if "good" in asked else "no")
    >>> kept = dr.frame({"text": texts}).filter_by(strong, "Is it fine? {text}", distil=dr.Distil(dr.testing.WordEmbedder(), labels=100, accuracy=0.9))
    >>> abs(kept.collect().height - 200) <= 40, strong.calls <= 100
    (True, True)
    """

    embedder: Any
    labels: int = 500
    accuracy: float = 0.95
    delta: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "embedder", need_embedder(self.embedder, where="Distil"))
        for name in ("labels", "seed"):
            if isinstance(value := getattr(self, name), bool) or not isinstance(value, int):
                raise SettingError(f"Distil: {name}={value!r} is not a whole number.")
        if self.labels < LEAST_LABELS:
            raise SettingError(f"Distil: labels={self.labels} are too few to learn from and to certify with; give {LEAST_LABELS} or more.")
        try:
            Promise(accuracy=self.accuracy, delta=self.delta)
        except SettingError as exc:
            raise SettingError(f"Distil: {exc}") from None

    @property
    def n_learnt(self) -> int:
        """Rows that the head learns from, at most."""
        return self.labels // 2


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


def need_distil(value: object, *, where: str) -> Distil:
    """Raise SettingError for what is not a Distil."""
    if isinstance(value, Distil):
        return value
    given = "an embedder" if isinstance(value, Embedder) else repr(value)
    raise SettingError(f"{where}: distil= is {given}; give dr.Distil(embedder), as dr.Distil(dr.MiniLM()).")
