"""Figures of scores and probabilities: ROC-AUC, average precision, calibration error, Brier score and log loss."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.measure import intervals
from dreamframe.measure.labels import alike
from dreamframe.measure.numeric import ratio
from dreamframe.measure.statistic import Statistic, Sums, additive, divided, of_sums

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


PROBABILITIES = ("expected_calibration_error", "brier", "log_loss")
KINDS = ("roc_auc", "average_precision", *PROBABILITIES)


def of(kind: str, rows: pl.DataFrame, columns: Sequence[str], *, where: str, pos_label: Any, prediction: str | None = None, bins: int = 10) -> Statistic:
    """A figure of scores, or of probabilities."""
    score, event, *counts = scored(rows, columns[0], columns[1], pos_label=pos_label, prediction=prediction, where=where)
    if kind in PROBABILITIES:
        need_probabilities(score, column=columns[0], where=where)
    if kind == "expected_calibration_error":
        return calibration_error(score, event, *counts, bins=bins)
    return {"roc_auc": roc_auc, "average_precision": average_precision, "brier": brier, "log_loss": log_loss}[kind](score, event, *counts)


def scored(rows: pl.DataFrame, score: str, gold: str, *, pos_label: Any, prediction: str | None, where: str) -> tuple[Floats, Floats, int, int]:
    """Score and truth (0 or 1) of the rows that have both; how many lack the score, and how many the truth."""
    known = rows.filter(pl.col(gold).is_not_null())
    if prediction is not None:
        held = alike(known, prediction, gold)
        event = held[prediction] == held[gold]
    else:
        event = _event(known[gold], pos_label, where)
    held = known.select(pl.col(score).cast(pl.Float64).fill_nan(None).alias("score"), event.alias("event"))
    whole = held.drop_nulls()
    return whole["score"].to_numpy(), whole["event"].cast(pl.Float64).to_numpy(), held.height - whole.height, rows.height - known.height


def _event(gold: pl.Series, pos_label: Any, where: str) -> pl.Series:
    if pos_label is not None:
        told = gold.cast(pl.String) if isinstance(pos_label, str) else gold
        return pl.select(told == pos_label).to_series()
    if gold.dtype == pl.Boolean:
        return gold
    if gold.dtype.is_numeric() and set(gold.unique().to_list()) <= {0, 1}:
        return gold == 1
    seen = ", ".join(repr(v) for v in gold.unique().sort().head(6).to_list())
    raise SettingError(f"{where}: {gold.name!r} has the values {seen}; say pos_label= of one of them.")


def need_probabilities(values: Floats, *, column: str, where: str) -> None:
    """Raise SettingError for a number that is no probability."""
    outside = values[(values < 0) | (values > 1)]
    if len(outside):
        raise SettingError(f"{where}: {column!r} has {outside[0]:g} in it, and a probability is from 0 to 1.")


def roc_auc(score: Floats, event: Floats, n_missing: int, n_unknown: int) -> Statistic:
    """How often a positive row has a higher score than a negative one; equal scores count half."""
    import numpy as np

    places, order, starts = _sorted(score)

    def weighted(weights: Floats) -> Floats:
        positive = np.add.reduceat((weights * event)[:, order], starts, axis=1)
        negative = np.add.reduceat((weights * (1 - event))[:, order], starts, axis=1)
        wins = (positive * (np.cumsum(negative, axis=1) - negative / 2)).sum(axis=1)
        total = positive.sum(axis=1) * negative.sum(axis=1)
        return divided(wins, total)

    n_positive, n_negative = float(event.sum()), float((1 - event).sum())
    if not n_positive or not n_negative:
        return Statistic(_undefined, places, n_missing, n_unknown, note="one class alone" if len(event) else "")

    def closed(confidence: float) -> tuple[float, float]:
        value = float(weighted(np.ones((1, len(score))))[0])
        return intervals.on_logits(value, _delong(score, event), confidence, min(n_positive, n_negative))

    return Statistic(weighted, places, n_missing, n_unknown, in_closed_form=closed, method="DeLong")


def _sorted(score: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The kinds of rows, their order by score, and where in it each score begins."""
    import numpy as np

    order = np.argsort(score, kind="stable")
    held = score[order]
    starts = np.flatnonzero(np.concatenate([[True], held[1:] != held[:-1]])) if len(held) else np.zeros(0, dtype=np.int64)
    return np.arange(len(score), dtype=np.int64), order, starts


def _undefined(weights: Floats) -> Floats:
    import numpy as np

    return np.full(len(weights), np.nan)


def _delong(score: Floats, event: Floats) -> float:
    """The standard error of the area (DeLong, DeLong and Clarke-Pearson 1988)."""
    import numpy as np

    positive, negative = np.sort(score[event == 1]), np.sort(score[event == 0])
    if len(positive) < 2 or len(negative) < 2:
        return 0.0

    def place(values: Floats, among: Floats) -> Floats:
        return (np.searchsorted(among, values, "left") + np.searchsorted(among, values, "right")) / (2 * len(among))

    return math.sqrt(np.var(place(positive, negative), ddof=1) / len(positive) + np.var(place(negative, positive), ddof=1) / len(negative))


def average_precision(score: Floats, event: Floats, n_missing: int, n_unknown: int) -> Statistic:
    """The mean of the precision at each threshold, weighted by the recall that it adds."""
    import numpy as np

    places, order, starts = _sorted(-score)

    def weighted(weights: Floats) -> Floats:
        positive = np.add.reduceat((weights * event)[:, order], starts, axis=1)
        every = np.add.reduceat(weights[:, order], starts, axis=1)
        reached = np.cumsum(every, axis=1)
        precision = np.divide(np.cumsum(positive, axis=1), reached, out=np.zeros_like(reached), where=reached > 0)
        return divided((precision * positive).sum(axis=1), positive.sum(axis=1))

    if not event.sum():
        return Statistic(_undefined, places, n_missing, n_unknown, note="no positive row" if len(event) else "")
    return Statistic(weighted, places, n_missing, n_unknown)


def brier(probability: Floats, event: Floats, n_missing: int, n_unknown: int) -> Statistic:
    """The mean of the squared distance from what came true."""
    import numpy as np

    return of_sums(Sums(np.column_stack([np.ones_like(event), (probability - event) ** 2]), ratio, "log"), n_missing=n_missing, n_unknown=n_unknown)


def log_loss(probability: Floats, event: Floats, n_missing: int, n_unknown: int) -> Statistic:
    """The mean of minus the logarithm of the probability of what came true."""
    import numpy as np

    held = np.clip(probability, np.finfo(np.float64).eps, 1 - np.finfo(np.float64).eps)
    lost = -np.where(event == 1, np.log(held), np.log1p(-held))
    return of_sums(Sums(np.column_stack([np.ones_like(event), lost]), ratio, "log"), n_missing=n_missing, n_unknown=n_unknown)


def calibration_error(probability: Floats, event: Floats, n_missing: int, n_unknown: int, *, bins: int) -> Statistic:
    """How far the mean probability of a bin is from the share that came true, weighted by rows (Naeini et al. 2015); bins of equal width.

    It is never 0 by chance: of a calibrated model it is too large. The interval is of the error without that: see `_without_bias`.
    """
    import numpy as np

    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    inside = np.eye(bins)[place]  # (n, bins)
    features = np.concatenate([np.ones((len(event), 1)), inside * (event - probability)[:, None]], axis=1)

    def of(sums: Floats) -> Floats:
        return divided(np.abs(sums[..., 1:]).sum(axis=-1), sums[..., 0])

    weighted, kinds = additive(features, of)

    def closed(confidence: float) -> tuple[float, float]:
        return _without_bias(place, probability, event, bins, confidence)

    return Statistic(weighted, kinds, n_missing, n_unknown, in_closed_form=closed, method="without bias")


def _without_bias(place: NDArray[np.int64], probability: Floats, event: Floats, bins: int, confidence: float) -> tuple[float, float]:
    """The errors for which the one that was seen is no surprise: the gaps of the bins are taken to be as they were seen, but for their size, and chance adds
    to each what makes its absolute value a folded normal. A model without gaps shows an error above 0, so the interval begins at 0 where there may be none."""
    import numpy as np

    n = np.bincount(place, minlength=bins).astype(np.float64)
    is_full = n > 0
    n, share = n[is_full], n[is_full] / len(place)
    said = np.bincount(place, probability, minlength=bins)[is_full] / n
    true = np.bincount(place, event, minlength=bins)[is_full] / n
    gaps = np.abs(true - said)
    smoothed = (true * n + said) / (n + 1)  # a bin of one row has a spread too
    error = np.sqrt(smoothed * (1 - smoothed) / n) + 1e-12
    seen, z = float((share * gaps).sum()), intervals.z_of(confidence)
    if seen <= 0:
        return 0.0, min(1.0, z * float(np.sqrt(((share * error) ** 2).sum())))

    def would_show(size: float, side: float) -> float:
        """The error that a model with gaps of this size shows, `side` standard deviations from its mean."""
        held = size * gaps
        ratio = held / error
        tails = np.array([math.erf(r / math.sqrt(2)) for r in ratio])
        mean = error * math.sqrt(2 / math.pi) * np.exp(-(ratio**2) / 2) + held * tails
        spread = held**2 + error**2 - mean**2
        return float((share * mean).sum()) + side * math.sqrt(max(0.0, float((share**2 * spread).sum())))

    low, high = (_root(partial(would_show, side=side), seen) for side in (z, -z))
    return min(low * seen, seen), min(1.0, max(high * seen, seen))


def _root(rising: Callable[[float], float], goal: float) -> float:
    """Where a rising function reaches a goal, from 0 on."""
    if rising(0.0) >= goal:
        return 0.0
    low, high = 0.0, 1.0
    while rising(high) < goal and high < 1e9:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < goal else (low, middle)
    return (low + high) / 2
