"""The rows of a query in pieces, made one at a time: polars by itself reads a dozen groups of a Parquet file ahead, however long their rows are."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl

FIRST_ROWS, MOST_ROWS = 1_024, 16_384  # of a piece
PIECE_BYTES = 32 << 20  # a piece has no more rows than that, on disk or in memory: a file's group of rows is looked at anew for each
LEAST_ROWS = 64  # whatever they have
HANDED_BYTES = 1 << 20  # at a time: polars keeps some of what it is handed
HANDED_ROWS = 1_024


def in_pieces(rows: pl.LazyFrame, made: Callable[[pl.LazyFrame], pl.LazyFrame], schema: pl.Schema, *, n_bytes: int = 0) -> pl.LazyFrame:
    """The query `made` of `rows`, a piece of which is begun when the one before it was taken. It has this schema.

    Any piece of `rows` must be found without the rows before it, and `made` must look at each row by itself. `n_bytes` is what all rows have on disk.
    """
    from polars.io.plugins import register_io_source

    def pieces(columns: list[str] | None, predicate: pl.Expr | None, n_rows: int | None, _: int | None) -> Iterator[pl.DataFrame]:
        left = n_rows
        for piece in _pieces(rows, made, n_bytes):
            here = piece if predicate is None else piece.filter(predicate)
            here = here if left is None else here.head(left)
            left = None if left is None else left - here.height
            yield here if columns is None else here.select(columns)
            if left == 0:
                return

    return register_io_source(pieces, schema=schema)


def _pieces(rows: pl.LazyFrame, made: Callable[[pl.LazyFrame], pl.LazyFrame], n_bytes: int) -> Iterator[pl.DataFrame]:
    n_all, at = rows.select(pl.len()).collect().item(), 0
    most = _fitting(PIECE_BYTES, n_bytes / max(n_all, 1), MOST_ROWS)
    size = min(FIRST_ROWS, most)
    while at < n_all:
        piece = made(rows.slice(at, size)).collect(engine="in-memory")
        at += size
        each = piece.estimated_size() / max(piece.height, 1)
        size = max(LEAST_ROWS, min(2 * size, most, _fitting(PIECE_BYTES, each, MOST_ROWS)))
        yield from handed(piece)


def handed(rows: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """The same rows in parts, for polars to read."""
    step = max(1, _fitting(HANDED_BYTES, rows.estimated_size() / max(rows.height, 1), HANDED_ROWS))
    return rows.iter_slices(step)


def _fitting(n_bytes: int, each: float, most: int) -> int:
    """How many rows of so many bytes each fit."""
    return min(most, int(n_bytes / max(each, 1)))
