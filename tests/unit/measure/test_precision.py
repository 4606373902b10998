"""Rows that are answered yes."""

from __future__ import annotations

import numpy as np

from dreamframe.measure.promise import Promise
from tests.unit.measure.run_certifier import certified


def sharp() -> tuple[np.ndarray, np.ndarray]:
    """Half of all rows are positive, and the proxy is nearly always sure and right."""
    at = np.linspace(-1, 1, 2_000)
    return 1 / (1 + np.exp(-20 * at)), at > 0


def test_rows_of_high_scores_are_answered_yes_where_they_are_positive() -> None:
    scores, labels = sharp()
    outcome = certified(scores, labels, Promise(precision=0.9))  # type: ignore[arg-type]
    found = outcome.certificate
    assert found.yes_from is not None
    assert len(outcome.yes) > 700
    assert outcome.no == []
    assert found.no_below is None


def test_elsewhere_the_proxy_says_no_where_it_is_told_to() -> None:
    scores, labels = sharp()
    outcome = certified(scores, labels, Promise(precision=0.9, elsewhere="proxy"))  # type: ignore[arg-type]
    assert outcome.left == []
    assert outcome.certificate.no_below == outcome.certificate.yes_from
    assert outcome.certificate.strong == outcome.certificate.labels < 300


def test_what_is_too_short_for_the_wrong_rows_that_it_may_hold_is_not_certified() -> None:
    """The best scores are all wrong: the walk may go on to the first of them drawn, over a stretch that holds few rows."""
    scores = np.linspace(0, 1, 1_000)
    labels = (scores > 0.3) & (scores < 0.95)
    for seed in range(20):
        assert certified(scores, labels, Promise(precision=0.97), seed).yes == []  # type: ignore[arg-type]
