"""Logistic regression: the weights of least loss, the same every time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dreamframe.measure.logistic import fit, probabilities


def rows(n: int, dim: int, n_classes: int, seed: int = 0) -> tuple[Any, Any]:
    """Vectors (n, dim) of classes that overlap, each of which occurs."""
    draw = np.random.default_rng(seed)
    classes = np.concatenate([np.arange(n_classes), draw.integers(0, n_classes, n - n_classes)])
    return draw.normal(size=(n, dim)) + draw.normal(size=(n_classes, dim))[classes] * 0.7, classes


CASES = [(200, 5, 2, 1.0), (60, 384, 2, 0.1), (300, 20, 7, 10.0), (40, 3, 4, 1e-3)]


@pytest.mark.parametrize(("n", "dim", "n_classes", "l2"), CASES)
def test_the_gradient_is_nothing_where_it_stops(n: int, dim: int, n_classes: int, l2: float):
    vectors, classes = rows(n, dim, n_classes)
    made = fit(vectors, classes, n_classes, l2=l2)
    left = probabilities(made, vectors) - np.eye(n_classes)[classes]
    assert np.abs(left.T @ vectors + l2 * made.weight).max() < 1e-6 * n
    assert np.abs(left.sum(axis=0)).max() < 1e-6 * n
    assert made.steps < 60


def test_the_same_rows_give_the_same_weights_to_the_last_bit():
    vectors, classes = rows(250, 64, 3)
    one, two = fit(vectors, classes, 3), fit(vectors.copy(), classes.copy(), 3)
    assert np.array_equal(one.weight, two.weight)
    assert np.array_equal(one.bias, two.bias)


def test_a_row_has_its_probabilities_whatever_stands_beside_it():
    vectors, classes = rows(250, 64, 3)
    made = fit(vectors, classes, 3)
    assert np.array_equal(np.vstack([probabilities(made, vectors[i : i + 1]) for i in range(250)]), probabilities(made, vectors))


def test_rows_that_vectors_tell_apart_and_huge_numbers_end_well():
    vectors = np.array([[-1e6], [-1e6], [1e6], [2e6]])
    made = fit(vectors, np.array([0, 0, 1, 1]), 2)
    assert np.isfinite(made.weight).all()
    assert probabilities(made, vectors).argmax(axis=1).tolist() == [0, 0, 1, 1]
    same = fit(np.ones((6, 2)), np.array([0, 1, 0, 1, 1, 1]), 2)
    assert np.allclose(probabilities(same, np.ones((1, 2))), [[1 / 3, 2 / 3]], atol=1e-6)
