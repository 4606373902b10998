"""Two plans over the same rows: the difference of a metric, its interval, and how likely so large a difference is by chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.measure import intervals
from dreamframe.measure.figures import ALL, FIGURES
from dreamframe.measure.metric import COUNTED_AS_WRONG, Metric
from dreamframe.measure.statistic import Statistic, finite

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

COMPARED: Mapping[str, Any] = {
    **FIGURES,
    "p_value": pl.Float64,  # of the difference: how often chance alone makes one as large
    "only_a": pl.Int64,  # rows that a has right and b wrong; null of a metric whose rows are neither
    "only_b": pl.Int64,
}
MOST_DRAWN, FEWEST_DRAWS = 50_000_000, 500  # rows of all draws together, and the draws that there are at least
ROW = "row of the comparison"


def mcnemar(only_a: int, only_b: int) -> float:
    """The exact test of McNemar: how likely two counts so far apart are where each of these rows falls to either side with the same chance.

    >>> round(mcnemar(10, 25), 4)
    0.0167
    """
    n, k = only_a + only_b, min(only_a, only_b)
    if n == 0:
        return 1.0
    logs = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) - n * math.log(2) for i in range(k + 1)]
    return min(1.0, 2 * math.exp(logs[-1]) * sum(math.exp(v - logs[-1]) for v in logs))


def matched(a: pl.DataFrame, b: pl.DataFrame, on: Sequence[str], *, where: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of both frames that go together, in the order of a. Raises SettingError where `on` does not name one row."""
    named = on[0] if len(on) == 1 else list(on)
    for frame, which in ((a, "the first"), (b, "the second")):
        keys = frame.select(on)
        if keys.is_duplicated().any():
            one = ", ".join(map(repr, keys.filter(keys.is_duplicated()).row(0)))
            raise SettingError(f"{where}: on={named!r} names several rows of {which} frame, as {one}; each row is to have a key of its own.")
        if any(keys[c].null_count() for c in on):
            raise SettingError(f"{where}: on={named!r} is null in a row of {which} frame; each row is to have a key of its own.")
    numbered = [frame.with_row_index(f"{ROW} {i}") for i, frame in enumerate((a, b))]
    pairs = numbered[0].select(*on, f"{ROW} 0").join(numbered[1].select(*on, f"{ROW} 1"), on=list(on), how="inner", maintain_order="left")
    return a[pairs[f"{ROW} 0"]], b[pairs[f"{ROW} 1"]]


def has_value(rows: pl.DataFrame, metric: Metric, *, where: str) -> pl.Series:
    """For each row whether the metric can be computed with it. Where no prediction is a wrong one, the truth is enough."""
    if metric.kind == "function":
        return pl.Series([True], dtype=pl.Boolean).new_from_index(0, rows.height)
    if metric.kind == "mean":
        found = metric.values(rows, where=where).to_frame()
    else:
        found = rows.select(metric.columns[1:] if metric.kind in COUNTED_AS_WRONG else metric.columns)
    floats = [c for c, dtype in found.schema.items() if dtype.is_float()]
    return found.select(pl.all_horizontal(pl.all().is_not_null(), *(pl.col(c).is_not_nan() for c in floats)).fill_null(value=False)).to_series()


def compared(
    a: pl.DataFrame, b: pl.DataFrame, metric: Metric, on: Sequence[str], names: tuple[str, str], *, confidence: float, seed: int, draws: int, where: str
) -> pl.DataFrame:
    """Three rows: the metric of a, of b, and b minus a."""
    both = matched(a, b, on, where=where)
    known = has_value(both[0], metric, where=where) & has_value(both[1], metric, where=where)
    both = both[0].filter(known), both[1].filter(known)
    of_each = [metric.of(rows, where=where) for rows in both]
    found = []
    for name, one in zip(names, of_each, strict=True):
        low, high = one.interval(confidence, seed=seed, draws=draws)
        found.append((ALL, name, one.value, low, high, one.n, one.n, one.n_missing, one.n_unknown, one.method, one.note, None, None, None))
    is_of_rows = metric.is_of_rows or (metric.kind == "mean" and all(one.method == "Wilson" for one in of_each))  # each row is right or wrong
    difference = _of_rows(of_each, confidence) if is_of_rows else _of_draws(both, metric, confidence, seed=seed, draws=draws, where=where)
    return pl.DataFrame([*found, difference], schema=COMPARED, orient="row")


def _of_rows(of_each: Sequence[Statistic], confidence: float) -> tuple[Any, ...]:
    one, other = (s.kinds == 1 for s in of_each)
    only_a, only_b, n = int((one & ~other).sum()), int((other & ~one).sum()), len(one)
    low, high = intervals.paired_difference(only_a, only_b, n, confidence)
    value = (only_b - only_a) / n if n else None
    ends = (finite(low), finite(high)) if n else (None, None)
    return (ALL, "difference", value, *ends, n, n, 0, 0, "McNemar, exact", "" if n else "no rows", mcnemar(only_a, only_b), only_a, only_b)


def _of_draws(
    both: Sequence[pl.DataFrame], metric: Metric, confidence: float, *, seed: int, draws: int, where: str
) -> tuple[Any, ...]:
    """The interval by drawing pairs of rows; the test by swapping which plan a row is of, a permutation test."""
    import numpy as np

    n = both[0].height
    columns = metric.columns or tuple(c for c in both[0].columns if c in both[1].columns)
    stacked = pl.concat([rows.select(columns) for rows in both], how="vertical_relaxed")
    made = metric.of(stacked, where=where)
    if n == 0 or made.n != 2 * n:
        return (ALL, "difference", None, None, None, n, n, 0, 0, "", "no rows" if n == 0 else "rows without a value", None, None, None)
    kinds = made.kinds[:n], made.kinds[n:]
    width, generator = int(made.kinds.max()) + 1, np.random.default_rng(seed)

    def figures(drawn: NDArray[np.int64]) -> Floats:
        return made.weighted(intervals.counted(drawn, width))

    seen = float((figures(kinds[1][None, :]) - figures(kinds[0][None, :]))[0])
    at_once, draws = max(1, intervals.CELLS // max(n, width)), min(draws, max(FEWEST_DRAWS, MOST_DRAWN // n))
    resampled, swapped = [], []
    for first in range(0, draws, at_once):
        size = min(at_once, draws - first)
        drawn = generator.integers(0, n, size=(size, n))
        resampled.append(figures(kinds[1][drawn]) - figures(kinds[0][drawn]))
        turned = generator.random((size, n)) < 0.5
        swapped.append(figures(np.where(turned, kinds[0], kinds[1])) - figures(np.where(turned, kinds[1], kinds[0])))
    off, by_chance = np.concatenate(resampled), np.concatenate(swapped)
    off, by_chance = off[np.isfinite(off)], by_chance[np.isfinite(by_chance)]
    low, high = intervals.corrected(off, seen, 0.0, confidence) if len(off) > 1 else (math.nan, math.nan)
    p = (1 + int((np.abs(by_chance) >= abs(seen) - 1e-12).sum())) / (1 + len(by_chance))
    return (ALL, "difference", finite(seen), finite(low), finite(high), n, n, 0, 0, "bootstrap of pairs, permutation test", made.note, p, None, None)
