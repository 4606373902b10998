"""A figure of rows that can be computed on any resample of them, and its interval."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dreamframe.measure import intervals

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]
    Weighted = Callable[[Floats], Floats]  # how often each kind of row is drawn (draws, kinds) → the figure of each draw (draws,)

FEW = 30  # rows: an interval of fewer rests on little


@dataclass(frozen=True)
class Sums:
    """A figure as a function of sums over rows: features (n, k), `of` (draws, k) sums → (draws,) figures, and the scale on which it is nearly symmetric."""

    features: Floats
    of: Callable[[Floats], Floats]
    scale: intervals.Scale = "as it is"


@dataclass(frozen=True)
class Statistic:
    """What a metric made of rows. Rows that are alike to it are of one kind: `kinds` says for each row of which, (n,)."""

    weighted: Weighted  # NaN where it is not defined
    kinds: Ints
    n_missing: int = 0  # rows without a prediction
    n_unknown: int = 0  # rows without the truth, which are left out
    sums: Sums | None = None  # where it is a function of sums over rows, each of its own kind
    in_closed_form: Callable[[float], tuple[float, float]] | None = None  # confidence → low, high
    method: str = "bootstrap"
    note: str = ""
    is_share: bool = False  # whether it is from 0 to 1, and 1 where every row is right

    @property
    def n(self) -> int:
        """Rows that it is of."""
        return len(self.kinds)

    @property
    def value(self) -> float | None:
        """The figure; None where it is not defined, as of no rows."""
        return finite(float(self.weighted(self.counts()[None, :])[0])) if self.n else None

    @property
    def is_slow(self) -> bool:
        """Whether each resample takes a walk over very many rows: of a figure that is no sum over rows, and whose rows are not of a few kinds."""
        has_short_cut = self.in_closed_form is not None or self.sums is not None
        return not has_short_cut and self.n > intervals.MOST_ROWS and int(self.kinds.max()) * 4 > self.n

    def counts(self, kinds: Ints | None = None) -> Floats:
        """Rows of each kind."""
        import numpy as np

        held = self.kinds if kinds is None else kinds
        return np.bincount(held, minlength=int(self.kinds.max()) + 1).astype(np.float64)

    def interval(self, confidence: float, *, seed: int, draws: int) -> tuple[float | None, float | None]:
        """Where the figure of all such rows lies, with this confidence; None where nothing can be said."""
        value = self.value
        if value is None:
            return None, None
        if self.in_closed_form is not None:
            low, high = self.in_closed_form(confidence)
        elif self.sums is not None:
            low, high = intervals.studentized(self.sums.features, self.sums.of, self.sums.scale, confidence, seed=seed, draws=draws)
        else:
            low, high = intervals.bootstrap(self.weighted, self.counts(), value, confidence, seed=seed, draws=draws)
        if low == high:  # rows that do not differ say nothing of rows that were not drawn
            low, high = intervals.wilson(value * self.n, self.n, confidence) if self.is_share and value in (0, 1) else (math.nan, math.nan)
        return finite(low), finite(high)


def finite(value: float) -> float | None:
    """A number; None for one that is not finite."""
    return value if math.isfinite(value) else None


def divided(over: Floats, under: Floats, otherwise: float = math.nan) -> Floats:
    """A ratio; `otherwise` where nothing is below."""
    import numpy as np

    return np.asarray(np.divide(over, under, out=np.full(np.shape(over), otherwise), where=np.abs(under) > 1e-12))


def of_sums(sums: Sums, *, n_missing: int = 0, n_unknown: int = 0, note: str = "") -> Statistic:
    """A figure that is a function of sums over rows."""
    weighted, kinds = additive(sums.features, sums.of)
    return Statistic(weighted, kinds, n_missing, n_unknown, sums, note=note)


def additive(features: Floats, of: Callable[[Floats], Floats]) -> tuple[Weighted, Ints]:
    """`weighted` and `kinds` of a figure that is a function of sums over rows: features (n, k), `of` (draws, k) sums → (draws,) figures."""
    import numpy as np

    return (lambda weights: of(weights @ features)), np.arange(len(features), dtype=np.int64)
