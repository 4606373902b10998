"""The file format of the answers journal: checksummed frames of Arrow record batches, one file per writer.

file    DREAMJ01 | frame | frame | …
frame   FRAM | 4 zero bytes | length uint64 | xxh3_64 of the payload, uint64 | payload, padded by Arrow to 8 bytes
payload an Arrow IPC message: the schema in frame 0, a record batch in all others
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import polars as pl
import xxhash

from dreamframe.store.ends import is_end
from dreamframe.store.files import let_go
from dreamframe.store.foreign import check_unfolded, is_plain_batch
from dreamframe.store.ipc import END, MESSAGE_ROWS, Bytes, damage, messages
from dreamframe.store.short_rows import checked_rows, head_of

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
FRAME_BYTES = 1 << 21
SMALL = 1 << 16  # bytes of a frame that is decoded together with its neighbours
TOGETHER, FEWEST_TOGETHER = 2_048, 64  # frames
TOGETHER_BYTES = 1 << 23
LET_GO_BYTES = 1 << 25


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


def in_frames(rows: Sequence[Row]) -> Iterator[tuple[Sequence[Row], bytes]]:
    """Rows and the frame of them, one after the other: no more than MESSAGE_ROWS, and not many of FRAME_BYTES, since each is several times in memory
    while it is made."""
    start = n_bytes = 0
    for at, row in enumerate(rows):
        n_bytes += len(row[1] or "") + len(row[2] or b"")
        if n_bytes >= FRAME_BYTES or at - start + 1 == MESSAGE_ROWS or at + 1 == len(rows):
            part = rows[start : at + 1]
            yield part, frames(part)[0]
            start, n_bytes = at + 1, 0


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
    return _checked(pyarrow.ipc.read_record_batch(message, _arrow_schema(is_former=is_former)), is_former=is_former)


def decode_plain(payload: bytes) -> pl.DataFrame | None:
    """The answers of a payload whose checksum holds, without pyarrow; None where they are not as this process writes them: `decode` says what is wrong."""
    rows = checked_rows(head_of(tuple(ANSWER_SCHEMA.items())), memoryview(payload))
    if rows is None or not (rows["key"].bin.size() == KEY_BYTES).all(ignore_nulls=False):
        return None
    return rows if all(is_end(word) for word in rows["finish"].unique().drop_nulls()) else None


def decode_all(payloads: Sequence[Bytes], *, is_former: bool = False) -> pa.RecordBatch:
    """The rows of several payloads as one batch, for which they are copied: as `decode`, at a tenth of the cost of each for itself."""
    import pyarrow as pa

    if len(payloads) == 1:
        return decode(payloads[0], is_former=is_former)
    if strange := [payload for payload in payloads if not is_plain_batch(payload)]:
        decode(strange[0], is_former=is_former)  # which says why it is refused
        raise pa.ArrowInvalid("a message that is not a record batch")
    schema = _arrow_schema(is_former=is_former)
    with pa.ipc.open_stream(pa.py_buffer(b"".join([schema.serialize(), *payloads, END]))) as reader:
        table = reader.read_all()
    table.validate(full=True)
    return _checked(table.combine_chunks().to_batches()[0], is_former=is_former)


def _checked(batch: pa.RecordBatch, *, is_former: bool) -> pa.RecordBatch:
    """Answers that may be used: no offset leads out of their buffers, and each has a key."""
    import pyarrow.compute

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

    batches: list[pa.RecordBatch] = field(default_factory=list)  # of a frame each, or of many small ones
    n_small: int = 0  # frames of no more than SMALL bytes
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
    let_go_at = LET_GO_BYTES
    one_by_one = 0  # up to where: what is damaged among many is found so
    while at < size and found.is_journal:
        if at >= let_go_at:
            let_go(view)
            let_go_at = at + LET_GO_BYTES
        if at >= one_by_one and not (whole and at == len(FILE_MAGIC)):  # where the columns are told
            payloads, after = _small_frames(view, at)
            one_by_one = after
            if len(payloads) >= FEWEST_TOGETHER and _are_answers(payloads, found):
                found.end = at = after
                continue
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


def n_small(read: Callable[[int, int], bytes]) -> int:
    """How many small frames there are, by what the headers of all say. `read` gives some bytes from an offset: the rest of the file is left alone."""
    at, n = len(FILE_MAGIC), 0
    while len(head := read(at, HEADER.size)) == HEADER.size:
        magic, zero, length, _ = HEADER.unpack(head)
        if magic != FRAME_MAGIC or zero:
            break
        at, n = at + HEADER.size + length, n + (length <= SMALL)
    return n


def _small_frames(view: memoryview, at: int) -> tuple[list[memoryview], int]:
    """The payloads of the small frames that follow one another from `at` on, up to so many, their checksums right; and where they end."""
    payloads: list[memoryview] = []
    most = at + TOGETHER_BYTES
    while len(payloads) < TOGETHER and at < most and view.nbytes - at >= HEADER.size:
        magic, zero, length, checksum = HEADER.unpack_from(view, at)
        start = at + HEADER.size
        payload = view[start : start + length]
        is_good = magic == FRAME_MAGIC and not zero and length <= min(SMALL, view.nbytes - start)
        if not is_good or xxhash.xxh3_64_intdigest(payload) != checksum:
            break
        payloads.append(payload)
        at = start + length
    return payloads, at


def _are_answers(payloads: Sequence[memoryview], found: JournalScan) -> bool:
    """Read many frames into `found`; nothing is read where one of them is damaged."""
    try:
        found.batches.append(answers_in(decode_all(payloads, is_former=found.is_former)))
    except damage():
        return False
    found.n_small += len(payloads)
    return True


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
            found.batches.append(answers_in(decode(payload, is_former=found.is_former)))
            found.n_small += length <= SMALL
    except damage() as exc:
        return str(exc)[:200], at
    return None, start + length


def answers_in(batch: pa.RecordBatch) -> pa.RecordBatch:
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
