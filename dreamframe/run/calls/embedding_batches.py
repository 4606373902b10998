"""Asking an embedder behind an API: the texts of many rows travel in one call, and each row keeps an answer of its own."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from dreamframe.errors import AuthenticationError, BadReplyError, BadRequestError, CallError, ContextLengthError, DreamframeError, RunError
from dreamframe.models.embedders.openai import EmbedderClient, Pack
from dreamframe.models.request import Completion, Failure, Request
from dreamframe.run.calls.queue import Asking, model_of
from dreamframe.store.shared_limits import SharedLimits

ITS_OWN = tuple(e.__name__ for e in (BadRequestError, ContextLengthError, BadReplyError, AuthenticationError))  # failures that may be one text's alone

RUNS_OWN = tuple(error.__name__ for error in RunError.__subclasses__())  # failures that are one run's alone: its budget, say


class Outcome(NamedTuple):
    """What became of a text, and the run that heard of it."""

    completion: Completion | None
    failure: Failure | None
    run: Asking | None


Futures = dict[bytes, "asyncio.Future[Outcome]"]


class Ask(Protocol):
    """An asker."""

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int) -> dict[int, Failure]: ...
    async def landed(self, run: Asking, within_s: float) -> None: ...
    def stopped(self, run: Asking, model: str) -> DreamframeError | None: ...
    async def close(self) -> None: ...


class PackAsker:
    """The asker of a client that takes many texts a call. Limits, retries and deadlines are those of the call."""

    def __init__(self, asker: Ask, client: EmbedderClient) -> None:
        self._asker, self._client = asker, client
        self._runs: WeakKeyDictionary[Asking, PackRun] = WeakKeyDictionary()
        self._on_their_way: Futures = {}  # answer key → what becomes of it

    async def close(self) -> None:
        await self._asker.close()

    async def landed(self, run: Asking, within_s: float) -> None:
        """As `Asker.landed`."""
        if (known := self._runs.get(run)) is not None:
            await self._asker.landed(known, within_s)

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int) -> dict[int, Failure]:
        """As `Asker.ask`. A text that is on its way already is not sent a second time."""
        failures: dict[int, Failure] = {}
        left = list(range(len(requests)))
        while left:
            mine: dict[bytes, int] = {}
            others: dict[bytes, asyncio.Future[Outcome]] = {}
            for position in left:
                key = requests[position].key
                if key not in mine and (known := self._on_their_way.get(key)) is not None and not _is_of_no_use(known, run):
                    others[key] = known
                elif key not in others:
                    mine.setdefault(key, position)
            outcomes = await self._ask([requests[position] for position in mine.values()], run, order)
            for key, future in others.items():
                outcomes[key] = await self._heard(future, run)
            left = self._settled(left, requests, run, outcomes, mine, failures)
        return failures

    def _settled(
        self,
        positions: Sequence[int],
        requests: Sequence[Request],
        run: Asking,
        outcomes: dict[bytes, Outcome | None],
        mine: dict[bytes, int],
        failures: dict[int, Failure],
    ) -> list[int]:
        """Put outcomes to their rows; those that got none."""
        left = []
        for position in positions:
            key = requests[position].key
            if (outcome := outcomes[key]) is None:
                left.append(position)
            elif outcome.failure is not None:
                failures[position] = outcome.failure
            elif mine.get(key) != position:  # its own call has told the run already
                assert outcome.completion is not None
                run.answered(requests[position], outcome.completion, paid=False)
        return left

    async def _ask(self, requests: Sequence[Request], run: Asking, order: int) -> dict[bytes, Outcome | None]:
        """Ask texts that nobody asks now."""
        loop = asyncio.get_running_loop()
        futures: Futures = {r.key: loop.create_future() for r in requests}
        self._on_their_way |= futures
        try:
            await _all(self._pack(rows, run, order, futures) for rows in self._packs(requests))
            return {key: future.result() for key, future in futures.items()}
        finally:
            for key, future in futures.items():
                if self._on_their_way.get(key) is future:
                    del self._on_their_way[key]
                if not future.done():
                    future.cancel()

    def _left(self, key: bytes, future: asyncio.Future[Outcome]) -> asyncio.Future[Outcome]:
        """What becomes of a text whose call is in flight for a run that waits no more."""

        def forget(_: asyncio.Future[Outcome]) -> None:
            if self._on_their_way.get(key) is future:
                del self._on_their_way[key]

        future.add_done_callback(forget)
        return future

    async def _heard(self, future: asyncio.Future[Outcome], run: Asking) -> Outcome | None:
        """What became of a text that another batch asks about; None if that gave it up, or was not let."""
        try:
            outcome = await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                raise  # we were
            return None
        return None if _is_of_no_use(future, run) else outcome

    def _packs(self, requests: Sequence[Request]) -> list[list[Request]]:
        packs: list[list[Request]] = []
        n_characters = 0
        for request in requests:
            n_characters += len(request.prompt)
            if not packs or len(packs[-1]) == self._client.most_texts or n_characters > self._client.most_characters:
                packs.append([])
                n_characters = len(request.prompt)
            packs[-1].append(request)
        return packs

    async def _pack(self, rows: Sequence[Request], run: Asking, order: int, futures: Futures) -> None:
        pack = Pack(rows)
        known = self._runs.get(run) or self._runs.setdefault(run, PackRun(run, self._client.n_bytes))
        try:
            failures = await self._asker.ask([pack], known, order=order)
        except asyncio.CancelledError:
            if known.is_flying(pack):  # it is paid for: whoever wants one of its texts waits for it
                known.left(pack, [self._left(row.key, futures.pop(row.key)) for row in rows])
                rows = ()
            raise
        finally:
            for row, completion in zip(rows, pack.completions, strict=False):  # paid for, whatever the run did with it
                _settle(futures[row.key], Outcome(completion, None, run))
        if not failures:
            return
        failure = failures[0]
        run.released(pack)
        if len(rows) > 1 and failure.error in ITS_OWN and failure.attempts and self._asker.stopped(known, model_of(pack.question)) is None:
            half = len(rows) // 2
            await _all(self._pack(part, run, order, futures) for part in (rows[:half], rows[half:]))
            return
        for row in rows:
            _settle(futures[row.key], Outcome(None, failure._replace(request=row.prompt[:2000]), run))


def _settle(future: asyncio.Future[Outcome], outcome: Outcome) -> None:
    if not future.done():
        future.set_result(outcome)


def _is_of_no_use(future: asyncio.Future[Outcome], run: Asking) -> bool:
    """Whether what became of a text is the trouble of another run alone."""
    if not future.done() or future.cancelled():
        return False
    _, failure, whose = future.result()
    return failure is not None and whose is not run and (not failure.attempts or failure.error in RUNS_OWN)


class PackRun:
    """A run as the asker of the calls sees it: the answer of a call becomes those of its rows."""

    def __init__(self, run: Asking, n_bytes: int) -> None:
        self._run, self._n_bytes = weakref.ref(run), n_bytes
        self._flying: dict[bytes, list[asyncio.Future[Outcome]]] = {}  # key of a call → what becomes of its texts, where the run waits no more

    @property
    def run(self) -> Asking:
        run = self._run()
        assert run is not None, "a run outlives its calls"
        return run

    @property
    def limits(self) -> SharedLimits | None:
        return self.run.limits

    def is_flying(self, pack: Pack) -> bool:
        """Whether the call is in flight."""
        return pack.key in self._flying

    def left(self, pack: Pack, futures: list[asyncio.Future[Outcome]]) -> None:
        """The run waits no more for a call in flight; others may wait for its texts."""
        self._flying[pack.key] = futures

    def _ended(self, request: Request) -> None:
        for future in self._flying.pop(request.key, ()):
            future.cancel()

    def permit(self, request: Request) -> bool:
        if may_leave := self.run.permit(request):
            self._flying[request.key] = []
        return may_leave

    def answered(self, request: Request, completion: Completion, *, paid: bool) -> None:
        assert isinstance(request, Pack)
        data, n = completion.data or b"", self._n_bytes
        shares = _shares(completion.n_in, request.rows)
        request.completions = [Completion(None, data=data[i * n : (i + 1) * n], n_in=n_in, model=completion.model) for i, n_in in enumerate(shares)]
        self.run.released(request)
        for answer, future in zip(request.completions, self._flying.pop(request.key, ()), strict=False):
            _settle(future, Outcome(answer, None, self.run))
        for row, answer in zip(request.rows, request.completions, strict=True):
            self.run.answered(row, answer, paid=paid)

    def retrying(self, request: Request, error: CallError, wait_s: float) -> None:
        self._ended(request)
        self.run.retrying(request, error, wait_s)

    def released(self, request: Request, error: CallError | None = None) -> None:
        self._ended(request)
        self.run.released(request, error)


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it to the end, then raise the first error."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


def _shares(total: int, rows: Sequence[Request]) -> list[int]:
    """Tokens of each text, by its length, so that they sum to those of the call."""
    lengths = [len(r.prompt) for r in rows]
    whole, seen, given = sum(lengths) or 1, 0, 0
    shares = []
    for length in lengths:
        seen += length
        shares.append(total * seen // whole - given)
        given += shares[-1]
    return shares
