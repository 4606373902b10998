"""How far one may walk down ranked rows before a sample of them says stop: all thresholds at once, exact for every number of rows.

Some rows are bad (a wrong answer, a positive that would be lost). Rows are walked in a fixed order; `drawn` of them were drawn without replacement and are
known. Claim: with probability 1 - alpha no stretch from the start holds at most `c` bad rows among those drawn and more than `allowed` bad rows that were
not, if a sample holds at most `c` of `allowed + 1 + c` given rows with probability alpha or less. For take the first `allowed + 1 + c` bad rows of the walk:
a stretch that breaks the claim holds at least all of them but those that the sample has, so the sample holds at most `c` of them, and which rows they are
does not depend on the sample. Hence one test serves every threshold, undivided, and the bad rows drawn, which are put right, count for us.
The argument is that of SUPG's and BARGAIN's ranks of the sampled positives (Kang et al. 2020, Zeighami et al. 2025), with both counts exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from dreamframe.measure.odds import at_most, least_drawn

TOLERATED = (0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 48, 64, 85, 113, 150)
_TRUST = ((1.0, 0.1), (1.5, 0.5), (2.5, 0.25))  # a plan is the mean over proxies that are bad so many times as often as scored, of which a share anywhere
_LEAST_SAVED = 0.98  # of the rows: a plan that asks about more is none
_POINTS = 256


def tolerated(*, rows: int, allowed: int, drawn: int, alpha: float) -> int:
    """The most bad rows `c` that the sample may hold; -1 where nothing is certain, `drawn` where no sample can speak against it."""
    for c in range(drawn):
        if allowed + 1 + c > rows:
            break
        if at_most(c, rows=rows, bad=allowed + 1 + c, drawn=drawn) > alpha:
            return c - 1
    return drawn if drawn else -1


@dataclass(frozen=True)
class Plan:
    """How many rows to draw, and how many of all rows the strong model will then be asked about, as far as scores can tell."""

    drawn: int
    asked: float


def plan(bad: Any, *, allowed: int, alpha: float, most: int | None) -> Plan | None:
    """The cheapest sample; None where none saves a strong call. `bad` is (rows,) each row's probability of being bad, in the order of the walk.

    It may look at scores and at labels of other rows, never at labels of rows that the sample may hold: then what is claimed of the sample holds.
    """
    import numpy as np

    rows, best = len(bad), None
    if not rows:
        return None
    ends = np.linspace(1, rows, min(rows, _POINTS)).astype(np.int64)
    widths, until = np.diff(ends, prepend=0), np.cumsum(bad)[ends - 1]
    curves = [often * ((1 - flat) * until + flat * until[-1] * ends / rows) for often, flat in _TRUST]
    for c in TOLERATED:
        drawn = least_drawn(c, rows=rows, bad=allowed + 1 + c, alpha=alpha)
        if drawn is None or (most is not None and drawn > most) or (best is not None and drawn >= best.asked):
            break
        share = drawn / rows
        reached = sum(float(np.sum(widths * poisson(c, share * curve))) for curve in curves) / len(curves)
        asked = rows - (1 - share) * reached
        if asked < (rows * _LEAST_SAVED if best is None else best.asked):
            best = Plan(drawn, asked)
    return best


def poisson(c: int, mean: Any) -> Any:
    """The probability of at most `c` events, for each mean: what a plan takes a sample for."""
    import numpy as np

    term = np.exp(-mean)
    total = term.copy()
    for k in range(1, c + 1):
        term = term * mean / k
        total += term
    return total


@cache
def poisson_mean(c: int, alpha: float) -> float:
    """The mean at which at most `c` events have probability `alpha`."""
    low, high = 0.0, 2.0 * c + 100.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if poisson(c, middle) <= alpha else (middle, high)
    return high
