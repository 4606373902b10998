"""Who answers which rows: what holds for all scores, labels, orders and promises, and how often promises are kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dreamframe.errors import SettingError
from dreamframe.measure.certify import LEAST_ROWS, Certifier
from dreamframe.measure.promise import Promise
from tests.unit.measure.run_certifier import certified, is_kept, missed

BOTH = {"precision": 0.9, "recall": 0.9}
PROMISES = [
    {"accuracy": 0.9},
    {"precision": 0.9},
    {"recall": 0.9},
    BOTH,
    {"precision": 0.8, "elsewhere": "proxy"},
    {"recall": 0.8, "elsewhere": "proxy"},
    {"recall": 0.9, "labels": 40},
    {"precision": 0.8, "recall": 0.8, "labels": 90},
]


@st.composite
def populations(draw: st.DrawFn) -> tuple[list[float | None], list[bool | None], int]:
    """Scores on few or many values, some of them missing, labels that go with them or do not, some of them missing; and a seed."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, levels = draw(st.sampled_from([1, 2, 10, 25, 90, 400])), draw(st.sampled_from([1, 3, 20, 10**9]))
    scores = np.floor(rng.random(rows) * levels) / levels
    truth = rng.random(rows) < draw(st.sampled_from([scores, scores**6, 1 - scores, np.zeros(rows), np.ones(rows)]))
    absent, failing = draw(st.sampled_from([0.0, 0.1, 0.9])), draw(st.sampled_from([0.0, 0.1]))
    return (
        [None if rng.random() < absent else float(score) for score in scores],
        [None if rng.random() < failing else bool(label) for label in truth],
        int(rng.integers(1000)),
    )


@given(populations(), st.sampled_from(PROMISES), st.sampled_from([0.05, 0.2]))
@settings(max_examples=100, deadline=None)
def test_each_row_has_one_that_answers_it(population: Any, targets: dict[str, Any], delta: float) -> None:
    scores, labels, seed = population
    promise = Promise(**targets, delta=delta)
    outcome = certified(scores, labels, promise, seed)
    found = outcome.certificate
    assert sorted([*outcome.own, *outcome.yes, *outcome.no, *outcome.labelled, *outcome.left]) == list(range(len(scores)))
    by_proxy = {"own": outcome.own, "yes": outcome.yes, "no": outcome.no}
    assert all(scores[position] is not None for positions in by_proxy.values() for position in positions), "rows without a score are the strong model's"
    assert (found.decided, found.strong, found.labels) == (sum(map(len, by_proxy.values())), len(scores) - found.decided, len(outcome.labelled))
    assert promise.labels is None or found.labels <= promise.labels
    assert sum(score is not None for score in scores) >= LEAST_ROWS or not outcome.labelled
    asked = set(outcome.labelled)
    fates = {(scores[i], name) for name, positions in {**by_proxy, "left": outcome.left}.items() for i in positions if i not in asked}
    valued = [score for score, _ in fates if score is not None]
    assert len(valued) == len(set(valued)), "rows of equal score fall on the same side"
    for name, threshold in (("own", found.own_from), ("yes", found.yes_from)):
        assert all(threshold is not None and scores[i] >= threshold for i in by_proxy[name])  # type: ignore[operator]
    assert all(found.no_below is not None and scores[i] < found.no_below for i in outcome.no)  # type: ignore[operator]
    assert certified(scores, labels, promise, seed) == outcome, "the same again"


@pytest.mark.parametrize("targets", PROMISES, ids=str)
def test_rows_of_equal_score_fall_on_the_same_side(targets: dict[str, Any]) -> None:
    for seed in range(4):
        rng = np.random.default_rng(seed)
        scores = np.floor(rng.random(1_500) * 25) / 25
        labels = rng.random(1_500) < (0.6 + 0.4 * scores if "accuracy" in targets else scores**2)
        outcome = certified(scores, labels, Promise(**targets, delta=0.2), seed)
        sides = [{scores[i] for i in positions} for positions in (outcome.own, outcome.yes, outcome.no, outcome.left)]
        assert sum(map(len, sides)) == len(set().union(*sides))
        assert outcome.certificate.decided or "labels" in targets
        assert all(scores[i] < (outcome.certificate.no_below or 0.0) for i in outcome.no)


@given(populations(), st.sampled_from(PROMISES), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_rows_in_another_order_have_the_same_answers(population: Any, targets: dict[str, Any], random: Any) -> None:
    scores, labels, seed = population
    orders = [np.random.default_rng([seed, turn]).permutation(len(scores)) for turn in (0, 1)]
    moved = list(range(len(scores)))
    random.shuffle(moved)  # the row at `moved[i]` comes i-th
    to = np.argsort(moved)

    def run(scores: Any, labels: Any, orders: Any) -> Any:
        certifier = Certifier(scores, orders[0], Promise(**targets), second=orders[1])
        while positions := certifier.wanted():
            certifier.tell({i: labels[i] for i in positions})
        return certifier.outcome()

    first = run(scores, labels, orders)
    again = run([scores[i] for i in moved], [labels[i] for i in moved], [to[order] for order in orders])
    assert first.certificate == again.certificate
    assert first.own == sorted(moved[i] for i in again.own)
    assert first.labelled == sorted(moved[i] for i in again.labelled)
    assert (first.yes, first.no) == (sorted(moved[i] for i in again.yes), sorted(moved[i] for i in again.no))


@pytest.mark.parametrize("rows", [0, 1, 2, 10, LEAST_ROWS - 1])
@pytest.mark.parametrize("targets", PROMISES, ids=str)
def test_few_rows_are_all_the_strong_models(targets: dict[str, Any], rows: int) -> None:
    outcome = certified([0.9] * rows, [True] * rows, Promise(**targets))
    assert (outcome.left, outcome.certificate.labels) == (list(range(rows)), 0)


@pytest.mark.parametrize("targets", [{"recall": 0.9}, {"precision": 0.9}, BOTH], ids=str)
def test_without_positives_and_with_scores_that_are_all_equal_nothing_is_certain(targets: dict[str, Any]) -> None:
    for scores, labels in (([0.5] * 300, [i % 2 == 0 for i in range(300)]), ([i / 300 for i in range(300)], [False] * 300)):
        outcome = certified(scores, labels, Promise(**targets))
        assert (outcome.yes, outcome.no) == ([], [])
        assert is_kept(outcome, labels)


def test_a_strong_model_that_fails_on_all_rows_certifies_nothing() -> None:
    for targets in PROMISES:
        assert certified([i / 500 for i in range(500)], [None] * 500, Promise(**targets)).certificate.decided == 0


@pytest.mark.parametrize("targets", [{"accuracy": 0.8}, {"precision": 0.8}, {"recall": 0.8}, {"precision": 0.8, "recall": 0.8}], ids=str)
def test_a_number_bounds_the_labels_and_may_be_enough(targets: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    scores = 1 / (1 + np.exp(-12 * rng.uniform(-1, 1, 3_000)))
    labels = np.ones(3_000, bool) if "accuracy" in targets else rng.random(3_000) < scores
    for most in (0, 50, 400, 1_000):
        found = certified(scores, labels, Promise(**targets, labels=most)).certificate
        assert found.labels <= most
    assert found.decided > 500


def test_a_promise_of_both_draws_its_second_sample_by_the_second_order() -> None:
    rng = np.random.default_rng(2)
    scores, orders = rng.random(2_000), [rng.permutation(2_000) for _ in range(3)]
    labels = rng.random(2_000) < scores

    def run(second: Any) -> Any:
        certifier = Certifier(scores, orders[0], Promise(**BOTH), second=second)  # type: ignore[arg-type]
        while positions := certifier.wanted():
            certifier.tell({i: bool(labels[i]) for i in positions})
        return certifier.outcome()

    one, other, none = run(orders[1]), run(orders[2]), run(None)
    assert one.yes
    assert one.certificate.yes_from == other.certificate.yes_from
    assert one.labelled != other.labelled
    assert none.yes == [], "without a second order the strong model answers whatever is not answered no"
    assert none.certificate.tests[0].alpha == 0.05
    assert {test.alpha for test in one.certificate.tests if test.target == "recall"} == {0.025}


def test_labels_are_told_as_they_are_wanted() -> None:
    certifier = Certifier([i / 100 for i in range(100)], range(100), Promise(recall=0.9))
    wanted = certifier.wanted()
    assert wanted == certifier.wanted()
    with pytest.raises(SettingError, match="1 are missing, 0 were not asked for"):
        certifier.tell(dict.fromkeys(wanted[1:], True))
    with pytest.raises(SettingError, match="0 are missing, 1 were not asked for"):
        certifier.tell(dict.fromkeys([*wanted, min(set(range(100)) - set(wanted))], True))


def test_what_is_certain_so_far_stays_so() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random(3_000)
    labels = rng.random(3_000) < scores
    certifier = Certifier(scores, rng.permutation(3_000), Promise(**BOTH), second=rng.permutation(3_000))  # type: ignore[arg-type]
    before, early = certifier.outcome(), 0
    while positions := certifier.wanted():
        assert not set(positions) & {*before.yes, *before.no}, "rows that have left are not asked about"
        certifier.tell({i: bool(labels[i]) for i in positions})
        now = certifier.outcome()
        assert set(before.yes) <= set(now.yes)
        assert set(before.no) <= set(now.no)
        early, before = early or len(before.yes), now
    assert early, "rows answered yes leave before the search for rows to answer no"


def calibrated(rng: np.random.Generator) -> tuple[Any, Any]:
    scores = rng.random(300)
    return scores, rng.random(300) < scores


def overconfident(rng: np.random.Generator) -> tuple[Any, Any]:
    surely = rng.random(400) < 0.5
    return np.where(surely, 0.99, 0.02) + 0.009 * rng.random(400), rng.random(400) < np.where(surely, 0.85, 0.12)


def useless(rng: np.random.Generator) -> tuple[Any, Any]:
    return rng.random(400), rng.random(400) < 0.8


def hidden(rng: np.random.Generator) -> tuple[Any, Any]:
    """Positives where the scores are lowest, and wrong rows where they are highest."""
    scores = rng.random(400)
    return scores, (((scores > 0.4) | (scores < 0.05)) & (scores < 0.96)) ^ (rng.random(400) < 0.02)


def drawn(population: Callable[[np.random.Generator], tuple[Any, Any]], seeds: int, *, own: bool) -> Iterator[tuple[Any, Any]]:
    for seed in range(seeds):
        scores, labels = population(np.random.default_rng([seed, 7]))
        yield (np.maximum(scores, 1 - scores), (scores >= 0.5) == labels) if own else (scores, labels)


@pytest.mark.parametrize("population", [calibrated, overconfident, useless, hidden])
@pytest.mark.parametrize("targets", PROMISES[:4], ids=str)
def test_a_promise_is_missed_in_delta_of_all_runs_at_most(targets: dict[str, Any], population: Any) -> None:
    runs = list(drawn(population, 60, own="accuracy" in targets))
    assert missed(runs, Promise(**targets, delta=0.2)) <= 0.2 + 3 * (0.2 * 0.8 / 60) ** 0.5


def test_the_more_may_be_missed_the_fewer_rows_are_asked_about() -> None:
    scores, labels = calibrated(np.random.default_rng(5))
    asked = [
        np.mean([certified(scores, labels, Promise(recall=target, delta=delta), seed).certificate.strong for seed in range(10)])
        for target, delta in ((0.95, 0.05), (0.9, 0.05), (0.9, 0.2), (0.7, 0.2))
    ]
    assert asked == sorted(asked, reverse=True)
    assert asked[0] < 400


def test_a_label_costs_the_same_among_ten_times_as_many_rows() -> None:
    def seconds_a_row(rows: int) -> float:
        rng = np.random.default_rng(0)
        scores, orders = rng.random(rows) ** 8, [rng.permutation(rows) for _ in range(2)]
        labels = rng.random(rows) < scores
        began = time.process_time()
        certifier, rounds = Certifier(scores, orders[0], Promise(**BOTH), second=orders[1]), 0  # type: ignore[arg-type]
        while positions := certifier.wanted():
            certifier.tell({i: bool(labels[i]) for i in positions})
            rounds += 1
        assert rounds < 120, "labels are asked for in batches that grow with the rows"
        return (time.process_time() - began) / rows

    assert min(seconds_a_row(40_000) for _ in range(3)) < 3 * min(seconds_a_row(4_000) for _ in range(3))
