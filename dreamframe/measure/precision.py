"""Precision: the rows of highest scores are answered yes, as far down as few enough of a sample of them are not positive."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dreamframe.measure.accuracy import may_be_wrong
from dreamframe.measure.certificate import Test
from dreamframe.measure.known import TRUE, UNKNOWN, Known
from dreamframe.measure.odds import least_drawn
from dreamframe.measure.walk import TOLERATED, poisson, poisson_mean, tolerated

_FIRST = 30  # labels that the plan of the sample is made from
_TRUST = (1.0, 1.4)  # a plan is the mean over proxies that are wrong so many times as often as the first labels say
_HOPES = ((0.5, 1.0), (0.3, 0.7), (0.2, 0.45))  # shares of alpha, and of the planned rows that each of three tests wants to answer yes
_FRAME = 1.5  # rows that a sample is drawn from, for each row that is hoped to be answered yes
_SIZES = 24


def yes_side(known: Known, target: float, alpha: float) -> Iterator[Sequence[int]]:
    """Ask for a few labels to plan by, then for a sample of other rows of high scores, and set `known.yes`.

    The number of wrong rows that may be left is fixed before the sample is drawn, so that any stretch of the walk that the sample allows is good for it;
    it is certified if it is long enough for that number to be (1 - target) of it at most. Three such numbers share alpha, since scores may be too sure.
    """
    ranked = known.ranked
    frame = within_reach(known, target)
    if frame < 2 * _FIRST or known.still < _FIRST:
        return
    first = ranked.drawn_from(0, frame)[:_FIRST]
    yield first.tolist()
    wrong = 1.0 - known.chances()[:frame]
    first_wrong = sum(known.labels[place] != TRUE for place in first.tolist())
    wrong = (wrong * max(0.1, (first_wrong + 0.5) / (float(wrong[first].sum()) + 0.5))).clip(0.0, 1.0)
    planned = _plan(known, wrong, target, alpha)
    if planned is None:
        return
    size, stop, drawn = planned
    others = [place for place in ranked.drawn_from(0, stop).tolist() if known.labels[place] == UNKNOWN]
    sample = others[:drawn]
    yield sample
    bad = sorted(place for place in sample if known.labels[place] != TRUE)
    for share, hoped in _HOPES:
        allowed = may_be_wrong(target, hoped * size)
        c = tolerated(rows=len(others), allowed=allowed, drawn=len(sample), alpha=share * alpha)
        end = ranked.cut_down(bad[c] if len(bad) > c >= 0 else stop if c >= 0 else 0)
        answered = known.count(UNKNOWN, 0, end) + known.count(TRUE, 0, end)
        good = end > known.yes and may_be_wrong(target, answered) >= allowed
        known.yes = end if good else known.yes
        found = sum(place < end for place in bad)
        known.tests.append(Test("precision", len(others), len(sample), found, allowed, share * alpha, known.from_score(end) if good else None))
    if known.promise.elsewhere == "proxy" and known.yes:
        known.no = known.yes


def within_reach(known: Known, target: float) -> int:
    """How many rows of the highest scores could be answered yes, as far as the scores can tell."""
    import numpy as np

    chances = known.chances()
    means = np.cumsum(chances) / np.arange(1, len(chances) + 1)
    return known.ranked.cut_down(int(np.searchsorted(-means, 2 * (1 - target) - 1, side="right")))


def _plan(known: Known, wrong: Any, target: float, alpha: float) -> tuple[int, int, int] | None:
    """Rows to answer yes, rows to draw from, and rows to draw, for the most strong calls to be saved. It looks at no label of a row that may be drawn."""
    import numpy as np

    ranked, until = known.ranked, np.cumsum(wrong)
    sizes = np.array(sorted({ranked.cut_down(share * len(wrong)) for share in np.geomspace(0.02, 1, _SIZES)} - {0}))
    stops = [min(ranked.cut_up(size * _FRAME), len(ranked)) for size in sizes]
    others, still = (np.array([known.count(UNKNOWN, 0, int(end)) for end in ends]) for ends in (stops, sizes))
    allowed = np.array([may_be_wrong(target, int(size)) for size in sizes])
    best, most = None, 0.002 * known.rows
    for c in TOLERATED:
        share = poisson_mean(c, _HOPES[0][0] * alpha) / (allowed + 1 + c)
        sure = sum(poisson(c, trust * share * until[sizes - 1]) for trust in _TRUST) / len(_TRUST)
        saved = np.where((share < 1) & (share * others <= known.still), sure * still * (1 - share), 0.0)
        if len(saved) and saved.max() > most:
            best, most = (int(sizes[saved.argmax()]), stops[saved.argmax()], c), float(saved.max())
    if best is None:
        return None
    size, stop, c = best
    drawn = least_drawn(c, rows=known.count(UNKNOWN, 0, stop), bad=may_be_wrong(target, size) + 1 + c, alpha=_HOPES[0][0] * alpha)
    return None if drawn is None or drawn > known.still else (size, stop, drawn)
