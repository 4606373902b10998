"""Locks on files: held by one process at a time, and let go by the system when it ends."""

from __future__ import annotations

import errno
import importlib
import os
import time
from typing import Any, Protocol

_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)
_FAR = (1 << 31) - 2  # the byte that is locked where a locked byte cannot be read: behind all that is written


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


_unix, _windows = _module("fcntl"), _module("msvcrt")  # a system has one of them, or none


class Lock(Protocol):
    """A lock. `is_held` is False where the disk has no locks: then nobody is excluded."""

    is_held: bool

    def release(self) -> None: ...


class FileLock:
    """An exclusive lock on an open file."""

    def __init__(self, fd: int, *, is_held: bool = True) -> None:
        self._fd: int | None = fd
        self.is_held = is_held

    def read(self, size: int) -> bytes:
        """The first bytes of the file."""
        os.lseek(self._open, 0, os.SEEK_SET)
        return os.read(self._open, size)

    def write(self, data: bytes) -> None:
        """Put these over the first bytes of the file. Not made durable: no process outlives a power cut."""
        os.lseek(self._open, 0, os.SEEK_SET)
        os.write(self._open, data)

    def touch(self) -> float:
        """Set the time of the file to now, and tell it: by the clock of the disk, which is one for all machines that mount it."""
        if os.utime not in os.supports_fd:  # Windows
            return time.time()
        os.utime(self._open)
        return os.fstat(self._open).st_mtime

    @property
    def _open(self) -> int:
        assert self._fd is not None, "let go"
        return self._fd

    def release(self) -> None:
        """Let go; nothing happens the second time."""
        if self._fd is not None:
            if self.is_held and _unix is None:  # Windows lets go of a closed file when it finds the time
                os.lseek(self._fd, _FAR, os.SEEK_SET)
                _windows.locking(self._fd, _windows.LK_UNLCK, 1)
            os.close(self._fd)
            self._fd, self.is_held = None, False


class NoLock:
    """What is given where a disk has no locks, or cannot be written."""

    is_held = False

    def release(self) -> None:
        """Nothing is held."""


def flock(fd: int, *, wait_s: float) -> Lock | None:
    """Lock an open file, which the lock then owns; None if another holds it for longer than `wait_s`."""
    until = time.monotonic() + wait_s
    while True:
        try:
            _take(fd)
            return FileLock(fd)
        except OSError as exc:
            if exc.errno not in _BUSY:
                os.close(fd)
                return NoLock()
            if time.monotonic() >= until:
                os.close(fd)
                return None
        time.sleep(0.002)


def _take(fd: int) -> None:
    """Lock an open file now. Raises OSError if another holds it, or where there are no locks."""
    if _unix is not None:
        _unix.flock(fd, _unix.LOCK_EX | _unix.LOCK_NB)
    elif _windows is not None:
        os.lseek(fd, _FAR, os.SEEK_SET)
        _windows.locking(fd, _windows.LK_NBLCK, 1)
    else:
        raise OSError(errno.ENOSYS, "no locks on this system")
