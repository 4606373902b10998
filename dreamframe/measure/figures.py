"""The figures of an evaluation as a table: a row for each metric and slice, and in words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import polars as pl

from dreamframe.measure import intervals
from dreamframe.measure.metric import COUNTED_AS_WRONG, RATERS, Metric
from dreamframe.measure.number import number
from dreamframe.measure.statistic import FEW, Statistic

ALL = "all rows"
FIGURES: Mapping[str, Any] = {
    "slice": pl.String,  # "all rows", or the values of the columns of by=, as "lang=de, level=2"
    "metric": pl.String,
    "value": pl.Float64,  # null where it is not defined
    "low": pl.Float64,  # the ends of the interval; null where nothing can be said
    "high": pl.Float64,
    "rows": pl.Int64,  # of the slice
    "n": pl.Int64,  # of them, those that the figure is of
    "n_missing": pl.Int64,  # rows without a prediction
    "n_unknown": pl.Int64,  # rows without the truth, which are left out
    "method": pl.String,  # of the interval
    "note": pl.String,
}


@dataclass(frozen=True)
class Figure:
    """One metric of one slice. `low` and `high` are the ends of its interval; None where it is not defined, or where nothing can be said."""

    slice: str
    metric: str
    value: float | None
    low: float | None
    high: float | None
    rows: int
    n: int
    n_missing: int = 0
    n_unknown: int = 0
    method: str = ""
    note: str = ""

    def __str__(self) -> str:
        between = "" if self.low is None or self.high is None else f" ({number(self.low)} to {number(self.high)}"
        return f"{self.metric} is {number(self.value)}{between}{', ' if between else ' ('}n = {self.n:,})"

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def slices(rows: pl.DataFrame, by: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """All rows, then each slice in order of first appearance: its name, and its rows."""
    yield ALL, rows
    if by:
        for key, part in rows.partition_by(*by, maintain_order=True, as_dict=True, include_key=True).items():
            yield ", ".join(f"{c}={'null' if v is None else v}" for c, v in zip(by, key, strict=True)), part


def measured(
    rows: pl.DataFrame, metrics: Sequence[tuple[str, Metric]], by: Sequence[str], *, confidence: float, seed: int, draws: int, where: str
) -> pl.DataFrame:
    """Every metric of every slice: the columns of FIGURES."""
    found = []
    for name, part in slices(rows, by):
        for called, metric in metrics:
            made = metric.of(part, where=where)
            low, high = interval_of(made, metric, part, confidence=confidence, seed=seed, draws=draws, where=where)
            counts = (made.n, made.n_missing, made.n_unknown)
            said = made.note or ("no spread" if made.value is not None and low is None else "")
            found.append((name, called, made.value, low, high, part.height, *counts, made.method, _note(metric, *counts, said)))
    return pl.DataFrame(found, schema=FIGURES, orient="row")


def interval_of(
    made: Statistic, metric: Metric, rows: pl.DataFrame, *, confidence: float, seed: int, draws: int, where: str
) -> tuple[float | None, float | None]:
    """The interval of a figure. Of ranks of very many rows: that of some of them, drawn by the seed, as much narrower as there are more rows."""
    if not made.is_slow:
        return made.interval(confidence, seed=seed, draws=draws)
    import numpy as np

    some = metric.of(rows[np.random.default_rng(seed).choice(rows.height, intervals.MOST_ROWS, replace=False)], where=where)
    low, high = some.interval(confidence, seed=seed, draws=draws)
    if low is None or high is None or some.value is None or made.value is None:
        return None, None
    scale = math.sqrt(some.n / made.n)
    return made.value + (low - some.value) * scale, made.value + (high - some.value) * scale


def _note(metric: Metric, n: int, n_missing: int, n_unknown: int, said: str) -> str:
    told = [said] if said else []
    told += ["no rows"] if n == 0 else ["few rows"] if n < FEW else []
    if n_missing:
        told.append(f"{n_missing:,} {_missing(metric.kind)}")
    return "; ".join([*told, *([f"{n_unknown:,} without the truth left out"] if n_unknown else [])])


def _missing(kind: str) -> str:
    """What becomes of rows without a value."""
    if kind in COUNTED_AS_WRONG:
        return "without a prediction count as wrong"
    if kind in RATERS:
        return f"not rated by {'all' if kind in ('cohen_kappa', 'fleiss_kappa') else 'two or more'} left out"
    return f"without a {'value' if kind == 'mean' else 'prediction'} left out"
