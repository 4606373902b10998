"""The rows of a short output of plain columns, without pyarrow: its import, and numpy's with it, takes a quarter of a warm run.

Taken only where the bytes are those that this process would write for the rows that it reads in them: then nothing is left to ask of a stranger's file.
Anything else is for `ipc.read_table`, which says what is wrong.
"""

from __future__ import annotations

import functools
import io
import struct

import polars as pl

from dreamframe.store.foreign import batch_outline, body_bytes
from dreamframe.store.ipc import END, MESSAGE_ROWS, messages

MOST_BYTES = 8 << 20  # pyarrow copies nothing: worth its import for a longer one
PLAIN = (pl.String, pl.Binary, pl.Boolean, pl.Date, pl.Time, pl.Datetime, pl.Duration)
Columns = tuple[tuple[str, pl.DataType], ...]


def short_rows(data: memoryview, columns: Columns) -> pl.DataFrame | None:
    """The rows; None where they are not short and plain, or are written otherwise than this process would."""
    if data.nbytes > MOST_BYTES or not is_plain(columns):
        return None
    head = head_of(columns)
    batches = batches_of(data, len(head)) if data[: len(head)] == head else None
    if batches is None:
        return None
    parts = [pl.DataFrame(schema=dict(columns))]
    for batch, _ in batches:
        if (rows := checked_rows(head, batch)) is None:
            return None
        parts.append(rows)
    return pl.concat(parts)


def is_plain(columns: Columns) -> bool:
    """Whether the rows of these columns are read here."""
    return all(isinstance(kind, PLAIN) or (kind.is_numeric() and not kind.is_decimal()) for _, kind in columns)


@functools.lru_cache(maxsize=256)
def head_of(columns: Columns) -> bytes:
    """How a stream of these columns begins."""
    return bytes(next(messages(pl.DataFrame(schema=dict(columns)))))


def batches_of(data: memoryview, at: int) -> list[tuple[memoryview, int]] | None:
    """The messages after the head, and how many rows each says that it has; None where they are not batches of rows without compression, up to the end."""
    found: list[tuple[memoryview, int]] = []
    try:
        while data[at : at + len(END)] != END:
            start = at + 8 + struct.unpack_from("<4xi", data, at)[0]
            outline = batch_outline(data[at:start])
            end = start + body_bytes(data[at:start])
            if outline is None or outline.n_rows < 0 or not at < start <= end <= len(data):
                return None
            found.append((data[at:end], outline.n_rows))
            at = end
    except (struct.error, IndexError):
        return None
    return found if at + len(END) == len(data) else None


def checked_rows(head: bytes, batch: memoryview) -> pl.DataFrame | None:
    """The rows of a message; None where its bytes are not those that this process would write for them."""
    try:
        rows = _rows(head, batch)
        return rows if rows.height <= MESSAGE_ROWS and bytes(list(messages(rows))[1]) == batch else None
    except (struct.error, RuntimeError, LookupError, ValueError, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


def _rows(head: bytes, batch: memoryview) -> pl.DataFrame:
    """The rows of a message: nanoarrow checks offsets and lengths, and what polars takes on trust is asked here. Raises ValueError or an error of polars."""
    from nanoarrow import c_array_stream
    from nanoarrow.ipc import InputStream

    with InputStream.from_readable(io.BytesIO(b"".join([head, batch, END]))) as stream:
        rows = pl.DataFrame(c_array_stream(stream))
    rows.select(pl.col(pl.String).cast(pl.Binary).cast(pl.String))  # that it is UTF-8
    if any(column.null_count() != column.is_null().sum() for column in rows):
        raise ValueError("a count of nulls is wrong")
    return rows
