"""Precision: rows of the highest scores are answered yes, threshold after threshold downwards, until one cannot be shown to be precise."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from math import log

from dreamframe.measure.accuracy import may_be_wrong
from dreamframe.measure.certificate import Test
from dreamframe.measure.known import TRUE, UNKNOWN, Known
from dreamframe.measure.odds import log_wealth

_GROWTH = 1.25  # of the rows above one threshold and the next


def yes_side(known: Known, target: float, alpha: float) -> Iterator[Sequence[int]]:
    """Ask for samples of the rows above each threshold and set `known.yes`.

    Fixed-sequence testing: each threshold is tested at all of alpha, and the first that fails ends it, so that the first imprecise one would have to pass.
    Rows that were drawn above a higher threshold count again: the first rows of one order are a sample of whatever rows are looked at.
    """
    ranked, cut = known.ranked, known.ranked.cut_up(1)
    while cut and not Bet(cut, may_be_wrong(target, cut), alpha).can_win(0, 0, cut // 2):
        cut = 0 if cut == len(ranked) else ranked.cut_up(max(cut + 1, int(cut * _GROWTH)))  # too few rows for a test that saves any
    while cut > known.yes:
        bet = Bet(cut, may_be_wrong(target, cut), alpha)
        drawn, bad, won = yield from _test(known, bet, cut)
        known.tests.append(Test("precision", cut, drawn, bad, bet.allowed, alpha, known.from_score(cut) if won else None))
        if not won:
            return
        known.yes = cut
        cut = ranked.cut_up(max(cut + 1, int(cut * _GROWTH)))


def _test(known: Known, bet: Bet, cut: int) -> Generator[Sequence[int], None, tuple[int, int, bool]]:
    """Draw rows above a cut until the bet is won, or has too little left to win: rows drawn, bad ones among them, and whether it is won."""
    places = known.ranked.drawn_from(0, cut)
    drawn = bad = 0
    while True:
        while drawn < cut and (label := known.labels[places[drawn]]) != UNKNOWN:
            drawn, bad = drawn + 1, bad + (label != TRUE)
            if bet.log_wealth(bad, drawn) >= bet.goal:
                return drawn, bad, True
        most = int(min(cut // 2 - drawn, known.still, _worth(known, cut) if known.yes else cut))
        more = bet.least_more(bad, drawn, most)
        if more is None or not bet.can_win(bad, drawn, most):
            return drawn, bad, False
        yield places[drawn : drawn + more].tolist()


def _worth(known: Known, cut: int) -> float:
    """How many rows may be drawn above a cut for it to save more strong calls than the one before it."""
    gain = known.count(UNKNOWN, known.yes, cut)
    return gain * cut / known.yes


class Bet:
    """A bet against "more than `allowed` of `rows` rows are bad", that a row drawn costs O(1)."""

    def __init__(self, rows: int, allowed: int, alpha: float) -> None:
        self.rows, self.allowed, self.goal = rows, allowed, -log(alpha)
        self.prior = (0.25, 0.25 * 4 * rows / (allowed + 1))  # a fifth of what is bet against, loosely held

    def log_wealth(self, bad: float, drawn: float) -> float:
        return log_wealth(bad, drawn, rows=self.rows, bad=self.allowed + 1, prior=self.prior)

    def least_more(self, bad: int, drawn: int, most: int) -> int | None:
        """How many more rows have to be drawn to win if all are good: fewer need not be asked for. None where `most` are too few."""
        if most < 1 or self.log_wealth(bad, drawn + most) < self.goal:
            return None
        low, high = 0, most
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self.log_wealth(bad, drawn + middle) >= self.goal else (middle, high)
        return high

    def can_win(self, bad: int, drawn: int, most: int) -> bool:
        """Whether `most` more rows win it if they are as often bad as those drawn."""
        a, b = self.prior
        rate = (a + bad) / (a + b + drawn)
        return rate * self.rows < self.allowed + 1 and self.log_wealth(bad + rate * most, drawn + most) >= self.goal
