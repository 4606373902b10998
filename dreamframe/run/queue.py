"""The queue of one client: calls to be made, in order, each of them once however many rows wait for it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Sequence
from typing import Protocol

from dreamframe.call import Completion, Failure, Question, Request
from dreamframe.errors import CallError, DreamframeError


class Asking(Protocol):
    """What a run lends to the askers."""

    def permit(self, request: Request) -> bool:
        """Called just before a call leaves; False: not now. A DreamframeError raised here stops this run's calls: what is in flight is kept."""
        ...

    def answered(self, request: Request, completion: Completion) -> None:
        """Called as each answer arrives; once, however many rows of the run wait for it."""
        ...

    def retrying(self, request: Request, error: CallError, wait_s: float) -> None:
        """Called when a request will be tried again."""
        ...

    def released(self, request: Request) -> None:
        """Called when a request that was permitted has ended without an answer of its own."""
        ...


class Batch:
    """The requests of one `ask`, until the last of them is answered or failed. A row that has not left yet costs an entry in a list, no object."""

    __slots__ = ("also", "at", "done", "failures", "n_open", "order", "question", "requests", "run", "todo")

    def __init__(self, requests: Sequence[Request], run: Asking, order: int, done: asyncio.Future[None], question: Question | None = None) -> None:
        self.requests, self.run, self.order, self.done = requests, run, order, done
        self.question = question  # what the client sees instead of the requests' own
        self.todo: list[int] = []  # positions that are asked for here: the others wait for an equal request
        self.at = 0  # how many of them have left
        self.also: dict[bytes, list[Waiter]] = {}  # who waits for a request that has not left, besides this batch's own row
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
    """One call, from its first try to its end, for every row that waits for it: in flight, waiting for its next try, or queued for it."""

    __slots__ = ("attempts", "began", "is_late", "left", "number", "order", "request", "reserved", "sent", "timer", "waiters", "worker")

    def __init__(self, request: Request, order: int, waiters: list[Waiter], question: Question | None) -> None:
        self.request, self.order = request, order
        self.sent = request if question is None else Request(question, request.prompt, request.sample, request.key)
        self.waiters = waiters  # empty: nobody waits any more
        self.attempts = 0
        self.began = self.left = math.nan  # loop time of the first try and of the last
        self.is_late = False  # its deadline has passed
        self.number = 0  # of all calls of the client
        self.reserved = 0.0  # tokens, until it returns
        self.timer: asyncio.TimerHandle | None = None
        self.worker: asyncio.Task[None] | None = None  # while it is in flight

    def runs(self) -> list[Asking]:
        """Each run that waits, once."""
        if len(self.waiters) == 1:
            return [self.waiters[0][0].run]
        return list({id(b.run): b.run for b, _ in self.waiters}.values())


Waiter = tuple[Batch, int]


class CallQueue:
    """A heap by order and time. A batch stands in it once, with all its rows; what nobody waits for any more is skipped when met."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Batch | Ticket]] = []
        self._known: dict[bytes, Batch | Ticket] = {}  # answer key → who has the one call for it
        self._sequence = itertools.count()
        self.n_calls = 0  # that could leave now

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
                request = item.requests[position]
                ticket = self._known[request.key] = Ticket(request, item.order, [(item, position)], item.question)
                if item.also:
                    ticket.waiters += item.also.pop(request.key, ())
                return ticket
            else:
                heapq.heappop(self._heap)
        return None

    def forget(self, ticket: Ticket) -> list[Waiter]:
        """A call has ended, or nobody waits for it: whoever did."""
        if self._known.get(ticket.request.key) is ticket:
            del self._known[ticket.request.key]
        if ticket.timer is not None:
            ticket.timer.cancel()
        waiters, ticket.waiters = ticket.waiters, []
        return waiters

    def drop(self, batch: Batch) -> list[Ticket]:
        """A batch waits no more; the calls in flight that nobody else waits for."""
        self._unqueue(batch)
        useless = []
        for request in batch.requests:
            holder = self._known.get(request.key)
            if isinstance(holder, Batch):
                waiters = [w for w in holder.also.pop(request.key, ()) if w[0] is not batch]
                if waiters:
                    holder.also[request.key] = waiters
            elif holder is not None:
                holder.waiters = [w for w in holder.waiters if w[0] is not batch]
                if not holder.waiters:
                    self.forget(holder)
                    useless.append(holder)
        return [t for t in useless if t.worker is not None]

    def stop(self, error: DreamframeError, run: Asking | None) -> list[Asking]:
        """Fail everything that has not left, of one run or (None) of all; the runs that had something here or in flight."""
        stopped: list[Asking] = []
        for batch in [item for _, _, item in self._heap if isinstance(item, Batch)]:
            if run is None or batch.run is run:
                stopped.append(batch.run)
                for position in self._unqueue(batch):
                    batch.settle(position, Failure.of(error, request=batch.requests[position].prompt, attempts=0))
            else:
                for key, waiters in batch.also.items():
                    batch.also[key] = _without(waiters, run, error, 0)
        for ticket in [t for t in self._known.values() if isinstance(t, Ticket)]:
            stopped += ticket.runs()
            if ticket.worker is None:
                ticket.waiters = _without(ticket.waiters, run, error, ticket.attempts)
                if not ticket.waiters:
                    self.forget(ticket)
        return stopped if run is None else [run]

    def _unqueue(self, batch: Batch) -> list[int]:
        """Take out what has not left; its positions. Rows of others that waited for a call of this batch get one of their own."""
        left = batch.todo[batch.at :]
        batch.todo, batch.at = [], 0
        self.n_calls -= len(left)
        for position in list(left):
            request = batch.requests[position]
            del self._known[request.key]
            others = batch.also.pop(request.key, [])
            left += [p for b, p in others if b is batch]
            if others := [w for w in others if w[0] is not batch]:
                ticket = self._known[request.key] = Ticket(request, batch.order, others, batch.question)
                self.push(ticket)
        return left


def _without(waiters: list[Waiter], run: Asking | None, error: DreamframeError, attempts: int) -> list[Waiter]:
    """The waiters of other runs; those of this run (None: all) fail."""
    kept = []
    for batch, position in waiters:
        if run is None or batch.run is run:
            batch.settle(position, Failure.of(error, request=batch.requests[position].prompt, attempts=attempts))
        else:
            kept.append((batch, position))
    return kept
