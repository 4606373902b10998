"""The deadlines of the calls in flight: one timer for all of them, since a timer a call would cost more than all else about it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection

from dreamframe.run.queue import Ticket

CATCH_UP = 50  # turns of the loop in which it reads what came while it could not


class Deadlines:
    """Cancels the calls that have taken too long.

    A look that comes late itself says that the loop was held up: the process was stopped, or a slow function ran in its thread. Answers may lie
    unread, so it is given some turns to read them, and judged at the next look.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, flying: Collection[Ticket], timeout_s: float | None) -> None:
        self._loop, self._flying, self._timeout_s = loop, flying, timeout_s
        self._every_s = min(1.0, timeout_s / 10) if timeout_s is not None else math.inf
        self._next: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """A call has left."""
        if self._next is None and self._timeout_s is not None:
            self._look_later(self._loop.time() + 2 * self._every_s)

    def close(self) -> None:
        if self._next is not None:
            self._next.cancel()

    def _look_later(self, late_after: float) -> None:
        self._next = self._loop.call_later(self._every_s, self._look, late_after)

    def _look(self, late_after: float) -> None:
        self._next = None
        if not self._flying or self._timeout_s is None:
            return
        if self._loop.time() > late_after:
            self._catch_up(CATCH_UP)
            return
        latest = self._loop.time() - self._timeout_s
        for ticket in self._flying:
            if ticket.left <= latest and not ticket.is_late and ticket.worker is not None:
                ticket.is_late = True
                ticket.worker.cancel()
        self._look_later(self._loop.time() + 2 * self._every_s)

    def _catch_up(self, turns: int) -> None:
        if turns:
            self._next = self._loop.call_later(0, self._catch_up, turns - 1)
        else:
            self._look_later(math.inf)  # and then it is judged, late or not
