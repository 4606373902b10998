"""Asking an embedder behind an API: the texts of many rows travel in one call, and each row keeps an answer of its own."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Sequence
from typing import NamedTuple, Protocol
from weakref import WeakKeyDictionary

from dreamframe.call import Completion, Failure, Request
from dreamframe.embedders.openai import EmbedderClient, Pack
from dreamframe.errors import BadReplyError, BadRequestError, CallError, ContextLengthError
from dreamframe.run.queue import Asking

ITS_OWN = (BadRequestError.__name__, ContextLengthError.__name__, BadReplyError.__name__)  # failures that may be one text's alone


class Outcome(NamedTuple):
    """What became of a text, and the run that heard of it."""

    completion: Completion | None
    failure: Failure | None
    run: Asking | None


class Ask(Protocol):
    """An asker."""

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int) -> dict[int, Failure]: ...
    async def close(self) -> None: ...


class PackAsker:
    """The asker of a client that takes many texts a call. Limits, retries and deadlines are those of the call."""

    def __init__(self, asker: Ask, client: EmbedderClient) -> None:
        self._asker, self._client = asker, client
        self._runs: WeakKeyDictionary[Asking, PackRun] = WeakKeyDictionary()
        self._on_their_way: dict[bytes, asyncio.Future[Outcome]] = {}  # answer key → what becomes of it

    async def close(self) -> None:
        await self._asker.close()

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int) -> dict[int, Failure]:
        """As `Asker.ask`. A text that is on its way already is not sent a second time."""
        first: dict[bytes, int] = {}
        waiting = {}
        for position, request in enumerate(requests):
            if (others := self._on_their_way.get(request.key)) is not None:
                waiting[request.key] = others
            elif request.key not in first:
                first[request.key] = position
        mine = [requests[position] for position in first.values()]
        loop = asyncio.get_running_loop()
        self._on_their_way |= {r.key: loop.create_future() for r in mine}
        try:
            for result in await asyncio.gather(*(self._pack(rows, run, order) for rows in self._packs(mine)), return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result
            outcomes = {r.key: self._on_their_way[r.key].result() for r in mine}
        finally:
            for request in mine:
                future = self._on_their_way.pop(request.key)
                if not future.done():
                    future.cancel()
        failures = {i: o.failure for i, r in enumerate(requests) if (o := outcomes.get(r.key)) is not None and o.failure is not None}
        for key, future in waiting.items():
            positions = [i for i, r in enumerate(requests) if r.key == key]
            failures |= await self._follow(future, requests, positions, run, order)
        return failures

    async def _follow(self, future: asyncio.Future[Outcome], requests: Sequence[Request], positions: list[int], run: Asking, order: int) -> dict[int, Failure]:
        """Wait for the call of another batch; make one where that was given up."""
        try:
            outcome = await asyncio.shield(future)
        except asyncio.CancelledError:
            if not future.cancelled():
                raise  # we were
            failed = await self.ask([requests[positions[0]]], run, order=order)
            return dict.fromkeys(positions, failed[0]) if failed else {}
        if outcome.failure is not None:
            return dict.fromkeys(positions, outcome.failure)
        assert outcome.completion is not None
        if outcome.run is not run:
            run.answered(requests[positions[0]], outcome.completion)
        return {}

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

    async def _pack(self, rows: Sequence[Request], run: Asking, order: int) -> None:
        pack = Pack(rows)
        known = self._runs.get(run) or self._runs.setdefault(run, PackRun(run, self._client.n_bytes))
        failures = await self._asker.ask([pack], known, order=order)
        if not failures:
            for row, completion in zip(rows, pack.completions, strict=True):
                self._settle(row, Outcome(completion, None, run))
            return
        failure = failures[0]
        run.released(pack)
        if len(rows) > 1 and failure.error in ITS_OWN and failure.attempts:
            half = len(rows) // 2
            await self._pack(rows[:half], run, order)
            await self._pack(rows[half:], run, order)
            return
        for row in rows:
            self._settle(row, Outcome(None, failure._replace(request=row.prompt[:2000]), run))

    def _settle(self, row: Request, outcome: Outcome) -> None:
        if not (future := self._on_their_way[row.key]).done():
            future.set_result(outcome)


class PackRun:
    """A run as the asker of the calls sees it: the answer of a call becomes those of its rows."""

    def __init__(self, run: Asking, n_bytes: int) -> None:
        self._run, self._n_bytes = weakref.ref(run), n_bytes

    @property
    def run(self) -> Asking:
        run = self._run()
        assert run is not None, "a run outlives its calls"
        return run

    def permit(self, request: Request) -> bool:
        return self.run.permit(request)

    def answered(self, request: Request, completion: Completion) -> None:
        assert isinstance(request, Pack)
        self.run.released(request)
        data, n = completion.data or b"", self._n_bytes
        for i, (row, n_in) in enumerate(zip(request.rows, _shares(completion.n_in, request.rows), strict=True)):
            request.completions.append(Completion(None, data=data[i * n : (i + 1) * n], n_in=n_in, model=completion.model))
            self.run.answered(row, request.completions[-1])

    def retrying(self, request: Request, error: CallError, wait_s: float) -> None:
        self.run.retrying(request, error, wait_s)

    def released(self, request: Request) -> None:
        self.run.released(request)


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
