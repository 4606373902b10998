"""The deadlines of the calls in flight: one timer for all of them, since a timer a call would cost more than all else about it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection

from dreamframe.run.calls.queue import Ticket


class Deadlines:
    """Cancels the calls that have taken too long.

    A look that comes late itself says that the loop was held up: the process was stopped, or a slow function ran in its thread. Requests were not sent
    and answers were not read meanwhile, so that time does not count, and nothing is judged before the next look.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, flying: Collection[Ticket], timeout_s: float | None) -> None:
        self._loop, self._flying, self._timeout_s = loop, flying, timeout_s
        self._every_s = min(1.0, timeout_s / 10) if timeout_s is not None else math.inf
        self._next: asyncio.TimerHandle | None = None

    def watch(self, ticket: Ticket) -> None:
        """A call leaves."""
        if self._timeout_s is not None:
            ticket.due = ticket.left + self._timeout_s
            if self._next is None:
                self._look_later()

    def close(self) -> None:
        if self._next is not None:
            self._next.cancel()

    def _look_later(self) -> None:
        self._next = self._loop.call_later(self._every_s, self._look, self._loop.time() + self._every_s)

    def _look(self, planned: float) -> None:
        self._next = None
        if not self._flying:
            return
        now = self._loop.time()
        if (lost_s := now - planned) > self._every_s:
            for ticket in self._flying:
                ticket.due += lost_s
        else:
            for ticket in self._flying:
                if ticket.due <= now and not ticket.is_late and ticket.worker is not None:
                    ticket.is_late = True
                    ticket.worker.cancel()
        self._look_later()
