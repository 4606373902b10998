"""Rows that are answered no."""

from __future__ import annotations

import numpy as np
import pytest

from dreamframe.measure.known import Known
from dreamframe.measure.promise import Promise
from dreamframe.measure.recall import may_be_lost, surely_positive
from tests.unit.measure.run_certifier import certified


@pytest.mark.parametrize(("target", "found", "lost"), [(0.9, 90, 10), (0.9, 89, 9), (0.8, 4, 1), (0.95, 18, 0), (0.5, 7, 7)])
def test_so_many_may_be_lost_for_those_that_were_found(target: float, found: int, lost: int) -> None:
    assert may_be_lost(target, found) == lost
    assert found >= target * (found + lost) - 1e-9


def rare(rows: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    scores = 1 / (1 + np.exp(-400 * (np.random.default_rng(1).random(rows) - 0.97)))
    return scores, scores > 0.5


def test_rare_positives_are_found_by_looking_first_where_they_are_likely() -> None:
    scores, labels = rare()
    outcome = certified(scores, labels, Promise(recall=0.9))  # type: ignore[arg-type]
    evenly = 0.1 * labels.sum()
    assert outcome.certificate.strong < 0.1 * 20_000
    assert labels[outcome.labelled].sum() > 8 * evenly
    assert not labels[outcome.no].any()


def test_elsewhere_the_proxy_says_yes_where_it_is_told_to() -> None:
    scores, labels = rare()
    outcome = certified(scores, labels, Promise(recall=0.9, elsewhere="proxy"))  # type: ignore[arg-type]
    strong = certified(scores, labels, Promise(recall=0.9))  # type: ignore[arg-type]
    assert outcome.left == []
    assert len(outcome.yes) + len(outcome.no) == outcome.certificate.decided
    assert outcome.certificate.strong <= strong.certificate.strong


def test_where_nothing_is_certain_the_strong_model_answers_elsewhere_too() -> None:
    outcome = certified(np.linspace(0, 1, 300), np.zeros(300, bool), Promise(recall=0.9, elsewhere="proxy"))  # type: ignore[arg-type]
    assert (outcome.yes, outcome.no) == ([], [])


def test_a_sample_that_hoped_for_more_positives_than_there_are_certifies_nothing() -> None:
    scores = np.concatenate([np.linspace(0.95, 0.99, 40), np.linspace(0.0, 0.4, 2_000)])
    outcome = certified(scores, scores > 0.9, Promise(recall=0.9, elsewhere="proxy"))  # type: ignore[arg-type]
    assert [(test.target, test.threshold) for test in outcome.certificate.tests] == [("recall", None)]
    assert outcome.certificate.decided == 0


def test_rows_answered_yes_are_positive_but_for_those_that_may_be_wrong() -> None:
    """Wrong rows that the sample showed are not answered yes, and so not among those of which precision is promised."""
    known = Known([1 - i / 100 for i in range(100)], range(100), Promise(precision=0.9, recall=0.9))
    known.yes = 50
    for place in range(30):
        known.learn(place, place < 10)
    assert surely_positive(known) == 30 - 3, "10 that are, and 20 that are not known, of which a tenth may be wrong"
    for place in range(30, 50):
        known.learn(place, True)
    assert surely_positive(known) == 30


def test_labels_too_few_for_a_sample_leaves_all_rows_to_the_strong_model() -> None:
    scores, labels = rare()
    outcome = certified(scores, labels, Promise(recall=0.9, labels=100))  # type: ignore[arg-type]
    assert outcome.certificate.labels <= 100
    assert outcome.certificate.decided == 0
