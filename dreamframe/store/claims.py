"""Who asks a row when two sessions want the same: every session writes down what it is about to ask, under one lock, and reads what the others wrote.

A batch of rows costs one lock and one write, where a lock for each row would be a system call for each. The file of a session that ended (its lock is
free) counts no more. The answers themselves are found in the journal: a claim says only that somebody is waiting for one.
"""

from __future__ import annotations

import errno
import math
import os
import re
import secrets
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dreamframe.errors import StorageError
from dreamframe.store.files import Files, Handle
from dreamframe.store.layout import warn
from dreamframe.store.locks import Lock

NAME = re.compile(r"\d+-[0-9a-f]{8}\.claims")
RECORD = struct.Struct("c16s")  # "+" claims a key, "-" gives it up
NOBODY = bytes(16)  # the key of no request: giving it up says no more than that somebody is there
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
GATE_S = 2.0  # nobody holds the lock for longer than a millisecond, unless it was stopped there
LONGEST = 4 << 20  # bytes of a file; then a new one is begun, with what is still held


@dataclass
class _Other:
    """What another session has written, as far as it was read."""

    moved: float  # when something new was seen there
    end: int = 0
    claimed: set[bytes] = field(default_factory=set)


@dataclass
class _Own:
    """This session's file."""

    path: Path
    handle: Handle
    lock: Lock
    size: int = 0


class Claims:
    """The rows that this session is asking. `take` is for the event loop, `release` for any thread."""

    def __init__(self, files: Files, folder: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._files, self._folder, self._clock = files, folder, clock
        self._held: set[bytes] = set()
        self._others: dict[str, _Other] = {}
        self._own: _Own | None = None
        self._own_lock = threading.Lock()  # nobody writes to a file that is being closed
        self._is_off = False  # nobody can be excluded here

    def take(self, keys: Sequence[bytes], *, patience_s: float = math.inf) -> list[bool]:
        """For each 16-byte key, whether it is ours to ask now; False while another session asks it, that has shown life in the last `patience_s`.

        Without locks everything is ours. Raises StorageError on a disk that is full or read-only: an answer could not be kept either, so nothing is asked.
        """
        if not self._is_off:
            try:
                if (ours := self._taken(keys, patience_s)) is not None:
                    return ours
            except StorageError as exc:
                if exc.errno in FULL:
                    raise
                self._turn_off(str(exc))
        return [True] * len(keys)

    def show_life(self) -> None:
        """Say that what is claimed here is being asked for."""
        with self._own_lock:
            try:
                if self._own is not None and self._held:
                    self._write(self._own, b"-", [NOBODY])
            except StorageError as exc:
                self._turn_off(str(exc))

    def _taken(self, keys: Sequence[bytes], patience_s: float) -> list[bool] | None:
        if self._own is None:
            self._files.mkdir(self._folder)
        gate = self._files.lock(self._folder / "gate", wait_s=GATE_S)
        if gate is None:
            self._turn_off(f"{self._folder / 'gate'} is held by a process that was stopped")
            return None
        try:
            self._look()
            theirs = self._claimed_by_others(keys, patience_s) if self._others else ()
            ours = [key not in theirs for key in keys]
            with self._own_lock:
                own = self._own
                if own is None or own.size > LONGEST:
                    own = self._begin()
                if own is None or not gate.is_held:
                    self._is_off = True
                    return None
                new = [key for key, is_ours in zip(keys, ours, strict=True) if is_ours and key not in self._held]
                self._write(own, b"+", new)
                self._held.update(new)
        finally:
            gate.release()
        return ours

    def release(self, keys: Iterable[bytes]) -> None:
        """Let others ask these: they are answered and written, or failed."""
        with self._own_lock:
            held = [key for key in keys if key in self._held]
            self._held.difference_update(held)
            try:
                if self._own is not None:
                    self._write(self._own, b"-", held)
            except StorageError as exc:
                self._turn_off(str(exc))

    def close(self) -> None:
        """Let go of everything."""
        with self._own_lock:
            self._held.clear()
            own, self._own, self._is_off = self._own, None, True
            if own is not None:
                self._end(own)

    def _turn_off(self, why: str) -> None:
        self._is_off = True
        warn(f"rows that other sessions ask at the same time may be paid twice ({why})")

    def _write(self, own: _Own, sign: bytes, keys: Sequence[bytes]) -> None:
        if keys:
            own.handle.write(sign + sign.join(keys))
            own.size += RECORD.size * len(keys)

    def _begin(self) -> _Own | None:
        """A new file with all that is held; None where the disk has no locks."""
        before, path = self._own, self._folder / f"{os.getpid()}-{secrets.token_hex(4)}.claims"
        handle = self._files.append(path)
        lock = self._files.lock(path)
        self._own = _Own(path, handle, lock) if lock is not None and lock.is_held else None
        if self._own is None:
            handle.close()
            self._files.unlink(path)
        else:
            self._write(self._own, b"+", sorted(self._held))
        if before is not None:
            self._end(before)
        return self._own

    def _end(self, own: _Own) -> None:
        try:
            self._files.unlink(own.path)
            own.handle.close()
        except StorageError as exc:
            warn(f"{own.path}: {exc}")
        finally:
            own.lock.release()

    def _look(self) -> None:
        """Read what the others have written since the last look."""
        here = {name for name in self._files.listdir(self._folder) if NAME.fullmatch(name)}
        if self._own is not None:
            here.discard(self._own.path.name)
        for name in self._others.keys() - here:
            del self._others[name]
        for name in sorted(here):
            if name not in self._others and not self._lives(name):
                continue
            other = self._others.setdefault(name, _Other(self._clock()))
            try:
                written = self._files.read_bytes(self._folder / name, offset=other.end)
            except StorageError as exc:
                if exc.errno != errno.ENOENT:
                    raise
                del self._others[name]
                continue
            whole = len(written) - len(written) % RECORD.size  # the rest is still being written
            other.end += whole
            if written:
                other.moved = self._clock()
            for sign, key in RECORD.iter_unpack(written[:whole]):
                if sign == b"+":
                    other.claimed.add(key)
                else:
                    other.claimed.discard(key)

    def _claimed_by_others(self, keys: Sequence[bytes], patience_s: float) -> set[bytes]:
        """Those of the keys that a living session asks."""
        found: set[bytes] = set()
        for name, other in list(self._others.items()):
            if self._clock() - other.moved > patience_s:
                continue  # it is there, and does nothing: it was stopped, or hangs
            theirs = other.claimed.intersection(keys) - self._held
            if theirs and self._lives(name):
                found |= theirs
        return found

    def _lives(self, name: str) -> bool:
        """Whether the session of a file is still there; the file of one that is not is removed."""
        path = self._folder / name
        try:
            lock = self._files.lock(path, make=False)
        except StorageError as exc:
            if exc.errno != errno.ENOENT:
                raise
            lock = None
            self._others.pop(name, None)
            return False
        if lock is None:
            return True
        try:
            if lock.is_held:
                self._files.unlink(path)
        finally:
            lock.release()
        self._others.pop(name, None)
        return False
