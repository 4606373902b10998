"""Money that the processes on one folder spend together, from the first that asks until none does: leased in parts, ahead of need.

Each session that asks has a file, whose lock tells that it lives, and which says what it has leased and what of that it has spent: when it dies, the rest
comes back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import struct
import time
from pathlib import Path
from typing import NamedTuple

from dreamframe.errors import BudgetExceededError, StorageError
from dreamframe.store.files import Files
from dreamframe.store.layout import warn
from dreamframe.store.locks import FileLock

STALE_S = 60.0  # who was silent for so long is stopped: what it holds is not waited for
GATE_S = 2.0  # nobody holds the lock for longer than a millisecond, unless it was stopped there
AGAIN_S = 0.1  # between two visits that brought nothing
NAME = re.compile(r"[0-9a-f]{8}-[0-9a-f]{8}\.spent")  # process, session
SHARE = struct.Struct("<dd")  # US dollars: leased, and of these spent
GONE = struct.Struct("<d")  # US dollars that were spent by sessions which are no longer there
PROCESSES: dict[int, str] = {}  # number of a process → its name, which no process on another machine has


class Money(NamedTuple):
    """A session's, in US dollars, since it was opened."""

    budget: float
    spent: float
    in_flight: float  # what calls that are under way may cost at most


class _Share(NamedTuple):
    """A session's in the folder."""

    leased: float
    spent: float
    holds: float  # leased and not spent, by a session that shows life: worth waiting for
    lives: bool


class SharedBudget:
    """The part that one session has in what is spent on a folder. Lives in the event loop; all sums are in US dollars."""

    def __init__(self, files: Files, folder: Path) -> None:
        self._files, self._folder = files, folder
        self._process = PROCESSES.setdefault(os.getpid(), secrets.token_hex(4))
        self._path = folder / f"{self._process}-{secrets.token_hex(4)}.spent"
        self._n_runs = 0  # of the session, that ask
        self._own: FileLock | None = None
        self._before: float | None = None  # what the session had spent when it came here
        self._most = 0.0  # that it may have spent and in flight since
        self._others_spent = self._others_hold = 0.0  # at the last visit
        self._again_at = 0.0
        self._is_used = False  # since somebody looked
        self._is_alone = False  # nobody can be excluded: the budget is this session's own

    def come(self) -> None:
        """A run of the session begins to ask."""
        self._n_runs += 1

    def leave(self) -> None:
        """It asks no more. With the last one the session is gone: what it spent counts as long as others ask."""
        self._n_runs -= 1
        if not self._n_runs:
            self.close()

    def permits(self, at_most: float, own: Money, *, called: str) -> bool:
        """Whether a call that costs so much at most may leave now; False while other processes may yet leave something.

        Raises BudgetExceededError once they have spent what the call needs.
        """
        if self._before is None:
            self._before = own.spent
        used = self._used(own)
        if not self._is_alone and used + at_most > self._most:
            if time.monotonic() < self._again_at:
                return False
            left = self._visit(own, need=at_most)
            if not self._is_alone and used + at_most > self._most:
                if not own.in_flight and not self._others_hold:
                    others = f"; other processes on this folder have spent ${self._others_spent:.4f} of it" if self._others_spent else ""
                    raise BudgetExceededError(f"the next call to {called!r} could cost ${at_most:.4f}, and ${max(0.0, left):.4f} of the budget is left{others}")
                self._again_at = time.monotonic() + AGAIN_S
                return False
        self._is_used = True
        return True

    def spend(self, spent: float) -> None:
        """So much was spent so far."""
        if self._own is not None and not self._is_alone:
            try:
                self._own.write(SHARE.pack(self._most, spent - (self._before or 0.0)))
            except OSError as exc:
                self._be_alone(str(exc))

    def lend(self, own: Money) -> None:
        """Show life. What is leased and was not needed since the last time is for others."""
        is_idle, self._is_used = not self._is_used, False
        if self._own is not None and not self._is_alone:
            with contextlib.suppress(OSError):
                self._own.touch()
            if is_idle and self._most > self._used(own):
                self._visit(own, need=0.0)

    def close(self) -> None:
        """Let go of everything."""
        own, self._own, self._most, self._before = self._own, None, 0.0, None
        if own is not None:
            own.release()
            try:
                if (gate := self._gate()) is not None:
                    try:
                        self._others(gate)  # our file is now that of one who has gone
                    finally:
                        gate.release()
            except OSError as exc:
                warn(f"{self._path}: {exc}")

    # Visits

    def _used(self, own: Money) -> float:
        return own.spent - (self._before or 0.0) + own.in_flight

    def _visit(self, own: Money, *, need: float) -> float:
        """Give back what is not in flight, and lease what is needed at the least, or nothing; what is left of the budget beyond that."""
        keep, left = self._used(own), 0.0
        try:
            gate = self._gate()
            if gate is None:
                self._is_alone = True
                return left
            try:
                gone, others = self._others(gate)
                left = own.budget - gone - sum(max(one.leased, one.spent) for one in others) - keep
                granted = max(need, left / (2 * (len(others) + 1))) if need and left >= need else 0.0  # half of a fair share: few visits, little lies idle
                self._most, left = keep + granted, left - granted
                self._others_spent, self._others_hold = gone + sum(one.spent for one in others), sum(one.holds for one in others)
                self._join()
                self.spend(own.spent)
            finally:
                gate.release()
        except OSError as exc:
            self._be_alone(str(exc))
        return left

    def _gate(self) -> FileLock | None:
        self._files.mkdir(self._folder)
        gate = self._files.lock(self._folder / "gate", wait_s=GATE_S)
        if gate is None:
            self._be_alone(f"{self._folder / 'gate'} is held by a process that was stopped")
        return gate if isinstance(gate, FileLock) else None

    def _be_alone(self, why: str) -> None:
        self._is_alone = True
        warn(f"budget= holds for this process alone ({why})")

    def _join(self) -> None:
        if self._own is None:
            lock = self._files.lock(self._path)
            assert isinstance(lock, FileLock), "the gate has a lock, and the name is new"
            self._own = lock

    def _others(self, gate: FileLock) -> tuple[float, list[_Share]]:
        """What those have spent that are gone, and the sessions of other processes: those of one process go by budgets of their own. Who comes when nobody
        is there begins anew."""
        held = gate.read(GONE.size)
        gone = GONE.unpack(held)[0] if len(held) == GONE.size else 0.0
        others: list[_Share] = []
        dead: dict[str, float] = {}
        is_anybody_there = self._own is not None
        for name in self._files.listdir(self._folder):
            if not NAME.fullmatch(name) or (self._own is not None and name == self._path.name):
                continue
            share = self._look(self._folder / name)
            if not share.lives:
                dead[name] = share.spent
                continue
            is_anybody_there = True
            if not name.startswith(self._process):
                others.append(share)
        gone += sum(spent for name, spent in dead.items() if others or not name.startswith(self._process))
        gone = gone if is_anybody_there else 0.0
        gate.write(GONE.pack(gone))
        for name in dead:
            self._files.unlink(self._folder / name)
        return gone, others

    def _look(self, path: Path) -> _Share:
        try:
            lock = self._files.lock(path, make=False)
            age_s = self._files.age_s(path)
            held = self._files.read_bytes(path, most=SHARE.size)
        except StorageError as exc:
            if exc.errno != errno.ENOENT:
                raise
            return _Share(0.0, 0.0, 0.0, lives=False)
        if lock is not None:
            lock.release()
        leased, spent = SHARE.unpack(held) if len(held) == SHARE.size else (0.0, 0.0)
        return _Share(leased, spent, max(0.0, leased - spent) if age_s < STALE_S else 0.0, lives=lock is None)
