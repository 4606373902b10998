"""What is wrong in other cascades, shown on populations where it breaks the promise, beside ours on the same ones (see docs/promises.md).

LOTUS 1.2.4: (1) means over the rows of one side, (2) a bound of no width, (3) precision without the weights of the rows, (4) a sample of the first rows,
(5) any exception is silently the full join, (6) the samples of two plans of a join are paid. SUPG: (7) a normal bound. BARGAIN 0.1.3: (8) a stake that looks
ahead, (9) a sample that is looked at after each batch. A target of 1.0, which others take, is refused by `test_promise`. The flawed formulas are those of
`benchmarks.cascade_rivals`, written from LOTUS's and SUPG's descriptions, and small functions here.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import polars as pl
import pytest

import dreamframe as dr
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
    """(1) LOTUS takes the mean of found and lost positives over the rows on their own side of the threshold, SUPG over the whole sample."""
    assert abs(share_missed(lotus, "recall", rows, target=0.9, delta=0.2, seeds=150) - theirs) < 0.1
    assert share_missed(both, "recall", rows, target=0.9, delta=0.2, seeds=25) <= 0.2 + 3 * (0.2 * 0.8 / 25) ** 0.5


def test_rows_that_agree_have_no_spread_and_certify_precision() -> None:
    """(2) A mean with a spread of 0 has a bound of no width: three positives certify any precision."""
    yes, _ = lotus_thresholds(np.array([0.9, 0.8, 0.7, 0.2]), np.array([True, True, True, False]), np.ones(4), 0.9, 0.99, 0.05)
    assert yes == 0.7
    assert share_missed(lotus, "precision", 50, target=0.9, delta=0.2, seeds=200) > 0.3
    assert share_missed(both, "precision", 50, target=0.9, delta=0.2, seeds=25) <= 0.2


def test_a_sample_of_the_first_rows_says_nothing_of_the_others() -> None:
    """(4) LOTUS draws from the first 200 rows alone; here they are the likeliest, and precision is found there for all."""

    def first_rows(scores: Any, truth: Any, target: float, delta: float, rng: np.random.Generator) -> Any:
        at = rng.permutation(200)[:100]
        yes, no = lotus_thresholds(scores[at], truth[at], np.ones(100), target, target, delta)
        return np.where(scores >= yes, YES, np.where(scores <= no, NO, ASKED))

    assert share_missed(first_rows, "recall", 2_000, target=0.9, delta=0.2, seeds=40, sort=True) > 0.9
    assert share_missed(both, "recall", 2_000, target=0.9, delta=0.2, seeds=20, sort=True) <= 0.2 + 3 * (0.2 * 0.8 / 20) ** 0.5


def test_precision_without_the_weights_of_the_rows_is_that_of_the_sample() -> None:
    """(3) A row drawn twice as often counts half; LOTUS counts all alike. Here one score in ten rows is always right and drawn ten times as often."""
    scores = np.repeat(0.9, 400)
    truth, stands = np.repeat([True, False], [380, 20]), np.repeat([0.1, 10.0], [380, 20])
    assert lotus_thresholds(scores, truth, stands, 0.9, 0.9, 0.2)[0] == 0.9
    assert (truth * stands).sum() / stands.sum() < 0.2


def test_a_normal_bound_fails_where_what_is_lost_is_rare() -> None:
    """(7) SUPG's bound is that of many rows: a few positives among the low scores are not in its sample, and then it sees no spread."""

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
    """(9) BARGAIN's search for both tests again after each batch with a bound for one sample; ours fixes the sample before it is drawn."""
    rows, allowed, alpha, peeks, once = 1_000, 100, 0.05, 0, 0
    for seed in range(300):
        is_bad = np.random.default_rng(seed).permutation(rows) < allowed + 1  # one too many
        seen = np.cumsum(is_bad)
        peeks += any(at_most(int(seen[n - 1]), rows=rows, bad=allowed + 1, drawn=n) <= alpha for n in range(20, 400, 10))
        c = tolerated(rows=rows, allowed=allowed, drawn=390, alpha=alpha)
        once += int(seen[389]) <= c and allowed + 1 - int(seen[389]) > allowed
    assert peeks / 300 > 3 * alpha
    assert once / 300 <= alpha


LEFT, RIGHT = dr.frame({"a": range(30)}), dr.frame({"b": range(20)})  # 600 pairs


def larger(asked: str) -> str:
    a, b = map(int, asked.split())
    return "yes" if a > b else "no"


def test_an_error_in_the_search_for_thresholds_is_no_full_join(session: dr.Session) -> None:
    """(5) LOTUS catches whatever its optimiser of joins raises, and asks about every pair. Here one score of the proxy is infinite."""
    scores = [np.inf if (a, b) == (3, 3) else float(a > b) for a in range(30) for b in range(20)]

    def theirs(ask: Callable[[str], str]) -> list[str]:
        pairs = [f"{a} {b}" for a in range(30) for b in range(20)]
        try:
            if not np.isfinite(scores).all():
                raise ValueError("a score is infinite")  # as what is called there may
            return pairs
        except Exception:  # noqa: BLE001  it is theirs
            return [pair for pair in pairs if ask(pair) == "yes"]

    asked: list[str] = []
    theirs(lambda pair: asked.append(pair) or larger(pair))  # type: ignore[func-returns-value]
    assert len(asked) == 600
    llm = dr.testing.Scripted(larger, model="strong")
    proxy = pl.when((pl.col("a") == 3) & (pl.col("b") == 3)).then(float("inf")).otherwise((pl.col("a") > pl.col("b")).cast(pl.Float64))
    with pytest.raises(dr.errors.SettingError, match="infinite"):
        LEFT.join_by(RIGHT, llm, "{a} {b}", cascade=dr.Cascade(proxy, recall=0.9)).collect()
    assert llm.calls == 0


def test_no_sample_of_a_plan_that_is_not_taken_is_paid(session: dr.Session) -> None:
    """(6) LOTUS samples two plans of a join to choose one, and pays both. Ours has one plan, whose sample serves the plan without it too: every pair is
    asked about once at most, with a cascade, in lists that are checked, and in both one after the other."""
    far = (pl.col("a") - pl.col("b")).cast(pl.Float64)
    llm = dr.testing.Scripted(lambda asked: '{"answer": []}' if "For which of them" in asked else larger(asked), model="strong", temperature=0)
    for settings, most in (({"cascade": dr.Cascade(1 / (1 + (-far).exp()), recall=0.9, precision=0.9)}, 599), ({"asked": "labels"}, 600)):
        with pytest.warns(dr.RunWarning, match="each of 600 pairs is asked") if "asked" in settings else nullcontext():
            LEFT.join_by(RIGHT, llm, "{a} {b}", **settings).collect()
        pairs = [asked for asked in llm.prompts if "For which of them" not in asked]
        assert 100 < len(pairs) <= most
        assert len(set(pairs)) == len(pairs)


def test_a_stake_that_looks_ahead_wins_too_often() -> None:
    """(8) BARGAIN's `__k_minus` bounds every stake by the mean that is left at the end, so that a bet hangs on what is drawn after it; ours bets nothing: how
    many bad rows a sample may hold is fixed before it is drawn."""
    rows, drawn, alpha, seeds = 30, 29, 0.05, 1_500
    wins, certified = {"ahead": 0, "fair": 0}, 0
    i = np.arange(1, drawn + 1)
    c = tolerated(rows=rows, allowed=rows // 2 - 1, drawn=drawn, alpha=alpha)
    for seed in range(seeds):
        x = (np.random.default_rng(seed).permutation(rows) < rows // 2).astype(float)[:drawn]  # the mean is a half, and the bet is that it is less
        left = (rows / 2 - np.cumsum(x) + x) / (rows - i + 1)
        guess = (0.5 + np.cumsum(x)) / (i + 1)
        spread = np.concatenate([[0.25], ((0.25 + np.cumsum((x - guess) ** 2)) / (i + 1))[:-1]])
        stake = np.sqrt(2 * np.log(2 / alpha) / (i * np.log(i + 1) * spread))
        for who, most in (("ahead", left[-1]), ("fair", left)):
            with np.errstate(divide="ignore"):
                bound = 0.75 / (1 - most)
            wins[who] += bool(np.cumprod(1 - np.minimum(stake, bound) * (x - left)).max() >= 1 / alpha)
        bad = int(x.sum())
        certified += bad <= c and rows // 2 - bad > rows // 2 - 1
    assert wins["ahead"] / seeds > alpha + 3 * (alpha * (1 - alpha) / seeds) ** 0.5
    assert wins["fair"] / seeds <= alpha
    assert certified / seeds <= alpha
