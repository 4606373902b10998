"""Limits: what is learnt from refusals, overload and silence, in virtual time, so that minutes take milliseconds and come out the same every time."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass, field

import pytest

from dreamframe.errors import CallError, ConnectionFailedError, ServerError
from dreamframe.models.base import Limits
from dreamframe.models.request import Completion, Failure, Question, Request, Room
from dreamframe.run.calls.caller import Asker
from dreamframe.run.calls.limiter import Limiter
from dreamframe.testing import Echo
from tests.loopback.asking import Recorder
from tests.loopback.virtual import Metered, run_virtual

QUESTION = Question(llm=Echo())


def ask_virtually(client: object, n: int) -> tuple[dict[int, Failure], Recorder, float]:
    """Ask n requests; the failures, the run and the seconds it took."""

    async def main() -> tuple[dict[int, Failure], Recorder, float]:
        run, loop = Recorder(), asyncio.get_running_loop()
        asker = Asker(client, loop)  # type: ignore[arg-type]
        requests = [Request(QUESTION, str(i), 0, i.to_bytes(16, "big")) for i in range(n)]
        return await asker.ask(requests, run, order=0), run, loop.time()

    return run_virtual(main)


@pytest.mark.parametrize("says", ["nothing", "exactly", "seconds"])
@pytest.mark.parametrize("latency_s", [0.02, 0.2])
@pytest.mark.parametrize(("rpm", "burst"), [(600, 10), (600, 100), (3000, 50)])
def test_an_unknown_rate_limit_is_found_and_used(rpm: int, burst: int, latency_s: float, says: str) -> None:
    server = Metered(rpm=rpm, burst=burst, latency_s=latency_s, says=says)
    failures, run, took_s = ask_virtually(server, rpm)
    assert failures == {}
    assert len(run.completions) == rpm, "no row is lost"
    if took_s > 30:
        assert server.used(10, took_s - 2) >= 0.9
        assert server.refusals(10, took_s) < 0.03
    assert took_s < 60 * 1.1


@pytest.mark.parametrize("says", ["nothing", "exactly"])
def test_a_server_that_allows_no_burst_at_all_is_used_as_well(says: str) -> None:
    server = Metered(rpm=600, burst=1, latency_s=0.05, says=says)
    failures, _run, took_s = ask_virtually(server, 900)
    assert failures == {}
    assert server.used(10, took_s - 2) >= 0.88
    assert server.refusals(10, took_s) < 0.03


@pytest.mark.parametrize("announces", ["bucket", "window"])
@pytest.mark.parametrize("latency_s", [0.02, 0.2, 1.0])
def test_a_server_that_tells_what_is_left_hardly_ever_refuses(announces: str, latency_s: float) -> None:
    server = Metered(rpm=600, burst=600, latency_s=latency_s, announces=announces)
    failures, run, took_s = ask_virtually(server, 3000)
    assert (failures, len(run.completions)) == ({}, 3000)
    assert server.refusals(0, took_s) < 0.005
    assert took_s < (3000 / 600 - 1) * 60 * 1.1  # it begins with a minute's worth


def test_more_calls_in_flight_than_are_left_wait_for_those_before_them() -> None:
    server = Metered(rpm=6, burst=50, latency_s=0.2, announces="bucket", concurrency=20)
    failures, _run, _took_s = ask_virtually(server, 50)
    assert (failures, server.refused) == ({}, [])


@pytest.mark.parametrize("room", [Room(0, 60.0, None, None), Room(5, None, None, None), Room(None, None, None, None)], ids=str)
def test_what_says_nothing_holds_nobody_up(room: Room) -> None:
    """A server whose numbers stand still at 0, or that names no time, is asked as if it said nothing."""

    class Standing(Metered):
        async def complete(self, request: Request) -> Completion:
            done = await super().complete(request)
            done.room = room
            return done

    _failures, _run, took_s = ask_virtually(Standing(rpm=1e6, burst=1e6), 2000)
    assert took_s < 2


def test_tokens_that_are_left_count_as_calls() -> None:
    limiter = Limiter(10, Limits())
    for _ in range(3):
        limiter.left(Request(QUESTION, "a", 0, bytes(16)), 1.0)
    limiter.announced(Room(1000, 60.0, 40, 6.0), Completion("ok", n_in=10, n_out=10), left_at=1.0, in_flight=0, now=2.0)
    assert [limiter.wait_s(2.0, 0), limiter.left(Request(QUESTION, "a", 0, bytes(16)), 2.0)[0], limiter.wait_s(2.0, 1)] == [0.0, 4, 0.0]
    limiter.left(Request(QUESTION, "a", 0, bytes(16)), 2.0)
    assert limiter.wait_s(2.0, 2) == math.inf, "those in flight come back first"
    assert limiter.wait_s(2.0, 0) == 6.0
    assert limiter.wait_s(8.1, 0) == 0.0


def test_a_known_rate_is_never_refused() -> None:
    server = Metered(rpm=600, burst=1, limits=Limits(rpm=590))
    failures, _run, took_s = ask_virtually(server, 300)
    assert (failures, server.refused) == ({}, [])
    assert took_s == pytest.approx(30, rel=0.05)


def test_a_known_number_of_tokens_is_spread_over_the_minute() -> None:
    server = Metered(rpm=60_000, burst=1000, limits=Limits(tpm=6_000))  # each call takes 20 tokens: five a second
    failures, _run, took_s = ask_virtually(server, 200)
    assert failures == {}
    assert took_s == pytest.approx(40, rel=0.15)


def test_a_limit_that_is_lifted_is_noticed() -> None:
    server = Metered(rpm=600, burst=10)

    async def main() -> float:
        loop = asyncio.get_running_loop()
        loop.call_later(30, lambda: setattr(server, "rpm", 6000))
        run = Recorder()
        requests = [Request(QUESTION, str(i), 0, i.to_bytes(16, "big")) for i in range(3000)]
        await Asker(server, loop).ask(requests, run, order=0)
        return loop.time()

    assert run_virtual(main) < 110, "300 s at the old limit"


@dataclass
class Overloaded:
    """A server that answers 503 to everything while more than `most` calls are in flight."""

    most: int = 20
    concurrency: int = 256
    limits: Limits = field(default_factory=lambda: Limits(backoff_s=0.2, attempts=1000))
    in_flight: int = 0
    refused: list[float] = field(default_factory=list)

    async def complete(self, request: Request) -> Completion:
        self.in_flight += 1
        try:
            await asyncio.sleep(0.5)
            if self.in_flight > self.most:
                self.refused.append(asyncio.get_running_loop().time())
                raise ServerError("overloaded", status=503)
            return Completion("ok")
        finally:
            self.in_flight -= 1

    async def close(self) -> None:
        """Nothing to give back."""


def test_an_overloaded_server_gets_fewer_calls_at_once() -> None:
    server = Overloaded()
    failures, run, took_s = ask_virtually(server, 1500)
    assert (failures, len(run.completions)) == ({}, 1500)
    assert took_s < 120, "37 s with exactly 20 in flight"


@dataclass
class Dead:
    """A server that dies at some moment and maybe comes back."""

    error: CallError
    dies_at: float = 0.0
    back_at: float = 1e9
    concurrency: int = 64
    limits: Limits = field(default_factory=Limits)
    calls: int = 0

    async def complete(self, request: Request) -> Completion:
        self.calls += 1
        await asyncio.sleep(0.1)
        if self.dies_at <= asyncio.get_running_loop().time() < self.back_at:
            raise self.error
        return Completion("ok")

    async def close(self) -> None:
        """Nothing to give back."""


def test_a_server_gone_bad_is_tried_by_one_call_at_a_time_and_then_given_up() -> None:
    server = Dead(ServerError("down", status=500), dies_at=5.0)
    failures, run, took_s = ask_virtually(server, 10_000)
    assert {f.error for f in failures.values()} == {"ServerError"}
    assert len(failures) + len(run.completions) == 10_000
    assert server.calls < len(run.completions) + 64 * 4, "nobody knocks ten thousand times at a closed door"
    assert took_s < 600


def test_a_server_that_comes_back_loses_nothing() -> None:
    server = Dead(ServerError("down", status=500), dies_at=5.0, back_at=25.0)
    failures, run, took_s = ask_virtually(server, 10_000)
    assert failures == {}
    assert len(run.completions) == 10_000
    assert took_s < 70


def test_a_server_that_was_never_there_is_given_up_soon() -> None:
    failures, _run, took_s = ask_virtually(Dead(ConnectionFailedError("refused")), 10_000)
    assert {f.error for f in failures.values()} == {"ConnectionFailedError"}
    assert took_s < 30
