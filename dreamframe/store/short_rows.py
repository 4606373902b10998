"""The rows of a short output of plain columns, without pyarrow: its import, and numpy's with it, takes a quarter of a warm run.

Taken only where the bytes are those that this process would write for the rows that it reads in them: then nothing is left to ask of a stranger's file.
Anything else is for `ipc.read_table`, which says what is wrong.
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Iterator

import polars as pl

from dreamframe.store.foreign import body_bytes, is_plain_batch
from dreamframe.store.ipc import END, MESSAGE_ROWS, messages

MOST_BYTES = 8 << 20  # pyarrow copies nothing: worth its import for a longer one
PLAIN = (pl.String, pl.Binary, pl.Boolean, pl.Date, pl.Time, pl.Datetime, pl.Duration)
Columns = tuple[tuple[str, pl.DataType], ...]


def short_rows(data: memoryview, columns: Columns) -> pl.DataFrame | None:
    """The rows; None where they are not short and plain, or are written otherwise than this process would."""
    if data.nbytes > MOST_BYTES or not all(isinstance(kind, PLAIN) or (kind.is_numeric() and not kind.is_decimal()) for _, kind in columns):
        return None
    head = _head(columns)
    if data[: len(head)] != head:
        return None
    parts = [pl.DataFrame(schema=dict(columns))]
    try:
        for batch in _batches(data, len(head)):
            parts.append(_rows(head, batch))
            if parts[-1].height > MESSAGE_ROWS or bytes(list(messages(parts[-1]))[1]) != batch:
                return None
        return pl.concat(parts)
    except (struct.error, RuntimeError, LookupError, ValueError, OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None


@functools.lru_cache(maxsize=256)
def _head(columns: Columns) -> bytes:
    """How a stream of these columns begins."""
    return bytes(next(messages(pl.DataFrame(schema=dict(columns)))))


def _batches(data: memoryview, at: int) -> Iterator[memoryview]:
    """The messages after the head. Raises ValueError or what struct raises where they are not batches of rows without compression, up to the end."""
    while data[at : at + len(END)] != END:
        stop = at + 8 + struct.unpack_from("<4xi", data, at)[0]
        end = stop + body_bytes(data[at:stop])
        if not at < stop <= end <= len(data) or not is_plain_batch(data[at:end]):
            raise ValueError("no batch of rows")
        yield data[at:end]
        at = end
    if at + len(END) != len(data):
        raise ValueError("more after the end")


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
