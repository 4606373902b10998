"""Accuracy: the rows of highest confidence keep the proxy's answer, as far down as few enough of a sample of all rows are wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction

from dreamframe.measure.certificate import Test
from dreamframe.measure.known import TRUE, Known
from dreamframe.measure.walk import plan, tolerated


def may_be_wrong(target: float, rows: float) -> int:
    """How many of some rows may be wrong: 0.9 of 1,000 leaves 100, as it is written and not as binary fractions have it."""
    return int((1 - Fraction(repr(target))) * Fraction(rows))


def own_answers(known: Known, target: float, alpha: float) -> Iterator[Sequence[int]]:
    """Ask for a sample of all rows and set `known.own`. The target is of all rows: those that the strong model answers are right by definition."""
    ranked, rows = known.ranked, len(known.ranked)
    allowed = may_be_wrong(target, known.rows)
    planned = plan(1.0 - known.chances(), allowed=allowed, alpha=alpha, most=known.promise.labels)
    if planned is None:
        return
    sample = ranked.drawn_from(0, rows)[: planned.drawn]
    yield sample.tolist()
    c = tolerated(rows=rows, allowed=allowed, drawn=len(sample), alpha=alpha)
    wrong = sorted(place for place in sample.tolist() if known.labels[place] != TRUE)
    known.own = ranked.cut_down(wrong[c] if len(wrong) > c >= 0 else rows if c >= 0 else 0)
    if is_mostly_bad(sum(place < known.own for place in wrong) + (len(wrong) > c), int((sample < known.own).sum())):
        known.own = 0
    known.tests.append(Test("accuracy", rows, len(sample), sum(place < known.own for place in wrong), allowed, alpha, known.from_score(known.own)))


def is_mostly_bad(bad: int, drawn: int) -> bool:
    """Whether a proxy is no better than a coin where it is allowed to decide: a promise might bear it, but who promises wants no rows answered wrong."""
    return 2 * bad > max(1, drawn)
