"""The queue of one client: calls to be made, in order, each of them once however many rows wait for it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Collection, Sequence
from typing import Protocol

from dreamframe.errors import CallError, DreamframeError
from dreamframe.models.request import Completion, Failure, Question, Request
from dreamframe.plan.aside import passable
from dreamframe.store.shared_limits import SharedLimits


class Asking(Protocol):
    """What a run lends to the askers. It is told of its own requests only, those that it asked; what it raises is its own trouble."""

    @property
    def limits(self) -> SharedLimits | None:
        """What all processes on the run's session folder keep together; None where there is no folder."""
        ...

    def permit(self, request: Request) -> bool:
        """Called just before a call leaves; False: not now. A DreamframeError raised here stops this run's calls: what is in flight is kept."""
        ...

    def answered(self, request: Request, completion: Completion, *, paid: bool) -> None:
        """Called as each answer arrives, for each request that waits for it: `paid` for the one whose run pays, the others have found it."""
        ...

    def retrying(self, request: Request, error: CallError, wait_s: float) -> None:
        """Called when a request will be tried again."""
        ...

    def released(self, request: Request, error: CallError | None = None) -> None:
        """Called when a request that was permitted has ended without an answer that it pays for: by an error, or since nobody waits for it."""
        ...


class Batch:
    """The requests of one `ask`, until the last of them is answered or failed. A row that has not left yet costs an entry in a list, no object."""

    __slots__ = ("also", "at", "done", "failures", "is_held", "model", "n_open", "order", "question", "requests", "run", "todo")

    def __init__(self, requests: Sequence[Request], run: Asking, order: int, done: asyncio.Future[None], question: Question | None = None) -> None:
        self.requests, self.run, self.order, self.done = requests, run, order, done
        self.question = question  # what the client sees instead of the requests' own
        self.model = model_of(question or requests[0].question)  # who is asked
        self.todo: list[int] = []  # positions that are asked for here: the others wait for an equal request
        self.at = 0  # how many of them have left
        self.also: dict[bytes, list[Waiter]] = {}  # who waits for a request that has not left, besides this batch's own row
        self.n_open = len(requests)
        self.is_held = False  # its run wants to see what is in flight come back first
        self.failures: dict[int, Failure] = {}

    def settle(self, position: int, failure: Failure | None) -> None:
        if failure is not None:
            self.failures[position] = failure
        self.n_open -= 1
        if self.n_open == 0 and not self.done.done():
            self.done.set_result(None)

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.done.done()

    def crash(self, exc: BaseException) -> None:
        """End the ask with a fault that is no failure of a row."""
        if not self.done.done():
            self.done.set_exception(passable(exc))


class Ticket:
    """One call, from its first try to its end, for every row that waits for it: in flight, waiting for its next try, or queued for it."""

    __slots__ = (
        *("attempts", "began", "due", "is_late", "left", "model", "number", "order", "payer", "request"),
        *("reserved", "sent", "timer", "waiters", "worker"),
    )

    def __init__(self, batch: Batch, position: int, order: int, waiters: list[Waiter]) -> None:
        self.request, self.order, self.model = batch.requests[position], order, batch.model
        self.sent = self.request if batch.question is None else Request(batch.question, self.request.prompt, self.request.sample, self.request.key)
        self.waiters = waiters  # empty: nobody waits any more
        self.payer: Waiter | None = None  # whose run was asked whether the call may leave, while it is in flight
        self.attempts = 0
        self.began = self.left = math.nan  # loop time of the first try and of the last
        self.due = math.inf  # loop time of its deadline
        self.is_late = False  # that has passed
        self.number = 0  # of all calls of the client
        self.reserved = 0.0  # tokens, until it returns
        self.timer: asyncio.TimerHandle | None = None
        self.worker: asyncio.Task[None] | None = None  # while it is in flight

    @property
    def is_left_behind(self) -> bool:
        """Whether whoever wanted it waits no more."""
        return all(batch.is_over for batch, _ in self.waiters)

    def runs(self) -> list[Asking]:
        """Each run that waits, once."""
        return [batch.run for batch, _ in self.of_each_run()]

    def of_each_run(self) -> list[Waiter]:
        """The first waiter of each run."""
        if len(self.waiters) == 1:
            return self.waiters
        firsts: dict[Asking, Waiter] = {}
        for waiter in self.waiters:
            firsts.setdefault(waiter[0].run, waiter)
        return list(firsts.values())


Waiter = tuple[Batch, int]


def model_of(question: Question) -> str:
    """The name of the model that a question goes to."""
    return str(getattr(question.llm, "label", ""))


class CallQueue:
    """A heap by order and time. A batch stands in it once, with all its rows; what nobody waits for any more is skipped when met."""

    def __init__(self) -> None:
        self._heap: list[Entry] = []
        self._held: list[Entry] = []  # of runs that will not have a call leave now
        self._known: dict[bytes, Batch | Ticket] = {}  # answer key → who has the one call for it
        self._sequence = itertools.count()
        self.n_calls = 0  # that could leave now

    def knows(self, key: bytes) -> bool:
        """Whether somebody waits for the request of this answer key."""
        return key in self._known

    def add(self, batch: Batch) -> None:
        """Queue the requests of a batch, except those that are on their way already: their answers serve it too."""
        for position, request in enumerate(batch.requests):
            holder = self._known.get(request.key)
            if holder is None:
                self._known[request.key] = batch
                batch.todo.append(position)
            elif isinstance(holder, Ticket):
                holder.waiters.append((batch, position))
            else:
                holder.also.setdefault(request.key, []).append((batch, position))
        if batch.todo:
            heapq.heappush(self._heap, (batch.order, next(self._sequence), batch))
            self.n_calls += len(batch.todo)

    def push(self, ticket: Ticket) -> None:
        """Queue a call for another try."""
        heapq.heappush(self._heap, (ticket.order, next(self._sequence), ticket))
        self.n_calls += 1

    def take(self) -> Ticket | None:
        """The next call."""
        while self._heap:
            item = self._heap[0][2]
            if isinstance(item, Ticket):
                heapq.heappop(self._heap)
                self.n_calls -= 1
                if item.waiters:
                    return item
            elif item.at < len(item.todo):
                position = item.todo[item.at]
                item.at += 1
                self.n_calls -= 1
                if item.at == len(item.todo):
                    heapq.heappop(self._heap)
                return self._ticket(item, position)
            else:
                heapq.heappop(self._heap)
        return None

    def _ticket(self, batch: Batch, position: int) -> Ticket:
        request = batch.requests[position]
        ticket = self._known[request.key] = Ticket(batch, position, batch.order, [(batch, position)])
        if batch.also:
            ticket.waiters += batch.also.pop(request.key, ())
        return ticket

    def hold(self, runs: Collection[Asking]) -> None:
        """Set aside what waits for these runs alone, until `let_go`. What others wait for as well stays: they may have it leave."""
        kept: list[Entry] = []
        for entry in self._heap:
            item = entry[2]
            if isinstance(item, Ticket):
                is_theirs = all(run in runs for run in item.runs())
            elif is_theirs := item.run in runs:
                self._part(item, runs, kept)
                item.is_held = True
            (self._held if is_theirs else kept).append(entry)
        self._heap = kept
        heapq.heapify(kept)
        self.n_calls = sum(1 if isinstance(item, Ticket) else len(item.todo) - item.at for _, _, item in kept)

    def _part(self, batch: Batch, runs: Collection[Asking], entries: list[Entry]) -> None:
        """Give those rows of a batch that other runs wait for, too, calls of their own."""
        wanted = {key for key, waiters in batch.also.items() if any(b.run not in runs for b, _ in waiters)}
        if not wanted:
            return
        left = batch.todo[batch.at :]
        batch.todo, batch.at = [p for p in left if batch.requests[p].key not in wanted], 0
        for position in left:
            if batch.requests[position].key in wanted:
                entries.append((batch.order, next(self._sequence), self._ticket(batch, position)))

    def let_go(self) -> None:
        """What was set aside may be looked at again."""
        for entry in self._held:
            item = entry[2]
            heapq.heappush(self._heap, entry)
            if isinstance(item, Batch):
                item.is_held = False
                self.n_calls += len(item.todo) - item.at
            else:
                self.n_calls += 1
        self._held = []

    def forget(self, ticket: Ticket) -> list[Waiter]:
        """A call has ended, or nobody waits for it: whoever did."""
        if self._known.get(ticket.request.key) is ticket:
            del self._known[ticket.request.key]
        if ticket.timer is not None:
            ticket.timer.cancel()
        waiters, ticket.waiters = ticket.waiters, []
        return waiters

    def leave(self, ticket: Ticket, run: Asking) -> list[Waiter]:
        """One run waits no more for a call: its waiters."""
        gone = [w for w in ticket.waiters if w[0].run is run]
        ticket.waiters = [w for w in ticket.waiters if w[0].run is not run]
        if not ticket.waiters:
            self.forget(ticket)
        return gone

    def drop(self, batch: Batch) -> list[Ticket]:
        """A batch waits no more; the calls that nobody waits for now. A call in flight that it pays for keeps it as a waiter: its answer is paid for."""
        self._unqueue(batch)
        touched: dict[Ticket, None] = {}
        for request in batch.requests:
            holder = self._known.get(request.key)
            if isinstance(holder, Batch):
                waiters = [w for w in holder.also.pop(request.key, ()) if w[0] is not batch]
                if waiters:
                    holder.also[request.key] = waiters
            elif holder is not None:
                pays = holder.worker is not None and holder.payer is not None and holder.payer[0] is batch
                holder.waiters = [w for w in holder.waiters if w[0] is not batch or (pays and w is holder.payer)]
                if not holder.waiters:
                    self.forget(holder)
                    touched[holder] = None
        return list(touched)

    def stop(self, error: DreamframeError, run: Asking | None, model: str | None = None) -> list[Asking]:
        """Fail everything that has not left, of one run or (None) of all, to one model or (None) to any; the runs that had something here or in flight."""
        stopped: list[Asking] = []
        for batch in [item for _, _, item in (*self._heap, *self._held) if isinstance(item, Batch)]:
            if model is not None and batch.model != model:
                continue
            if run is None or batch.run is run:
                stopped.append(batch.run)
                for position in self._unqueue(batch):
                    batch.settle(position, Failure.of(error, request=batch.requests[position].prompt, attempts=0))
            else:
                for key, waiters in batch.also.items():
                    batch.also[key] = _without(waiters, run, error, 0)
        for ticket in [t for t in self._known.values() if isinstance(t, Ticket) and (model is None or t.model == model)]:
            stopped += ticket.runs()
            if ticket.worker is None:
                ticket.waiters = _without(ticket.waiters, run, error, ticket.attempts)
                if not ticket.waiters:
                    self.forget(ticket)
        return list(dict.fromkeys(stopped)) if run is None else [run]

    def batches(self) -> list[Batch]:
        """All that wait for something."""
        found = [item for _, _, item in (*self._heap, *self._held) if isinstance(item, Batch)]
        for holder in self._known.values():
            waiters = holder.waiters if isinstance(holder, Ticket) else [w for also in holder.also.values() for w in also]
            found += [batch for batch, _ in waiters]
        return list(dict.fromkeys(found))

    def _unqueue(self, batch: Batch) -> list[int]:
        """Take out what has not left; its positions. Rows of others that waited for a call of this batch get one of their own."""
        left = batch.todo[batch.at :]
        batch.todo, batch.at = [], 0
        if not batch.is_held:
            self.n_calls -= len(left)
        for position in list(left):
            request = batch.requests[position]
            del self._known[request.key]
            others = batch.also.pop(request.key, [])
            left += [p for b, p in others if b is batch]
            if others := [w for w in others if w[0] is not batch]:
                first, at = others[0]
                ticket = self._known[request.key] = Ticket(first, at, batch.order, others)
                self.push(ticket)
        return left


Entry = tuple[int, int, Batch | Ticket]


def _without(waiters: list[Waiter], run: Asking | None, error: DreamframeError, attempts: int) -> list[Waiter]:
    """The waiters of other runs; those of this run (None: all) fail."""
    kept = []
    for waiter in waiters:
        batch, position = waiter
        if run is None or batch.run is run:
            batch.settle(position, Failure.of(error, request=batch.requests[position].prompt, attempts=attempts))
        else:
            kept.append(waiter)
    return kept
