"""Compaction: the many small frames of ended sessions, put together into few large ones that open fast."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from dreamframe.errors import StorageError
from dreamframe.store.answer_files import NAME, new_name
from dreamframe.store.files import Files, let_go
from dreamframe.store.journal import JournalScan, framed, header, n_small, scan
from dreamframe.store.layout import Layout, warn

if TYPE_CHECKING:
    import pyarrow as pa

FRAME_ROWS = 65_536  # rows of a frame in a compacted file, at most
FRAME_BYTES = 1 << 25
MANY_FRAMES = 1_000  # small frames of journals that a session merges when it closes: some 100,000 answers a hundred at a time would have as many
MANY_FILES = 16


@dataclass
class _Journal:
    """A journal whose writer is gone, and its rows."""

    name: str
    size: int
    found: JournalScan
    data: memoryview

    @property
    def is_fragmented(self) -> bool:
        rows = sum(b.num_rows for b in self.found.batches)
        return bool(self.found.n_small > math.ceil(rows / FRAME_ROWS))


def compact(files: Files, layout: Layout, *, force: bool = False) -> int:
    """Merge the journals of ended sessions, if it is worth the work or `force`; how many files were merged.

    The new file is durable before the first old one goes; whoever still reads an old one keeps its bytes. Duplicate answers of a key are dropped:
    the first one stays. Damaged files are left to those who read and repair them.
    """
    names = [n for n in files.listdir(layout.answers) if NAME.fullmatch(n)]
    if not names:
        return 0
    files.mkdir(layout.locks)
    with ExitStack() as held:
        lock = files.lock(layout.locks / "compaction")
        if lock is None or not lock.is_held:
            return 0  # another session is at it, or nobody could tell whether a writer lives
        held.callback(lock.release)
        paths = [path for name in names if (path := _ended(files, layout, name, held)) is not None]
        if not force and len(paths) < MANY_FILES and sum(_n_small(files, path) for path in paths) < MANY_FRAMES:
            return 0  # told by the headers of their frames: nothing is read
        ended = [_Journal(path.name, found.end, found, data) for path in paths if not ((found := scan(data := files.map(path))).bad or found.torn)]
        chosen = _chosen(ended, force=force)
        if chosen:
            _merge(files, layout, chosen)
        return len(chosen)


def _n_small(files: Files, path: Path) -> int:
    with files.reading(path) as read:
        return n_small(read)


def _ended(files: Files, layout: Layout, name: str, held: ExitStack) -> Path | None:
    """Lock a journal; None if its writer lives."""
    path = layout.answers / name
    if files.kind(path) != "file":
        return None
    lock = files.lock(path, make=False)
    if lock is None or not lock.is_held:
        return None
    held.callback(lock.release)
    return path


def _chosen(ended: list[_Journal], *, force: bool) -> list[_Journal]:
    """The journals to merge, oldest first: the fragmented ones, and large ones only when as much has come together beside them."""
    fragmented = [j for j in ended if j.is_fragmented]
    n_small_frames = sum(j.found.n_small for j in fragmented)
    if not force and n_small_frames < MANY_FRAMES and len(ended) < MANY_FILES:
        return []
    chosen = list(fragmented)
    rest = sorted((j for j in ended if j not in fragmented), key=lambda j: j.size)
    while rest and (force or not chosen or rest[0].size <= 2 * sum(j.size for j in chosen)):
        chosen.append(rest.pop(0))
    if len(chosen) == 1 and not fragmented:
        return []
    return sorted(chosen, key=lambda j: j.name)


def _merge(files: Files, layout: Layout, journals: list[_Journal]) -> None:
    batches = [b for j in journals for b in j.found.batches]
    if batches:
        # Sorted where its oldest part was: the order of files says which answer of a key came first.
        oldest, new = journals[0].name, new_name()
        final = layout.answers / f"{oldest.split('-')[0]}-{new.split('-', 1)[1]}"
        hidden = files.temporary(final)
        handle = files.append(hidden)
        try:
            with closing(handle):
                handle.write(header())
                for batch in _large(batches):
                    handle.write(framed(batch.serialize()))
                    for journal in journals:
                        let_go(journal.data)
                handle.sync()
            files.link(hidden, final)
        finally:
            files.unlink(hidden)
        files.sync_dir(layout.answers)
    for journal in journals:
        files.unlink(layout.answers / journal.name)


def _large(batches: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """All rows once, in large batches."""
    import pyarrow as pa

    table = pa.Table.from_batches(batches)
    is_first = pl.Series(table.column("key")).is_first_distinct()
    if not is_first.all():
        table = table.filter(is_first.to_arrow())
    start = 0
    while start < table.num_rows:
        n_rows = FRAME_ROWS
        while n_rows > 1 and table.slice(start, n_rows).nbytes > FRAME_BYTES:
            n_rows //= 2
        yield table.slice(start, n_rows).combine_chunks().to_batches()[0]
        start += n_rows


def compact_at_close(files: Files, layout: Layout) -> None:
    """Compact if it is worth the work. A session that ends well does not fail for it."""
    try:
        compact(files, layout)
    except StorageError as exc:
        warn(f"the answers could not be compacted ({exc}); nothing is lost")
