"""Calibration, fitted: what is planted is found, whatever the order of the rows, as scikit-learn finds it."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import pytest

from dreamframe.measure.calibrate import Calibration, Method, fitted

METHODS: list[Method] = ["platt", "isotonic"]


def rows(n: int, seed: int, *, slope: float = 3.0, offset: float = 0.5) -> tuple[list[float], list[bool]]:
    """What an overconfident model says, and whether it is right: the log-odds of the truth are those that it says, less the offset, by the slope."""
    draw = Random(seed)
    truth = [draw.uniform(0.05, 0.95) for _ in range(n)]
    said = [1 / (1 + math.exp(-(slope * math.log(q / (1 - q)) + offset))) for q in truth]
    return said, [draw.random() < q for q in truth]


def error(probabilities: list[float], right: list[bool], bins: int = 10) -> float:
    """The expected calibration error: how far what is said is from what is, on average over the rows, in bins of equal width."""
    held: dict[int, list[tuple[float, bool]]] = {}
    for p, y in zip(probabilities, right, strict=True):
        held.setdefault(min(int(p * bins), bins - 1), []).append((p, y))
    return sum(abs(sum(p for p, _ in b) - sum(y for _, y in b)) for b in held.values()) / len(right)


@pytest.mark.parametrize("method", METHODS)
def test_the_error_falls_on_rows_that_were_not_seen(method: Method):
    before, after = [], []
    for seed in range(10):
        said, right = rows(4000, 1000 + seed)
        made = fitted(*rows(400, seed), method)
        before.append(error(said, right))
        after.append(error(made.of(said), right))
    assert min(before) > 0.13
    assert max(after) < 0.09
    assert sum(after) / 10 < 0.05


def test_what_is_planted_is_found():
    made = fitted(*rows(20_000, 7), "platt")
    assert made.slope == pytest.approx(1 / 3, rel=0.05)
    assert made.offset == pytest.approx(-0.5 / 3, abs=0.05)


def test_a_few_labels_are_better_than_none():
    said, right = rows(4000, 99)
    worse = sum(error(fitted(*rows(40, seed), "platt").of(said), right) > error(said, right) for seed in range(40))
    assert worse <= 2


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_the_rows_changes_no_bit(method: Method):
    said, right = rows(300, 3)
    order = Random(1).sample(range(300), 300)
    assert fitted([said[i] for i in order], [right[i] for i in order], method) == fitted(said, right, method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("said", "right"),
    [([1.0] * 30, [True] * 30), ([0.0] * 30, [True] * 30), ([0.9] * 30, [False] * 30), ([1.0] * 15 + [0.0] * 15, [True] * 15 + [False] * 15)],
    ids=["always right", "sure to be wrong", "always wrong", "parted"],
)
def test_rows_without_any_doubt_give_finite_probabilities(method: Method, said: list[float], right: list[bool]):
    made = fitted(said, right, method)
    assert all(0.0 <= p <= 1.0 for p in made.of([0.0, 0.2, 0.5, 0.9, 1.0]))
    if method == "platt":
        assert all(0.0 < p < 1.0 for p in made.of(said)), "30 rows make nothing certain"


def test_all_rows_equally_sure_come_to_the_share_that_is_right():
    for method in METHODS:
        (made,) = fitted([0.99] * 100, [i % 4 != 0 for i in range(100)], method).of([0.99])
        assert made == pytest.approx(0.75, abs=0.01)


def test_isotonic_rises_and_is_the_mean_where_it_is_flat():
    made = fitted([0.1, 0.2, 0.3, 0.4], [False, True, False, True], "isotonic")
    assert made == Calibration("isotonic", at=(0.1, 0.2, 0.3, 0.4), to=(0.0, 0.5, 0.5, 1.0))
    assert made.of([0.0, 0.15, 0.25, 0.9]) == pytest.approx([0.0, 0.25, 0.5, 1.0])


@pytest.mark.slow
def test_it_is_what_scikit_learn_fits():
    calibration = pytest.importorskip("sklearn.calibration")
    isotonic = pytest.importorskip("sklearn.isotonic")
    import numpy as np

    said, right = rows(200, 11)
    x = np.log(said) - np.log1p(-np.asarray(said))
    theirs: Any = calibration._SigmoidCalibration().fit(x, np.asarray(right))
    at = [0.05, 0.3, 0.5, 0.8, 0.99]
    assert fitted(said, right, "platt").of(at) == pytest.approx(theirs.predict(np.log(at) - np.log1p(-np.asarray(at))).tolist(), abs=1e-4)
    steps = isotonic.IsotonicRegression(out_of_bounds="clip").fit(said, np.asarray(right, dtype=float))
    assert fitted(said, right, "isotonic").of(at) == pytest.approx(steps.predict(at).tolist(), abs=1e-9)
