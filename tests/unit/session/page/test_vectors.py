"""The map of a column of vectors: as far as two axes can tell, near is near."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from dreamframe.session.page.vectors import flat, vector_columns

NAN, INF = float("nan"), float("inf")


def test_the_map_is_that_of_a_singular_value_decomposition() -> None:
    points = np.random.default_rng(1).standard_normal((60, 12)) * [9, 5, *([1] * 10)]
    places, share = flat(pl.Series(points.tolist(), dtype=pl.Array(pl.Float32, 12)))
    centred = points - points.mean(axis=0)
    _, sizes, axes = np.linalg.svd(centred, full_matrices=False)
    assert np.abs(np.array(places)) == pytest.approx(np.abs(centred @ axes[:2].T), abs=1e-3)
    assert share == pytest.approx(float((sizes[:2] ** 2).sum() / (sizes**2).sum()), abs=1e-4)


@pytest.mark.parametrize("rows", [[], [[1.0, 2.0]], [[1.0], [2.0]], [[0.0, 0.0]] * 3, [[NAN, 1.0], [2.0, -INF]], [[], []], [[1.0], [1.0, 2.0]]])
def test_odd_vectors_are_points_all_the_same(rows: list[list[float]]) -> None:
    places, share = flat(pl.Series(rows, dtype=pl.List(pl.Float64)))
    assert len(places) == len(rows)
    assert all(abs(x) < 1e30 for place in places for x in place)
    assert 0 <= share <= 1.001


def test_only_vectors_can_be_drawn() -> None:
    schema = {"a": pl.Array(pl.Float32, 3), "b": pl.List(pl.Float64()), "c": pl.List(pl.Int64()), "d": pl.Float64(), "e": pl.Array(pl.Int8, 2)}
    assert vector_columns(schema) == ["a", "b"]
