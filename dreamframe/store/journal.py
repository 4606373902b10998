"""The file format of the answers journal: checksummed frames of Arrow record batches, one file per writer.

file    DREAMJ01 | frame | frame | …
frame   FRAM | 4 zero bytes | length uint64 | xxh3_64 of the payload, uint64 | payload, padded by Arrow to 8 bytes
payload an Arrow IPC message: the schema in frame 0, a record batch in all others
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
import xxhash

from dreamframe.store.ends import is_end
from dreamframe.store.foreign import check_unfolded
from dreamframe.store.ipc import Bytes, damage, messages

if TYPE_CHECKING:
    import pyarrow as pa

ANSWER_SCHEMA = pl.Schema(
    {
        "key": pl.Binary,  # 16 bytes
        "text": pl.String,
        "data": pl.Binary,  # float32 little-endian vector
        "finish": pl.String,
        "n_in": pl.Int64,
        "n_out": pl.Int64,
        "n_cached": pl.Int64,
        "n_reasoning": pl.Int64,
        "model": pl.String,
        "extra": pl.String,
        "at_ms": pl.Int64,  # milliseconds since 1970
    }
)
Row = tuple[bytes, str | None, bytes | None, str, int, int, int, int, str, str | None, int]
FILE_MAGIC = b"DREAMJ01"
FRAME_MAGIC = b"FRAM"
HEADER = struct.Struct("<4sIQQ")
KEY_BYTES = 16


def batch_of(rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as a frame. Raises TypeError, OverflowError or a polars error for a value of another type."""
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(ANSWER_SCHEMA)
    return pl.DataFrame([pl.Series(name, column, dtype=dtype) for column, (name, dtype) in zip(columns, ANSWER_SCHEMA.items(), strict=True)])


@functools.cache
def header() -> bytes:
    """How every journal begins."""
    return FILE_MAGIC + framed(next(messages(batch_of([]))))


def frames(rows: Sequence[Row]) -> list[bytes]:
    """Rows as frames of at most MESSAGE_ROWS each."""
    return [framed(payload) for payload in list(messages(batch_of(rows)))[1:]]


def framed(payload: Bytes | pa.Buffer) -> bytes:
    """One frame."""
    return HEADER.pack(FRAME_MAGIC, 0, memoryview(payload).nbytes, xxhash.xxh3_64_intdigest(payload)) + bytes(payload)


def decode(payload: Bytes, *, is_former: bool = False) -> pa.RecordBatch:
    """The record batch of a payload whose checksum holds. Copies nothing; validates, so that no later use can read out of bounds."""
    import pyarrow.compute

    message = pyarrow.ipc.read_message(pyarrow.py_buffer(payload))
    if message.type != "record batch":
        raise pyarrow.ArrowInvalid(f"a {message.type} message where a record batch was expected")
    check_unfolded(message, 0)
    batch = pyarrow.ipc.read_record_batch(message, _arrow_schema(is_former=is_former))
    batch.validate(full=True)
    batch = batch.cast(_arrow_schema()) if is_former else batch
    # By pyarrow: of a few rows, an expression of polars costs ten times as much.
    lengths = pyarrow.compute.min_max(pyarrow.compute.binary_length(batch.column(0)), skip_nulls=False).as_py()
    if batch.num_rows and lengths != {"min": KEY_BYTES, "max": KEY_BYTES}:
        raise pyarrow.ArrowInvalid("an answer without a key")
    return batch


@functools.cache
def _arrow_schema(*, is_former: bool = False) -> pa.Schema:
    """The columns as Arrow names their types; `is_former`: as sessions of format 1 had them."""
    import pyarrow as pa

    now = batch_of([]).to_arrow().schema
    former = {"key": pa.field("key", pa.binary(KEY_BYTES), nullable=False), "finish": pa.field("finish", pa.string()), "model": pa.field("model", pa.string())}
    return pa.schema([former.get(f.name, f) for f in now]) if is_former else now


@dataclass
class JournalScan:
    """What a journal holds."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    end: int = 0  # bytes up to the end of the last good frame
    torn: int = 0  # bytes after it that are not a whole frame: a writer was interrupted
    bad: list[str] = field(default_factory=list)  # damaged frames, each in words
    is_journal: bool = True
    is_former: bool = False


def scan(buffer: Bytes, *, whole: bool = True) -> JournalScan:
    """Read all frames, stepping over damaged ones. `whole=False`: the buffer begins where an earlier scan ended."""
    view = memoryview(buffer)
    found, size = JournalScan(), view.nbytes
    at = 0
    if whole:
        at = len(FILE_MAGIC)
        if bytes(view[:at]) != FILE_MAGIC[:size]:
            found.is_journal, found.bad = False, ["the file is not a journal of answers"]
            return found
        if size < at:
            found.torn = size
            return found
        found.end = at
    while at < size and found.is_journal:
        problem, after = _frame(view, at, found)
        if problem is None:
            found.end = at = after
            continue
        again = _next_frame(view, at + 1)
        if again < 0:
            found.torn = size - at
            break
        found.bad.append(f"bytes {at} to {again}: {problem}")
        found.end = at = again
    return found


def n_frames(read: Callable[[int, int], bytes]) -> int:
    """How many frames follow one another, by what their headers say. `read` gives some bytes from an offset: the rest of the file is left alone."""
    at, n = len(FILE_MAGIC), 0
    while len(head := read(at, HEADER.size)) == HEADER.size:
        magic, zero, length, _ = HEADER.unpack(head)
        if magic != FRAME_MAGIC or zero:
            break
        at, n = at + HEADER.size + length, n + 1
    return n


def _frame(view: memoryview, at: int, found: JournalScan) -> tuple[str | None, int]:
    """Read the frame at `at` into `found`: (what is wrong with it or None, where it ends)."""
    if view.nbytes - at < HEADER.size:
        return "cut", at
    magic, zero, length, checksum = HEADER.unpack_from(view, at)
    start = at + HEADER.size
    if magic != FRAME_MAGIC or zero:
        return "no frame begins here", at
    if length > view.nbytes - start:
        return "cut", at
    payload = view[start : start + length]
    if xxhash.xxh3_64_intdigest(payload) != checksum:
        return "the checksum is wrong", at
    try:
        if at == len(FILE_MAGIC):
            schema = _schema_of(payload)
            found.is_former = schema.equals(_arrow_schema(is_former=True))
            if not (found.is_former or schema.equals(_arrow_schema())):
                found.is_journal = False
                found.bad.append("the columns are not those of answers")
        else:
            found.batches.append(_answers_in(decode(payload, is_former=found.is_former)))
    except damage() as exc:
        return str(exc)[:200], at
    return None, start + length


def _answers_in(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The answers of a batch. Earlier sessions kept what had broken off, or ended nobody knows how, as answers too: those are asked for anew."""
    finish = batch.column("finish")
    strange = [word for word in finish.unique().to_pylist() if word is not None and not is_end(word)]
    return batch.filter((~pl.Series(finish).is_in(strange).fill_null(value=False)).to_arrow()) if strange else batch


def _schema_of(payload: Bytes) -> pa.Schema:
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(payload))


def _next_frame(view: memoryview, start: int) -> int:
    """Where the next whole frame with a right checksum begins, or -1. Looks at the bytes block by block."""
    size, block = len(view), 1 << 20
    at = start
    while at < size:
        chunk = bytes(view[at : at + block + len(FRAME_MAGIC) - 1])
        found = chunk.find(FRAME_MAGIC)
        while found >= 0 and found < block:
            if _is_frame(view, at + found):
                return at + found
            found = chunk.find(FRAME_MAGIC, found + 1)
        at += block
    return -1


def _is_frame(view: memoryview, at: int) -> bool:
    if len(view) - at < HEADER.size:
        return False
    _, zero, length, checksum = HEADER.unpack_from(view, at)
    start = at + HEADER.size
    return bool(zero == 0 and 0 < length <= len(view) - start and xxhash.xxh3_64_intdigest(view[start : start + length]) == checksum)
