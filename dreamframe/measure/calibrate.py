"""From how sure a model says it is to how often it is right: fitted to labelled rows, the same whatever their order."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Method = Literal["platt", "isotonic"]
EDGE = 1e-6  # probabilities nearer to 0 or 1 count as this far from it: the logarithm of their odds has an end
RIDGE = 1e-6  # pulls towards "as it says" what the rows leave open, as where all of them are equally sure
FAR = 500.0  # a logarithm of odds beyond which nothing changes any more
STEPS = 100
SHORTEST = 1e-15  # share of a step of Newton's that is tried: far from the fit, where the curve is all but straight, whole ones go much too far
DIGITS = 10  # that are kept of what is fitted: machines differ in the last ones


@dataclass(frozen=True)
class Calibration:
    """What was fitted: straight in the logarithm of the odds ("platt"), or rising by steps ("isotonic")."""

    kind: Method
    slope: float = 1.0
    offset: float = 0.0
    at: tuple[float, ...] = ()  # probabilities, rising, and what each of them comes to; between them a straight line
    to: tuple[float, ...] = ()

    def of(self, probabilities: Sequence[float]) -> list[float]:
        """How often a model that is so sure is right.

        >>> Calibration("platt", slope=0.5).of([0.5, 0.8])
        [0.5, 0.6666666666666666]
        """
        import numpy as np

        given = np.asarray(probabilities, dtype=np.float64)
        if self.kind == "isotonic":
            return list(map(float, np.interp(given, self.at, self.to)))
        return list(map(float, _share(self.slope * _log_odds(given) + self.offset)))


def fitted(probabilities: Sequence[float], is_right: Sequence[bool], method: Method) -> Calibration:
    """The calibration of labelled rows.

    "platt" is a logistic regression on the logarithm of the odds, its targets a little inside 0 and 1, so that few rows are not believed too much (Platt
    1999, by Newton's method as Lin, Lin and Weng 2007): two numbers, from some dozen rows on. "isotonic" is the rising curve nearest to the rows (pool
    adjacent violators): any shape, from some hundreds of rows on.

    >>> fitted([0.9] * 10, [True] * 6 + [False] * 4, "platt").of([0.9])[0] < 0.65
    True
    """
    import numpy as np

    p, right = np.asarray(probabilities, dtype=np.float64), np.asarray(is_right, dtype=np.float64)
    order = np.lexsort((right, p))  # sums of the same numbers in another order differ in their last digits
    return _isotonic(p[order], right[order]) if method == "isotonic" else _platt(p[order], right[order])


def _platt(p: NDArray[np.float64], right: NDArray[np.float64]) -> Calibration:
    import numpy as np

    x, n_right = _log_odds(p), right.sum()
    target = np.where(right > 0, (n_right + 1) / (n_right + 2), 1 / (len(right) - n_right + 2))
    slope, offset = 1.0, 0.0

    def loss(slope: float, offset: float) -> float:
        z = slope * x + offset
        return float((np.logaddexp(0.0, z) - target * z).sum()) + RIDGE * ((slope - 1.0) ** 2 + offset**2) / 2

    now = loss(slope, offset)
    for _ in range(STEPS):
        q = _share(slope * x + offset)
        w, left = q * (1.0 - q), q - target
        down = (float((left * x).sum()) + RIDGE * (slope - 1.0), float(left.sum()) + RIDGE * offset)
        a, b, d = float((w * x * x).sum()) + RIDGE, float((w * x).sum()), float(w.sum()) + RIDGE
        step = ((d * down[0] - b * down[1]) / (a * d - b * b), (a * down[1] - b * down[0]) / (a * d - b * b))
        share = 1.0
        while (then := loss(slope - share * step[0], offset - share * step[1])) > now and share > SHORTEST:
            share /= 2
        if then >= now:
            break
        slope, offset, now = slope - share * step[0], offset - share * step[1], then
    return Calibration("platt", slope=_rounded(slope), offset=_rounded(offset))


def _isotonic(p: NDArray[np.float64], right: NDArray[np.float64]) -> Calibration:
    import numpy as np

    values, first, counts = np.unique(p, return_index=True, return_counts=True)
    sums = np.add.reduceat(right, first)
    blocks: list[tuple[float, int, float, float]] = []  # right, rows, lowest and highest probability
    for value, total, n in zip(values.tolist(), sums.tolist(), counts.tolist(), strict=True):
        block = (total, n, value, value)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2], block[3])
        blocks.append(block)
    ends = [(at, _rounded(total / n)) for total, n, low, high in blocks for at in ((low, high) if low < high else (low,))]
    return Calibration("isotonic", at=tuple(at for at, _ in ends), to=tuple(to for _, to in ends))


def _log_odds(p: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    inside = np.clip(p, EDGE, 1.0 - EDGE)
    return np.log(inside) - np.log1p(-inside)


def _share(z: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    return 1.0 / (1.0 + np.exp(-np.clip(z, -FAR, FAR)))


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else value
