"""Digests of frames by their logical values, and the keys of answers."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
import xxhash

from dreamframe.identity.arrow import MAP, in_arrow, memory, type_name

TEXT_ROWS = 65_536  # texts that are put together at a time


def frame_digest(frame: pl.DataFrame) -> str:
    """32 hex characters for the names, types and values of a frame, whatever its chunks and what lies under its nulls (xxh3_128: not tamper-proof).

    Raises FingerprintError for a column of Python objects.

    >>> one, other = (pl.Series("a", ["x"], dtype=pl.Enum(order)) for order in (["x", "y"], ["y", "x"]))
    >>> frame_digest(one.to_frame()) == frame_digest(other.to_frame())
    False
    """
    special: list[str] = []
    digest = xxhash.xxh3_128(f"table {frame.height} {frame.width}\n".encode())
    for column in frame.iter_columns():
        kind = in_arrow(column.dtype, column.name)
        if kind != column.dtype:
            special.append(f"{len(column.name.encode())}:{column.name} {column.dtype}\n")
            column = column.cast(kind)  # noqa: PLW2901
        digest.update(f"{len(column.name.encode())}:{column.name} {type_name(kind)}\n".encode())
        _feed(digest, column)
    found = str(digest.hexdigest())
    return str(xxhash.xxh3_128_hexdigest("".join([*special, found]).encode())) if special else found


def _feed(digest: Any, values: pl.Series) -> None:
    """Add a column's values: which are null, then the values with nulls as zeros, so that bytes under a null do not count."""
    values = values.alias("values")  # polars finds columns by their names, and reads some names as patterns
    kind = values.dtype
    if isinstance(kind, pl.Categorical):
        return _feed(digest, values.cast(pl.String))
    if isinstance(kind, pl.BaseExtension):
        return _feed(digest, values.ext.storage())
    if isinstance(kind, MAP):
        return _feed(digest, values.to_physical())
    n_nulls = values.null_count()
    digest.update(f"{len(values)} {n_nulls}\n".encode())
    if isinstance(kind, pl.Null):
        return None
    if n_nulls:
        digest.update(memory(values.is_not_null().cast(pl.UInt8)))
    if isinstance(kind, pl.Boolean):
        digest.update(memory((values.fill_null(value=False) if n_nulls else values).cast(pl.UInt8)))
    elif isinstance(kind, pl.Struct):
        for child in values.struct.unnest().iter_columns():
            _feed(digest, child)
    elif isinstance(kind, pl.Array):
        _feed(digest, values.drop_nulls().reshape((-1,)) if kind.size else pl.Series(dtype=kind.inner))
    elif isinstance(kind, pl.List):
        digest.update(memory(values.list.len().fill_null(0).cast(pl.Int64)))
        _feed(digest, values.explode(empty_as_null=False, keep_nulls=False))
    elif isinstance(kind, pl.String | pl.Binary):
        empty: Any = "" if isinstance(kind, pl.String) else b""
        _feed_text(digest, values.fill_null(empty) if n_nulls else values)
    else:
        digest.update(memory(_canonical_numbers(values)))
    return None


def _feed_text(digest: Any, values: pl.Series) -> None:
    """Add texts or bytes, none of them null: their lengths in bytes, then all after one another. Polars joins texts at a sixth of what Python takes."""
    is_text = values.dtype == pl.String
    digest.update(memory((values.str.len_bytes() if is_text else values.bin.size()).cast(pl.Int64)))
    for part in values.to_frame().iter_slices(TEXT_ROWS):
        held = part.to_series()
        digest.update(held.str.join("").item().encode() if is_text else b"".join(held.to_list()))


def _canonical_numbers(values: pl.Series) -> pl.Series:
    """Numbers with zeros for nulls and one kind of NaN; times as numbers."""
    if not isinstance(values.dtype, pl.Decimal):
        values = values.to_physical()
    if isinstance(values.dtype, pl.Float32 | pl.Float64) and values.is_nan().any():
        values = values.fill_nan(math.nan)
    return values.fill_null(0) if values.null_count() else values


def answer_keys(prefix: bytes, prompts: pl.Series | Iterable[str | None], samples: Sequence[int]) -> list[bytes | None]:
    """The journal keys of a batch of prompts: sha256 of question, sample and prompt, cut to 16 bytes; None where the prompt is null.

    sha256, since prompts are untrusted text and xxh3 collisions can be crafted.

    >>> keys = answer_keys(b"question", ["a", None, "a"], [0, 0, 1])
    >>> [key is not None for key in keys], keys[0] == keys[2]
    ([True, False, True], False)
    """
    start = hashlib.sha256(len(prefix).to_bytes(8, "little") + prefix)
    keys: list[bytes | None] = []
    for prompt, sample in zip(prompts, samples, strict=True):
        if prompt is None:
            keys.append(None)
            continue
        one = start.copy()
        one.update(sample.to_bytes(8, "little") + prompt.encode("utf-8", "surrogatepass"))
        keys.append(one.digest()[:16])
    return keys
