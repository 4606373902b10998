"""Locks on files: held by one process at a time, and let go by the kernel when it ends."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from typing import Protocol

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

    def read(self, size: int) -> bytes:
        """The first bytes of the file."""
        return os.pread(self._open, size, 0)

    def write(self, data: bytes) -> None:
        """Put these over the first bytes of the file. Not made durable: no process outlives a power cut."""
        os.pwrite(self._open, data, 0)

    def touch(self) -> float:
        """Set the time of the file to now, and tell it: by the clock of the disk, which is one for all machines that mount it."""
        os.utime(self._open)
        return os.fstat(self._open).st_mtime

    @property
    def _open(self) -> int:
        assert self._fd is not None, "let go"
        return self._fd

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
