"""Arrow arrays of Python values, by way of polars: `pa.array` imports pandas wherever it is installed, which costs 0.3 s and 40 MB that nobody asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

KEY = pa.binary(16)
DTYPES: dict[pa.DataType, Any] = {
    pa.int64(): pl.Int64,
    pa.uint64(): pl.UInt64,
    pa.bool_(): pl.Boolean,
    pa.string(): pl.String,
    pa.large_string(): pl.String,
    pa.large_binary(): pl.Binary,
}


def array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values (None: null) as an array of one of the types above. Raises TypeError, OverflowError or a polars error for a value of another type.

    >>> import pyarrow as pa
    >>> array([1, None], pa.int64()).to_pylist()
    [1, None]
    """
    made = pl.Series(values, dtype=DTYPES[kind]).to_arrow()
    return made if made.type == kind else made.cast(kind)


def key_array(keys: Sequence[bytes | None]) -> pa.Array:
    """16-byte keys (None: null) as fixed-size binary."""
    if None not in keys:
        return pa.Array.from_buffers(KEY, len(keys), [None, pa.py_buffer(b"".join(keys))])  # type: ignore[arg-type]
    is_valid = array([key is not None for key in keys], pa.bool_()).buffers()[1]
    return pa.Array.from_buffers(KEY, len(keys), [is_valid, pa.py_buffer(b"".join(key or bytes(16) for key in keys))])


def zero_filled(values: pa.Array) -> pa.Array:
    """An array of fixed width, of large strings or of large binaries with zeros (empty texts) under its nulls."""
    if values.null_count == 0:
        return values
    kind, n = values.type, len(values)
    is_text = kind in (pa.large_string(), pa.large_binary())
    zeros = [bytes(8 * (n + 1)), b""] if is_text else [bytes((n * kind.bit_width + 7) // 8)]
    return pc.coalesce(values, pa.Array.from_buffers(kind, n, [None, *map(pa.py_buffer, zeros)]))
