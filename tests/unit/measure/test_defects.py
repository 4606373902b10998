"""What is wrong in other cascades, shown on populations where it breaks the promise, beside ours on the same ones (see docs/promises.md).

The flawed formulas are those of `benchmarks.cascade_rivals`, written from LOTUS's and SUPG's descriptions, and small functions here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.cascade_rivals import ASKED, NO, YES, lotus, lotus_thresholds, supg_recall
from benchmarks.cascades import missed, ours
from dreamframe.measure.odds import at_most
from dreamframe.measure.walk import tolerated

Choice = Callable[[Any, Any, float, float, np.random.Generator], Any]


def share_missed(choose: Choice, promise: str, rows: int, *, target: float, delta: float, seeds: int, sort: bool = False) -> float:
    """The share of runs that break a promise, on a perfectly calibrated proxy: scores are even, and rows are positive as often as their scores say."""
    misses = 0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, rows])
        scores = np.sort(rng.random(rows))[::-1] if sort else rng.random(rows)
        truth = rng.random(rows) < scores
        misses += missed(choose(scores, truth, target, delta, rng), truth, promise, target)
    return misses / seeds


def both(scores: Any, truth: Any, target: float, delta: float, rng: np.random.Generator) -> Any:
    return ours("both", scores, truth, target, delta, rng)


@pytest.mark.parametrize(("rows", "theirs"), [(1_000, 0.64), (2_000, 0.92)])
def test_averaging_each_side_over_itself_lowers_the_target_of_recall(rows: int, theirs: float) -> None:
    """LOTUS takes the mean of found and lost positives over the rows on their own side of the threshold, SUPG over the whole sample."""
    assert abs(share_missed(lotus, "recall", rows, target=0.9, delta=0.2, seeds=150) - theirs) < 0.1
    assert share_missed(both, "recall", rows, target=0.9, delta=0.2, seeds=25) <= 0.2 + 3 * (0.2 * 0.8 / 25) ** 0.5


def test_rows_that_agree_have_no_spread_and_certify_precision() -> None:
    """A mean with a spread of 0 has a bound of no width: three positives certify any precision."""
    yes, _ = lotus_thresholds(np.array([0.9, 0.8, 0.7, 0.2]), np.array([True, True, True, False]), np.ones(4), 0.9, 0.99, 0.05)
    assert yes == 0.7
    assert share_missed(lotus, "precision", 50, target=0.9, delta=0.2, seeds=200) > 0.3
    assert share_missed(both, "precision", 50, target=0.9, delta=0.2, seeds=25) <= 0.2


def test_a_sample_of_the_first_rows_says_nothing_of_the_others() -> None:
    """LOTUS draws from the first 200 rows alone; here they are the likeliest, and precision is found there for all."""

    def first_rows(scores: Any, truth: Any, target: float, delta: float, rng: np.random.Generator) -> Any:
        at = rng.permutation(200)[:100]
        yes, no = lotus_thresholds(scores[at], truth[at], np.ones(100), target, target, delta)
        return np.where(scores >= yes, YES, np.where(scores <= no, NO, ASKED))

    assert share_missed(first_rows, "recall", 2_000, target=0.9, delta=0.2, seeds=40, sort=True) > 0.9
    assert share_missed(both, "recall", 2_000, target=0.9, delta=0.2, seeds=20, sort=True) <= 0.2 + 3 * (0.2 * 0.8 / 20) ** 0.5


def test_precision_without_the_weights_of_the_rows_is_that_of_the_sample() -> None:
    """A row drawn twice as often counts half; LOTUS counts all alike. Here one score in ten rows is always right and drawn ten times as often."""
    scores = np.repeat(0.9, 400)
    truth, stands = np.repeat([True, False], [380, 20]), np.repeat([0.1, 10.0], [380, 20])
    assert lotus_thresholds(scores, truth, stands, 0.9, 0.9, 0.2)[0] == 0.9
    assert (truth * stands).sum() / stands.sum() < 0.2


def test_a_normal_bound_fails_where_what_is_lost_is_rare() -> None:
    """SUPG's bound is that of many rows: a few positives among the low scores are not in its sample, and then it sees no spread."""

    def hidden(choose: Choice, seeds: int) -> float:
        misses = 0
        for seed in range(seeds):
            rng = np.random.default_rng([seed, 3])
            scores = np.concatenate([np.full(60, 0.9), np.full(940, 1e-4)]) + 1e-6 * rng.random(1_000)
            truth = np.concatenate([np.full(60, True), rng.permutation(940) < 12])
            misses += missed(choose(scores, truth, 0.9, 0.05, rng), truth, "recall", 0.9)
        return misses / seeds

    assert hidden(supg_recall, 60) > 0.2
    assert hidden(lambda *given: ours("recall", *given), 60) <= 0.05 + 3 * (0.05 * 0.95 / 60) ** 0.5


def test_a_test_of_one_sample_that_is_looked_at_after_each_batch_errs_more_often() -> None:
    """BARGAIN's search for both tests again after each batch with a bound for one sample; ours fixes the sample before it is drawn."""
    rows, allowed, alpha, peeks, once = 1_000, 100, 0.05, 0, 0
    for seed in range(300):
        is_bad = np.random.default_rng(seed).permutation(rows) < allowed + 1  # one too many
        seen = np.cumsum(is_bad)
        peeks += any(at_most(int(seen[n - 1]), rows=rows, bad=allowed + 1, drawn=n) <= alpha for n in range(20, 400, 10))
        c = tolerated(rows=rows, allowed=allowed, drawn=390, alpha=alpha)
        once += int(seen[389]) <= c and allowed + 1 - int(seen[389]) > allowed
    assert peeks / 300 > 3 * alpha
    assert once / 300 <= alpha
