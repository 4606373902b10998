"""Intervals hold the truth as often as they say; `benchmarks/intervals.py` prints the table of a thousand simulations for every figure."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.intervals import CASES, covered
from dreamframe.measure import intervals
from dreamframe.measure import metrics as m

FAST = ("accuracy", "precision, binary", "recall, binary", "F1, binary", "ROC-AUC")  # in closed form


@pytest.mark.parametrize("name", FAST)
def test_an_interval_of_95_percent_holds_the_truth_in_95_of_100(name: str):
    assert 0.93 <= covered(name) / 1_000 <= 0.97


@pytest.mark.parametrize("name", ["F1, macro", "mean absolute error", "root mean squared error", "r2", "calibration error, overconfident"])
def test_so_does_one_of_resamples(name: str):
    n = 150  # a binomial of 0.95 is below 0.89 once in a thousand times
    assert covered(name, simulations=n, draws=300) / n >= 0.89


def test_a_narrower_interval_holds_it_less_often():
    assert 0.77 <= covered("accuracy", confidence=0.8) / 1_000 <= 0.83


@pytest.mark.parametrize("n", [300, 2_000])
def test_a_calibrated_model_has_no_error_within_its_interval(n: int):
    metric, found = m.expected_calibration_error("s", "g"), 0
    for seed in range(100):
        low, high = metric.of(CASES["calibration error, calibrated"].draw(np.random.default_rng(seed), n)).interval(0.95, seed=0, draws=1)
        assert low is not None
        assert high is not None
        found += low == 0 < high
    assert found >= 92


def test_the_same_seed_gives_the_same_interval_and_another_one_another():
    case = CASES["r2"]
    made = case.metric.of(case.draw(np.random.default_rng(0), 100))
    assert made.interval(0.95, seed=1, draws=200) == made.interval(0.95, seed=1, draws=200)
    assert made.interval(0.95, seed=1, draws=200) != made.interval(0.95, seed=2, draws=200)


@pytest.mark.parametrize(("right", "n", "low", "high"), [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)])
def test_wilsons_interval_is_that_of_newcombe(right: int, n: int, low: float, high: float):
    """Newcombe 1998, Two-sided confidence intervals for the single proportion, method 3."""
    assert intervals.wilson(right, n, 0.95) == pytest.approx((low, high), abs=1e-4)


def test_resamples_are_as_many_rows_as_there_are():
    for counts in (np.array([2.0, 0.0, 3.0]), np.array([50.0, 50.0])):
        drawn = np.concatenate(list(intervals.resamples(counts, seed=0, draws=7)))
        assert drawn.shape == (7, len(counts))
        assert (drawn.sum(axis=1) == counts.sum()).all()
        assert not drawn[:, counts == 0].any()


def test_the_acceleration_is_that_of_leaving_out_rows_one_by_one():
    values = np.random.default_rng(0).gamma(2, 1, 40)
    found = intervals.acceleration(lambda w: (w @ values) / w.sum(axis=1), np.ones(40))
    left_out = np.array([np.delete(values, i).mean() for i in range(40)])
    off = left_out.mean() - left_out
    assert found == pytest.approx((off**3).sum() / (6 * (off**2).sum() ** 1.5), rel=1e-9)
