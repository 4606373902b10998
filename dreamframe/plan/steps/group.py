"""Rows that are alike: near-duplicates and clusters, the steps behind `df.dedup(...)` and `df.cluster(...)`."""

from __future__ import annotations

import importlib.util
from abc import abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, MissingExtraError, SettingError
from dreamframe.models import vectors
from dreamframe.models.request import RowContext
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import Rows, TableStep, kept_columns, step
from dreamframe.plan.steps.embed import need_string, need_vectors
from dreamframe.prompts import templates as template

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROUNDING = 1e-6  # of a cosine in float32: equal texts are alike at threshold 1
ROWS = 1024  # compared at once


@step
class Dedup(TableStep):
    """Keeps the rows that no earlier kept row is like. Rows without a value are kept: nothing says that they are alike."""

    column: str
    threshold: float

    is_expensive: ClassVar[bool] = True  # minutes, for a million rows

    @property
    def label(self) -> str:
        return self.name or "dedup"

    def check(self) -> None:
        if not 0 < self.threshold <= 1:
            raise SettingError(f"{self.label}: threshold={self.threshold} must be above 0 and at most 1.")

    def reads(self) -> frozenset[str]:
        return frozenset({self.column})

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    def output_schema(self) -> pl.Schema:
        return self.inputs[0].schema

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        import asyncio

        rows = tables[0].with_row_index("__row")
        known = rows.filter(pl.col(self.column).is_not_null())
        repeated = await asyncio.to_thread(self.repeated, known.get_column(self.column))
        dropped = known.get_column("__row").filter(pl.Series(repeated, dtype=pl.Boolean))
        return rows.filter(~pl.col("__row").is_in(dropped.implode())).drop("__row")

    @property
    def rows(self) -> Rows:
        return "fewer"

    @abstractmethod
    def repeated(self, values: pl.Series) -> list[bool]:
        """For each value, whether it is like an earlier one that was kept."""


@step
class DedupLetters(Dedup):
    """Texts are alike if they share most runs of letters and pairs of words (Jaccard similarity)."""

    cites: ClassVar[tuple[str, ...]] = ("https://doi.org/10.1109/SEQUEN.1997.666900",)

    def check(self) -> None:
        super().check()
        need_string(self.inputs[0], self.column, where=self.label)

    def describe(self) -> str:
        return f"DEDUP {self.column!r} where letters are {self.threshold:g} alike (minhash)"

    def repeated(self, values: pl.Series) -> list[bool]:
        from dreamframe.plan.steps.minhash import near_earlier

        return near_earlier(template.as_text(values).to_list(), self.threshold)


@step
class DedupVectors(Dedup):
    """Vectors are alike if their cosine reaches the threshold."""

    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2303.09540",)

    def check(self) -> None:
        super().check()
        need_vectors(self.inputs[0], self.column, where=self.label)

    def describe(self) -> str:
        return f"DEDUP {self.column!r} where the cosine is {self.threshold:g} or more"

    def repeated(self, values: pl.Series) -> list[bool]:
        if not len(values):
            return []
        return near_earlier_vectors(vectors.unit(vectors.rows_of(values)), self.threshold - ROUNDING)


def near_earlier_vectors(rows: NDArray[np.float32], threshold: float) -> list[bool]:
    """For each unit vector, whether an earlier one that was kept is as near: first against those kept so far, then among the block's own."""
    import numpy as np

    found = np.zeros(len(rows), dtype=bool)
    kept = np.empty_like(rows)
    n_kept = 0
    for at in range(0, len(rows), ROWS):
        block = rows[at : at + ROWS]
        repeated = found[at : at + ROWS]
        for low in range(0, n_kept, 8 * ROWS):
            repeated |= (block @ kept[low : min(n_kept, low + 8 * ROWS)].T >= threshold).any(axis=1)
        alike = block @ block.T >= threshold
        for i in range(len(block)):
            if not repeated[i]:
                repeated[i + 1 :] |= alike[i, i + 1 :]
        new = block[~repeated]
        kept[n_kept : n_kept + len(new)] = new
        n_kept += len(new)
    return [bool(f) for f in found]


@step
class Cluster(TableStep):
    """The number of the k-means cluster of each vector; clusters are numbered in the order of their first rows. Null vectors have none."""

    column: str
    into: str
    k: int
    seed: int = 0
    by_angle: bool = False  # vectors of length one first

    is_expensive: ClassVar[bool] = True
    cites: ClassVar[tuple[str, ...]] = ("https://doi.org/10.1109/TIT.1982.1056489", "https://doi.org/10.5555/1283383.1283494")

    @property
    def label(self) -> str:
        return self.name or "cluster"

    @property
    def rows(self) -> Rows:
        return "same"

    def check(self) -> None:
        if self.k < 1:
            raise SettingError(f"{self.label}: k={self.k}; ask for one cluster or more.")
        need_vectors(self.inputs[0], self.column, where=self.label)
        self.adds(self.into)

    def reads(self) -> frozenset[str]:
        return frozenset({self.column})

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.UInt32()})

    def missing(self) -> tuple[DreamframeError, ...]:
        return () if importlib.util.find_spec("sklearn") else (no_sklearn(),)

    def describe(self) -> str:
        return f"CLUSTER {self.into}: {self.k} groups of {self.column!r} (k-means, seed {self.seed})"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        import asyncio

        rows = tables[0].with_row_index("__row")
        known = rows.filter(pl.col(self.column).is_not_null())
        labels = await asyncio.to_thread(self._labels, known.get_column(self.column)) if known.height else []
        found = pl.DataFrame({"__row": known["__row"], self.into: pl.Series(labels, dtype=pl.UInt32)})
        return rows.join(found, on="__row", how="left", maintain_order="left").drop("__row")

    def _labels(self, values: pl.Series) -> list[int]:
        try:
            from sklearn.cluster import KMeans
            from threadpoolctl import threadpool_limits
        except ImportError as exc:
            raise no_sklearn() from exc
        import numpy as np

        points = vectors.rows_of(values)
        points = (vectors.unit(points) if self.by_angle else points).astype(np.float64)
        k = min(self.k, len(np.unique(points, axis=0)))
        with threadpool_limits(1):  # sums in one order, whatever the machine
            labels = KMeans(n_clusters=k, n_init=10, random_state=self.seed).fit_predict(points)
        numbers: dict[int, int] = {}
        return [numbers.setdefault(int(label), len(numbers)) for label in labels]


def no_sklearn() -> MissingExtraError:
    return MissingExtraError("scikit-learn", extra="embed", needed_for="cluster")
