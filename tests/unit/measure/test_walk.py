"""What a sample allows, over every sample that there is."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from dreamframe.measure.odds import least_drawn
from dreamframe.measure.walk import plan, tolerated

ROWS = 12
PATTERNS = ["111111111111", "000000111111", "111111000000", "010101010101", "000011110011", "100000000000", "110000000011"]


def broken(pattern: str, allowed: int, drawn: int, c: int) -> float:
    """The share of all samples in which some stretch holds at most `c` bad rows that were drawn, and more than `allowed` that were not."""
    bad, hits, samples = np.array([mark == "1" for mark in pattern]), 0, 0
    for sample in combinations(range(ROWS), drawn):
        was_drawn = np.zeros(ROWS, bool)
        was_drawn[list(sample)] = True
        hits += bool(((np.cumsum(bad & was_drawn) <= c) & (np.cumsum(bad & ~was_drawn) > allowed)).any())
        samples += 1
    return hits / samples


@pytest.mark.parametrize("alpha", [0.05, 0.2])
@pytest.mark.parametrize("allowed", [0, 2, 4])
def test_all_stretches_at_once_break_it_in_alpha_of_all_samples_at_most(allowed: int, alpha: float) -> None:
    for drawn in (3, 6, 8):
        c = tolerated(rows=ROWS, allowed=allowed, drawn=drawn, alpha=alpha)
        worst = max(broken(pattern, allowed, drawn, c) for pattern in PATTERNS)
        assert worst <= alpha
        if -1 < c < drawn:
            assert broken(PATTERNS[0], allowed, drawn, c + 1) > alpha, "one more would be too many"


def test_more_may_be_tolerated_where_more_is_allowed_or_drawn() -> None:
    by_allowed = [tolerated(rows=1_000, allowed=allowed, drawn=100, alpha=0.05) for allowed in range(0, 900, 7)]
    by_drawn = [tolerated(rows=1_000, allowed=50, drawn=drawn, alpha=0.05) for drawn in range(0, 900, 7)]
    assert by_allowed == sorted(by_allowed)
    assert by_drawn == sorted(by_drawn)
    assert (by_allowed[0], by_drawn[0]) == (-1, -1)


def test_a_sample_that_leaves_no_more_than_is_allowed_cannot_speak_against_it() -> None:
    assert tolerated(rows=10, allowed=5, drawn=5, alpha=0.05) == 5
    assert tolerated(rows=10, allowed=12, drawn=1, alpha=0.05) == 1


def test_a_plan_is_the_least_sample_where_the_proxy_is_never_wrong() -> None:
    planned = plan(np.zeros(10_000), allowed=1_000, alpha=0.05, most=None)
    assert planned is not None
    assert planned.drawn == least_drawn(0, rows=10_000, bad=1_001, alpha=0.05) == 29


def test_there_is_no_plan_where_it_saves_nothing() -> None:
    assert plan(np.full(1_000, 0.5), allowed=0, alpha=0.05, most=None) is None
    assert plan(np.zeros(1_000), allowed=100, alpha=0.05, most=20) is None
    assert plan(np.zeros(0), allowed=0, alpha=0.05, most=None) is None
