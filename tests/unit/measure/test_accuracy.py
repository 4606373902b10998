"""Rows that keep the proxy's answer."""

from __future__ import annotations

import numpy as np
import pytest

from dreamframe.measure.accuracy import is_mostly_bad, may_be_wrong
from dreamframe.measure.promise import Promise
from tests.unit.measure.run_certifier import certified


@pytest.mark.parametrize(("target", "rows", "wrong"), [(0.9, 1_000, 100), (0.8, 10, 2), (0.95, 19, 0), (0.7, 10, 3), (0.9, 9.99, 0)])
def test_a_target_is_taken_as_it_is_written(target: float, rows: float, wrong: int) -> None:
    assert may_be_wrong(target, rows) == wrong


def test_a_proxy_that_is_always_right_costs_the_least_sample() -> None:
    found = certified(np.ones(10_000), np.ones(10_000, bool), Promise(accuracy=0.9)).certificate  # type: ignore[arg-type]
    assert (found.labels, found.decided, found.own_from) == (29, 10_000 - 29, 1.0)


def test_a_plan_looks_at_scores_and_what_is_certain_does_not() -> None:
    """Scores that say "wrong in half of all rows" of a proxy that is always right cost labels, and no certainty."""
    found = certified(np.random.default_rng(0).random(10_000), np.ones(10_000, bool), Promise(accuracy=0.9)).certificate  # type: ignore[arg-type]
    assert 29 < found.labels == 10_000 - found.decided < 2_000


def test_rows_that_failed_count_as_rows_that_the_strong_model_answers() -> None:
    scores = [None] * 500 + [0.99] * 500
    outcome = certified(scores, [True] * 1_000, Promise(accuracy=0.9))
    assert outcome.certificate.tests[0].allowed == 100, "a tenth of all rows"
    assert set(range(500)) <= set(outcome.left)


def test_a_coin_decides_nothing() -> None:
    assert is_mostly_bad(0, 0) is False
    assert is_mostly_bad(1, 0) is True
    assert is_mostly_bad(3, 5) is True
    assert is_mostly_bad(3, 6) is False
