"""Who trains a model when two processes want the same one."""

from __future__ import annotations

import threading
from pathlib import Path

from dreamframe.errors import StorageError
from dreamframe.store.files import Files
from dreamframe.store.layout import warn
from dreamframe.store.locks import Lock

BEAT_S = 5.0  # how often the owner of a lease shows that it lives
STALE_S = 60.0  # an owner that was silent for so long is stopped: others no longer wait for it


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
