"""Who does the work when two processes want the same: claims on rows to be asked, leases on models to be trained."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

from dreamframe.errors import StorageError
from dreamframe.store.files import Files
from dreamframe.store.layout import warn
from dreamframe.store.locks import Lock, RowLocks

BEAT_S = 5.0  # how often the owner of a lease shows that it lives
STALE_S = 60.0  # an owner that was silent for so long is stopped: others no longer wait for it


class Claims:
    """The rows that this session is asking: one lock each, so that no other session asks them as well.

    The locks lie in 16 files: the kernel keeps those of one file in a list, which a thousand rows in flight would make long.
    """

    def __init__(self, files: Files, folder: Path) -> None:
        self._files, self._folder = files, folder
        self._held: set[bytes] = set()
        self._locks: list[RowLocks] | None = None

    def take(self, keys: Sequence[bytes]) -> list[bool]:
        """For each 16-byte key, whether it is ours to ask now; False while another session asks it. Without locks everything is ours."""
        locks = self._locks if self._locks is not None else self._open()
        if not locks:
            return [True] * len(keys)
        ours = []
        for key in keys:
            is_ours = key in self._held or locks[key[8] & 15].take(_number(key))
            if is_ours:
                self._held.add(key)
            ours.append(is_ours)
        return ours

    def release(self, keys: Iterable[bytes]) -> None:
        """Let others ask these: they are answered and written, or failed."""
        for key in keys:
            if key in self._held and self._locks:
                self._held.discard(key)
                self._locks[key[8] & 15].release(_number(key))

    def close(self) -> None:
        """Let go of everything."""
        for locks in self._locks or []:
            locks.close()
        self._held.clear()

    def _open(self) -> list[RowLocks]:
        opened: list[RowLocks] = []
        try:
            self._files.mkdir(self._folder)
            opened += (locks for i in range(16) if (locks := self._files.row_locks(self._folder / f"answers-{i:x}")) is not None)
        except StorageError as exc:
            warn(f"rows that other sessions ask at the same time may be paid twice ({exc})")
        if len(opened) < 16:
            for locks in opened:
                locks.close()
            opened.clear()
        self._locks = opened
        return opened


def _number(key: bytes) -> int:
    return int.from_bytes(key[:8], "little") >> 2


class Lease:
    """A lock whose owner shows that it lives: a process that is stopped keeps its locks, but nobody has to wait for it."""

    def __init__(self, files: Files, path: Path, lock: Lock) -> None:
        self._files, self._path, self._lock = files, path, lock
        self._ended = threading.Event()
        self._files.touch(path)
        self._thread = threading.Thread(target=self._beat, name="dreamframe-lease", daemon=True)
        self._thread.start()

    def release(self) -> None:
        self._ended.set()
        self._thread.join()
        self._lock.release()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self._files.touch(self._path)
            except StorageError as exc:
                warn(f"{self._path}: {exc}")
                return


def lease(files: Files, path: Path) -> Lease | None:
    """Take a lease; None while another process holds it and lives. Where that cannot be told, the lease excludes nobody."""
    files.mkdir(path.parent)
    lock = files.lock(path)
    return None if lock is None else Lease(files, path, lock)


def is_stale(files: Files, path: Path) -> bool:
    """Whether the owner of a lease has stopped showing that it lives."""
    return files.age_s(path) > STALE_S
