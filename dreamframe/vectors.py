"""Vectors of embedders: from answers to matrices, and exact search. Imports numpy when it is used, which every embedder brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 8 << 20  # scores held at once: 32 MiB of float32


def matrix(data: pl.Series, dim: int) -> NDArray[np.float32]:
    """Answers' bytes (float32, little-endian, `dim` each) as a matrix (rows, dim); null rows are zeros."""
    import numpy as np

    empty = bytes(4 * dim)
    return np.frombuffer(b"".join(empty if v is None else v for v in data), dtype="<f4").reshape(-1, dim)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length one (zero rows stay zero), so that a dot product is the cosine."""
    import numpy as np

    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)


def nearest(queries: NDArray[np.float32], docs: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices and dot products (queries, min(k, docs)) of the nearest documents, best first; equal scores by index.

    One matrix product and a partition for each block of queries: exact.
    """
    import numpy as np

    k = min(k, len(docs))
    found = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    if k == 0:
        return found, scores
    rows = max(1, BLOCK // max(1, len(docs)))
    transposed = np.ascontiguousarray(docs.T)
    for at in range(0, len(queries), rows):
        block = queries[at : at + rows] @ transposed
        best = np.argpartition(-block, k - 1, axis=1)[:, :k] if k < len(docs) else np.broadcast_to(np.arange(len(docs)), block.shape)
        held = np.take_along_axis(block, best, axis=1)
        order = np.lexsort((best, -held), axis=1)
        found[at : at + rows] = np.take_along_axis(best, order, axis=1)
        scores[at : at + rows] = np.take_along_axis(held, order, axis=1)
    return found, scores
