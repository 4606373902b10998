"""Samples without replacement from rows of two kinds, good and bad: tails of the hypergeometric distribution, and the wealth of a bet against a count."""

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


def log_wealth(bad_drawn: float, drawn: float, *, rows: int, bad: int, prior: tuple[float, float]) -> float:
    """The log of what a bet against "at least `bad` of `rows` rows are bad" has won after `drawn` rows; -inf while the rows drawn speak for it.

    The stake on each row is set by the share of bad rows so far under a beta prior. The product of all stakes has a closed form, so that a row costs O(1)
    at any count of bad rows, and the order of the rows drawn does not matter. Under the true count it is 1 at the start and at all times in expectation,
    and it only grows with the count once that is above what the rows drawn make likeliest: whoever stops when it reaches 1/alpha errs with probability
    alpha at most, whenever that is (Ville), and may choose `bad` by what was drawn.
    Waudby-Smith & Ramdas, "Confidence sequences for sampling without replacement" (2020), with a beta-binomial prior.

    >>> log_wealth(0, 28, rows=10_000, bad=1_000, prior=(0.25, 10.0)) > 2.2, log_wealth(28, 28, rows=10_000, bad=1_000, prior=(0.25, 10.0))
    (True, -inf)
    """
    good, good_drawn = rows - bad, drawn - bad_drawn
    if bad_drawn * (rows + 1) > bad * drawn:
        return -inf
    if good_drawn > good:
        return inf  # fewer bad rows are left than that
    a, b = prior
    likely = lgamma(bad + 1) - lgamma(bad - bad_drawn + 1) + lgamma(good + 1) - lgamma(good - good_drawn + 1) - lgamma(rows + 1) + lgamma(rows - drawn + 1)
    mixed = lgamma(a + bad_drawn) + lgamma(b + good_drawn) - lgamma(a + b + drawn) - lgamma(a) - lgamma(b) + lgamma(a + b)
    return mixed - likely
