"""Requests in flight: sorted by what they share and by length, packed by a token budget, worked on by one thread. Shared by the models in this process."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from dreamframe.errors import CallError, PermanentCallError
from dreamframe.models.local.prefixes import by_family

T = TypeVar("T")  # a prepared request
R = TypeVar("R")  # its answer

GATHER_S = 0.004  # how long the first request of an idle batcher waits for company


class Job(Generic[T, R]):
    """One request that waits."""

    __slots__ = ("answer", "begins", "item", "length", "number")

    def __init__(self, item: T, length: int, number: int, answer: asyncio.Future[R], begins: bytes) -> None:
        self.item, self.length, self.number, self.answer, self.begins = item, length, number, answer, begins

    @property
    def is_wanted(self) -> bool:
        return not self.answer.done()


class Batcher(Generic[T, R]):
    """Answers requests in batches of similar length, those together that begin alike.

    `work` answers a batch and runs on the batcher's thread; an entry of its result may be an exception, which is that request's. A batch of n requests
    costs n times the longest one's length; batches cost at most `budget`. When `work` runs out of memory, the budget becomes half of what the batch
    cost and the batch is tried again in parts; batches that fit then raise it, by halves of the way to the cost that failed, and what fits is
    remembered: n equal requests of which b fit take at most 2 n / b + log2(b) batches. A request that does not fit alone fails.
    The oldest request is always in the next batch, so that none waits for ever.
    """

    def __init__(
        self,
        work: Callable[[Sequence[T]], Sequence[R | CallError]],
        *,
        budget: int,
        is_out_of_memory: Callable[[BaseException], bool],
        most: int | None = None,
        name: str = "model",
    ) -> None:
        self._work = work
        self.budget = budget
        self._fits = 0  # the largest cost that worked, and the smallest that did not
        self._too_much: int | None = None
        self._most = most  # requests of one batch
        self._is_out_of_memory = is_out_of_memory
        self._name = name
        self._jobs: list[Job[T, R]] = []
        self._numbers = itertools.count()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"dreamframe-{name}")
        self._driver: asyncio.Task[None] | None = None
        self.closing = threading.Event()

    async def submit(self, item: T, length: int, *, begins: bytes = b"") -> R:
        """The answer to one request. `begins` holds the tokens that it reads, as bytes, for work that reads once what is shared.

        Raises the CallError that it met. A cancelled request leaves the line.
        """
        loop = asyncio.get_running_loop()
        job: Job[T, R] = Job(item, length, next(self._numbers), loop.create_future(), begins)
        self._jobs.append(job)
        if self._driver is None or self._driver.done():
            self._driver = loop.create_task(self._drive())
        return await job.answer

    async def close(self) -> None:
        """Stop after what the thread was handed; `work` should see `closing` and make it short."""
        self.closing.set()
        self._thread.shutdown(wait=False)
        if self._driver is not None:
            await asyncio.gather(self._driver, return_exceptions=True)
        for job in self._jobs:
            job.answer.cancel()

    async def _drive(self) -> None:
        await asyncio.sleep(GATHER_S)
        working: asyncio.Task[None] | None = None
        while (self._jobs or working) and not self.closing.is_set():
            batch = self._next() if working is None or self._may_be_ahead() else []
            handed = asyncio.get_running_loop().create_task(self._answer(batch)) if batch else None
            if working is not None:
                await working
            working = handed
        if working is not None:
            await working

    def _may_be_ahead(self) -> bool:
        """Whether the thread is handed the next batch before it is through with one, so that it never waits for the event loop.

        Not while memory is being learnt, and not for less than a whole batch: others may come until then.
        """
        waiting = [j.length for j in self._jobs if j.is_wanted]
        is_whole = len(waiting) * max(waiting, default=0) >= self.budget or (self._most is not None and len(waiting) >= self._most)
        return is_whole and self._too_much is None and self._fits > 0

    def _next(self) -> list[Job[T, R]]:
        """The batch that holds the oldest request, of all requests cut into batches from the longest down."""
        self._jobs = [j for j in self._jobs if j.is_wanted]
        if not self._jobs:
            return []
        oldest = min(self._jobs, key=lambda j: j.number)
        chosen: list[Job[T, R]] = []
        for job in by_family(self._jobs, lambda j: j.begins, lambda j: j.length):
            if chosen and ((len(chosen) + 1) * chosen[0].length > self.budget or len(chosen) == self._most):
                if oldest in chosen:
                    break
                chosen = []
            chosen.append(job)
        taken = {id(j) for j in chosen}
        self._jobs = [j for j in self._jobs if id(j) not in taken]
        return chosen

    async def _answer(self, batch: list[Job[T, R]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._thread, self._work, [j.item for j in batch])
        except asyncio.CancelledError:
            raise
        except Exception as exc:  # noqa: BLE001  whatever a model's code raises belongs to the requests of the batch
            self._failed(batch, exc)
            return
        self._fitted(batch)
        for job, answer in zip(batch, answers, strict=True):
            if not job.is_wanted:
                continue
            if isinstance(answer, CallError):
                job.answer.set_exception(answer)
            else:
                job.answer.set_result(answer)

    def _fitted(self, batch: list[Job[T, R]]) -> None:
        """Remember that the batch fitted; if a larger one did not, allow half the way there, unless that gains less than an eighth."""
        cost = _cost(batch)
        if cost <= self._fits:
            return
        self._fits = cost
        if self._too_much is not None and self._too_much - cost > max(1, cost // 8):
            self.budget = max(self.budget, (cost + self._too_much) // 2)

    def _failed(self, batch: list[Job[T, R]], exc: Exception) -> None:
        if self._is_out_of_memory(exc) and len(batch) > 1:
            self._too_much = cost = _cost(batch)
            self._fits = self._fits if self._fits < cost else 0  # others take memory now that was free before
            self.budget = max(1, (self._fits + cost) // 2)
            self._jobs.extend(batch)
            return
        for job in batch:
            if not job.is_wanted:
                continue
            if isinstance(exc, CallError):
                error = exc
            elif self._is_out_of_memory(exc):
                error = PermanentCallError(f"{self._name}: out of memory, even with this request alone ({job.length} tokens)")
            else:
                error = PermanentCallError(f"{self._name}: {type(exc).__name__}: {exc}")
            error.__cause__ = exc if error is not exc else exc.__cause__
            job.answer.set_exception(error)


def _cost(batch: Sequence[Job[T, R]]) -> int:
    return len(batch) * max(j.length for j in batch)
