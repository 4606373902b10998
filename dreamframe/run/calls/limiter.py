"""How fast one endpoint may be asked. Nothing is configured: the pace, the calls in flight and the pauses are learnt from what the server says.

No part of it knows a clock: the caller passes the loop's time, in seconds.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from dreamframe.errors import CallError, CallTimeoutError, ConnectionFailedError, RateLimitedError, TransientCallError
from dreamframe.models.base import Limits
from dreamframe.models.request import Completion, Request, Room
from dreamframe.run.calls.patience import RATE_LIMITED_S
from dreamframe.run.calls.rate import Pace, Tokens
from dreamframe.store.shared_limits import SharedLimits, SharedRate

LONGEST_BACKOFF_S = 30.0
LONGEST_PAUSE_S = 120.0  # a server that asks for more is obeyed only so far
LOADS_S = 5.0  # at the most between two looks whether a model has been loaded
OVERLOADED = (429, 503, 529)
SOON_S = 1e-4  # is now
MUCH_ROOM = 10_000  # calls: nobody has so many in flight
CUT = 0.7  # of the calls in flight when the server is overloaded
BACK_IN_ROUNDS = 20  # rounds of answers until all that was cut is back


class Limiter:
    """The limits of one client, shared by everything that asks through it."""

    def __init__(self, concurrency: int, limits: Limits) -> None:
        self._most = concurrency
        self._limits = limits
        self._allowed = float(concurrency)  # calls in flight
        self._cut_at = -math.inf
        self._bad = math.inf  # calls in flight when the server was overloaded
        self._paused_until = -math.inf
        self._pace = Pace(limits.rpm / 60 if limits.rpm else math.inf)
        self._tokens = Tokens(limits.tpm) if limits.tpm else None
        self._shared: Counter[SharedRate] = Counter()  # the limits of session folders whose runs ask now, and how many batches of them do
        self._latency_s = 0.0  # of late
        self._n_bad = 0  # failures since the last answer
        self._n_knocks = 0  # of them, those of calls that left since the server went bad
        self._knocked_at = -math.inf
        self._is_there = False  # it has said something, whatever it was
        self._n_loading, self._loading_at = 0, -math.inf  # times that it said so, one call after the other
        self._room: int | None = None  # the number of the last call that the server says it has room for, until it has more
        self._room_until = -math.inf
        self._least, self._least_at = math.inf, -math.inf  # the least that it said it had left, and when that was heard
        self._had_room = False  # a server that never had any means something else by it
        self._usual_tokens = 0.0  # of a call
        self._random = random.Random(0)

    @contextmanager
    def shared(self, folder: SharedLimits | None) -> Iterator[None]:
        """While this lasts, calls leave within what the other processes on a session folder leave of these limits."""
        if folder is None or self._limits.name is None:
            yield
            return
        rate = folder.rate(self._limits.name, rpm=self._limits.rpm, tpm=self._limits.tpm)
        self._shared[rate] += 1
        try:
            yield
        finally:
            self._shared[rate] -= 1
            if not self._shared[rate]:
                del self._shared[rate]

    @property
    def timeout_s(self) -> float | None:
        """The hard deadline of one call."""
        return self._limits.timeout_s

    @property
    def is_broken(self) -> bool:
        """Whether the server has gone bad: as many failures in a row as calls may be in flight. One call at a time then tries whether it is back."""
        return self._n_bad >= 4 and self._n_bad >= self._most

    @property
    def is_hopeless(self) -> bool:
        """Whether it has been tried often enough. A server that never said a word gets fewer tries: most likely nobody is there."""
        return self._n_knocks >= (self._limits.attempts if self._is_there else min(self._limits.attempts, 5))

    @property
    def is_paced(self) -> bool:
        """Whether calls leave one by one."""
        return self._pace.rate < math.inf or self._tokens is not None or self.is_broken or self._n_loading > 0

    def wait_s(self, now: float, in_flight: int) -> float:
        """Seconds until the next call may leave: 0 for now, infinity for not before one that is in flight has returned."""
        if in_flight >= (1 if self.is_broken or self._n_loading else self._allowed):
            return math.inf
        if self._room is not None and self._pace.n_left >= self._room:
            if now < self._room_until:
                return math.inf if in_flight else self._room_until - now
            self._room = None
        if self._pace.rate == math.inf and self._tokens is None and now >= self._paused_until:
            return 0.0
        wait = max(self._paused_until - now, self._pace.wait_s(now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait_s(now))
        if wait <= SOON_S and self._shared:
            wait = max(rate.wait_s(now) for rate in self._shared)
        return wait if wait > SOON_S else 0.0

    def left(self, request: Request, now: float) -> tuple[int, float]:
        """A call leaves; its number and the tokens reserved for it."""
        reserved = self._tokens.left(request) if self._tokens is not None else 0.0
        for rate in self._shared:
            rate.left(reserved)
        return self._pace.left(now), reserved

    def answered(self, completion: Completion, *, reserved: float, took_s: float, now: float) -> None:
        """A call was answered."""
        self._n_bad = self._n_knocks = 0
        self._is_there, self._n_loading = True, 0
        self._settle(reserved, completion)
        self._latency_s += (took_s - self._latency_s) * 0.1
        if self._limits.timeout_s is not None and self._latency_s > self._limits.timeout_s / 2:
            self._cut(now)  # so many calls at once that they come close to their deadline
        elif self._allowed < self._most:
            step = self._most / BACK_IN_ROUNDS if self._allowed < self._bad / 2 else 1.0  # a round; slowly where it went wrong before
            self._allowed = min(self._most, self._allowed + step / self._allowed)

    def announced(self, room: Room, completion: Completion, *, left_at: float, in_flight: int, now: float) -> None:
        """An answer said what the server has left. None of the other calls in flight need have been counted yet, those that returned have been."""
        used = completion.n_in + completion.n_out
        self._usual_tokens += (used - self._usual_tokens) * (0.1 if self._usual_tokens else 1.0)
        n, wait_s = math.inf, 0.0
        if room.requests is not None:
            n, wait_s = room.requests, room.requests_s or 0.0
        if room.tokens is not None and room.tokens / max(self._usual_tokens, 1.0) < n:
            n, wait_s = int(room.tokens / max(self._usual_tokens, 1.0)), room.tokens_s or 0.0
        if n > self._least and left_at < self._least_at:
            return  # said before the least was, and heard after it
        self._least, self._least_at = n, now
        self._had_room |= n > 0
        if n < MUCH_ROOM and self._had_room and wait_s > 0:
            self._room, self._room_until = self._pace.n_left - in_flight + int(n), now + min(wait_s, LONGEST_PAUSE_S)
        else:
            self._room = None

    def refused(self, error: BaseException, *, number: int, reserved: float, left_at: float, now: float) -> None:
        """A call failed, in whatever way."""
        self._settle(reserved, None)
        if not isinstance(error, CallError):
            return  # given up here: it says nothing of the server
        self._is_there |= not isinstance(error, ConnectionFailedError | CallTimeoutError)
        if not isinstance(error, TransientCallError):
            self._n_bad = self._n_knocks = 0  # the server is there, and says so
            return
        pause_s = asked_s(error)
        self._paused_until = max(self._paused_until, now + pause_s)
        if getattr(error, "is_loading", False):
            self._loads(left_at=left_at, now=now)
            return
        if isinstance(error, RateLimitedError):
            self._pace.refused(now, left_at=left_at, number=number, pause_s=pause_s)
            return
        was_broken, self._n_bad = self.is_broken, self._n_bad + 1
        if self.is_broken and (not was_broken or left_at > self._knocked_at):  # the others left before it went bad
            self._knocked_at = now
            self._n_knocks += 1
            self._paused_until = max(self._paused_until, now + self._backoff_s(self._n_knocks))
        if error.status in OVERLOADED or isinstance(error, CallTimeoutError):
            self._cut(now)

    def _settle(self, reserved: float, completion: Completion | None) -> None:
        if self._tokens is not None:
            less = self._tokens.settle(reserved, completion)
            for rate in self._shared:
                rate.settle(less)

    def _loads(self, *, left_at: float, now: float) -> None:
        """The server is there, its model is not: one call at a time looks whether it is."""
        self._n_bad = self._n_knocks = 0
        if left_at > self._loading_at:
            self._n_loading, self._loading_at = self._n_loading + 1, now
        self._paused_until = max(self._paused_until, now + min(self._backoff_s(self._n_loading), LOADS_S))

    def retry_s(self, error: TransientCallError, *, attempts: int, tried_s: float) -> float | None:
        """Seconds to wait before the next try of a request that failed `attempts` times over `tried_s` seconds; None to give it up."""
        asked = asked_s(error)
        jitter = self._random.uniform(0.5, 1.0)  # so that rows that failed together do not return together
        if isinstance(error, RateLimitedError):  # the pace holds it back, and says nothing against the request, unless it alone never gets through
            may_fit = tried_s < RATE_LIMITED_S or attempts <= self._limits.attempts
            return max(asked, self._limits.backoff_s * jitter) if may_fit else None
        if getattr(error, "is_loading", False):
            return max(asked, self._limits.backoff_s * jitter)
        if attempts >= self._limits.attempts:
            return None
        return max(asked, self._backoff_s(attempts) * jitter)

    def _backoff_s(self, n: int) -> float:
        return min(self._limits.backoff_s * 2.0 ** min(n - 1, 10), LONGEST_BACKOFF_S)

    def _cut(self, now: float) -> None:
        if now - self._cut_at > max(self._latency_s, 1.0):  # once for the calls that were in flight together
            self._cut_at, self._bad = now, min(self._allowed, self._most)
            self._allowed = max(1.0, min(self._allowed, self._most) * CUT)


def asked_s(error: TransientCallError) -> float:
    """The seconds that the server asked for, as far as it is obeyed; 0 for what is no time."""
    after = error.retry_after_s
    return min(after, LONGEST_PAUSE_S) if after is not None and after > 0 else 0.0
