"""Asking: one queue and a few long-lived workers for every client, shared by all steps and runs that use it.

Lives in the event loop's thread, so nothing here needs a lock. A row costs a slot in a heap and a call: no task, no barrier for its batch.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from dreamframe.errors import CallError, CallTimeoutError, ConnectionFailedError, DreamframeError, TransientCallError
from dreamframe.models.answer import check_ended
from dreamframe.models.base import Client, Limits
from dreamframe.models.request import Completion, Failure, Question, Request
from dreamframe.redaction.redactor import Redactor
from dreamframe.run.calls.deadlines import Deadlines
from dreamframe.run.calls.limiter import Limiter
from dreamframe.run.calls.patience import Patience
from dreamframe.run.calls.queue import Asking, Batch, CallQueue, Ticket, model_of

REST_S = 1.0  # how long workers wait for a call before they end
LOOK_S = 0.01  # how often to look whether the last calls of a run have come back
HELD_S = 0.02  # how long a run that will not have a call leave now is left in peace


class Asker:
    """The queue and the workers of one client."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop, hides: Redactor | None = None) -> None:
        self._client = client
        self._hides = hides or Redactor(())  # takes the secrets of the client's settings out of its errors
        self._loop = loop
        self._limiter = Limiter(client.concurrency, getattr(client, "limits", Limits()))
        self._queue = CallQueue()
        self._flying: set[Ticket] = set()
        self._workers: set[asyncio.Task[None]] = set()
        self._idle: list[asyncio.Future[bool | None]] = []  # what idle workers wait for: True where they may end
        self._rest: asyncio.TimerHandle | None = None  # when they do, if nothing comes
        self._closed = False
        self._patience = Patience()
        self._hold: asyncio.TimerHandle | None = None  # when the runs that hold their calls back are asked again
        self._gate: asyncio.TimerHandle | None = None  # the next time the limits allow a call
        self._deadlines = Deadlines(loop, self._flying, self._limiter.timeout_s)
        self._stopped: WeakKeyDictionary[Asking, dict[str | None, DreamframeError]] = WeakKeyDictionary()  # by model; None: whichever

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

    def is_asking(self, key: bytes) -> bool:
        """Whether the request of this answer key is queued or in flight."""
        return self._queue.knows(key)

    def stopped(self, run: Asking, model: str) -> DreamframeError | None:
        """Why nothing more of this run leaves here for this model; None where it does."""
        errors = self._stopped.get(run)
        return None if errors is None else errors.get(None) or errors.get(model)

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int, question: Question | None = None) -> dict[int, Failure]:
        """Ask all requests; returns when each has been answered (through `run.answered`) or failed. Failures by position in `requests`.

        Lower `order` goes first. `question` is what the client sees instead of the requests' own. When cancelled, what is queued for nobody else is
        dropped; what is in flight is paid for, and comes back to the run: see `landed`.
        """
        if not requests:
            return {}
        if (error := self.stopped(run, model_of(question or requests[0].question))) is not None:
            return {i: Failure.of(error, request=r.prompt, attempts=0) for i, r in enumerate(requests)}
        batch = Batch(requests, run, order, self._loop.create_future(), question)
        with self._limiter.shared(run.limits):
            self._queue.add(batch)
            self._dispatch()
            try:
                await batch.done
            finally:
                if batch.n_open:
                    self._drop(batch)
        return batch.failures

    def _drop(self, batch: Batch) -> None:
        """A batch waits no more. Of its calls, those that it pays for and that are in flight go on."""
        unpaid, dropped = [], self._queue.drop(batch)
        for ticket in dropped:
            payer, ticket.payer = ticket.payer, None
            if payer is not None:
                unpaid.append(payer[0].requests[payer[1]])
        try:
            for request in unpaid:
                batch.run.released(request)
        finally:
            for ticket in dropped:
                if ticket.waiters:
                    self._charge(ticket)
            self._loop.call_soon(self._dispatch)  # rows of others may have got calls of their own; other batches of this run are dropped before

    async def landed(self, run: Asking, within_s: float) -> None:
        """Return when the calls have come back that are in flight for batches of a run which wait no more; what has not in time is given up."""
        until = self._loop.time() + within_s
        while left := [t for t in self._flying if t.is_left_behind and any(b.run is run for b, _ in t.waiters)]:
            if self._loop.time() >= until:
                for ticket in left:
                    if ticket.worker is not None:
                        ticket.worker.cancel()
                return
            await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        """End the workers and close the client."""
        self._closed = True
        self._deadlines.close()
        for timer in (self._gate, self._hold, self._rest):
            if timer is not None:
                timer.cancel()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        for batch in self._queue.batches():
            batch.crash(ConnectionFailedError("the client was closed while it was asked"))
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
        ticket: Ticket | None
        while True:
            if self._queue.n_calls and self._may_leave() and (ticket := self._queue.take()) is not None:
                if self._limiter.is_paced:
                    self._loop.call_soon(self._dispatch)  # the one after it
                try:
                    await self._call(ticket, me)
                except asyncio.CancelledError:
                    raise  # closed
                except BaseException as exc:  # whatever it is, it belongs to whoever waits: the worker goes on
                    self._crashed(ticket, exc)
                    if isinstance(exc, KeyboardInterrupt):
                        raise
                if self._idle and self._queue.n_calls:
                    self._dispatch()
            else:
                ticket = None  # its prompt may be long
                waiting: asyncio.Future[bool | None] = self._loop.create_future()
                self._idle.append(waiting)
                if len(self._idle) == len(self._workers) and self._rest is None:
                    self._rest = self._loop.call_later(REST_S, self._end_idle)
                if await waiting and not self._queue.n_calls:
                    self._workers.discard(me)  # at once, so that the next call gets another
                    return

    def _end_idle(self) -> None:
        """End the workers, if all of them are idle: the client of a model that is not asked again holds no memory."""
        self._rest = None
        if len(self._idle) == len(self._workers):
            for waiting in self._idle:
                if not waiting.done():
                    waiting.set_result(True)
            self._idle.clear()

    def _may_leave(self) -> bool:
        now = self._loop.time()
        wait_s = self._limiter.wait_s(now, len(self._flying))
        if len(self._flying) >= self._patience.room:
            return False  # what is in flight says whether the key is any good
        if wait_s <= 0:
            return True
        if wait_s < math.inf and (self._gate is None or self._gate.when() > now + wait_s):
            if self._gate is not None:
                self._gate.cancel()
            self._gate = self._loop.call_later(wait_s, self._open_gate)
        return False

    def _open_gate(self) -> None:
        self._gate = None
        self._dispatch()

    # One call

    async def _call(self, ticket: Ticket, me: asyncio.Task[None]) -> None:
        if not self._may_be_paid(ticket):
            return
        ticket.left = self._loop.time()
        if ticket.attempts == 0:
            ticket.began = ticket.left
        ticket.number, ticket.reserved = self._limiter.left(ticket.request, ticket.left)
        ticket.attempts += 1
        ticket.worker = me
        self._flying.add(ticket)
        self._deadlines.watch(ticket)
        try:
            completion = self._whole(await self._client.complete(ticket.sent))
        except TransientCallError as exc:
            self._landed(ticket, exc)
            self._again(ticket, exc)
        except CallError as exc:
            self._landed(ticket, exc)
            flying = (t.model for t in self._flying)
            if exc.stops_run or self._patience.is_over(exc, ticket.model, ticket.request, self._loop.time(), in_flight=flying):
                self._stop(exc, model=ticket.model if exc.of_model else None)
            self._failed(ticket, exc)
        except asyncio.CancelledError as exc:
            if self._closed:
                raise
            me.uncancel()  # only the call was given up
            error = self._given_up(ticket, exc)
            self._landed(ticket, exc if ticket.is_left_behind and not ticket.is_late else error)  # nobody waited: it says nothing of the server
            if isinstance(error, TransientCallError):
                self._again(ticket, error)
        except BaseException as exc:
            self._landed(ticket, exc)
            raise
        else:
            self._landed(ticket)
            self._learn(ticket, completion)
            self._answered(ticket, completion)

    def _whole(self, completion: Completion) -> Completion:
        """What the client gave, if it is an answer that has ended."""
        if not isinstance(completion, Completion):
            raise TypeError(f"{type(self._client).__name__}: complete() gives a Completion, and gave a {type(completion).__name__}.")
        check_ended(completion.finish, completion.text)
        return completion

    def _given_up(self, ticket: Ticket, exc: asyncio.CancelledError) -> BaseException:
        """Why a call was cancelled: too late, wanted by nobody, or by the client itself."""
        if ticket.is_late:
            return CallTimeoutError(f"no whole answer within {self._limiter.timeout_s:g} s")
        return ConnectionFailedError("the client cancelled the call itself") if ticket.waiters else exc

    def _landed(self, ticket: Ticket, error: BaseException | None = None) -> None:
        self._flying.discard(ticket)
        ticket.worker = None
        if error is not None:
            now = self._loop.time()
            self._limiter.refused(error, number=ticket.number, reserved=ticket.reserved, left_at=ticket.left, now=now)

    def _learn(self, ticket: Ticket, completion: Completion) -> None:
        """What an answer says about the server."""
        now = self._loop.time()
        self._patience.answered(ticket.model)
        self._limiter.answered(completion, reserved=ticket.reserved, took_s=now - ticket.left, now=now)
        if completion.room is not None:
            self._limiter.announced(completion.room, completion, left_at=ticket.left, in_flight=len(self._flying), now=now)

    def _may_be_paid(self, ticket: Ticket) -> bool:
        """Whether one of the runs that wait lets the call leave, and pays for it. If none does, it is queued again, without the runs that never will."""
        troubles = self._charge(ticket)
        if ticket.payer is not None:
            return True
        if ticket.waiters:
            self._queue.push(ticket)
        for run, error in troubles.items():
            if error is not None:
                self._stop(error, run)
        if held := {run for run, error in troubles.items() if error is None}:
            self._queue.hold(held)
            if self._hold is None:
                self._hold = self._loop.call_later(HELD_S, self._let_go)
        return False

    def _charge(self, ticket: Ticket) -> dict[Asking, DreamframeError | None]:
        """Find who pays for a call: the first run to want it that may. Else why each may not; None is "not now"."""
        troubles: dict[Asking, DreamframeError | None] = {}
        for waiter in ticket.of_each_run():
            batch, position = waiter
            try:
                if batch.run.permit(batch.requests[position]):
                    ticket.payer = waiter
                    break
                troubles[batch.run] = None
            except DreamframeError as exc:
                troubles[batch.run] = exc
            except BaseException as exc:  # noqa: BLE001  a fault of the run: its rows hear of it
                self._leave(ticket, batch.run, exc)
        return troubles

    def _let_go(self) -> None:
        self._hold = None
        self._queue.let_go()
        self._dispatch()

    def _answered(self, ticket: Ticket, completion: Completion) -> None:
        waiters, payer = self._queue.forget(ticket), ticket.payer
        completion.attempts, completion.ms = ticket.attempts, int(1000 * (self._loop.time() - ticket.left))
        if payer is not None and len(waiters) > 1:
            waiters.sort(key=lambda waiter: waiter is not payer)  # it keeps the answer, the others find it
        broken: dict[Asking, BaseException] = {}
        for waiter in waiters:
            batch, position = waiter
            if batch.run not in broken:
                try:
                    batch.run.answered(batch.requests[position], completion, paid=waiter is payer)
                except BaseException as exc:  # noqa: BLE001  the run could not keep the answer: it must hear of it, the worker goes on
                    broken[batch.run] = exc
            if broken and batch.run in broken:
                batch.crash(broken[batch.run])
            batch.settle(position, None)

    def _again(self, ticket: Ticket, error: TransientCallError) -> None:
        ticket.is_late = False
        if ticket.is_left_behind:
            self._failed(ticket, error, is_wanted=False)  # nobody is there to hear of another try
            return
        if error.stops_run:  # a certificate that is not trusted
            self._stop(error)
            self._failed(ticket, error)
            return
        now = self._loop.time()
        wait_s = self._limiter.retry_s(error, attempts=ticket.attempts, tried_s=now - ticket.began)
        is_over = self._patience.is_over(error, ticket.model, ticket.request, now)
        if wait_s is None or is_over or self._limiter.is_hopeless:
            if is_over or self._limiter.is_hopeless:  # nothing gets through: what waits would only fail one after the other
                self._stop(error, model=ticket.model if is_over else None)
            self._failed(ticket, error)
            return
        ticket.payer = None
        for batch, position in ticket.of_each_run():
            try:
                batch.run.retrying(batch.requests[position], error, wait_s)
            except BaseException as exc:  # noqa: BLE001  a fault of the run: its rows hear of it
                self._leave(ticket, batch.run, exc)
        ticket.waiters = [w for w in ticket.waiters if not w[0].is_over]
        if ticket.waiters:
            ticket.timer = self._loop.call_later(wait_s, self._requeue, ticket)

    def _requeue(self, ticket: Ticket) -> None:
        ticket.timer = None
        if ticket.waiters:
            self._queue.push(ticket)
            self._dispatch()

    # Endings

    def _failed(self, ticket: Ticket, error: CallError, *, is_wanted: bool = True) -> None:
        self._hides.error(error)  # before what it says is cut
        failure = Failure.of(error, request=ticket.request.prompt, attempts=ticket.attempts)
        if ticket.payer is not None:
            batch, position = ticket.payer
            try:
                batch.run.released(batch.requests[position], error if is_wanted else None)
            except BaseException as exc:  # noqa: BLE001  a fault of the run: its rows hear of it
                self._leave(ticket, batch.run, exc)
        for batch, position in self._queue.forget(ticket):
            batch.settle(position, failure)

    def _crashed(self, ticket: Ticket, exc: BaseException) -> None:
        """A fault of ours, or of a model's code."""
        self._flying.discard(ticket)
        ticket.worker = None
        for batch, position in self._queue.forget(ticket):
            batch.crash(exc)
            batch.settle(position, None)

    def _leave(self, ticket: Ticket, run: Asking, exc: BaseException) -> None:
        """A run waits no more for a call, for a fault of its own."""
        for batch, position in self._queue.leave(ticket, run):
            batch.crash(exc)
            batch.settle(position, None)

    def _stop(self, error: DreamframeError, run: Asking | None = None, *, model: str | None = None) -> None:
        """Nothing more leaves, of one run or of all, for one model or for any: a bad key or an empty account answers nobody."""
        for stopped in self._queue.stop(error, run, model):
            self._stopped.setdefault(stopped, {})[model] = error
