"""Figures of numbers: errors of regression, correlations, and means of what an expression or a function makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import RunError, SchemaError, SettingError, listed
from dreamframe.measure.by_row import OfRow, score_of
from dreamframe.measure.labels import proportion
from dreamframe.measure.statistic import Statistic, Sums, divided, of_sums

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CORRELATIONS = ("pearson", "spearman")
ERRORS = ("mean_absolute_error", "mean_squared_error", "root_mean_squared_error", "r2")
KINDS = (*ERRORS, *CORRELATIONS)
OF_ROW = "dr.metrics.mean(lambda row: …)"
EXAMPLE = "lambda rows: (rows['mood'] == rows['gold']).mean()"


def of(kind: str, rows: pl.DataFrame, prediction: str, gold: str) -> Statistic:
    """An error of regression, or a correlation."""
    return (correlation if kind in CORRELATIONS else regression)(rows, prediction, gold, what=kind)


def pairs(rows: pl.DataFrame, prediction: str, gold: str) -> tuple[Floats, Floats, int, int]:
    """Both columns as numbers, of the rows that have both; how many lack the prediction, and how many the truth."""
    said, true = (pl.col(c).cast(pl.Float64).fill_nan(None) for c in (prediction, gold))
    held = rows.select(said.alias("said"), true.alias("true"))
    known = held.filter(pl.col("true").is_not_null())
    whole = known.filter(pl.col("said").is_not_null())
    return whole["said"].to_numpy(), whole["true"].to_numpy(), known.height - whole.height, held.height - known.height


def regression(rows: pl.DataFrame, prediction: str, gold: str, *, what: str) -> Statistic:
    """An error of predicted numbers, or the share of the variance that they explain. Rows without a prediction are left out, and counted."""
    import numpy as np

    said, true, n_missing, n_unknown = pairs(rows, prediction, gold)
    off = said - true
    ones = np.ones_like(off)
    if what == "r2":
        middle = true - (true.mean() if len(true) else 0.0)  # so that no digits are lost
        sums = Sums(np.column_stack([ones, middle, middle**2, off**2]), _r2, "log of the rest")
    elif what == "mean_absolute_error":
        sums = Sums(np.column_stack([ones, np.abs(off)]), ratio, "log")
    else:
        sums = Sums(np.column_stack([ones, off**2]), ratio if what == "mean_squared_error" else lambda sums: np.sqrt(ratio(sums)), "log")
    return of_sums(sums, n_missing=n_missing, n_unknown=n_unknown)


def ratio(sums: Floats) -> Floats:
    """The mean, from the number of rows and the sum."""
    return divided(sums[..., 1], sums[..., 0])


def _r2(sums: Floats) -> Floats:
    import numpy as np

    n, total, squares, off = np.moveaxis(sums, -1, 0)
    spread = squares - np.divide(total**2, n, out=np.zeros_like(total), where=n > 0)
    spread = np.where(spread > 1e-14 * np.maximum(squares, 1e-300), spread, 0.0)
    share = 1 - np.divide(off, spread, out=np.where(off > 0, 1.0, 0.0), where=spread > 0)  # as scikit-learn says it where all truths are equal
    return np.asarray(np.where(n > 1, share, np.nan))


def correlation(rows: pl.DataFrame, prediction: str, gold: str, *, what: str) -> Statistic:
    """Pearson's or Spearman's correlation. Rows without a prediction are left out, and counted."""
    import numpy as np

    x, y, n_missing, n_unknown = pairs(rows, prediction, gold)
    note = "one value alone" if len(x) > 0 and (np.ptp(x) == 0 or np.ptp(y) == 0) else ""
    if what == "pearson":
        a, b = (v - (v.mean() if len(v) else 0.0) for v in (x, y))
        sums = Sums(np.column_stack([np.ones_like(a), a, b, a * a, b * b, a * b]), _pearson, "atanh")
        return of_sums(sums, n_missing=n_missing, n_unknown=n_unknown, note=note)
    rank_x, rank_y = _weighted_ranks(x), _weighted_ranks(y)

    def weighted(weights: Floats) -> Floats:
        a, b = rank_x(weights), rank_y(weights)
        n = weights.sum(axis=1)
        a, b = (v - np.divide((weights * v).sum(axis=1), n, out=np.zeros_like(n), where=n > 0)[:, None] for v in (a, b))
        sums = [n, np.zeros_like(n), np.zeros_like(n), *((weights * v).sum(axis=1) for v in (a * a, b * b, a * b))]
        return _pearson(np.stack(sums, axis=1))

    return Statistic(weighted, np.arange(len(x), dtype=np.int64), n_missing, n_unknown, note=note)


def _pearson(sums: Floats) -> Floats:
    import numpy as np

    n, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    n = np.where(n > 0, n, np.nan)
    va, vb, both = aa - a * a / n, bb - b * b / n, ab - a * b / n
    is_spread = (va > 1e-14 * np.maximum(aa, 1e-300)) & (vb > 1e-14 * np.maximum(bb, 1e-300))
    return np.asarray(np.clip(divided(both, np.where(is_spread, np.sqrt(np.abs(va * vb)), 0.0)), -1, 1))


def _weighted_ranks(values: Floats) -> Callable[[Floats], Floats]:
    """Weights (draws, n) → middle ranks of the values among the rows drawn, (draws, n)."""
    import numpy as np

    _, place = np.unique(values, return_inverse=True)
    order = np.argsort(place, kind="stable")
    starts = np.searchsorted(place[order], np.arange(place.max() + 1)) if len(place) else np.zeros(0, dtype=np.int64)

    def ranks(weights: Floats) -> Floats:
        of_value = np.add.reduceat(weights[:, order], starts, axis=1)
        return np.asarray((np.cumsum(of_value, axis=1) - of_value / 2)[:, place])

    return ranks


def of_each(rows: pl.DataFrame, expression: pl.Expr, *, where: str) -> pl.Series:
    """The value that an expression gives each row."""
    found = rows.select(expression.alias("value")).to_series()
    if found.len() != rows.height:
        raise SettingError(f"{where}: the expression gives {found.len()} values for {rows.height} rows; each is to have one, so leave out the mean in it.")
    if not (found.dtype.is_numeric() or found.dtype in (pl.Boolean, pl.Null)):
        raise SchemaError(f"{where}: the expression gives {found.dtype}, not numbers or true and false.")
    return found


def of_rows(rows: pl.DataFrame, function: OfRow, *, where: str) -> pl.Series:
    """The value that a function gives each row."""
    scores = [score_of(function, row, where=f"{where}: the function") for row in rows.iter_rows(named=True)]
    return pl.Series("value", [None if score is None else score.value for score in scores], dtype=pl.Float64)


def mean(found: pl.Series) -> Statistic:
    """The mean of a value for each row; of true and false, the share that is true. Rows without one are left out, and counted."""
    import numpy as np

    if found.dtype == pl.Boolean:
        return proportion(found.drop_nulls(), n_missing=found.null_count())
    known = found.cast(pl.Float64).fill_nan(None).drop_nulls()
    values = known.to_numpy()
    if len(values) and set(np.unique(values)) <= {0.0, 1.0}:
        return proportion(known.cast(pl.Boolean), n_missing=found.len() - known.len())
    return of_sums(Sums(np.column_stack([np.ones_like(values), values]), ratio), n_missing=found.len() - known.len())


def own(rows: pl.DataFrame, function: Callable[[pl.DataFrame], float], *, where: str) -> Statistic:
    """What a function makes of a table."""
    import numpy as np

    def called(table: pl.DataFrame) -> float:
        try:
            made: Any = function(table)
        except Exception as exc:
            given = f"It was given a polars frame of {table.height:,} rows with the columns {listed(table.columns)}; one of each row is {OF_ROW}."
            raise RunError(f"{where}: the function raised {type(exc).__name__}: {exc!s:.300}. {given}") from exc
        if made is None:
            return np.nan
        try:
            return float(made)
        except (TypeError, ValueError) as exc:
            what = f"a {type(made).__name__}" if isinstance(made, pl.Series | pl.DataFrame) else f"{made!r:.80}"
            given = f"It is given all rows as a polars frame: {EXAMPLE}; one of each row is {OF_ROW}."
            raise SettingError(f"{where}: the function gave {what}, not a number. {given}") from exc

    def weighted(weights: Floats) -> Floats:
        places = np.arange(rows.height)
        return np.array([called(rows[np.repeat(places, w.astype(np.int64)[: rows.height])]) for w in weights], dtype=np.float64)

    return Statistic(weighted, np.arange(rows.height, dtype=np.int64))
