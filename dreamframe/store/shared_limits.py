"""Limits that all processes on a session folder keep together: calls and tokens a minute, and money.

A process leases a part of a limit, under the lock of a small file, and asks within it. Calls and tokens a minute are leased as a stretch of time that is the
holder's: nobody has to give it back, and a holder that dies loses its stretch and no more.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path

from dreamframe.store.files import Files
from dreamframe.store.layout import warn
from dreamframe.store.locks import FileLock
from dreamframe.store.shared_budget import GATE_S, SharedBudget

LEASE_S = 0.1  # of the limit in one lease: all processes together look into the folder ten times a second, or once a call
SAVED_S = 0.1  # of time in which nobody asked, that much may be made up for
TICK_S = 0.01  # clocks of disks are no finer
LATE_S = 1.0  # calls that did not leave so long after their stretch are leased anew
FARTHEST_S = 600.0  # from now; what lies beyond was written by another clock, or in a folder of somebody else's
STATE = struct.Struct("<dd")  # until when calls are leased, and tokens


class SharedRate:
    """One limit a minute, and what this process has leased of it. Knows no clock but that of the disk: `now` is any clock of the caller's, in seconds."""

    def __init__(self, files: Files, path: Path, *, rpm: float | None, tpm: float | None) -> None:
        self._files, self._path = files, path
        self._call_s = 60 / rpm if rpm else 0.0  # of the limit, that a call takes
        self._token_s = 60 / tpm if tpm else 0.0
        self._most = max(1, math.ceil(LEASE_S / self._call_s)) if rpm else 0  # calls of one lease
        self._n = min(1, self._most)  # of the next one
        self._calls, self._tokens = 0, 0.0  # that may leave; tokens below 0 are a debt
        self._usual = 0.0  # tokens of a call
        self._start, self._late = -math.inf, math.inf  # when what is leased may be used, and until when
        self._is_alone = False  # nobody can be excluded: the limit is this process's own

    def wait_s(self, now: float) -> float:
        """Seconds until a call may leave, which is leased here if nothing is left."""
        if self._is_alone:
            return 0.0
        if now > self._late and self._calls:  # more than could be used: others may need it
            self._calls, self._n = 0, max(1, self._n // 2)
        if (self._most and not self._calls) or (self._token_s and self._tokens <= 0):
            self._lease(now)
        return max(0.0, self._start - now)

    def left(self, tokens: float) -> None:
        """A call leaves, which is thought to take so many tokens."""
        self._calls = max(0, self._calls - 1)
        self._tokens, self._usual = self._tokens - tokens, tokens

    def settle(self, tokens: float) -> None:
        """A call took so many tokens less than was thought."""
        self._tokens = min(self._tokens + tokens, self._whole)

    @property
    def _whole(self) -> float:
        """Tokens of a lease: a call's at the least."""
        return max(LEASE_S / self._token_s, self._usual) if self._token_s else 0.0

    def _lease(self, now: float) -> None:
        calls = self._n if self._most and not self._calls else 0
        tokens = self._whole - self._tokens if self._token_s and self._tokens <= 0 else 0.0
        try:
            ahead_s = self._leased(calls * self._call_s, tokens * self._token_s)
        except OSError as exc:
            warn(f"rpm= and tpm= hold for this process alone ({exc})")
            ahead_s = None
        if ahead_s is None:
            self._is_alone = True
            return
        if calls and now < self._late - LATE_S / 2:  # the calls before left soon: more are needed
            self._n = min(self._most, 2 * self._n)
        self._calls, self._tokens = self._calls + calls, self._tokens + tokens
        self._start = max(self._start, now + (ahead_s if ahead_s > TICK_S else 0.0))
        self._late = self._start + self._calls * self._call_s + LATE_S

    def _leased(self, calls_s: float, tokens_s: float) -> float | None:
        """Put a stretch behind those of the others; how far from now it begins. None where nobody can be excluded."""
        self._files.mkdir(self._path.parent)
        lock = self._files.lock(self._path, wait_s=GATE_S)
        if lock is None:
            warn(f"{self._path} is held by a process that was stopped: rpm= and tpm= hold for this process alone")
        if not isinstance(lock, FileLock):
            return None
        try:
            held = lock.read(STATE.size)
            now = lock.touch()
            untils: tuple[float, ...] = STATE.unpack(held) if len(held) == STATE.size else (0.0, 0.0)
            begins = [until if now - SAVED_S < until < now + FARTHEST_S else now - SAVED_S for until in untils]
            lock.write(STATE.pack(begins[0] + calls_s, begins[1] + tokens_s))
        finally:
            lock.release()
        return max(begin - now for begin, s in zip(begins, (calls_s, tokens_s), strict=True) if s)


class SharedLimits:
    """The limits of one session folder, as one session has a part in them. Lives in the event loop."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files, self._folder = files, folder
        self._rates: dict[str, SharedRate] = {}
        self.budget = SharedBudget(files, folder / "budget")

    def rate(self, name: str, *, rpm: float | None, tpm: float | None) -> SharedRate:
        """The limit a minute of this name."""
        if name not in self._rates:
            self._rates[name] = SharedRate(self._files, self._folder / f"{name}.rate", rpm=rpm, tpm=tpm)
        return self._rates[name]

    def close(self) -> None:
        """Leave what is left to the others."""
        self.budget.close()
