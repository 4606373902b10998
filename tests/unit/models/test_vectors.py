"""Vectors: columns of answers, cosines, and exact search that does not depend on how the matrices were cut."""

from __future__ import annotations

import struct

import numpy as np
import polars as pl
import pytest

from dreamframe.models import vectors
from dreamframe.models.vectors import nearest, unit


def random_vectors(n: int, dim: int, seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal((n, dim), dtype=np.float32))


def by_sorting(queries: np.ndarray, docs: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    scores = (queries.astype(np.float64) @ docs.astype(np.float64).T).astype(np.float32)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(scores, order, axis=1)


@pytest.mark.parametrize(("n_queries", "n_docs", "k"), [(1, 1, 1), (3, 5, 9), (40, 2500, 7), (1100, 300, 3), (7, 9000, 50)])
def test_the_nearest_are_those_of_sorting_everything(n_queries: int, n_docs: int, k: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vectors, "BLOCK", 20_000)  # so small that documents come in many blocks
    queries, docs = random_vectors(n_queries, 16, 1), random_vectors(n_docs, 16, 2)
    found, scores = nearest(queries, docs, k)
    want, want_scores = by_sorting(queries, docs, min(k, n_docs))
    assert (found == want).all()
    assert np.allclose(scores, want_scores, atol=1e-6)


def test_documents_in_rising_order_are_found_as_well():
    docs = np.stack([np.linspace(-1, 1, 9000, dtype=np.float32), np.zeros(9000, dtype=np.float32)], axis=1)
    found, _ = nearest(np.array([[1.0, 0.0]], dtype=np.float32), docs, 3)
    assert found.tolist() == [[8999, 8998, 8997]]


def test_equal_documents_come_in_their_own_order():
    docs = np.repeat(random_vectors(3, 8, 3), 4, axis=0)
    found, _ = nearest(docs[4:5], docs, 4)
    assert found.tolist() == [[4, 5, 6, 7]]


def test_a_query_has_the_same_result_alone_and_among_others():
    queries, docs = random_vectors(300, 64, 4), random_vectors(5000, 64, 5)
    found, scores = nearest(queries, docs, 5)
    alone = [nearest(queries[i : i + 1], docs, 5) for i in range(0, 300, 17)]
    assert all((found[i * 17] == f[0]).all() and (scores[i * 17] == s[0]).all() for i, (f, s) in enumerate(alone))


def test_nothing_is_near_where_there_is_nothing():
    found, scores = nearest(random_vectors(2, 4, 1), np.empty((0, 4), dtype=np.float32), 3)
    assert found.shape == scores.shape == (2, 0)


def test_bytes_become_vectors_where_they_have_the_length():
    data = pl.Series([struct.pack("<2f", 1, 2), None, struct.pack("<3f", 1, 2, 3)])
    assert vectors.column(data, 2).to_list() == [[1.0, 2.0], None, None]


def test_the_cosine_of_a_vector_with_itself_is_one_and_with_nothing_zero():
    kind = pl.Array(pl.Float32, 2)
    a = pl.Series([[3.0, 4.0], [1e-3, 2e3], [0.0, 0.0], None], dtype=kind)
    b = pl.Series([[3.0, 4.0], [1e-3, 2e3], [1.0, 0.0], [1.0, 0.0]], dtype=kind)
    assert pl.DataFrame({"a": a, "b": b}).select(vectors.cosine("a", "b", 2)).to_series().to_list() == [1.0, 1.0, 0.0, None]


def test_zero_vectors_stay_zero():
    assert unit(np.array([[0.0, 0.0], [3.0, 4.0]], dtype=np.float32)).tolist() == [[0.0, 0.0], pytest.approx([0.6, 0.8])]
