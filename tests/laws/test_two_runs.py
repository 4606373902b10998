"""Runs that share a client: whatever they ask at once, whenever one is cancelled, spent or at fault, no run hangs, none is hurt by another, and each call
is paid by exactly one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from dreamframe.errors import BadRequestError, BudgetExceededError, CallError, ServerError, StorageError
from dreamframe.models.base import Limits
from dreamframe.models.embedders.openai import Pack
from dreamframe.models.request import Completion, Failure, Question, Request
from dreamframe.run.calls.caller import Asker
from dreamframe.run.calls.embedding_batches import PackAsker
from dreamframe.run.calls.parallel import ParallelAsker
from dreamframe.testing import Echo
from tests.loopback.virtual import run_virtual

LLM = Echo()
PATIENCE_S = 100_000.0
FAULTS = ("permit", "answered", "retrying", "released")


@dataclass(frozen=True)
class Ask:
    """One ask of a run: which rows, and when."""

    rows: tuple[int, ...]
    at: float
    order: int


@dataclass(frozen=True)
class Plan:
    """What one run will do."""

    asks: tuple[Ask, ...]
    cancelled_at: float | None = None
    budget: int | None = None  # calls that it may pay for
    in_flight: int = 99  # calls that it lets fly at once
    fault: str | None = None  # what it raises in, when it is told of row 0


@dataclass(frozen=True)
class Server:
    """How long a call takes, and what becomes of a row."""

    latency_s: tuple[float, ...]
    refused: frozenset[int]
    stumbles: tuple[int, ...]  # times that a row fails before it is answered
    concurrency: int


@dataclass
class Client:
    """Asked in virtual time."""

    server: Server
    limits: Limits = field(default_factory=lambda: Limits(timeout_s=60, backoff_s=0.1))
    answered: list[int] = field(default_factory=list)
    most_texts: int = 3
    most_characters: int = 1000
    n_bytes: int = 4
    n_tried: dict[tuple[int, ...], int] = field(default_factory=dict)

    @property
    def concurrency(self) -> int:
        return self.server.concurrency

    async def complete(self, request: Request) -> Completion:
        rows = tuple(int(r.prompt) for r in (request.rows if isinstance(request, Pack) else (request,)))
        await asyncio.sleep(self.server.latency_s[rows[0]])
        tried = self.n_tried[rows] = self.n_tried.get(rows, 0) + 1
        if tried <= max(self.server.stumbles[row] for row in rows):
            raise ServerError("busy", status=500)
        if not self.server.refused.isdisjoint(rows):
            raise BadRequestError("no", status=400)
        self.answered += rows
        return Completion(str(rows), data=b"".join(row.to_bytes(4, "big") for row in rows), n_in=len(rows))

    async def close(self) -> None:
        """Nothing to give back."""


class Run:
    """A run that keeps books."""

    limits = None

    def __init__(self, plan: Plan) -> None:
        self.plan, self.question = plan, Question(llm=LLM)
        self.mine: list[Request] = []
        self.heard: list[tuple[Request, bool]] = []
        self.reserved: set[bytes] = set()
        self.n_permitted = 0

    def requests(self, rows: Sequence[int]) -> list[Request]:
        made = [Request(self.question, str(row), 0, row.to_bytes(16, "big")) for row in rows]
        self.mine += made
        return made

    def _told(self, what: str, request: Request) -> None:
        rows = request.rows if isinstance(request, Pack) else [request]
        assert all(any(row is r for r in self.mine) for row in rows), "a run is told of its own requests"
        if what == self.plan.fault and any(row.prompt == "0" for row in rows):
            raise StorageError(what) if what == "answered" else RuntimeError(what)

    def permit(self, request: Request) -> bool:
        self._told("permit", request)
        if self.plan.budget is not None and self.n_permitted >= self.plan.budget:
            raise BudgetExceededError("spent")
        if len(self.reserved) >= self.plan.in_flight:
            return False
        self.n_permitted += 1
        assert request.key not in self.reserved
        self.reserved.add(request.key)
        return True

    def answered(self, request: Request, completion: Completion, *, paid: bool) -> None:
        if paid:
            self.reserved.discard(request.key)
        self.heard.append((request, paid))
        self._told("answered", request)

    def retrying(self, request: Request, error: CallError, wait_s: float) -> None:
        self.reserved.discard(request.key)
        self._told("retrying", request)

    def released(self, request: Request, error: CallError | None = None) -> None:
        self.reserved.discard(request.key)
        self._told("released", request)

    async def go(self, asker: Asker | PackAsker | ParallelAsker) -> list[dict[int, Failure] | BaseException]:
        async def one(ask: Ask) -> dict[int, Failure]:
            await asyncio.sleep(ask.at)
            requests = self.requests(ask.rows)
            return await asker.ask(requests, self, order=ask.order)

        return await asyncio.gather(*(one(ask) for ask in self.plan.asks), return_exceptions=True)


ROWS = st.integers(0, 5)
TIMES = st.sampled_from([0.0, 0.05, 0.1, 0.15, 0.5, 1.0])
ASKS = st.lists(st.builds(Ask, st.lists(ROWS, min_size=1, max_size=6).map(tuple), TIMES, st.integers(0, 2)), min_size=1, max_size=3).map(tuple)
GOOD = st.builds(Plan, ASKS)
ANY = st.builds(Plan, ASKS, st.none() | TIMES, st.none() | st.integers(0, 3), st.sampled_from([1, 2, 99]), st.none() | st.sampled_from(FAULTS))
SERVERS = st.builds(
    Server,
    st.lists(st.sampled_from([0.0, 0.05, 0.1, 0.3]), min_size=6, max_size=6).map(tuple),
    st.frozensets(ROWS, max_size=2),
    st.lists(st.integers(0, 2), min_size=6, max_size=6).map(tuple),
    st.integers(1, 3),
)
KINDS = st.sampled_from(["one", "packs", "parallel"])


def asker_of(kind: str, askers: Sequence[Asker], client: Client) -> Asker | PackAsker | ParallelAsker:
    if kind == "packs":
        return PackAsker(askers[0], client)  # type: ignore[arg-type]
    return ParallelAsker([LLM, LLM], askers) if kind == "parallel" else askers[0]


def play(kind: str, server: Server, plans: Sequence[Plan]) -> tuple[list[Run], list[list[dict[int, Failure] | BaseException] | None], list[int]]:
    """Let the runs go; the runs, what each of their asks gave (None: cancelled), and the rows that the server answered."""

    async def main() -> tuple[list[Run], list[list[dict[int, Failure] | BaseException] | None], list[int]]:
        loop, clients = asyncio.get_running_loop(), (Client(server), Client(server))
        askers = [Asker(client, loop) for client in clients]  # type: ignore[arg-type]
        asker, runs = asker_of(kind, askers, clients[0]), [Run(plan) for plan in plans]
        tasks = [loop.create_task(run.go(asker)) for run in runs]
        for task, plan in zip(tasks, plans, strict=True):
            if plan.cancelled_at is not None:
                loop.call_later(plan.cancelled_at, task.cancel)
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE_S)
        for run in runs:
            await asker.landed(run, PATIENCE_S)  # as a run does at its end
        for client in clients:
            client.server = Server((0.0,) * 6, frozenset(), (0,) * 6, server.concurrency)
        after = Run(Plan((Ask((0, 1, 2, 3, 4, 5), 0.0, 0),)))
        answered = [row for client in clients for row in client.answered]
        assert await asyncio.wait_for(after.go(asker), PATIENCE_S) == [{}], "the workers live on"
        for each in askers:
            await each.close()
        return runs, [None if isinstance(d, BaseException) else d for d in done], answered

    return run_virtual(main)


def check_untroubled(run: Run, outcomes: Sequence[dict[int, Failure] | BaseException], server: Server) -> None:
    """A run with no trouble of its own got all that the server gives, and nothing else."""
    heard = {id(request) for request, _ in run.heard}
    assert len(heard) == len(run.heard), "each request is answered once"
    for ask, failures in zip(run.plan.asks, outcomes, strict=True):
        assert isinstance(failures, dict), failures
        assert {f.error for f in failures.values()} <= {"BadRequestError"}
        assert {i for i, row in enumerate(ask.rows) if row in server.refused} == set(failures)
    refused = {id(r) for r in run.mine if int(r.prompt) in server.refused}
    assert heard == {id(r) for r in run.mine} - refused


@given(KINDS, SERVERS, st.lists(GOOD, min_size=2, max_size=3))
@settings(max_examples=150, deadline=None)
def test_what_several_runs_ask_is_asked_once_and_paid_by_one(kind: str, server: Server, plans: list[Plan]) -> None:
    runs, outcomes, answered = play(kind, server, plans)
    for run, outcome in zip(runs, outcomes, strict=True):
        assert outcome is not None
        check_untroubled(run, outcome, server)
        assert run.reserved == set()
    paid = sorted(int(request.prompt) for run in runs for request, is_paid in run.heard if is_paid)
    assert paid == sorted(answered), "each answer of the server is paid by exactly one"


@given(KINDS, SERVERS, st.lists(ANY, min_size=1, max_size=2), GOOD)
@settings(max_examples=200, deadline=None)
def test_a_run_in_trouble_hurts_no_other(kind: str, server: Server, plans: list[Plan], good: Plan) -> None:
    runs, outcomes, answered = play(kind, server, [*plans, good])
    event(f"cancelled {sum(o is None for o in outcomes)}")
    assert outcomes[-1] is not None
    check_untroubled(runs[-1], outcomes[-1], server)
    for run in runs:
        assert run.plan.fault or run.reserved == set(), "what is reserved is given back"
        assert run.plan.budget is None or run.n_permitted <= run.plan.budget
    n_paid = sum(is_paid for run in runs for _, is_paid in run.heard)
    assert n_paid <= len(answered)
    if not any(run.plan.fault for run in runs):
        assert n_paid == len(answered), "also what came back for a run that was cancelled"


@pytest.mark.parametrize("kind", ["one", "packs", "parallel"])
def test_a_run_that_is_cancelled_pays_for_what_is_in_flight_and_the_one_that_stays_finds_it(kind: str) -> None:
    server = Server((1.0,) * 6, frozenset(), (0,) * 6, 2)
    runs, outcomes, _ = play(kind, server, [Plan((Ask((0,), 0.0, 0),), cancelled_at=0.5), Plan((Ask((0,), 0.1, 0),))])
    assert (outcomes[0], outcomes[1]) == (None, [{}])
    assert [paid for _, paid in runs[0].heard] == [True], "its answer is kept"
    assert [paid for _, paid in runs[1].heard] == [False]
    assert runs[0].reserved == set()


@pytest.mark.parametrize("kind", ["one", "packs", "parallel"])
def test_a_spent_budget_stops_its_own_run_only(kind: str) -> None:
    server = Server((0.1,) * 6, frozenset(), (0,) * 6, 1)
    poor, rich = Plan((Ask((0, 1, 2, 3), 0.0, 0),), budget=1 if kind != "packs" else 0), Plan((Ask((3, 2, 1, 0), 0.0, 1),))
    runs, outcomes, answered = play(kind, server, [poor, rich])
    assert outcomes[1] == [{}]
    assert sorted(answered) == [0, 1, 2, 3]
    assert sum(paid for _, paid in runs[0].heard) == poor.budget
