"""Virtual time: an event loop whose clock jumps to the next timer, and a metering server in it. Minutes of limits in milliseconds, the same every time."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dreamframe.errors import RateLimitedError
from dreamframe.models.base import Limits
from dreamframe.models.request import Completion, Request, Room

T = TypeVar("T")


class _Jump(selectors.SelectSelector):
    """Waits for nothing: moves the clock instead."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "nothing will ever happen again"
        self.now += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which time passes only while everybody waits."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now


def run_virtual(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


@dataclass
class Metered:
    """A client of a server that takes `rpm` calls a minute, `burst` at once, and refuses the others. It is asked in virtual time."""

    rpm: float
    burst: float = 1.0
    latency_s: float = 0.2
    says: str = "nothing"  # or "exactly", or "seconds": what Retry-After holds
    announces: str = "nothing"  # or "bucket", or "window": what is left, with every answer; a window has the calls of a minute
    concurrency: int = 256
    limits: Limits = field(default_factory=lambda: Limits(timeout_s=60))
    taken: list[float] = field(default_factory=list)  # when
    refused: list[float] = field(default_factory=list)
    level: float | None = None
    at: float = 0.0

    async def complete(self, request: Request) -> Completion:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self.latency_s / 2)
        now = loop.time()
        if self.announces == "window":
            self.level = self.rpm if self.level is None or now // 60 > self.at // 60 else self.level
        else:
            self.level = self.burst if self.level is None else min(self.burst, self.level + (now - self.at) * self.rpm / 60)
        self.at = now
        if self.level < 1 - 1e-9:
            self.refused.append(now)
            wait = (1 - self.level) * 60 / self.rpm
            await asyncio.sleep(self.latency_s / 2)
            after = {"nothing": None, "exactly": wait, "seconds": float(int(wait) + 1)}[self.says]
            raise RateLimitedError("not now", status=429, retry_after_s=after)
        self.level -= 1
        self.taken.append(now)
        done = Completion("ok", n_in=10, n_out=10)
        if self.announces != "nothing":
            more_s = 60 - now % 60 if self.announces == "window" else (self.burst - self.level) * 60 / self.rpm
            done.room = Room(int(self.level), more_s, None, None)
        await asyncio.sleep(self.latency_s / 2)
        return done

    async def close(self) -> None:
        """Nothing to give back."""

    def used(self, start: float, end: float) -> float:
        """The part of the allowed rate that was used."""
        return sum(start <= t < end for t in self.taken) / ((end - start) * self.rpm / 60)

    def refusals(self, start: float, end: float) -> float:
        """The part of the calls that was refused."""
        taken, refused = sum(start <= t < end for t in self.taken), sum(start <= t < end for t in self.refused)
        return refused / max(taken + refused, 1)
