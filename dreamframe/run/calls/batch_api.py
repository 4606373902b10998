"""Asking through a provider's batch API: all rows that are there go out as one submission, which outlives this process.

A submission is written into the session before it is sent. A run that finds one there waits for it instead of sending its rows again; rows that
failed or expired, and only they, are sent again.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from dreamframe.errors import BadRequestError, BudgetExceededError, CallError, RateLimitedError, ServerError, TransientCallError
from dreamframe.models.answer import check_ended
from dreamframe.models.api.batch_api import BatchApi, Line
from dreamframe.models.api.http import Reply
from dreamframe.models.api.settings import AdaptedError, ApiClient
from dreamframe.models.api.wire import Wire
from dreamframe.models.base import LLM
from dreamframe.models.request import Completion, Failure, Request
from dreamframe.run.calls.caller import Asker
from dreamframe.run.calls.clients import asker_for
from dreamframe.run.calls.embedding_batches import PackAsker
from dreamframe.run.calls.parallel import ParallelAsker
from dreamframe.run.calls.queue import Asking, Batch
from dreamframe.store.batches import Submission, Submissions
from dreamframe.store.layout import Layout
from dreamframe.store.stores import Stores

T = TypeVar("T")
QUIET_S = 0.5  # with no further row, what is there is sent
TRIES = 3  # submissions that a row may be part of
PATIENT_TRIES = 10  # of one question to the provider that it could not answer just now
FULL_S = 86_400.0  # how long a provider may have no room before its rows are given up
LONGEST_WAIT = 20  # times the time between two looks
Keep = Callable[[bytes, Completion], None]


class Row:
    """A request, and who waits for it."""

    __slots__ = ("request", "tries", "waiters")

    def __init__(self, request: Request) -> None:
        self.request = request
        self.waiters: list[tuple[Batch, int]] = []
        self.tries = 0

    @property
    def key(self) -> str:
        return self.request.key.hex()

    def told(self, error: CallError) -> None:
        """It will be sent again."""
        for batch, position in self.waiters:
            batch.run.retrying(batch.requests[position], error, 0.0)


class BatchAsker:
    """Asks through one provider's batch API, for all runs of a session. `keep` puts an answer into the journal, `flush` returns when the journal is written."""

    def __init__(self, client: ApiClient, api: BatchApi, store: Submissions, *, place: str, poll_s: float, keep: Keep, flush: Callable[[], None]) -> None:
        self._client, self._api, self._store, self._place = client, api, store, place
        self._poll_s, self._keep, self._flush = poll_s, keep, flush
        self._rows: dict[str, Row] = {}  # key → the row, until it is settled
        self._new: list[Row] = []  # neither sent nor found in a submission yet
        self._open: dict[str, Submission] | None = None  # key → where it was submitted before; None: not looked yet
        self._quiet: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._watched: set[str] = set()
        self._n_asks = 0
        self._n_open = 0  # submissions that are waited for
        self._most: int | None = None  # rows that are submitted at once, since the provider had no room for more
        self._n_full, self._full_since = 0, math.inf  # times that it had none, one after the other

    async def landed(self, run: Asking, within_s: float) -> None:
        """As `Asker.landed`: what was submitted stays submitted, and the next run waits for it."""

    async def ask(self, requests: Sequence[Request], run: Asking, *, order: int) -> dict[int, Failure]:
        """As `Asker.ask`; returns hours later."""
        batch = Batch(requests, run, order, asyncio.get_running_loop().create_future())
        for position, request in enumerate(requests):
            row = self._rows.get(request.key.hex())
            if row is None:
                row = self._rows[request.key.hex()] = Row(request)
                self._new.append(row)
            row.waiters.append((batch, position))
        self._send_soon()
        self._n_asks += 1
        try:
            await batch.done
            if self._n_asks == 1 and not self._rows:
                await asyncio.gather(*self._tasks)  # they put the last answers away
        finally:
            self._n_asks -= 1
            if self._n_asks == 0:
                for task in self._tasks:
                    task.cancel()  # what was submitted stays submitted
                self._rows.clear()
                self._new, self._open = [], None  # the next run looks at what is submitted then
                self._watched.clear()
        return batch.failures

    def _send_soon(self) -> None:
        if self._quiet is not None:
            self._quiet.cancel()
        self._quiet = asyncio.get_running_loop().call_later(QUIET_S, lambda: self._start(self._send()))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as exc:  # noqa: BLE001  it belongs to whoever waits
            for row in list(self._rows.values()):
                for batch, _ in row.waiters:
                    batch.crash(exc)

    # Sending

    async def _send(self) -> None:
        """Wait for what was submitted before; submit the rest."""
        new, self._new = self._wanted(self._new), []
        if self._open is None:
            self._open = {key: s for s in self._store.open(self._place) for key in s.keys}
        rest = []
        for row in new:
            if row.tries == 0 and (submission := self._open.get(row.key)) is not None:
                if submission.name not in self._watched:
                    self._watched.add(submission.name)
                    self._start(self._wait_for(submission))
            else:
                rest.append(row)
        if self._most is not None:  # one small submission after the other
            n = 0 if self._n_open else self._most
            rest, self._new = rest[:n], rest[n:] + self._new
        groups: dict[tuple[str, str], list[tuple[Row, bytes]]] = {}  # a file holds one model and one operation
        for row in rest:
            if self._is_permitted(row):
                wire, llm = self._client.wire(row.request.question), row.request.question.llm
                groups.setdefault((wire.path, str(getattr(llm, "model", ""))), []).append((row, wire.body(row.request)))
        for (path, _), pairs in groups.items():
            for part in parts(pairs, self._api):
                await self._submit(path, part)

    def _wanted(self, rows: Sequence[Row]) -> list[Row]:
        """Those that a run still waits for, which then pays for them: of one that was cancelled meanwhile nothing is sent."""
        wanted = []
        for row in rows:
            row.waiters = [(batch, position) for batch, position in row.waiters if not batch.is_over]
            if row.waiters:
                wanted.append(row)
            else:
                self._rows.pop(row.key, None)
        return wanted

    def _is_permitted(self, row: Row) -> bool:
        try:
            batch, position = row.waiters[0]
            if batch.run.permit(batch.requests[position]):
                return True
            raise BudgetExceededError("the rows of this submission together could cost more than what is left of the budget")
        except BudgetExceededError as exc:
            self._fail(row, exc)
            return False

    async def _submit(self, path: str, part: Sequence[tuple[Row, bytes]]) -> None:
        keys = [row.key for row, _ in part]
        mark = hashlib.sha256("".join(sorted(keys)).encode()).hexdigest()[:32]
        submission = await asyncio.to_thread(self._store.intend, place=self._place, path=path, mark=mark, keys=keys)
        requests = [(row.key, body) for row, body in part]
        try:
            batch = await self._patiently(lambda: self._api.submit(requests, path=path, mark=mark), instead=lambda: self._find(submission))
        except RateLimitedError as exc:
            await asyncio.to_thread(self._store.collected, submission)
            self._start(self._no_room([row for row, _ in part], exc))
            return
        except CallError as exc:
            await asyncio.to_thread(self._store.collected, submission)
            for row, _ in part:
                self._fail(row, exc)
            return
        await asyncio.to_thread(self._store.sent, submission, batch)
        self._start(self._wait_for(replace(submission, batch=batch)))

    async def _no_room(self, rows: Sequence[Row], error: RateLimitedError) -> None:
        """The provider has too much waiting already: submit half as much, once another submission is over, or after a while."""
        now = time.monotonic()
        self._n_full, self._full_since = self._n_full + 1, min(self._full_since, now)
        if now - self._full_since > FULL_S:
            for row in rows:
                self._fail(row, error)
            return
        self._most = max(1, min(self._most or len(rows), len(rows)) // 2)
        for row in rows:
            row.told(error)
        if not self._n_open:
            await asyncio.sleep(self._poll_s * min(2.0 ** (self._n_full - 1), LONGEST_WAIT))
        self._new += rows
        if not self._n_open:
            self._send_soon()

    async def _find(self, submission: Submission) -> str | None:
        return await self._api.find(mark=submission.mark, n_requests=len(submission.keys), since=submission.at)

    # Waiting

    async def _wait_for(self, submission: Submission) -> None:
        self._n_open += 1
        try:
            await self._watch(submission)
        finally:
            self._n_open -= 1
            if self._new:
                self._send_soon()

    async def _watch(self, submission: Submission) -> None:
        """Wait until a submission is over, and put away what it brought."""
        if submission.batch is None:  # its process died while it was sent: maybe it arrived
            batch = await self._patiently(lambda: self._find(submission))
            if batch is None:
                await asyncio.to_thread(self._store.collected, submission)
                self._again([row for key in submission.keys if (row := self._rows.get(key))])
                return
            await asyncio.to_thread(self._store.sent, submission, batch)
            submission = replace(submission, batch=batch)
        assert submission.batch is not None
        name = submission.batch
        while not (state := await self._patiently(lambda: self._api.state(name))).is_over:
            await asyncio.sleep(self._poll_s)
        again: dict[str, Row] = {}
        left = set(submission.keys)
        for address in state.results:
            for line in await self._patiently(lambda address=address: self._api.read(address)):  # type: ignore[misc]
                if line.key in left and self._took(line, submission, again):
                    left.discard(line.key)
        lost = {key: row for key in left if (row := self._rows.get(key)) and key not in again}
        if state.is_full and not state.results:
            await asyncio.to_thread(self._store.collected, submission)
            self._start(self._no_room(list(lost.values()), RateLimitedError(f"{self._place}: batch {name} {state.said}: {state.error}")))
            return
        self._n_full, self._full_since, self._most = 0, math.inf, self._most and self._most * 2
        if state.error is not None and not state.results:
            for row in lost.values():
                self._fail(row, BadRequestError(f"{self._place}: batch {name} {state.said}: {state.error}"))
        else:
            again |= lost
        await asyncio.to_thread(self._flush)
        await asyncio.to_thread(self._store.collected, submission)
        self._again(list(again.values()))

    def _took(self, line: Line, submission: Submission, again: dict[str, Row]) -> bool:
        """Put one result away. False if it says nothing and its row must be sent again."""
        row = self._rows.get(line.key)
        if line.status == 0:
            return False
        try:
            completion = self._client.read(self._wire(row, submission), Reply(line.status, {}, line.body))
            check_ended(completion.finish, completion.text)
        except (AdaptedError, TransientCallError):
            if row is not None:
                again[row.key] = row
        except CallError as exc:
            if row is not None:
                self._fail(row, exc)
        else:
            if row is None:  # nobody waits for it any more, but it is paid
                self._keep(bytes.fromhex(line.key), completion)
                return True
            del self._rows[line.key]
            for i, (batch, position) in enumerate(row.waiters):
                batch.run.answered(batch.requests[position], completion, paid=i == 0)
                batch.settle(position, None)
        return True

    def _wire(self, row: Row | None, submission: Submission) -> Wire:
        """How a result is read: as one of its row, or of any other of the same submission."""
        row = row or next(r for key in submission.keys if (r := self._rows.get(key)))
        return self._client.wire(row.request.question)

    def _again(self, rows: Sequence[Row]) -> None:
        for row in rows:
            row.tries += 1
            if row.tries >= TRIES:
                self._fail(row, ServerError(f"{self._place}: no answer in {row.tries} batches: they expired, or the server failed"))
            else:
                row.told(ServerError("no answer in its batch"))
                self._new.append(row)
        if self._new:
            self._send_soon()

    def _fail(self, row: Row, exc: Exception) -> None:
        self._rows.pop(row.key, None)
        for batch, position in row.waiters:
            batch.settle(position, Failure.of(exc, request=row.request.prompt, attempts=row.tries + 1))

    async def _patiently(self, ask: Callable[[], Coroutine[Any, Any, T]], instead: Callable[[], Coroutine[Any, Any, T | None]] | None = None) -> T:
        """Ask the provider, again and again while it is not able to answer. Before a second try, `instead` may find that the first one succeeded."""
        for attempt in range(1, PATIENT_TRIES + 1):
            try:
                if attempt > 1 and instead is not None and (found := await instead()) is not None:
                    return found
                return await ask()
            except TransientCallError as exc:
                if attempt == PATIENT_TRIES or exc.stops_run:
                    raise
                await asyncio.sleep(max(exc.retry_after_s or 0.0, min(self._poll_s, 2.0 ** (attempt - 1))))
        raise AssertionError("unreachable")


AnyAsker = BatchAsker | Asker | ParallelAsker | PackAsker


class BatchAskers:
    """The batch askers of a session, one for each client that has a batch API: rows that two runs want are submitted once."""

    def __init__(self, stores: Stores, *, keep: Keep) -> None:
        self._stores, self._keep = stores, keep
        self._store = Submissions(stores.files, stores.layout or Layout(stores.files.root))
        self._askers: dict[str, BatchAsker] = {}

    def asker_for(self, llm: LLM) -> AnyAsker:
        """Where to ask a model: in batches, or, where its provider has none, call by call."""
        asker, key = asker_for(llm), llm.pool_key()
        client = asker.client if isinstance(asker, Asker) else None
        if not isinstance(client, ApiClient) or (api := client.batches) is None:
            return asker
        if key not in self._askers:
            self._askers[key] = BatchAsker(
                client, api, self._store, place=client.place, poll_s=client.batch_poll_s, keep=self._keep, flush=self._stores.answers.flush
            )
        return self._askers[key]


def parts(pairs: Sequence[tuple[Row, bytes]], api: BatchApi) -> list[list[tuple[Row, bytes]]]:
    """Requests in submissions of the size that the provider takes."""
    made: list[list[tuple[Row, bytes]]] = [[]]
    n_bytes = 0
    for pair in pairs:
        size = len(pair[1]) + 200  # with what stands around it
        if made[-1] and (len(made[-1]) == api.most_requests or n_bytes + size > api.most_bytes):
            made.append([])
            n_bytes = 0
        made[-1].append(pair)
        n_bytes += size
    return made
