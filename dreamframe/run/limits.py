"""How fast one endpoint may be asked: requests in flight, pauses that the server asked for, and the waits between tries."""

from __future__ import annotations

import math
import random

from dreamframe.errors import RateLimitedError, TransientCallError
from dreamframe.llms.base import Limits

LONGEST_BACKOFF_S = 30.0
LONGEST_PAUSE_S = 120.0  # a server that asks for more is obeyed only so far
RATE_LIMITED_S = 900.0  # a request that is only ever told "not now" is given up after so long


class Limiter:
    """The limits of one client, shared by everything that asks through it. Knows no clock: the caller passes the loop's time, in seconds."""

    def __init__(self, concurrency: int, limits: Limits) -> None:
        self._concurrency = concurrency
        self._limits = limits
        self._paused_until = -math.inf

    @property
    def timeout_s(self) -> float | None:
        """The hard deadline of one call."""
        return self._limits.timeout_s

    def wait_s(self, now: float, in_flight: int) -> float:
        """Seconds until the next call may leave: 0 for now, infinity for not before one that is in flight has returned."""
        if in_flight >= self._concurrency:
            return math.inf
        return max(0.0, self._paused_until - now)

    def retry_s(self, error: TransientCallError, *, attempts: int, tried_s: float, now: float) -> float | None:
        """Seconds to wait before the next try of a request that failed `attempts` times over `tried_s` seconds; None to give it up."""
        asked = min(error.retry_after_s or 0.0, LONGEST_PAUSE_S)
        backoff = min(self._limits.backoff_s * 2 ** min(attempts - 1, 10), LONGEST_BACKOFF_S)
        wait = max(asked, backoff * random.uniform(0.5, 1.0))  # jitter, so that rows that failed together do not return together
        if isinstance(error, RateLimitedError):
            if asked:
                self._paused_until = max(self._paused_until, now + asked)
            return wait if tried_s < RATE_LIMITED_S else None
        return wait if attempts < self._limits.attempts else None
