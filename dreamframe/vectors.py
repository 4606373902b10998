"""Vectors of embedders: from answers to columns and matrices, cosines, and exact search. numpy is imported where matrices are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from dreamframe.errors import ParseError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK = 8 << 20  # scores held at once: 32 MiB of float32


def column(data: pl.Series, dim: int) -> pl.Series:
    """Answers' bytes (float32, little-endian, `dim` each) as a column of vectors; nulls stay null.

    >>> import struct
    >>> column(pl.Series("v", [struct.pack("<2f", 1, 2), None]), 2).to_list()
    [[1.0, 2.0], None]
    """
    sizes = data.drop_nulls().bin.size().unique().to_list()
    if sizes and sizes != [4 * dim]:
        raise ParseError(f"the embedder's vectors have {', '.join(str(n // 4) for n in sorted(sizes))} numbers, not the {dim} that it promised")
    return data.bin.reinterpret(dtype=pl.Array(pl.Float32, dim), endianness="little")


def cosines(a: pl.Series, b: pl.Series) -> pl.Series:
    """The cosine of each pair of vectors, as Float32; null where one is null, 0 where one is all zeros. No row's depends on the others.

    >>> a, b = pl.Series([[1.0, 0.0], [1.0, 1.0]], dtype=pl.Array(pl.Float32, 2)), pl.Series([[0.0, 2.0], [2.0, 2.0]], dtype=pl.Array(pl.Float32, 2))
    >>> cosines(a, b).to_list()
    [0.0, 1.0]
    """
    wide = pl.DataFrame({"a": a, "b": b}).cast(pl.Array(pl.Float64, a.dtype.shape[0]))  # type: ignore[attr-defined]
    dot, aa, bb = ((pl.col(x) * pl.col(y)).arr.sum() for x, y in ("ab", "aa", "bb"))
    lengths = (aa * bb).sqrt()
    known = pl.col("a").is_not_null() & pl.col("b").is_not_null()
    cosine = pl.when(lengths > 0).then((dot / lengths).clip(-1, 1)).otherwise(0.0)
    return wide.select(pl.when(known).then(cosine).cast(pl.Float32).alias("cosine")).to_series()


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
