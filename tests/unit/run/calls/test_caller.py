"""The asker: order, sharing, retries and endings, over clients that live in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from dreamframe.errors import (
    AuthenticationError,
    BadRequestError,
    BudgetExceededError,
    CallError,
    ConnectionFailedError,
    RateLimitedError,
    ServerError,
    StorageError,
)
from dreamframe.models.base import Limits
from dreamframe.models.request import Completion, Question, Request
from dreamframe.run.calls.caller import Asker
from dreamframe.run.calls.clients import asker_for, close_all
from dreamframe.testing import Echo

QUESTION = Question(llm=Echo())
Reply = Callable[[Request], Completion]


class Desk:
    """A client whose calls end when the test says so (or at once)."""

    def __init__(self, reply: Reply, *, concurrency: int = 4, held: bool = False, limits: Limits | None = None) -> None:
        self.concurrency, self.reply, self.held = concurrency, reply, held
        self.limits = limits or Limits(backoff_s=0.001)
        self.seen: list[str] = []
        self.in_flight = self.most = 0
        self.gate = asyncio.Event()
        self.closed = False

    async def complete(self, request: Request) -> Completion:
        self.seen.append(request.prompt)
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            await (self.gate.wait() if self.held else asyncio.sleep(0))
            return self.reply(request)
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        self.closed = True


class Run:
    """A run that keeps what it is told."""

    limits = None

    def __init__(self, *, leave: int = 10**9, full_after: int = 10**9) -> None:
        self.answers: dict[str, str | None] = {}
        self.retries: list[float] = []
        self.left, self.full_after = leave, full_after

    def permit(self, request: Request) -> bool:
        self.left -= 1
        if self.left < 0:
            raise BudgetExceededError("no money left")
        return True

    def answered(self, request: Request, completion: Completion, *, paid: bool) -> None:
        if len(self.answers) >= self.full_after:
            raise StorageError("disk full")
        self.answers[request.prompt] = completion.text

    def retrying(self, request: Request, error: CallError, wait_s: float) -> None:
        self.retries.append(wait_s)

    def released(self, request: Request, error: CallError | None = None) -> None:
        """Nothing was reserved."""


def requests(*prompts: str) -> list[Request]:
    return [Request(QUESTION, p, 0, p.encode().ljust(16)) for p in prompts]


def echo(request: Request) -> Completion:
    return Completion(request.prompt.upper())


def failing(error: Exception, *, times: int, prompt: str | None = None) -> Reply:
    left = [times]

    def reply(request: Request) -> Completion:
        if (prompt is None or request.prompt == prompt) and left[0] > 0:
            left[0] -= 1
            raise error
        return echo(request)

    return reply


def drive(main: Callable[[], object]) -> object:
    return asyncio.run(main())  # type: ignore[arg-type]


async def turns(n: int = 20) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


def test_every_request_is_answered_once_within_the_concurrency() -> None:
    async def main() -> None:
        desk, run = Desk(echo, concurrency=3), Run()
        failures = await Asker(desk, asyncio.get_running_loop()).ask(requests(*"abcdefgh"), run, order=0)
        assert failures == {}
        assert run.answers == {p: p.upper() for p in "abcdefgh"}
        assert (desk.seen, desk.most) == (list("abcdefgh"), 3)

    drive(main)


def test_earlier_batches_go_first() -> None:
    async def main() -> None:
        desk, run = Desk(echo, concurrency=1, held=True), Run()
        asker = Asker(desk, asyncio.get_running_loop())
        asks = [asyncio.create_task(asker.ask(requests(*prompts), run, order=order)) for order, prompts in ((5, "xyz"), (1, "ab"), (0, "c"))]
        await turns()
        desk.gate.set()
        await asyncio.gather(*asks)
        assert desk.seen == ["c", "a", "b", "x", "y", "z"]

    drive(main)


def test_equal_requests_in_flight_are_asked_once_and_answered_to_all() -> None:
    async def main() -> None:
        desk, one, two = Desk(echo, held=True), Run(), Run()
        asker = Asker(desk, asyncio.get_running_loop())
        asks = [asyncio.create_task(asker.ask(requests("a", "a", "b"), one, order=0)), asyncio.create_task(asker.ask(requests("b"), two, order=0))]
        await turns()
        desk.gate.set()
        assert await asyncio.gather(*asks) == [{}, {}]
        assert sorted(desk.seen) == ["a", "b"]
        assert (one.answers, two.answers) == ({"a": "A", "b": "B"}, {"b": "B"})

    drive(main)


def test_a_transient_failure_is_tried_again_and_others_do_not_wait_for_it() -> None:
    async def main() -> None:
        desk, run = Desk(failing(ServerError("busy", status=503), times=2, prompt="a"), concurrency=1), Run()
        assert await Asker(desk, asyncio.get_running_loop()).ask(requests("a", "b", "c"), run, order=0) == {}
        assert desk.seen[:3] == ["a", "b", "c"]
        assert len(run.retries) == 2

    drive(main)


def test_a_request_that_always_fails_is_given_up_after_its_attempts() -> None:
    async def main() -> None:
        desk, run = Desk(failing(ServerError("busy", status=503), times=99, prompt="a"), limits=Limits(attempts=3, backoff_s=0.001)), Run()
        failures = await Asker(desk, asyncio.get_running_loop()).ask(requests("b", "a"), run, order=0)
        assert {i: (f.error, f.attempts, f.request) for i, f in failures.items()} == {1: ("ServerError", 3, "a")}

    drive(main)


def test_a_permanent_failure_fails_its_row_at_once() -> None:
    async def main() -> None:
        desk, run = Desk(failing(BadRequestError("no", status=400), times=99, prompt="a")), Run()
        failures = await Asker(desk, asyncio.get_running_loop()).ask(requests("a", "b"), run, order=0)
        assert (list(failures), desk.seen, run.answers) == ([0], ["a", "b"], {"b": "B"})

    drive(main)


def test_retry_after_pauses_every_worker() -> None:
    async def main() -> None:
        loop, left = asyncio.get_running_loop(), []

        def reply(request: Request) -> Completion:
            left.append(loop.time())
            if len(left) == 1:
                raise RateLimitedError("slow down", status=429, retry_after_s=0.08)
            return echo(request)

        run = Run()
        assert await Asker(Desk(reply, concurrency=1), loop).ask(requests("a", "b", "c"), run, order=0) == {}
        assert left[1] - left[0] >= 0.075
        assert len(left) == 4

    drive(main)


def test_a_bad_key_stops_the_run_with_at_most_concurrency_requests_sent() -> None:
    async def main() -> None:
        desk, run = Desk(failing(AuthenticationError("wrong key", status=401), times=99), concurrency=4), Run()
        asker = Asker(desk, asyncio.get_running_loop())
        failures = await asker.ask(requests(*"abcdefghij"), run, order=0)
        assert {f.error for f in failures.values()} == {"AuthenticationError"}
        assert (len(failures), len(desk.seen)) == (10, 4)
        later = await asker.ask(requests(*"klm"), run, order=1)
        assert (len(later), len(desk.seen)) == (3, 4)
        assert await asker.ask(requests("z"), Run(), order=0) != {}, "another run may try the key again"
        assert len(desk.seen) == 5

    drive(main)


def test_a_run_without_budget_stops_and_keeps_what_is_in_flight() -> None:
    async def main() -> None:
        desk, poor, rich = Desk(echo, concurrency=2), Run(leave=3), Run()
        asker = Asker(desk, asyncio.get_running_loop())
        failed, fine = await asyncio.gather(asker.ask(requests(*"abcdef"), poor, order=0), asker.ask(requests("f", "g"), rich, order=1))
        assert {f.error for f in failed.values()} == {"BudgetExceededError"}
        assert (len(poor.answers), len(failed)) == (3, 3)
        assert (fine, rich.answers) == ({}, {"f": "F", "g": "G"})

    drive(main)


def test_a_cancelled_ask_drops_what_has_not_left_and_keeps_what_it_paid_for() -> None:
    async def main() -> None:
        desk, gone, stays = Desk(echo, concurrency=2, held=True), Run(), Run()
        asker = Asker(desk, asyncio.get_running_loop())
        first = asyncio.create_task(asker.ask(requests(*"abcd"), gone, order=0))
        second = asyncio.create_task(asker.ask(requests("b", "e"), stays, order=1))
        await turns()
        first.cancel()
        await turns()
        desk.gate.set()
        assert await second == {}
        await asker.landed(gone, 1.0)
        assert desk.seen == ["a", "b", "e"], "c and d have not left"
        assert (gone.answers, stays.answers) == ({"a": "A", "b": "B"}, {"b": "B", "e": "E"})
        assert desk.in_flight == 0

    drive(main)


def test_a_call_past_its_deadline_is_a_timeout_of_that_row() -> None:
    async def main() -> None:
        desk, run = Desk(echo, held=True, limits=Limits(timeout_s=0.02, attempts=2, backoff_s=0.001)), Run()
        failures = await Asker(desk, asyncio.get_running_loop()).ask(requests("a"), run, order=0)
        assert (failures[0].error, failures[0].attempts) == ("CallTimeoutError", 2)

    drive(main)


@pytest.mark.parametrize(
    ("reply", "run", "error"),
    [(failing(KeyError("a bug"), times=1, prompt="b"), Run(), KeyError), (echo, Run(full_after=1), StorageError)],
    ids=["a fault in a client", "a store that is full"],
)
def test_what_is_no_call_error_ends_the_ask(reply: Reply, run: Run, error: type[Exception]) -> None:
    async def main() -> None:
        asker = Asker(Desk(reply, concurrency=1), asyncio.get_running_loop())
        with pytest.raises(error):
            await asker.ask(requests("a", "b", "c"), run, order=0)
        after = Run()
        assert await asker.ask(requests("d"), after, order=0) == {}, "the workers outlive it"

    drive(main)


class Odd(CallError):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise ValueError("no words")


class Panic(BaseException):
    """As polars' panics, which are no Exceptions."""


@pytest.mark.parametrize(
    ("error", "heard"),
    [
        (SystemExit(3), RuntimeError),
        (Panic("boom"), RuntimeError),
        (StopIteration(), RuntimeError),
        (GeneratorExit(), RuntimeError),
        (Odd("x"), ValueError),
        (StorageError("disk full"), StorageError),
    ],
    ids=["SystemExit", "a panic", "StopIteration", "GeneratorExit", "without words", "a full disk"],
)
@pytest.mark.parametrize("where", ["client", "permit", "answered", "retrying"])
def test_whatever_is_raised_ends_the_ask_that_it_concerns_and_no_worker(error: BaseException, heard: type[Exception], where: str) -> None:
    def fail(*_: object, **__: object) -> bool:
        raise error

    async def main() -> None:
        once = failing(error, times=1) if where == "client" else failing(ServerError("busy"), times=1)  # type: ignore[arg-type]
        asker = Asker(Desk(once, concurrency=1), asyncio.get_running_loop())
        troubled, other = Run(), Run()
        if where != "client":
            setattr(troubled, where, fail)
        asks = asker.ask(requests("a", "b"), troubled, order=0), asker.ask(requests("c"), other, order=1)
        first, second = await asyncio.wait_for(asyncio.gather(*asks, return_exceptions=True), 10)
        assert second == {}
        if isinstance(first, dict):
            assert {f.error for f in first.values()} == {"StorageError"}, "no call of this run may leave"
        else:
            assert isinstance(first, heard | Odd)
        assert await asyncio.wait_for(asker.ask(requests("d"), Run(), order=0), 10) == {}
        await asker.close()

    drive(main)


def test_a_client_that_cancels_its_own_call_is_asked_again() -> None:
    async def main() -> None:
        run, asker = Run(), Asker(Desk(failing(asyncio.CancelledError(), times=1), concurrency=1), asyncio.get_running_loop())  # type: ignore[arg-type]
        assert await asyncio.wait_for(asker.ask(requests("a", "b"), run, order=0), 10) == {}
        assert (run.answers, len(run.retries)) == ({"a": "A", "b": "B"}, 1)

    drive(main)


@pytest.mark.parametrize("given", [None, "text", 5])
def test_a_client_that_gives_no_completion_is_named(given: object) -> None:
    async def main() -> None:
        asker = Asker(Desk(lambda request: given), asyncio.get_running_loop())  # type: ignore[arg-type, return-value]
        with pytest.raises(TypeError, match="Desk: complete"):
            await asyncio.wait_for(asker.ask(requests("a"), Run(), order=0), 10)

    drive(main)


def test_who_waits_hears_that_the_client_was_closed() -> None:
    async def main() -> None:
        asker = Asker(Desk(echo, held=True, concurrency=1), asyncio.get_running_loop())
        asked = asyncio.create_task(asker.ask(requests("a", "b"), Run(), order=0))
        await turns()
        await asker.close()
        with pytest.raises(ConnectionFailedError, match="closed"):
            await asyncio.wait_for(asked, 10)

    drive(main)


def test_a_run_that_holds_its_calls_back_holds_back_no_other() -> None:
    async def main() -> None:
        desk, patient, other = Desk(echo, concurrency=2), Run(), Run()
        let = False
        patient.permit = lambda request: let  # type: ignore[method-assign]
        asker = Asker(desk, asyncio.get_running_loop())
        held = asyncio.create_task(asker.ask(requests("a", "b", "c"), patient, order=0))
        await turns()
        assert await asyncio.wait_for(asker.ask(requests("c", "d"), other, order=1), 10) == {}
        assert sorted(desk.seen) == ["c", "d"]
        let = True
        assert await asyncio.wait_for(held, 10) == {}
        assert (patient.answers, sorted(desk.seen)) == ({"a": "A", "b": "B", "c": "C"}, list("abcd"))

    drive(main)


def test_one_client_serves_a_pool_key_and_is_closed_with_the_loop() -> None:
    async def main() -> None:
        llm = Echo()
        asker = asker_for(llm)
        assert asker_for(llm) is asker
        assert asker_for(Echo()) is not asker
        run = Run()
        await asker.ask(requests("a"), run, order=0)
        await close_all()
        assert asker_for(llm) is not asker

    drive(main)
