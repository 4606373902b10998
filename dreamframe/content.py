"""Digests of Arrow tables by their logical values, and the keys of answers. Imports pyarrow: a plan is built without it."""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from dreamframe.arrow import key_array, zero_filled
from dreamframe.errors import FingerprintError


def table_digest(table: pa.Table) -> str:
    """32 hex characters for the names, types and values of a table, whatever its chunks, offsets and string layout (xxh3_128: not tamper-proof).

    >>> import pyarrow as pa
    >>> whole, chunked = pa.table({"a": ["x", None]}), pa.table({"a": pa.chunked_array([["x"], [None]], type=pa.large_string())})
    >>> table_digest(whole) == table_digest(chunked)
    True
    """
    digest = xxhash.xxh3_128()
    digest.update(f"table {table.num_rows} {table.num_columns}\n".encode())
    for name, column in zip(table.column_names, table.columns, strict=True):
        array = _one_chunk(column)
        digest.update(f"{len(name.encode())}:{name} {_type_name(array.type)}\n".encode())
        _feed(digest, array)
    return str(digest.hexdigest())


def frame_digest(frame: pl.DataFrame) -> str:
    """32 hex characters for the names, types and values of a polars frame, also of types that Arrow has not: an Enum's order, Int128.

    Raises FingerprintError for a column of Python objects.

    >>> one, other = (pl.Series("a", ["x"], dtype=pl.Enum(order)) for order in (["x", "y"], ["y", "x"]))
    >>> frame_digest(one.to_frame()) == frame_digest(other.to_frame())
    False
    """
    special: list[str] = []
    columns: list[pl.Series] = []
    for column in frame.iter_columns():
        kind = _in_arrow(column.dtype, column.name)
        if kind != column.dtype:
            special.append(f"{len(column.name.encode())}:{column.name} {column.dtype}\n")
        columns.append(column if kind == column.dtype else column.cast(kind))
    found = table_digest(pl.DataFrame(columns, height=frame.height).to_arrow())
    return str(xxhash.xxh3_128_hexdigest("".join([*special, found]).encode())) if special else found


def _in_arrow(dtype: Any, column: str) -> pl.DataType:
    """The type that Arrow has for the values of a polars type."""
    if isinstance(dtype, pl.List):
        return pl.List(_in_arrow(dtype.inner, column))
    if isinstance(dtype, pl.Array):
        return pl.Array(_in_arrow(dtype.inner, column), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct({f.name: _in_arrow(f.dtype, column) for f in dtype.fields})
    if dtype == pl.Object:
        raise FingerprintError(f"column {column!r} holds Python objects, which have no identity; write them as text, numbers or structs.")
    if dtype in (pl.Int128, pl.UInt128) or isinstance(dtype, pl.Enum):
        return pl.String()
    return dtype if isinstance(dtype, pl.DataType) else dtype()


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    wide = _widened(column.type)
    column = column.cast(wide) if wide != column.type else column
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks) if column.num_chunks else pa.nulls(0, wide)


def _widened(kind: pa.DataType) -> pa.DataType:
    """One type for each of the layouts that hold the same values."""
    if pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        return pa.large_binary()
    return kind


def _type_name(kind: pa.DataType) -> str:
    """A type as text, the same for the layouts that hold the same values."""
    if isinstance(kind, pa.BaseExtensionType):
        return f"extension<{kind.extension_name}>({_type_name(kind.storage_type)})"
    if pa.types.is_dictionary(kind):
        return f"dictionary<{_type_name(kind.value_type)}>"
    if pa.types.is_fixed_size_list(kind):
        return f"array<{_type_name(kind.value_type)}, {kind.list_size}>"
    if pa.types.is_map(kind):
        return f"map<{_type_name(kind.key_type)}, {_type_name(kind.item_type)}>"
    if _is_list(kind):
        return f"list<{_type_name(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return "struct<" + ", ".join(f"{f.name!r}: {_type_name(f.type)}" for f in kind) + ">"
    return str(_widened(kind))


def _is_list(kind: pa.DataType) -> bool:
    kinds = pa.types
    return any(is_kind(kind) for is_kind in (kinds.is_map, kinds.is_list, kinds.is_large_list, kinds.is_list_view, kinds.is_large_list_view))


def _feed(digest: Any, array: pa.Array) -> None:
    """Add an array's values: which are null, then the values with nulls as zeros, so that bytes under a null do not count."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _feed(digest, array.storage)
    if pa.types.is_dictionary(kind):
        return _feed(digest, array.dictionary_decode())
    digest.update(f"{len(array)} {array.null_count}\n".encode())
    if pa.types.is_null(kind):
        return None
    if array.null_count:
        digest.update(_bytes(array.is_valid().cast(pa.uint8())))
    if pa.types.is_boolean(kind):
        digest.update(_bytes(zero_filled(array).cast(pa.uint8())))
    elif pa.types.is_struct(kind):
        for child in array.flatten():
            _feed(digest, child)
    elif pa.types.is_fixed_size_list(kind):
        _feed(digest, array.flatten())  # without the values of null lists
    elif _is_list(kind):
        lengths = array if not pa.types.is_map(kind) else array.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
        digest.update(_bytes(zero_filled(pc.list_value_length(lengths)).cast(pa.int64())))
        _feed(digest, lengths.flatten())
    elif (wide := _widened(kind)) in (pa.large_string(), pa.large_binary()):
        _feed_text(digest, array.cast(wide))
    else:
        digest.update(_bytes(_canonical_numbers(array)))
    return None


def _feed_text(digest: Any, array: pa.Array) -> None:
    array = zero_filled(array)
    digest.update(_bytes(pc.binary_length(array).cast(pa.int64())))
    if len(array):
        offsets = memoryview(array.buffers()[1]).cast("q")
        data = array.buffers()[2]
        if data is not None:
            digest.update(memoryview(data)[offsets[array.offset] : offsets[array.offset + len(array)]])


def _canonical_numbers(array: pa.Array) -> pa.Array:
    """A fixed-width array with zeros under its nulls and one kind of NaN."""
    kind = array.type
    try:
        bits = kind.bit_width
    except ValueError as exc:
        raise FingerprintError(f"a column of type {kind} cannot be fingerprinted; cast it to another type first.") from exc
    if pa.types.is_floating(kind) and kind != pa.float16() and pc.any(pc.is_nan(array)).as_py():
        nan = struct.pack("<d" if kind == pa.float64() else "<f", math.nan)
        array = pc.if_else(pc.is_nan(array), pa.Array.from_buffers(kind, len(array), [None, pa.py_buffer(nan * len(array))]), array)
    if array.null_count == 0:
        return array
    plain: dict[int, pa.DataType] = {8: pa.uint8(), 16: pa.uint16(), 32: pa.uint32(), 64: pa.uint64()}
    return zero_filled(array.view(plain.get(bits, pa.binary(bits // 8))))


def _bytes(array: pa.Array) -> memoryview:
    width = array.type.bit_width // 8
    buffer = array.buffers()[1]
    return memoryview(b"") if buffer is None else memoryview(buffer)[array.offset * width : (array.offset + len(array)) * width]


def answer_keys(prefix: bytes, prompts: pl.Series | Iterable[str | None], samples: Sequence[int]) -> pa.Array:
    """The journal keys of a batch of prompts: sha256 of question, sample and prompt, cut to 16 bytes; null where the prompt is null.

    sha256, since prompts are untrusted text and xxh3 collisions can be crafted.

    >>> keys = answer_keys(b"question", ["a", None, "a"], [0, 0, 1])
    >>> keys.is_valid().to_pylist(), keys[0] == keys[2]
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
    return key_array(keys)
