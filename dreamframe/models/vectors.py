"""Vectors of embedders: from answers to columns and matrices, cosines, and exact search. numpy is imported where matrices are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from dreamframe.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 8 << 20  # scores held at once: 32 MiB of float32
QUERIES = 1024  # queries searched for at once
SPARE = 32  # documents measured again beside the k nearest


def column(data: pl.Series, dim: int) -> pl.Series:
    """Answers' bytes (float32, little-endian, `dim` each) as a column of vectors; null for nulls and for vectors of another length.

    >>> import struct
    >>> column(pl.Series("v", [struct.pack("<2f", 1, 2), None]), 2).to_list()
    [[1.0, 2.0], None]
    """
    return data.bin.reinterpret(dtype=pl.Array(pl.Float32, dim), endianness="little")


def cosine(a: str, b: str, dim: int) -> pl.Expr:
    """The cosine of two columns of vectors, as Float32; null where one is null, 0 where one is all zeros. No row's depends on the others.

    >>> rows = pl.DataFrame({"a": [[1.0, 0.0], [1.0, 1.0]], "b": [[0.0, 2.0], [2.0, 2.0]]}, schema_overrides=dict.fromkeys("ab", pl.Array(pl.Float32, 2)))
    >>> rows.select(cosine("a", "b", 2)).to_series().to_list()
    [0.0, 1.0]
    """
    x, y = (pl.col(c).cast(pl.Array(pl.Float64, dim)) for c in (a, b))
    dot, lengths = (x * y).arr.sum(), ((x * x).arr.sum() * (y * y).arr.sum()).sqrt()
    known = pl.col(a).is_not_null() & pl.col(b).is_not_null()
    return pl.when(known).then(pl.when(lengths > 0).then((dot / lengths).clip(-1, 1)).otherwise(0.0)).cast(pl.Float32)


def matrix(data: pl.Series, dim: int) -> NDArray[np.float32]:
    """Answers' bytes (float32, little-endian, `dim` each) as a matrix (rows, dim); null rows are zeros."""
    import numpy as np

    empty = bytes(4 * dim)
    return np.frombuffer(b"".join(empty if v is None else v for v in data), dtype="<f4").reshape(-1, dim)


def rows_of(column: pl.Series) -> NDArray[np.float32]:
    """A column of vectors without nulls as a matrix (rows, dim), in place where it lies in one piece."""
    try:
        import numpy as np
    except ImportError as exc:
        raise MissingExtraError("numpy", extra="embed", needed_for="search among vectors") from exc
    dim = column.dtype.shape[0]  # type: ignore[attr-defined]
    return np.asarray(column.to_numpy(), dtype=np.float32).reshape(len(column), dim)


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length one (zero rows stay zero), so that a dot product is the cosine."""
    import numpy as np

    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    made: NDArray[np.float32] = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return made


def nearest(queries: NDArray[np.float32], docs: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Indices and dot products (queries, min(k, docs)) of the nearest documents, best first; equal scores by index. Exact.

    Matrix products of float32 choose SPARE more than k, whose order depends on how the matrices were cut; these are measured again in float64, so
    that a query's result does not depend on the others beside it (but for more than SPARE documents that are equal to the seventh digit).
    """
    import numpy as np

    k = min(k, len(docs))
    found = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    if k == 0:
        return found, scores
    for at in range(0, len(queries), QUERIES):
        block = queries[at : at + QUERIES]
        index = _candidates(block, docs, min(len(docs), k + SPARE))
        found[at : at + QUERIES], scores[at : at + QUERIES] = ranked(block, docs, index, k)
    return found, scores


def ranked(
    queries: NDArray[np.float32], docs: NDArray[np.float32], index: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k best (queries, k) of some documents (queries, n) for each query, best first; equal scores by index."""
    import numpy as np

    exact = _measured(queries, docs, index)
    order = np.lexsort((index, -exact), axis=1)[:, :k]
    return np.take_along_axis(index, order, axis=1), np.take_along_axis(exact, order, axis=1)


def _measured(queries: NDArray[np.float32], docs: NDArray[np.float32], index: NDArray[np.int64]) -> NDArray[np.float32]:
    """Dot products (queries, n) with the documents of `index`, summed in float64: the same whatever stands in the other rows."""
    import numpy as np

    made = np.empty(index.shape, dtype=np.float32)
    rows = max(1, BLOCK // (index.shape[1] * docs.shape[1]))
    for at in range(0, len(queries), rows):
        picked = docs[index[at : at + rows]].astype(np.float64)  # (rows, n, dim)
        made[at : at + rows] = np.einsum("qd,qcd->qc", queries[at : at + rows].astype(np.float64), picked)
    return made


def _candidates(queries: NDArray[np.float32], docs: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Indices (queries, n) of the n best documents, in no order: block by block, only what beats the worst kept so far is looked at."""
    import numpy as np

    width = max(4 * n, BLOCK // len(queries))
    at = min(len(docs), max(4 * n, 2048))  # a small first block: it is sorted whole
    block = queries @ docs[:at].T
    index = _best(block, n)
    held = np.take_along_axis(block, index, axis=1)
    while at < len(docs):
        block = queries @ docs[at : at + width].T  # (queries, width)
        rows, columns = np.divmod(np.flatnonzero(block > held.min(axis=1, keepdims=True)), block.shape[1])
        if len(rows):
            index, held = _merged(index, held, rows, columns + at, block[rows, columns])
        at += width
    return index


def _merged(
    index: NDArray[np.int64], held: NDArray[np.float32], rows: NDArray[np.int64], found: NDArray[np.int64], scores: NDArray[np.float32]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The best of those held and of those found (by row, in rising order of rows)."""
    import numpy as np

    counts = np.bincount(rows, minlength=len(held))
    place = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)  # 0, 1, … in each row
    shape = (len(held), int(counts.max()))
    more, more_scores = np.zeros(shape, dtype=np.int64), np.full(shape, -np.inf, dtype=np.float32)
    more[rows, place], more_scores[rows, place] = found, scores
    index, held = np.hstack([index, more]), np.hstack([held, more_scores])
    best = _best(held, held.shape[1] - shape[1])
    return np.take_along_axis(index, best, axis=1), np.take_along_axis(held, best, axis=1)


def _best(scores: NDArray[np.float32], n: int) -> NDArray[np.int64]:
    """Columns (rows, n) of the n highest scores of each row, in no order."""
    import numpy as np

    columns = scores.shape[1]
    if n >= columns:
        return np.broadcast_to(np.arange(columns), scores.shape)
    return np.argpartition(scores, columns - n, axis=1)[:, columns - n :]
