"""The folder of answer journals: read those of all writers, repair those of dead ones, write one of our own."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dreamframe.errors import StorageError
from dreamframe.store.files import Files, Handle, storage, storage_error
from dreamframe.store.journal import HEADER, JournalScan, Row, framed, header, in_frames, scan
from dreamframe.store.layout import Layout, set_aside, warn
from dreamframe.store.locks import Lock

if TYPE_CHECKING:
    import pyarrow as pa

NAME = re.compile(r"\d{8}T\d{12}-\d+-[0-9a-f]{8}\.answers")


def new_name() -> str:
    """A file name that sorts by time and that no other writer takes."""
    now = time.time_ns() // 1000
    stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now // 1_000_000))
    return f"{stamp}{now % 1_000_000:06d}-{os.getpid()}-{secrets.token_hex(4)}.answers"


def file_bytes(batches: Sequence[pa.RecordBatch]) -> bytes:
    """A whole journal of some batches."""
    return b"".join([header(), *(framed(b.serialize()) for b in batches)])


class Written(NamedTuple):
    """Rows, and where their record batch lies: no path where they are in memory only."""

    rows: Sequence[Row]
    path: Path | None = None
    start: int = 0
    size: int = 0


class JournalReader:
    """Reads here and there in a journal of this process: through one descriptor, whatever the file grows to, which is closed when nobody reads there any
    more. It is not mapped: what is read once would count as this process's memory."""

    def __init__(self, files: Files, path: Path) -> None:
        self._path, self._held = path, contextlib.ExitStack()
        self._read = self._held.enter_context(files.reading(path))

    def __call__(self, offset: int, n_bytes: int) -> bytes:
        with storage(self._path, "read"):
            return self._read(offset, n_bytes)


@dataclass
class _Seen:
    end: int  # bytes that were read
    is_live: bool  # its writer may add more


class JournalFolder:
    """Reads the journals of other writers, again and again: each row once."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._layout = files, layout
        self._seen: dict[str, _Seen] = {}
        self.own: set[str] = set()  # names written by this process: their rows are known already

    def news(self) -> list[pa.RecordBatch]:
        """The batches that appeared since the last look, oldest file first."""
        batches: list[pa.RecordBatch] = []
        again = True
        while again:
            again = False
            for name in self.names():
                seen = self._seen.get(name)
                if name in self.own or (seen is not None and not seen.is_live):
                    continue
                try:
                    batches += self._first_look(name) if seen is None else self._again(name, seen)
                except StorageError as exc:
                    if exc.errno != errno.ENOENT:
                        raise
                    again = True  # merged into another file meanwhile, which is to be found now
        return batches

    def names(self) -> list[str]:
        return [n for n in self._files.listdir(self._layout.answers) if NAME.fullmatch(n)]

    def _again(self, name: str, seen: _Seen) -> list[pa.RecordBatch]:
        path = self._layout.answers / name
        if self._files.size(path) <= seen.end:
            return []
        found = scan(self._files.read_bytes(path, offset=seen.end), whole=False)
        seen.end += found.end
        self._warn_of(path, found)
        return found.batches

    def _first_look(self, name: str) -> list[pa.RecordBatch]:
        path = self._layout.answers / name
        kind = self._files.kind(path)
        if kind is None:
            raise storage_error(path, "read", errno.ENOENT)
        if kind != "file":
            warn(f"{path} is not a regular file and was not read")
            self._seen[name] = _Seen(0, is_live=False)
            return []
        lock = self._files.lock(path, make=False)
        try:
            # Only a journal whose writer is gone is mapped: a living writer may cut a half-written frame off its end.
            is_ours = lock is not None and lock.is_held
            found = scan(self._files.map(path) if is_ours else self._files.read_bytes(path))
            self._seen[name] = _Seen(found.end, is_live=not is_ours)
            if is_ours:
                self._repair(path, found)
            else:
                self._warn_of(path, found)
        finally:
            if lock is not None:
                lock.release()
        return found.batches

    def _warn_of(self, path: Path, found: JournalScan) -> None:
        if found.bad:
            warn(f"{path}: {len(found.bad)} damaged parts were stepped over ({found.bad[0]}); their answers are asked for again when they are needed")

    def _repair(self, path: Path, found: JournalScan) -> None:
        """Leave a file that the next reader finds whole. On a disk that cannot be written, everything stays as it is."""
        try:
            if found.bad:
                if found.batches:
                    better = new_name()
                    self._files.write_new(path.with_name(better), file_bytes(found.batches))
                    self._seen[better] = _Seen(0, is_live=False)
                set_aside(self._files, self._layout, path, f"{len(found.bad)} damaged parts ({found.bad[0]})")
            elif found.torn:
                self._files.cut(path, found.end)
                warn(f"{path}: its writer was interrupted; the last {found.torn} bytes were no whole answer and were cut off")
        except StorageError as exc:
            warn(f"{path}: damaged, and it cannot be repaired ({exc})")


class Ticket:
    """Somebody who waits until everything before it is written."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.error: StorageError | None = None


class JournalWriter:
    """Writes the journal of this process. The file is made at the first row and locked until `close`."""

    def __init__(self, files: Files, layout: Layout, folder: JournalFolder) -> None:
        self._files, self._layout, self._folder = files, layout, folder
        self._handle: Handle | None = None
        self._lock: Lock | None = None
        self._path = layout.answers
        self._end = 0  # bytes of the file that are whole frames
        self._unsynced: list[Row] = []  # in the file, and maybe not on the disk
        self._again: list[Row] = []  # in a file whose disk failed: they go into the next one as well

    @property
    def is_open(self) -> bool:
        """Whether a file is held."""
        return self._handle is not None

    @property
    def has_rows(self) -> bool:
        """Whether a file is held that has answers in it."""
        return self._handle is not None and self._end > len(header())

    @property
    def has_unsynced(self) -> bool:
        return bool(self._unsynced or self._again)

    def prepare(self) -> None:
        """Make the file, if there is none."""
        if self._handle is None:
            self._open()

    def write(self, rows: Sequence[Row]) -> list[Written]:
        """Add rows. On an error, nothing of these rows counts as written."""
        handle = self._handle or self._open()
        rows = [*self._again, *rows]
        written, end = [], self._end
        try:
            for its_rows, frame in in_frames(rows):
                handle.write(frame)
                written.append(Written(its_rows, self._path, end + HEADER.size, len(frame) - HEADER.size))
                end += len(frame)
        except StorageError:
            try:
                handle.truncate(self._end)
            except StorageError:
                self._abandon()  # what was written of it stays, for the next reader to cut off
            raise
        self._end, self._again = end, []
        self._unsynced += rows
        return written

    def sync(self) -> None:
        """Make what was written durable. A failed sync is never tried again: the unsynced rows go into a new file, once."""
        if not self.has_unsynced:
            return
        for is_last in (False, True):
            try:
                self._synced()
                return
            except StorageError:
                self._abandon()
                if is_last:
                    raise

    def close(self) -> None:
        """Sync and let go of the file."""
        try:
            self.sync()
        finally:
            self._abandon()

    def _synced(self) -> None:
        if self._again:
            self.write([])
        assert self._handle is not None
        self._handle.sync()
        self._unsynced = []

    def _open(self) -> Handle:
        self._files.mkdir(self._layout.answers)
        path = self._layout.answers / new_name()
        hidden = self._files.temporary(path)
        handle = self._files.append(hidden)
        lock = self._files.lock(hidden)  # before others can see it: an unlocked journal counts as a dead writer's
        try:
            handle.write(header())
            self._folder.own.add(path.name)
            self._files.link(hidden, path)
            self._files.sync_dir(path.parent)
        except StorageError:
            handle.close()
            if lock is not None:
                lock.release()
            raise
        finally:
            self._files.unlink(hidden)
        handle.path = path
        self._handle, self._lock, self._path, self._end = handle, lock, path, len(header())
        return handle

    def _abandon(self) -> None:
        """Leave the file. What is not known to be on the disk will be written again."""
        self._again += self._unsynced
        self._unsynced = []
        handle, lock = self._handle, self._lock
        self._handle = self._lock = None
        try:
            if handle is not None:
                handle.close()
        finally:
            if lock is not None:
                lock.release()
