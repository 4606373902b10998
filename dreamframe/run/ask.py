"""Asking: one queue and a few long-lived workers for every client, shared by all steps and runs that use it.

Lives in the event loop's thread, so nothing here needs a lock. A row costs a slot in a heap and a call: no task, no barrier for its batch.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import heapq
import itertools
import math
from collections.abc import Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

from dreamframe.call import Completion, Failure, Request
from dreamframe.errors import CallError, CallTimeoutError, DreamframeError, TransientCallError
from dreamframe.llms.base import LLM, Client, Limits
from dreamframe.run.limits import Limiter


class Asking(Protocol):
    """What a run lends to the askers."""

    def permit(self, request: Request) -> None:
        """Called just before a call leaves. A DreamframeError raised here stops this run's calls: nothing more leaves, what is in flight is kept."""
        ...

    def answered(self, request: Request, completion: Completion) -> None:
        """Called as each answer arrives; once, however many rows of the run wait for it."""
        ...

    def retrying(self, request: Request, error: CallError, wait_s: float) -> None:
        """Called when a request will be tried again."""
        ...


class Batch:
    """The requests of one `ask`, until the last of them is answered or failed."""

    __slots__ = ("done", "failures", "n_open", "requests", "run")

    def __init__(self, requests: Sequence[Request], run: Asking, done: asyncio.Future[None]) -> None:
        self.requests, self.run, self.done = requests, run, done
        self.n_open = len(requests)
        self.failures: dict[int, Failure] = {}

    def settle(self, position: int, failure: Failure | None) -> None:
        if failure is not None:
            self.failures[position] = failure
        self.n_open -= 1
        if self.n_open == 0 and not self.done.done():
            self.done.set_result(None)

    def crash(self, exc: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(exc)


class Ticket:
    """One call to be made, for every row that waits for it. In the heap, waiting for its next try, or in flight with a worker."""

    __slots__ = ("attempts", "began", "order", "request", "timer", "waiters", "worker")

    def __init__(self, request: Request, order: tuple[int, int]) -> None:
        self.request = request
        self.order = order  # (batch, sequence): earlier rows first
        self.waiters: list[tuple[Batch, int]] = []  # empty: nobody waits any more
        self.attempts = 0
        self.began = math.nan  # loop time of the first try
        self.timer: asyncio.TimerHandle | None = None
        self.worker: asyncio.Task[None] | None = None

    def runs(self) -> list[Asking]:
        """Each run that waits, once."""
        if len(self.waiters) == 1:
            return [self.waiters[0][0].run]
        return list({id(b.run): b.run for b, _ in self.waiters}.values())


class Asker:
    """The queue and the workers of one client."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        self._limiter = Limiter(client.concurrency, getattr(client, "limits", Limits()))
        self._queue: list[tuple[tuple[int, int], Ticket]] = []  # a heap; tickets that nobody waits for are skipped when met
        self._tickets: dict[bytes, Ticket] = {}  # answer key → the one call for it
        self._sequence = itertools.count()
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._in_flight = 0
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None  # the next time the limits allow a call
        self._stopped: WeakKeyDictionary[Asking, DreamframeError] = WeakKeyDictionary()

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int) -> dict[int, Failure]:
        """Ask all requests; returns when each has been answered (through `run.answered`) or failed. Failures by position in `requests`.

        Lower `order` goes first. When cancelled, what is queued or in flight for nobody else is dropped.
        """
        if (error := self._stopped.get(run)) is not None:
            return {i: Failure.of(error, request=r.prompt, attempts=0) for i, r in enumerate(requests)}
        if not requests:
            return {}
        batch = Batch(requests, run, self._loop.create_future())
        for position, request in enumerate(requests):
            ticket = self._tickets.get(request.key)
            if ticket is None:
                ticket = self._tickets[request.key] = Ticket(request, (order, next(self._sequence)))
                heapq.heappush(self._queue, (ticket.order, ticket))
            ticket.waiters.append((batch, position))
        self._dispatch()
        try:
            await batch.done
        finally:
            if batch.n_open:
                self._drop(batch)
        return batch.failures

    async def close(self) -> None:
        """End the workers and close the client."""
        self._closed = True
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._client.close()

    # Workers

    def _dispatch(self) -> None:
        """Put idle workers to work, as far as the queue and the limits allow."""
        for _ in range(min(len(self._queue), self._client.concurrency - self._in_flight)):
            if not self._may_leave():
                return
            if self._idle:
                waiting = self._idle.pop()
                if not waiting.done():
                    waiting.set_result(None)
            elif len(self._workers) < self._client.concurrency:
                worker = self._loop.create_task(self._work())
                self._workers.add(worker)
                worker.add_done_callback(self._workers.discard)
            else:
                return

    async def _work(self) -> None:
        while True:
            if (ticket := self._take()) is not None:
                await self._call(ticket)
                if self._idle and self._queue:
                    self._dispatch()
            else:
                waiting: asyncio.Future[None] = self._loop.create_future()
                self._idle.append(waiting)
                await waiting

    def _take(self) -> Ticket | None:
        while self._queue and self._may_leave():
            ticket = heapq.heappop(self._queue)[1]
            if ticket.waiters:
                return ticket
        return None

    def _may_leave(self) -> bool:
        now = self._loop.time()
        wait_s = self._limiter.wait_s(now, self._in_flight)
        if 0 < wait_s < math.inf and (self._timer is None or self._timer.when() > now + wait_s):
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_later(wait_s, self._open_gate)
        return wait_s == 0

    def _open_gate(self) -> None:
        self._timer = None
        self._dispatch()

    # One call

    async def _call(self, ticket: Ticket) -> None:
        if not self._permitted(ticket):
            return
        began = self._loop.time()
        if ticket.attempts == 0:
            ticket.began = began
        ticket.attempts += 1
        ticket.worker = task = asyncio.current_task()
        self._in_flight += 1
        try:
            async with asyncio.timeout(self._limiter.timeout_s):
                completion = await self._client.complete(ticket.request)
        except TransientCallError as exc:
            ticket.worker = None
            self._again(ticket, exc)
        except CallError as exc:
            if exc.stops_run:
                self._stop(exc)
            self._failed(ticket, exc)
        except TimeoutError:
            ticket.worker = None
            self._again(ticket, CallTimeoutError(f"no whole answer within {self._limiter.timeout_s:g} s"))
        except asyncio.CancelledError:
            if self._closed or task is None:
                raise
            task.uncancel()  # only the call was given up: see _drop
        except Exception as exc:  # noqa: BLE001  a fault of ours or of a model's code: it belongs to whoever waits
            self._crashed(ticket, exc)
        else:
            self._answered(ticket, completion)
        finally:
            ticket.worker = None
            self._in_flight -= 1

    def _permitted(self, ticket: Ticket) -> bool:
        run = ticket.waiters[0][0].run  # the first to want the answer pays for it
        try:
            run.permit(ticket.request)
        except DreamframeError as exc:
            heapq.heappush(self._queue, (ticket.order, ticket))  # others may wait for it too
            self._stop(exc, run)
            return False
        return True

    def _answered(self, ticket: Ticket, completion: Completion) -> None:
        self._tickets.pop(ticket.request.key, None)
        waiters, runs = ticket.waiters, ticket.runs()
        ticket.waiters = []
        broken: dict[int, Exception] = {}
        for run in runs:
            try:
                run.answered(ticket.request, completion)
            except Exception as exc:  # noqa: BLE001  the run could not keep the answer: it must hear of it, the worker goes on
                broken[id(run)] = exc
        for batch, position in waiters:
            if broken and id(batch.run) in broken:
                batch.crash(broken[id(batch.run)])
            batch.settle(position, None)

    def _again(self, ticket: Ticket, error: TransientCallError) -> None:
        now = self._loop.time()
        wait_s = self._limiter.retry_s(error, attempts=ticket.attempts, tried_s=now - ticket.began, now=now)
        if wait_s is None:
            self._failed(ticket, error)
            return
        for run in ticket.runs():
            run.retrying(ticket.request, error, wait_s)
        ticket.timer = self._loop.call_later(wait_s, self._requeue, ticket)

    def _requeue(self, ticket: Ticket) -> None:
        ticket.timer = None
        if ticket.waiters:
            heapq.heappush(self._queue, (ticket.order, ticket))
            self._dispatch()

    # Endings

    def _failed(self, ticket: Ticket, error: Exception) -> None:
        self._forget(ticket)
        waiters, ticket.waiters = ticket.waiters, []
        for batch, position in waiters:
            batch.settle(position, Failure.of(error, request=ticket.request.prompt, attempts=ticket.attempts))

    def _crashed(self, ticket: Ticket, exc: Exception) -> None:
        self._forget(ticket)
        waiters, ticket.waiters = ticket.waiters, []
        for batch, position in waiters:
            batch.crash(exc)
            batch.settle(position, None)

    def _stop(self, error: DreamframeError, run: Asking | None = None) -> None:
        """Fail everything that has not left, of one run or of all: a bad key or an empty account answers nobody."""
        if run is not None:
            self._stopped[run] = error
        for ticket in list(self._tickets.values()):
            if run is None:
                self._stopped.update((waiting, error) for waiting in ticket.runs())
            if ticket.worker is not None:
                continue
            stopped = [(b, p) for b, p in ticket.waiters if run is None or b.run is run]
            ticket.waiters = [w for w in ticket.waiters if w not in stopped]
            if not ticket.waiters:
                self._forget(ticket)
            for batch, position in stopped:
                batch.settle(position, Failure.of(error, request=ticket.request.prompt, attempts=ticket.attempts))

    def _drop(self, batch: Batch) -> None:
        """Nobody waits for this batch any more."""
        for request in batch.requests:
            ticket = self._tickets.get(request.key)
            if ticket is None:
                continue
            ticket.waiters = [w for w in ticket.waiters if w[0] is not batch]
            if not ticket.waiters:
                self._forget(ticket)
                if ticket.worker is not None and ticket.worker is not asyncio.current_task():
                    ticket.worker.cancel()

    def _forget(self, ticket: Ticket) -> None:
        if self._tickets.get(ticket.request.key) is ticket:
            del self._tickets[ticket.request.key]
        if ticket.timer is not None:
            ticket.timer.cancel()
        if not self._tickets:
            self._queue.clear()


_askers: dict[asyncio.AbstractEventLoop, dict[str, Asker]] = {}


def asker_for(llm: LLM) -> Asker:
    """The asker of a model's client in the running loop: opened at the first call, kept until the loop ends."""
    loop = asyncio.get_running_loop()
    if loop not in _askers:
        for closed in [known for known in _askers if known.is_closed()]:
            del _askers[closed]
        _askers[loop] = {}
    key = llm.pool_key()
    asker = _askers[loop].get(key)
    if asker is None:
        asker = _askers[loop][key] = Asker(llm.open(), loop)
    return asker


async def close_all() -> None:
    """Close every client of the running loop."""
    askers = _askers.pop(asyncio.get_running_loop(), {})
    await asyncio.gather(*(asker.close() for asker in askers.values()))


def _close_at_exit() -> None:
    for loop in list(_askers):
        if loop.is_running():
            with contextlib.suppress(TimeoutError):  # the process ends now, whatever a connection is waiting for
                asyncio.run_coroutine_threadsafe(close_all(), loop).result(timeout=2)


atexit.register(_close_at_exit)
