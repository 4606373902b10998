"""How near the right row of each pair is to its left row, among all of them: what a join that cuts its pairs by a certificate ranks them by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import PlanError, SettingError
from dreamframe.measure.promise import Promise
from dreamframe.models import vectors
from dreamframe.models.embedders.names import need_embedder
from dreamframe.models.habits import Settings
from dreamframe.models.request import RowContext
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import Rows, TableStep, kept_columns, step

BLOCK = 1 << 22  # likenesses that are computed at once: 32 MB


@dataclass(frozen=True)
class Nearest(Settings):
    """Cut the pairs of a join to the nearest, as far as that is certified: `df.join_by(other, llm, "…", block=dr.Nearest(dr.MiniLM(), recall=0.9))`.

    What the prompt reads of either side is embedded, and each left row has its right rows ranked by likeness. The model is asked about the nearest pairs and
    about a sample of the others, until it is certified how many of the nearest hold at least `recall` of all matches, but for `delta` of all samples; it
    answers those, and pairs further apart are no match. `labels` is the most pairs that are asked to find that out; None is as many as pay. Answers are
    those of the same join without `block`, and kept as such. What is promised is promised against the model, right or wrong.

    Raises SettingError for a recall or a delta that no sample can promise, as 1.0.

    >>> left, right = dr.frame({"a": [f"cup {i} of tea" for i in range(30)]}), dr.frame({"b": [f"tea {i}" for i in range(30)]})
    >>> llm = dr.testing.Scripted(lambda asked: "yes" if asked.split()[1] == asked.split()[-1] else "no")
    >>> joined = left.join_by(right, llm, "{a} and {b}", block=dr.Nearest(dr.testing.WordEmbedder(), recall=0.8))
    >>> joined.collect().height >= 24, llm.calls < 900
    (True, True)
    """

    embedder: Any
    _: KW_ONLY
    recall: float = 0.9
    delta: float = 0.05
    labels: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "embedder", need_embedder(self.embedder, where="Nearest"))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise SettingError(f"Nearest: seed={self.seed!r} is not a whole number.")
        try:
            Promise(recall=self.recall, delta=self.delta, labels=self.labels)
        except SettingError as exc:
            raise SettingError(f"Nearest: {exc}") from None


@step
class PairRanks(TableStep):
    """Adds to each pair of a cross join that it is no match, and how likely that is: 1 - 1 / r for the right row that is the r-th nearest of its left row.
    Null where either has no vector. The second input has the left rows' vectors, the third those of the right rows, each in the order of the pairs."""

    vector: str  # of both
    guess: str
    likely: str

    is_expensive: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return self.name or "nearest"

    def check(self) -> None:
        super().check()
        for side in (1, 2):
            self.need(self.vector, of=side)
        self.adds(self.guess, self.likely)

    def reads(self) -> frozenset[str]:
        return frozenset()

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def rows(self) -> Rows:
        return "same"

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.guess: pl.Boolean(), self.likely: pl.Float64()})

    def describe(self) -> str:
        return "RANK the right rows of each left row by likeness"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        import asyncio

        pairs, left, right = tables
        if pairs.height != left.height * right.height:
            raise PlanError(f"{self.label}: {pairs.height} pairs of {left.height} and {right.height} rows; block=dr.Nearest(…) ranks all of them.")
        likely = await asyncio.to_thread(self._likely, left.get_column(self.vector), right.get_column(self.vector))
        guess = pl.select(pl.when(likely.is_not_null()).then(pl.lit(value=False))).to_series()
        return pairs.with_columns(guess.alias(self.guess), likely.alias(self.likely))

    def _likely(self, left: pl.Series, right: pl.Series) -> pl.Series:
        import numpy as np

        made = np.full((len(left), len(right)), np.nan)
        rows, columns = left.is_not_null().arg_true().to_numpy(), right.is_not_null().arg_true().to_numpy()
        if len(rows) and len(columns):
            one, other = (vectors.unit(vectors.rows_of(side.drop_nulls())).astype(np.float64) for side in (left, right))
            at_once = max(1, BLOCK // len(columns))
            for at in range(0, len(rows), at_once):
                alike = one[at : at + at_once] @ other.T  # (rows, right rows)
                order = np.argsort(-alike, axis=1, kind="stable")
                ranks = np.empty_like(alike)
                np.put_along_axis(ranks, order, np.arange(1.0, len(columns) + 1)[None, :], axis=1)
                made[np.ix_(rows[at : at + at_once], columns)] = 1 - 1 / ranks
        return pl.Series("likely", made.ravel(), nan_to_null=True, dtype=pl.Float64)
