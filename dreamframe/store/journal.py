"""The file format of the answers journal: checksummed frames of Arrow record batches, one file per writer.

    file    DREAMJ01 | frame | frame | …
    frame   FRAM | 4 zero bytes | length uint64 | xxh3_64 of the payload, uint64 | payload, padded by Arrow to 8 bytes
    payload an Arrow IPC message: the schema in frame 0, a record batch in all others
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import xxhash

from dreamframe.arrow import KEY, array, key_array

ANSWER_SCHEMA = pa.schema(
    [
        pa.field("key", pa.binary(16), nullable=False),
        pa.field("text", pa.large_string()),
        pa.field("data", pa.large_binary()),  # float32 little-endian vector
        pa.field("finish", pa.string()),
        pa.field("n_in", pa.int64()),
        pa.field("n_out", pa.int64()),
        pa.field("n_cached", pa.int64()),
        pa.field("n_reasoning", pa.int64()),
        pa.field("model", pa.string()),
        pa.field("extra", pa.large_string()),
        pa.field("at_ms", pa.int64()),  # milliseconds since 1970
    ]
)
Row = tuple[bytes, str | None, bytes | None, str, int, int, int, int, str, str | None, int]
FILE_MAGIC = b"DREAMJ01"
FRAME_MAGIC = b"FRAM"
HEADER = struct.Struct("<4sIQQ")
DAMAGE = (pa.ArrowException, OSError, EOFError, MemoryError, ValueError)  # what Arrow raises on bad bytes


def batch_of(rows: Sequence[Row]) -> pa.RecordBatch:
    """Rows as one record batch."""
    columns: Iterable[Sequence[Any]] = zip(*rows, strict=True) if rows else [()] * len(ANSWER_SCHEMA)
    arrays = [key_array(c) if f.type == KEY else array(c, f.type) for c, f in zip(columns, ANSWER_SCHEMA, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=ANSWER_SCHEMA)


def header() -> bytes:
    """How every journal begins."""
    return FILE_MAGIC + framed(ANSWER_SCHEMA.serialize())


def framed(payload: pa.Buffer) -> bytes:
    """One frame."""
    return HEADER.pack(FRAME_MAGIC, 0, payload.size, xxhash.xxh3_64_intdigest(payload)) + bytes(payload.to_pybytes())


def decode(payload: pa.Buffer) -> pa.RecordBatch:
    """The record batch of a payload whose checksum holds. Copies nothing; validates, so that no later use can read out of bounds."""
    message = pa.ipc.read_message(payload)
    if message.type != "record batch":
        raise pa.ArrowInvalid(f"a {message.type} message where a record batch was expected")
    batch = pa.ipc.read_record_batch(message, ANSWER_SCHEMA)
    batch.validate(full=True)
    if batch.column(0).null_count:
        raise pa.ArrowInvalid("an answer without a key")
    return batch


@dataclass
class Scan:
    """What a journal holds."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    end: int = 0  # bytes up to the end of the last good frame
    torn: int = 0  # bytes after it that are no whole frame: a writer was interrupted
    bad: list[str] = field(default_factory=list)  # damaged frames, each in words
    is_journal: bool = True


def scan(buffer: pa.Buffer, *, whole: bool = True) -> Scan:
    """Read all frames, stepping over damaged ones. `whole=False`: the buffer begins where an earlier scan ended."""
    found, size = Scan(), buffer.size
    at = 0
    if whole:
        at = len(FILE_MAGIC)
        if buffer.slice(0, min(at, size)).to_pybytes() != FILE_MAGIC[:size]:
            found.is_journal, found.bad = False, ["the file is not a journal of answers"]
            return found
        if size < at:
            found.torn = size
            return found
        found.end = at
    view = memoryview(buffer)
    while at < size and found.is_journal:
        problem, after = _frame(buffer, view, at, found)
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


def n_frames(buffer: pa.Buffer) -> int:
    """How many frames follow one another, by what their headers say."""
    view, at, n = memoryview(buffer), len(FILE_MAGIC), 0
    while at + HEADER.size <= len(view):
        magic, zero, length, _ = HEADER.unpack_from(view, at)
        if magic != FRAME_MAGIC or zero:
            break
        at, n = at + HEADER.size + length, n + 1
    return n


def _frame(buffer: pa.Buffer, view: memoryview, at: int, found: Scan) -> tuple[str | None, int]:
    """Read the frame at `at` into `found`: (what is wrong with it or None, where it ends)."""
    if buffer.size - at < HEADER.size:
        return "cut", at
    magic, zero, length, checksum = HEADER.unpack_from(view, at)
    start = at + HEADER.size
    if magic != FRAME_MAGIC or zero:
        return "no frame begins here", at
    if length > buffer.size - start:
        return "cut", at
    payload = buffer.slice(start, length)
    if xxhash.xxh3_64_intdigest(payload) != checksum:
        return "the checksum is wrong", at
    try:
        if at == len(FILE_MAGIC):
            if not pa.ipc.read_schema(payload).equals(ANSWER_SCHEMA):
                found.is_journal = False
                found.bad.append("the columns are not those of answers")
        else:
            found.batches.append(decode(payload))
    except DAMAGE as exc:
        return str(exc)[:200], at
    return None, start + length


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
