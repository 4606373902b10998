"""Rows in an order that their own values and a seed decide: what is drawn first of it is drawn again when other rows come, go or move."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dreamframe.prompts import templates as template


def content_hashes(rows: pl.DataFrame, columns: Sequence[str], seed: int) -> pl.Series:
    """64 bits for each row, of the values of some columns as text and a seed: the same in every process, and for equal rows.

    >>> content_hashes(pl.DataFrame({"a": ["x", "y", "x"]}), ["a"], 0).rank("dense").to_list()
    [2, 1, 2]
    """
    import xxhash

    texts = [template.as_text(rows.get_column(c)).to_list() for c in columns]
    made = []
    for values in zip(*texts, strict=True):
        parts = [f"{-1 if value is None else len(value)}:{value or ''}" for value in values]
        made.append(xxhash.xxh3_64_intdigest("".join(parts).encode("utf-8", "surrogatepass"), seed=seed))
    return pl.Series("hash", made if texts else [0] * rows.height, dtype=pl.UInt64)
