"""Samples without replacement from rows of two kinds, good and bad: tails of the hypergeometric distribution."""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, lgamma


def _choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) if 0 <= k <= n else -inf


def at_most(c: int, *, rows: int, bad: int, drawn: int) -> float:
    """The probability that `drawn` of `rows` rows, drawn without replacement, hold at most `c` of the `bad` ones.

    >>> round(at_most(0, rows=10, bad=2, drawn=5), 4)
    0.2222
    """
    if c >= min(bad, drawn):
        return 1.0
    others = rows - bad - drawn  # more than 0 unless some bad rows have to be drawn
    if c + others < 0:
        return 0.0
    term = total = exp(_choose(bad, c) + _choose(rows - bad, drawn - c) - _choose(rows, drawn))
    for x in range(c, 0, -1):
        term *= x * (others + x) / ((bad - x + 1) * (drawn - x + 1))
        total += term
    return min(1.0, total)


@lru_cache(4096)
def least_drawn(c: int, *, rows: int, bad: int, alpha: float) -> int | None:
    """The fewest rows to draw so that at most `c` of the `bad` ones are among them with probability `alpha` or less; None where not even all rows are.

    >>> least_drawn(0, rows=10_000, bad=1_000, alpha=0.05)
    29
    """
    if bad > rows or c >= bad:
        return None
    low, high = c, rows  # at_most(low) > alpha >= at_most(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if at_most(c, rows=rows, bad=bad, drawn=middle) <= alpha else (middle, high)
    return high
