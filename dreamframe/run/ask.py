"""Asking: one queue and a few long-lived workers for every client, shared by all steps and runs that use it.

Lives in the event loop's thread, so nothing here needs a lock. A row costs a slot in a heap and a call: no task, no barrier for its batch.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import math
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from dreamframe.call import Completion, Failure, Question, Request
from dreamframe.embedders.openai import EmbedderClient
from dreamframe.errors import CallError, CallTimeoutError, DreamframeError, TransientCallError
from dreamframe.llms.base import LLM, Client, Limits
from dreamframe.llms.parallel import Parallel
from dreamframe.run.limits import Limiter
from dreamframe.run.packs import PackAsker
from dreamframe.run.parallel import ParallelAsker
from dreamframe.run.queue import Asking, Batch, CallQueue, Ticket

HELD_S = 0.02  # how long a run that will not have a call leave now is left in peace
__all__ = ["Asker", "Asking", "asker_for", "close_all"]


class Asker:
    """The queue and the workers of one client."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop
        self._limiter = Limiter(client.concurrency, getattr(client, "limits", Limits()))
        self._queue = CallQueue()
        self._flying: set[Ticket] = set()
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[None]] = []
        self._closed = False
        self._held_until = -math.inf  # a run wants to see what is in flight come back first
        self._gate: asyncio.TimerHandle | None = None  # the next time the limits allow a call
        self._watch: asyncio.TimerHandle | None = None  # the next look at deadlines
        self._stopped: WeakKeyDictionary[Asking, DreamframeError] = WeakKeyDictionary()

    @property
    def client(self) -> Client:
        """What is asked."""
        return self._client

    @property
    def concurrency(self) -> int:
        """Calls that may be in flight at once."""
        return self._client.concurrency

    @property
    def load(self) -> float:
        """Calls queued and in flight, as a part of those that may be in flight."""
        return (self._queue.n_calls + len(self._flying)) / self.concurrency

    def is_stopped(self, run: Asking) -> bool:
        """Whether nothing more of this run leaves here."""
        return run in self._stopped

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int, question: Question | None = None) -> dict[int, Failure]:
        """Ask all requests; returns when each has been answered (through `run.answered`) or failed. Failures by position in `requests`.

        Lower `order` goes first. `question` is what the client sees instead of the requests' own. When cancelled, what is queued or in flight for nobody
        else is dropped.
        """
        if (error := self._stopped.get(run)) is not None:
            return {i: Failure.of(error, request=r.prompt, attempts=0) for i, r in enumerate(requests)}
        if not requests:
            return {}
        batch = Batch(requests, run, order, self._loop.create_future(), question)
        self._queue.add(batch)
        self._dispatch()
        try:
            await batch.done
        finally:
            if batch.n_open:
                for ticket in self._queue.drop(batch):
                    if ticket.worker is not None:
                        ticket.worker.cancel()
                self._dispatch()  # rows of others may have got calls of their own
        return batch.failures

    async def close(self) -> None:
        """End the workers and close the client."""
        self._closed = True
        for timer in (self._gate, self._watch):
            if timer is not None:
                timer.cancel()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._client.close()

    # Workers

    def _dispatch(self) -> None:
        """Put idle workers to work, as far as the queue and the limits allow."""
        n_calls = min(self._queue.n_calls, self._client.concurrency - len(self._flying))
        for _ in range(min(n_calls, 1) if self._limiter.is_paced else n_calls):
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
        me = asyncio.current_task()
        assert me is not None
        while True:
            if self._queue.n_calls and self._may_leave() and (ticket := self._queue.take()) is not None:
                if self._limiter.is_paced:
                    self._loop.call_soon(self._dispatch)  # the one after it
                await self._call(ticket, me)
                if self._idle and self._queue.n_calls:
                    self._dispatch()
            else:
                waiting: asyncio.Future[None] = self._loop.create_future()
                self._idle.append(waiting)
                await waiting

    def _may_leave(self) -> bool:
        now = self._loop.time()
        wait_s = self._limiter.wait_s(now, len(self._flying))
        if wait_s <= 0 and now >= self._held_until:
            return True
        wait_s = max(wait_s, self._held_until - now)
        if wait_s < math.inf and (self._gate is None or self._gate.when() > now + wait_s):
            if self._gate is not None:
                self._gate.cancel()
            self._gate = self._loop.call_later(wait_s, self._open_gate)
        return False

    def _open_gate(self) -> None:
        self._gate = None
        self._dispatch()

    def _look_at_deadlines(self) -> None:
        """Give up the calls whose deadline has passed. One timer for all: a timer a call would cost more than all else here."""
        self._watch, timeout_s = None, self._limiter.timeout_s
        if timeout_s is None or not self._flying:
            return
        latest = self._loop.time() - timeout_s
        for ticket in self._flying:
            if ticket.left <= latest and not ticket.is_late and ticket.worker is not None:
                ticket.is_late = True
                ticket.worker.cancel()
        self._watch = self._loop.call_later(min(1.0, timeout_s / 10), self._look_at_deadlines)

    # One call

    async def _call(self, ticket: Ticket, me: asyncio.Task[None]) -> None:
        if not self._permitted(ticket):
            return
        ticket.left = self._loop.time()
        if ticket.attempts == 0:
            ticket.began = ticket.left
        ticket.number, ticket.reserved = self._limiter.left(ticket.request, ticket.left)
        ticket.attempts += 1
        ticket.worker = me
        self._flying.add(ticket)
        if self._watch is None:
            self._look_at_deadlines()
        try:
            completion = await self._client.complete(ticket.sent)
        except TransientCallError as exc:
            self._landed(ticket, exc)
            self._again(ticket, exc)
        except CallError as exc:
            self._landed(ticket, exc)
            if exc.stops_run:
                self._stop(exc)
            self._failed(ticket, exc)
        except asyncio.CancelledError as exc:
            if self._closed:
                raise
            me.uncancel()  # only the call was given up
            late = CallTimeoutError(f"no whole answer within {self._limiter.timeout_s:g} s") if ticket.is_late else None
            self._landed(ticket, late or exc)
            if late is not None:
                self._again(ticket, late)
        except Exception as exc:  # noqa: BLE001  a fault of ours or of a model's code: it belongs to whoever waits
            self._landed(ticket, exc)
            self._crashed(ticket, exc)
        else:
            self._landed(ticket)
            now = self._loop.time()
            self._limiter.answered(completion, reserved=ticket.reserved, took_s=now - ticket.left, now=now)
            if completion.room is not None:
                self._limiter.announced(completion.room, completion, left_at=ticket.left, in_flight=len(self._flying), now=now)
            self._answered(ticket, completion)

    def _landed(self, ticket: Ticket, error: BaseException | None = None) -> None:
        self._flying.discard(ticket)
        ticket.worker = None
        if error is not None:
            now = self._loop.time()
            self._limiter.refused(error, number=ticket.number, reserved=ticket.reserved, left_at=ticket.left, now=now)

    def _permitted(self, ticket: Ticket) -> bool:
        run = ticket.waiters[0][0].run  # the first to want the answer pays for it
        try:
            if run.permit(ticket.request):
                return True
        except DreamframeError as exc:
            self._queue.push(ticket)  # others may wait for it too
            self._stop(exc, run)
        else:
            self._queue.push(ticket)
            self._held_until = self._loop.time() + HELD_S
        return False

    def _answered(self, ticket: Ticket, completion: Completion) -> None:
        runs = ticket.runs()
        broken: dict[int, Exception] = {}
        for run in runs:
            try:
                run.answered(ticket.request, completion)
            except Exception as exc:  # noqa: BLE001  the run could not keep the answer: it must hear of it, the worker goes on
                broken[id(run)] = exc
        for batch, position in self._queue.forget(ticket):
            if broken and id(batch.run) in broken:
                batch.crash(broken[id(batch.run)])
            batch.settle(position, None)

    def _again(self, ticket: Ticket, error: TransientCallError) -> None:
        ticket.is_late = False
        wait_s = self._limiter.retry_s(error, attempts=ticket.attempts, tried_s=self._loop.time() - ticket.began)
        if wait_s is None or self._limiter.is_hopeless:
            if self._limiter.is_hopeless:  # nothing gets through: what waits would only fail one after the other
                self._stop(error)
            self._failed(ticket, error)
            return
        for run in ticket.runs():
            run.retrying(ticket.request, error, wait_s)
        ticket.timer = self._loop.call_later(wait_s, self._requeue, ticket)

    def _requeue(self, ticket: Ticket) -> None:
        ticket.timer = None
        if ticket.waiters:
            self._queue.push(ticket)
            self._dispatch()

    # Endings

    def _failed(self, ticket: Ticket, error: Exception) -> None:
        for batch, position in self._queue.forget(ticket):
            batch.settle(position, Failure.of(error, request=ticket.request.prompt, attempts=ticket.attempts))

    def _crashed(self, ticket: Ticket, exc: Exception) -> None:
        for batch, position in self._queue.forget(ticket):
            batch.crash(exc)
            batch.settle(position, None)

    def _stop(self, error: DreamframeError, run: Asking | None = None) -> None:
        """Nothing more leaves, of one run or of all: a bad key or an empty account answers nobody."""
        for stopped in self._queue.stop(error, run):
            self._stopped[stopped] = error


_askers: dict[asyncio.AbstractEventLoop, dict[str, Asker | ParallelAsker | PackAsker]] = {}


def asker_for(llm: LLM) -> Asker | ParallelAsker | PackAsker:
    """The asker of a model's client in the running loop: opened at the first call, kept until the loop ends."""
    loop = asyncio.get_running_loop()
    if loop not in _askers:
        for closed in [known for known in _askers if known.is_closed()]:
            del _askers[closed]
        _askers[loop] = {}
    llm.check_reach()  # also of a client that is open: another plan may share it
    key = llm.pool_key()
    asker = _askers[loop].get(key)
    if asker is None:
        if isinstance(llm, Parallel):
            asker = ParallelAsker(llm.llms, [a for part in llm.llms if isinstance(a := asker_for(part), Asker)])
        else:
            asker = asker_of(llm.open(), loop)
        _askers[loop][key] = asker
    return asker


def asker_of(client: Client, loop: asyncio.AbstractEventLoop) -> Asker | PackAsker:
    """The asker that a client is made for."""
    asker = Asker(client, loop)
    return PackAsker(asker, client) if isinstance(client, EmbedderClient) else asker


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
