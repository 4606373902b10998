"""Recall: the rows of lowest scores are answered no, as far up as few enough of a sample of them are positives."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from fractions import Fraction
from math import log

from dreamframe.measure.accuracy import is_mostly_bad, may_be_wrong
from dreamframe.measure.certificate import Test
from dreamframe.measure.known import FALSE, TRUE, UNKNOWN, Known
from dreamframe.measure.walk import plan, tolerated

_LEAST_CHUNK = 16
_CHUNK = 4  # a next chunk is a fourth of what was looked at


def no_side(known: Known, target: float, alpha: float) -> Iterator[Sequence[int]]:
    """Ask for the rows of highest scores, then for a sample of the others, and set `known.no`.

    Let P be the positives, F those found. The promise is broken if more than (1 - target) P are lost, and then fewer than target P are found, so that more
    than (1 - target) / target F are lost: the walk is allowed that many, and the more were found, the further it goes. No positive needs to be counted
    that was not seen, and looking first where positives are likely costs nothing in certainty, since the sample is of the other rows alone.
    """
    ranked, rows = known.ranked, len(known.ranked)
    sure = surely_positive(known)
    looked = yield from _look_at_the_top(known, target, alpha, sure)
    found = sure + known.count(TRUE, known.yes)
    trust = (found - sure) / max(1e-9, float(known.chances(known.yes)[: looked - known.yes].sum())) if looked > known.yes else 1.0
    chances = (known.chances(looked)[::-1] * min(2.0, max(0.2, trust))).clip(0.0, 1.0)
    hoped = may_be_lost(target, found + 0.7 * target * float(chances.sum()))
    still = known.still
    planned = plan(chances, allowed=hoped, alpha=alpha, most=None if still == float("inf") else int(still))
    if planned is None:
        return
    sample = ranked.drawn_from(looked, rows)[: planned.drawn]
    yield sample.tolist()
    positive = sorted((place for place in sample.tolist() if known.labels[place] != FALSE), reverse=True)
    while True:
        found = sure + known.count(TRUE, known.yes)
        allowed = may_be_lost(target, found)
        c = tolerated(rows=rows - looked, allowed=allowed, drawn=len(sample), alpha=alpha)
        edge = rows if c < 0 else ranked.cut_up(positive[c] + 1) if len(positive) > c else looked
        if not is_mostly_bad(sum(place >= edge for place in positive) + (len(positive) > c), int((sample >= edge).sum())):
            known.no = min(known.no, edge)
        gap = known.unknown(looked, known.no)
        if not len(gap) or known.promise.elsewhere == "proxy" or known.still < 1:
            break
        yield gap[: int(min(known.still, max(64, len(gap) // 16)))].tolist()
    if known.promise.elsewhere == "proxy" and known.no < rows:
        known.yes = known.no
    bad = sum(place >= known.no for place in positive)
    known.tests.append(Test("recall", rows - looked, len(sample), bad, allowed, alpha, known.below_score(known.no)))


def may_be_lost(target: float, found: float) -> int:
    """How many positives may be lost where so many are found."""
    share = Fraction(repr(target))
    return int((1 - share) / share * Fraction(found))


def surely_positive(known: Known) -> int:
    """How many of the rows that the proxy answers yes are positive, if what was certified of their precision is true."""
    found, precision = known.count(TRUE, 0, known.yes), known.promise.precision
    answered = found + known.count(UNKNOWN, 0, known.yes)  # rows that the sample showed to be wrong are none of them
    return found if precision is None else max(found, answered - may_be_wrong(precision, answered))


def _look_at_the_top(known: Known, target: float, alpha: float, sure: int) -> Generator[Sequence[int], None, int]:
    """Ask about the rows of highest scores while each positive found spares more of the sample than it costs; how many rows lie above what is left."""
    ranked, rows, looked = known.ranked, len(known.ranked), known.yes
    while looked < rows:
        stop = ranked.cut_up(min(rows, looked + max(_LEAST_CHUNK, (looked - known.yes) // _CHUNK)))
        if stop - looked > known.still / 2:
            break
        yield range(looked, stop)
        hits = known.count(TRUE, looked, stop)
        allowed = 1 + (1 - target) / target * (sure + known.count(TRUE, known.yes, stop))
        share = 1 - alpha ** (1 / allowed)  # of the rows left that a sample needs which holds no positive
        spared = (rows - stop) * (1 - share) * -log(alpha) / allowed**2 * (1 - target) / target  # by each positive found
        worth, looked = (hits + 0.5) / (stop - looked) * spared, stop
        if worth < 1 - share:
            break
    return looked
