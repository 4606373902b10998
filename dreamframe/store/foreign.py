"""Arrow that may be a stranger's: how much its buffers unfold to, and which types are what was promised. Looks before anything is unfolded or converted."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import polars as pl

from dreamframe.errors import CorruptFileError

if TYPE_CHECKING:
    import pyarrow as pa

DICTIONARY, RECORDS = 2, 3  # kinds of messages that have buffers
OF_LABELS = b"_PL_CATEGORICAL"  # how polars marks the columns of its Categorical


def check_unfolded(message: pa.ipc.Message, most: int) -> int:
    """Bytes that the compressed buffers of a message unfold to. Raises CorruptFileError where they are more than `most`.

    pyarrow takes the memory that a buffer asks for before it unfolds it, and has no limit.
    """
    try:
        n = sum(_sizes(memoryview(message.metadata), memoryview(message.body) if message.body is not None else memoryview(b"")))
    except (struct.error, IndexError) as exc:
        raise CorruptFileError("a message of Arrow is damaged") from exc
    if n > most:
        allowed = f"more than the {most:,} that are allowed" if most else "and a session has none"
        raise CorruptFileError(f"it has compressed buffers of {n:,} bytes, {allowed}")
    return n


def _sizes(data: memoryview, body: memoryview) -> Iterator[int]:
    """What each buffer says that it unfolds to; nothing for a message without compression. The message is a flatbuffer: Message, RecordBatch, Buffer."""
    root = _u32(data, 0)
    kind, at = _field(data, root, 1), _field(data, root, 2)
    if kind is None or at is None or data[kind] not in (DICTIONARY, RECORDS):
        return
    batch: int | None = at + _u32(data, at)
    if data[kind] == DICTIONARY:
        inner = _field(data, at + _u32(data, at), 1)
        batch = None if inner is None else inner + _u32(data, inner)
    if batch is None or _field(data, batch, 3) is None:
        return
    buffers = _field(data, batch, 2)
    if buffers is None:
        return
    first = buffers + _u32(data, buffers)
    for i in range(_u32(data, first)):
        offset, length = struct.unpack_from("<qq", data, first + 4 + 16 * i)
        if length >= 8 and offset >= 0:
            yield max(0, struct.unpack_from("<q", body, offset)[0])  # -1: this one is not compressed


def is_plain_batch(payload: memoryview | bytes) -> bool:
    """Whether a message, as it stands in a stream, is a record batch without compressed buffers."""
    try:
        start = 8 + _u32(memoryview(payload), 4)
        data = memoryview(payload)[8:start]
        kind = _field(data, _u32(data, 0), 1)
        return kind is not None and data[kind] == RECORDS and not sum(_sizes(data, memoryview(payload)[start:]))
    except (struct.error, IndexError):
        return False


def body_bytes(payload: memoryview) -> int:
    """Bytes that follow the head of a message, as it says. Raises struct.error or IndexError where it is damaged."""
    at = _field(payload[8:], _u32(payload, 8), 3)
    return 0 if at is None else int(struct.unpack_from("<q", payload, 8 + at)[0])


class Outline(NamedTuple):
    """Where the columns of a record batch lie, in a message as it stands in a stream."""

    n_rows: int
    body: int  # where the body begins, in bytes of the message
    buffers: Callable[[int], tuple[int, int]]  # number of a buffer → where it begins in the body, and its bytes


def batch_outline(head: bytes | memoryview) -> Outline | None:
    """The outline of a record batch of which the first bytes are given; None for another message, or a compressed one. Checks nothing: what it says is to
    be compared with what is there. Raises struct.error or IndexError where the bytes make no sense, or are too few."""
    body = 8 + _u32(memoryview(head), 4)
    data = memoryview(head)[8:body]
    root = _u32(data, 0)
    kind, at = _field(data, root, 1), _field(data, root, 2)
    if kind is None or at is None or data[kind] != RECORDS:
        return None
    batch = at + _u32(data, at)
    length, buffers = _field(data, batch, 0), _field(data, batch, 2)
    if length is None or buffers is None or _field(data, batch, 3) is not None:
        return None
    first = buffers + _u32(data, buffers)

    def buffer(number: int) -> tuple[int, int]:
        if number >= _u32(data, first):
            raise IndexError(number)
        return struct.unpack_from("<qq", data, first + 4 + 16 * number)

    return Outline(struct.unpack_from("<q", data, length)[0], body, buffer)


def file_messages(data: memoryview) -> Iterator[pa.ipc.Message]:
    """The messages of an Arrow file that have rows or labels, as the index at its end names them. Raises CorruptFileError for an index that is damaged."""
    import pyarrow as pa

    try:
        index = data[len(data) - 10 - _u32(data, len(data) - 10) : -10]
        for number in (2, 3):  # of labels, of rows
            field = _field(index, _u32(index, 0), number)
            if field is not None:
                first = field + _u32(index, field)
                for i in range(_u32(index, first)):
                    offset, n_head, n_body = struct.unpack_from("<qi4xq", index, first + 4 + 24 * i)
                    yield pa.ipc.read_message(pa.py_buffer(data[offset : offset + n_head + n_body]))
    except (struct.error, IndexError) as exc:
        raise CorruptFileError("the index of an Arrow file is damaged") from exc


def _u32(data: memoryview, at: int) -> int:
    return int(struct.unpack_from("<I", data, at)[0])


def _field(data: memoryview, table: int, number: int) -> int | None:
    """Where a field of a flatbuffer's table lies; None where it has none."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, vtable)[0]:
        return None
    offset = struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0]
    return table + offset if offset else None


def difference(found: pa.Schema, promised: pa.Schema) -> str | None:
    """How the columns differ from those that were promised, in words; None where they do not."""
    if found.names != promised.names:
        return f"its columns are {_listed(found.names)}, and not {_listed(promised.names)}"
    for a, b in zip(found, promised, strict=True):
        if _normal(a) != _normal(b):
            return f"its column {a.name!r} is {a.type}{' with metadata' if a.metadata != b.metadata else ''}, and not {b.type}"
    return None


def _listed(names: list[str]) -> str:
    return ", ".join(map(repr, names[:8])) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def _normal(field: pa.Field) -> Any:
    """A field's type with one form for all layouts of texts, bytes and lists, and what marks it."""
    import pyarrow.types as kinds

    kind, marks = field.type, tuple(sorted((field.metadata or {}).items()))
    if kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind):
        return "text", marks
    if kinds.is_binary(kind) or kinds.is_large_binary(kind) or kinds.is_binary_view(kind):
        return "bytes", marks
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        return "list", _normal(kind.value_field), marks
    if kinds.is_fixed_size_list(kind):
        return "array", kind.list_size, _normal(kind.value_field), marks
    if kinds.is_struct(kind):
        return "struct", tuple((f.name, _normal(f)) for f in kind), marks
    return str(kind), marks


def to_frame(table: pa.Table) -> pl.DataFrame:
    """The rows, memory-mapped where they were. Raises CorruptFileError for types that polars does not read as they are, or at all."""
    for field in table.schema:
        if (why := _strange(field)) is not None:
            raise CorruptFileError(f"its column {field.name!r} is {why}, which no session writes")
    try:
        return pl.DataFrame(table)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, TypeError) as exc:
        raise CorruptFileError(f"polars does not read it: {str(exc)[:200]}") from exc


def _strange(field: pa.Field) -> str | None:
    """What is wrong with a field: polars ends in a panic over such types, or makes others of them."""
    import pyarrow.types as kinds

    kind = field.type
    if not all(_is_text(v) for k, v in (field.metadata or {}).items() if k.startswith(b"ARROW:extension:")):
        return "of a type of its own whose name is not text"
    if any(k.startswith(b"_PL_") and not (k.startswith(OF_LABELS) and kinds.is_dictionary(kind)) for k in field.metadata or {}):
        return f"{kind} with marks of polars"
    if kinds.is_dictionary(kind):
        labels = kind.value_type
        return None if kinds.is_string(labels) or kinds.is_large_string(labels) or kinds.is_string_view(labels) else str(kind)
    if kinds.is_decimal256(kind) or kinds.is_union(kind) or kinds.is_interval(kind) or kinds.is_run_end_encoded(kind):
        return str(kind)
    inner = [kind.field(i) for i in range(kind.num_fields)]
    return next((why for f in inner if (why := _strange(f)) is not None), None)


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
