"""Intervals of figures: Wilson's for proportions, DeLong's for areas, the bootstrap (BCa) for the rest. Seeded; the same rows give the same interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CELLS = 4_000_000  # numbers of a matrix of weights that is held at once
MOST_ROWS = 5_000  # that are drawn one by one
MOST_LEFT_OUT = 2_000  # kinds of rows up to which each is left out once, to see how skew the figure is
NORMAL = NormalDist()
Scale = Literal["as it is", "log", "log of the rest", "atanh"]


def _scales() -> dict[Scale, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]]:
    """There and back."""
    import numpy as np

    return {
        "as it is": (lambda v: v, lambda v: v),
        "log": (np.log, np.exp),
        "log of the rest": (lambda v: np.log(1 - v), lambda v: 1 - np.exp(v)),
        "atanh": (np.arctanh, np.tanh),
    }


def z_of(confidence: float) -> float:
    """How many standard errors a two-sided interval reaches to each side.

    >>> round(z_of(0.95), 3)
    1.96
    """
    return NORMAL.inv_cdf(0.5 + confidence / 2)


def wilson(successes: float, trials: float, confidence: float) -> tuple[float, float]:
    """Of a proportion (Wilson 1927): of 0 and of all too, and never outside 0 to 1. Nothing is known of no trials.

    >>> low, high = wilson(8, 10, 0.95)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)
    """
    if trials <= 0:
        return math.nan, math.nan
    z, p = z_of(confidence), successes / trials
    middle = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z / (1 + z * z / trials) * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    return (0.0 if successes <= 0 else max(0.0, middle - half)), (1.0 if successes >= trials else min(1.0, middle + half))


def paired_difference(only_a: float, only_b: float, n: float, confidence: float) -> tuple[float, float]:
    """Of b minus a, of two proportions of the same n rows (Agresti and Min 2005): half a row is added to each of the four kinds of row."""
    if n <= 0:
        return math.nan, math.nan
    a, b, total = only_a + 0.5, only_b + 0.5, n + 2
    middle, half = (b - a) / total, z_of(confidence) * math.sqrt((a + b) - (b - a) ** 2 / total) / total
    return max(-1.0, middle - half), min(1.0, middle + half)


def on_logits(value: float, error: float, confidence: float, fallback: float) -> tuple[float, float]:
    """Of a figure from 0 to 1 with this standard error, symmetric in its logits; Wilson's of `fallback` rows where all or nothing is right."""
    if not 0 < value < 1 or error <= 0:
        return wilson(value * fallback, fallback, confidence)
    middle, half = math.log(value / (1 - value)), z_of(confidence) * error / (value * (1 - value))
    return 1 / (1 + math.exp(half - middle)), 1 / (1 + math.exp(-half - middle))


def bootstrap(
    weighted: Callable[[Floats], Floats], counts: Floats, value: float, confidence: float, *, seed: int, draws: int
) -> tuple[float, float]:
    """BCa (Efron 1987) over rows: `counts` rows of each kind, the figure of all is `value`. Draws without a figure are left out."""
    import numpy as np

    made = np.concatenate([weighted(w) for w in resamples(counts, seed=seed, draws=draws)])
    made = made[np.isfinite(made)]
    if len(made) < 2:
        return math.nan, math.nan
    return corrected(made, value, acceleration(weighted, counts), confidence)


def studentized(features: Floats, of: Callable[[Floats], Floats], scale: Scale, confidence: float, *, seed: int, draws: int) -> tuple[float, float]:
    """The bootstrap of a figure over its standard error (Efron 1981), on a scale on which it is nearly symmetric: it holds for errors with long tails, for
    which percentiles are too short. `features` (n, k): the figure is `of` their sums over rows."""
    import numpy as np

    features = in_blocks(features, seed=seed)
    n, k = features.shape
    there, back = _scales()[scale]
    spread = features.std(axis=0)
    steps = 1e-4 * np.where(spread > 0, spread, 0.0) * n
    crossed = (features[:, :, None] * features[:, None, :]).reshape(n, k * k)

    def of_draws(weights: Floats) -> tuple[Floats, Floats]:  # the figure and its standard error, (draws,) each
        sums = weights @ features
        slopes = np.zeros_like(sums)
        for j in np.flatnonzero(steps):
            moved = np.eye(k)[j] * steps[j]
            slopes[:, j] = (there(of(sums + moved)) - there(of(sums - moved))) / (2 * steps[j])
        inner = (weights @ crossed).reshape(-1, k, k) - sums[:, :, None] * sums[:, None, :] / n
        return there(of(sums)), np.sqrt(np.maximum(np.einsum("bj,bjl,bl->b", slopes, inner, slopes), 0.0))

    with np.errstate(all="ignore"):
        value, error = (float(v[0]) for v in of_draws(np.ones((1, n))))
        made = [of_draws(w) for w in resamples(np.ones(n), seed=seed, draws=draws)]
        pivots = np.concatenate([(v - value) / e for v, e in made])
        pivots = pivots[np.isfinite(pivots)]
        if len(pivots) < 2 or not math.isfinite(value) or not error > 0:
            return (float(back(np.array(value))),) * 2 if n > 1 and error == 0 and math.isfinite(value) else (math.nan, math.nan)
        tail = (1 - confidence) / 2
        ends = np.array([value - error * np.quantile(pivots, 1 - tail), value - error * np.quantile(pivots, tail)])
        low, high = sorted(float(v) for v in back(ends))
    return low, high


def in_blocks(features: Floats, *, seed: int) -> Floats:
    """Of very many rows the sums of blocks of them, put together at random: to draw blocks is to draw rows."""
    import numpy as np

    if len(features) <= MOST_ROWS:
        return features
    order = np.random.default_rng(seed).permutation(len(features))
    starts = np.linspace(0, len(features), MOST_ROWS, endpoint=False).astype(np.int64)
    return np.asarray(np.add.reduceat(features[order], starts, axis=0))


def corrected(made: Floats, value: float, skewness: float, confidence: float) -> tuple[float, float]:
    """The percentiles of the draws, corrected for bias and skewness."""
    import numpy as np

    below = (np.count_nonzero(made < value) + 0.5 * np.count_nonzero(made == value)) / len(made)
    bias = NORMAL.inv_cdf(min(max(below, 0.5 / len(made)), 1 - 0.5 / len(made)))
    found = []
    for z in (-z_of(confidence), z_of(confidence)):
        moved = 1 - skewness * (bias + z)
        share = NORMAL.cdf(bias + (bias + z) / moved) if moved > 0 else (0.0 if z < 0 else 1.0)
        found.append(float(np.quantile(made, min(max(share, 0.0), 1.0))))
    return found[0], found[1]


def acceleration(weighted: Callable[[Floats], Floats], counts: Floats) -> float:
    """How skew a figure is: by leaving out a row of each kind; 0 where these are too many."""
    import numpy as np

    present = np.flatnonzero(counts)
    if len(present) > MOST_LEFT_OUT or counts.sum() < 3:
        return 0.0
    parts = []
    for held in np.array_split(present, max(1, len(present) * len(counts) // CELLS)):
        weights = np.repeat(counts[None, :], len(held), axis=0)
        weights[np.arange(len(held)), held] -= 1
        parts.append(weighted(weights))
    left_out, times = np.concatenate(parts), counts[present]
    is_known = np.isfinite(left_out)
    left_out, times = left_out[is_known], times[is_known]
    if not len(left_out):
        return 0.0
    off = np.average(left_out, weights=times) - left_out
    spread = float(np.sum(times * off**2)) ** 1.5
    return float(np.sum(times * off**3)) / (6 * spread) if spread > 1e-300 else 0.0


def resamples(counts: Floats, *, seed: int, draws: int) -> Iterator[Floats]:
    """How often each kind of row is in each of `draws` samples of as many rows with replacement, (some draws, kinds) at a time."""
    import numpy as np

    n, generator = int(counts.sum()), np.random.default_rng(seed)
    at_once = max(1, CELLS // max(n, len(counts)))
    for first in range(0, draws, at_once):
        size = min(at_once, draws - first)
        if len(counts) * 4 <= n:
            yield generator.multinomial(n, counts / n, size=size).astype(np.float64)
            continue
        kinds = np.repeat(np.arange(len(counts)), counts.astype(np.int64))
        yield counted(kinds[generator.integers(0, n, size=(size, n))], len(counts))


def counted(drawn: NDArray[np.int64], n_kinds: int) -> Floats:
    """How often each kind stands in each row of a matrix, (rows, kinds)."""
    import numpy as np

    offset = drawn + (np.arange(len(drawn)) * n_kinds)[:, None]
    return np.bincount(offset.ravel(), minlength=len(drawn) * n_kinds).reshape(len(drawn), n_kinds).astype(np.float64)
