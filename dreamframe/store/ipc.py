"""Arrow IPC, written by polars and read by pyarrow: polars is there anyway, and pyarrow checks what it reads.

A run that only writes does not import pyarrow, which takes 45 MB and 0.1 s, nor does one that finds short outputs (`short_rows`). Polars' own reader trusts
the bytes it is given; a folder may be a stranger's.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from dreamframe.errors import CorruptFileError
from dreamframe.identity.arrow import as_arrow
from dreamframe.store.foreign import check_unfolded, file_messages

if TYPE_CHECKING:
    import pyarrow as pa

MESSAGE_ROWS = 16_384  # polars cuts a frame of some 500,000 rows in several messages
FILE = b"ARROW1\0\0"  # how an Arrow file begins
END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream
Bytes = bytes | memoryview


def messages(rows: pl.DataFrame) -> Iterator[Bytes]:
    """The messages of a stream: the schema, then a record batch for each MESSAGE_ROWS rows, in types that Arrow has.

    None has texts as views, which not every reader of Arrow knows.
    """
    rows = as_arrow(rows)
    for i, part in enumerate(rows.iter_slices(MESSAGE_ROWS) if rows.height > MESSAGE_ROWS else [rows]):
        out = io.BytesIO()
        part.rechunk().write_ipc_stream(out, compat_level=pl.CompatLevel.oldest())
        held = out.getbuffer()
        start = 8 + int.from_bytes(held[4:8], "little")  # of the schema: a marker, the length of what follows
        if i == 0:
            yield held[:start]
        if part.height:
            yield held[start : -len(END)]


def stream(rows: pl.DataFrame) -> bytes:
    """All rows as one stream."""
    return b"".join([*messages(rows), END])


def read_table(data: Bytes, *, most: int = 0) -> pa.Table:
    """The rows of a stream, or of an Arrow file. Copies nothing; validates, so that no later use can read out of bounds. Raises one of `damage()`.

    `most`: bytes that compressed buffers may unfold to. Those of a session are not compressed.
    """
    import pyarrow as pa

    view = memoryview(data)
    is_file = bytes(view[: len(FILE)]) == FILE
    for message in file_messages(view) if is_file else pa.ipc.MessageReader.open_stream(pa.py_buffer(view)):
        most -= check_unfolded(message, most)
    reader = pa.ipc.open_file(pa.py_buffer(view)) if is_file else pa.ipc.open_stream(pa.py_buffer(view))
    table = reader.read_all()
    table.validate(full=True)
    return table


def check_stream(path: Path) -> None:
    """Validate the rows of a file that holds a stream, batch by batch. Raises what Arrow raises where a reader that trusts it would go astray."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as source, pa.ipc.open_stream(source) as reader:
        for batch in reader:
            batch.validate(full=True)


def most_unfolded(data: Bytes) -> int:
    """Bytes that rows which are compressed on purpose may unfold to: as many as those of an archive."""
    return max(1 << 30, 200 * memoryview(data).nbytes)


@functools.lru_cache(maxsize=256)
def arrow_schema(columns: tuple[tuple[str, pl.DataType], ...]) -> pa.Schema:
    """The columns as a stream of ours has them."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(next(messages(pl.DataFrame(schema=dict(columns))))))


def damage(*more: type[Exception]) -> tuple[type[Exception], ...]:
    """What reading raises for bytes that are not Arrow's, and `more`. A call, since it imports pyarrow: `except damage()` does so when something was raised."""
    import pyarrow as pa

    return (*more, CorruptFileError, pa.ArrowException, OSError, EOFError, MemoryError, ValueError)
