"""Locks on files: held by one process at a time, and let go by the kernel when it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import sys
import time
from typing import Protocol

# struct flock of 64-bit Linux: type, whence, start, length, pid. An open-file-description lock belongs to the descriptor, not to the process,
# so that two sessions of one process exclude each other as well.
_FLOCK = struct.Struct("@hhqqi4x")
_HAS_OFD = sys.platform == "linux" and hasattr(fcntl, "F_OFD_SETLK")
_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


class Lock(Protocol):
    """A lock. `is_held` is False where the disk has no locks: then nobody is excluded."""

    is_held: bool

    def release(self) -> None: ...


class FileLock:
    """An exclusive flock on an open file."""

    def __init__(self, fd: int, *, is_held: bool = True) -> None:
        self._fd: int | None = fd
        self.is_held = is_held

    def release(self) -> None:
        """Let go; nothing happens the second time."""
        if self._fd is not None:
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
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return FileLock(fd)
        except OSError as exc:
            if exc.errno not in _BUSY:
                os.close(fd)
                return NoLock()
            if time.monotonic() >= until:
                os.close(fd)
                return None
        time.sleep(0.002)


class RowLocks:
    """Many locks in one file, one for each byte: cheap enough to hold one for each row that is being asked."""

    def __init__(self, fd: int) -> None:
        self._fd: int | None = fd

    def take(self, number: int) -> bool:
        """Take the lock of a number below 2**62; False if another holds it. True as well where the disk has no such locks."""
        try:
            self._set(fcntl.F_WRLCK, number)
        except OSError as exc:
            return exc.errno not in _BUSY
        return True

    def release(self, number: int) -> None:
        """Let go of a number."""
        if self._fd is not None:
            self._set(fcntl.F_UNLCK, number)

    def close(self) -> None:
        """Let go of all."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _set(self, kind: int, number: int) -> None:
        if self._fd is None:
            return
        if _HAS_OFD:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _FLOCK.pack(kind, os.SEEK_SET, number, 1, 0))
        else:
            operation = fcntl.LOCK_UN if kind == fcntl.F_UNLCK else fcntl.LOCK_EX | fcntl.LOCK_NB
            fcntl.lockf(self._fd, operation, 1, number)
