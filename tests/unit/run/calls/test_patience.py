"""Patience: counted for the client and its model, in virtual time; and a refusal that may be one row's alone is asked about by other rows first."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import AuthenticationError, BadRequestError, CallError, RateLimitedError, RowsFailedError, ServerError
from dreamframe.models.base import Limits
from dreamframe.models.embedders.openai import Pack
from dreamframe.models.request import Completion, Failure, Question, Request
from dreamframe.run.calls.caller import Asker
from dreamframe.run.calls.patience import LOADING_S, RATE_LIMITED_S, Patience
from dreamframe.testing import Echo
from tests.loopback import Call, Loopback
from tests.loopback.asking import Recorder
from tests.loopback.faults import status
from tests.loopback.virtual import Metered, VirtualLoop, run_virtual
from tests.unit.run.calls.test_limiter import QUESTION, ask_virtually


@dataclass
class Says:
    """A client that says what the test says, by time and prompt."""

    say: Callable[[float, Request], Completion | CallError]
    concurrency: int = 4
    limits: Limits = field(default_factory=lambda: Limits(timeout_s=60))
    seen: list[str] = field(default_factory=list)

    async def complete(self, request: Request) -> Completion:
        self.seen.append(request.prompt)
        await asyncio.sleep(0.1)
        said = self.say(asyncio.get_running_loop().time(), request)
        if isinstance(said, CallError):
            raise said
        return said

    async def close(self) -> None:
        """Nothing to give back."""


@pytest.mark.parametrize("n", [1, 100, 1000])
@pytest.mark.parametrize("says", ["nothing", "seconds"])
def test_a_spent_limit_ends_once_for_all_rows(n: int, says: str) -> None:
    failures, run, took_s = ask_virtually(Metered(rpm=1e-6, burst=0.0, says=says), n)
    assert (len(failures), run.texts) == (n, {})
    assert {f.error for f in failures.values()} == {"RateLimitedError"}
    assert RATE_LIMITED_S <= took_s <= RATE_LIMITED_S + 150


def test_a_slow_limit_is_not_a_spent_one() -> None:
    failures, run, took_s = ask_virtually(Metered(rpm=1.0, burst=1.0), 60)
    assert (failures, len(run.texts)) == ({}, 60)
    assert took_s > RATE_LIMITED_S


def test_a_limit_of_one_model_does_not_end_another() -> None:
    spent, fine = Question(llm=Echo(model="spent")), Question(llm=Echo(model="fine"))

    def say(now: float, request: Request) -> Completion | CallError:
        return RateLimitedError("a day's", status=429) if request.question.llm.label == "spent" else Completion("ok")  # type: ignore[attr-defined]

    async def main() -> tuple[dict[int, Failure], dict[int, Failure]]:
        asker, run = Asker(Says(say), asyncio.get_running_loop()), Recorder()
        both = (asker.ask([Request(q, str(i), 0, bytes([k]) * 8 + i.to_bytes(8, "big")) for i in range(5)], run, order=0) for k, q in enumerate((spent, fine)))
        one, two = await asyncio.gather(*both)
        later = await asker.ask([Request(fine, "later", 0, bytes(16))], run, order=1)
        return one, two | later

    one, two = run_virtual(main)
    assert ({f.error for f in one.values()}, len(one), two) == ({"RateLimitedError"}, 5, {})


def loading(until: float) -> Callable[[float, Request], Completion | CallError]:
    def say(now: float, request: Request) -> Completion | CallError:
        if now < until:
            error = ServerError("Loading model", status=503)
            error.is_loading = True
            return error
        return Completion("ok")

    return say


@pytest.mark.parametrize(("n", "seconds"), [(1, 30), (12, 30), (12, 600)])
def test_a_server_that_loads_its_model_is_waited_for(n: int, seconds: float) -> None:
    client = Says(loading(seconds))
    failures, run, took_s = ask_virtually(client, n)
    assert (failures, len(run.texts)) == ({}, n)
    assert took_s < seconds + 20
    assert len(client.seen) < seconds + 3 * n


def test_a_server_that_loads_for_ever_ends_once_for_all_rows() -> None:
    failures, _run, took_s = ask_virtually(Says(loading(1e9)), 100)
    assert {f.error for f in failures.values()} == {"ServerError"}
    assert LOADING_S <= took_s < LOADING_S + 30


@pytest.mark.parametrize("odd", [float("nan"), -5.0, float("inf"), 86_400.0], ids=str)
def test_an_odd_time_to_wait_holds_nobody_up_for_ever(odd: float) -> None:
    first = [True]

    def say(now: float, request: Request) -> Completion | CallError:
        if first:
            first.clear()
            return RateLimitedError("wait", status=429, retry_after_s=odd)
        return Completion("ok")

    failures, run, took_s = ask_virtually(Says(say), 5)
    assert (failures, len(run.texts)) == ({}, 5)
    assert took_s < 200


def refused(stops_after: tuple[int, int | None], *, of_model: bool = False) -> CallError:
    error = AuthenticationError("no", status=403)
    error.stops_run, error.stops_after, error.of_model = False, stops_after, of_model
    return error


def row(i: int) -> Request:
    return Request(QUESTION, str(i), 0, i.to_bytes(16, "big"))


def test_different_requests_settle_a_doubt_and_one_answer_ends_it() -> None:
    patience = Patience()
    error = refused((3, None))
    assert [patience.is_over(error, "m", row(i), 0.0) for i in (1, 1, 1, 2)] == [False] * 4, "one that is asked again says nothing new"
    assert patience.room == 1
    assert patience.is_over(error, "m", row(3), 0.0)
    patience.answered("m")
    assert [patience.is_over(error, "m", row(i), 0.0) for i in range(50)] == [False] * 50
    assert patience.room == float("inf")


def test_after_answers_it_takes_several_in_a_row() -> None:
    patience, error = Patience(), refused((1, 3), of_model=True)
    patience.answered("m")
    assert [patience.is_over(error, "m", row(i), 0.0) for i in range(2)] == [False, False]
    patience.answered("m")
    assert [patience.is_over(error, "m", row(i), 0.0) for i in range(3)] == [False, False, True]
    assert patience.is_over(error, "another", row(1), 0.0), "that model was never there"


def test_the_halves_of_a_refused_request_are_no_further_evidence() -> None:
    patience, error, rows = Patience(), refused((3, None)), [row(i) for i in range(8)]
    assert not any(patience.is_over(error, "m", Pack(part), 0.0) for part in (rows, rows[:4], rows[4:], rows[:2], rows[2:4]))
    assert not patience.is_over(error, "m", Pack([row(20), row(21)]), 0.0)
    assert patience.is_over(error, "m", Pack([row(30), row(31)]), 0.0)


BLOCKED = [status(403, "Blocked by the firewall"), status(401, "Unauthorized"), lambda call: call.send(403, b"<html>Attention</html>")]


@pytest.mark.parametrize("fault", BLOCKED, ids=["403", "401", "403 page"])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_one_row_that_is_blocked_is_one_failed_row(fault: Callable[[Call], None], concurrency: int) -> None:
    rows = ["DROP", *"12345678"]
    with Loopback(fault=lambda call: fault if "DROP" in call.prompt else None) as server, dr.Session("s"):
        llm = dr.OpenAI("m", base_url=server.url, api_key="k", concurrency=concurrency)
        plan = dr.frame({"t": rows}).prompt(llm, "{t}", into="a", on_error="null")
        assert plan.collect().get_column("a").to_list() == [None, *"12345678"]
        n_calls = server.n_calls
        more = dr.frame({"t": [*rows, "9"]}).prompt(llm, "{t}", into="a", on_error="null")
        assert more.collect().get_column("a").to_list() == [None, *"123456789"]
        assert server.n_calls == n_calls + 2, "the blocked one, and the new one"


def test_blocked_rows_at_the_start_do_not_stop_the_run() -> None:
    with Loopback(fault=lambda call: BLOCKED[0] if "DROP" in call.prompt else None) as server, dr.Session("s"):
        llm = dr.OpenAI("m", base_url=server.url, api_key="k", concurrency=1)
        plan = dr.frame({"t": ["DROP 1", "DROP 2", "DROP 3", *"12345678"]}).prompt(llm, "{t}", into="a", on_error="null")
        assert plan.collect().get_column("a").to_list() == [None] * 3 + list("12345678")


def test_a_firewall_that_is_faster_than_the_model_stops_nobody() -> None:
    rows = [f"DROP {i}" for i in range(10)] + [str(i) for i in range(30)]
    slow = {"latency_s": lambda call: 0.0 if "DROP" in call.prompt else 0.1}
    with Loopback(fault=lambda call: BLOCKED[0] if "DROP" in call.prompt else None, **slow) as server, dr.Session("s"):  # type: ignore[arg-type]
        llm = dr.OpenAI("m", base_url=server.url, api_key="k", concurrency=16)
        out = dr.frame({"t": rows}).prompt(llm, "{t}", into="a", on_error="null").collect()
    assert out.get_column("a").null_count() == 10
    assert server.n_calls == 40


def test_a_key_that_is_refused_whatever_is_asked_stops_the_run() -> None:
    with Loopback(fault=lambda call: BLOCKED[0]) as server, dr.Session("s"), pytest.raises(RowsFailedError, match="AuthenticationError"):
        dr.frame({"t": list(range(500))}).prompt(dr.OpenAI("m", base_url=server.url, api_key="k", concurrency=2), "{t}", into="a").collect()
    assert server.n_calls <= 5


def test_a_blocked_text_fails_alone_among_those_that_are_embedded_with_it() -> None:
    with Loopback(fault=lambda call: BLOCKED[0] if {"x0", "x1"} & set(call.body["input"]) else None) as server, dr.Session("s"):
        by = dr.OpenAIEmbedder("m", base_url=server.url, dimensions=3, concurrency=1)
        out = dr.frame({"t": [f"x{i}" for i in range(64)]}).embed(by, "t", into="v", on_error="null").collect()
    assert out.get_column("v").is_null().to_list() == [True, True] + [False] * 62


def test_a_model_that_is_missing_stops_its_own_rows_only() -> None:
    def fault(call: Call) -> Any:
        return status(404, "no such model", code="model_not_found") if call.body["model"] == "gone" else None

    with Loopback(fault=fault) as server, dr.Session("s"):
        here, gone = (dr.OpenAI(name, base_url=server.url, api_key="k", concurrency=2) for name in ("here", "gone"))
        df = dr.frame({"t": [str(i) for i in range(50)]})
        out = df.prompt(here, "{t}", into="a", on_error="null").prompt(gone, "{t}", into="b", on_error="null").collect()
    assert out.get_column("a").null_count() == 0
    assert out.get_column("b").null_count() == 50
    assert sum(c.body["model"] == "gone" for c in server.calls) <= 2


def test_a_server_fault_that_names_the_schema_teaches_the_next_way_to_ask() -> None:
    def fault(call: Call) -> Any:
        kind = (call.body.get("response_format") or {}).get("type")
        return status(500, 'response_format type must be one of "text" or "json_object"') if kind == "json_schema" else None

    with Loopback(lambda body: json.dumps({"answer": 1}), fault=fault) as server, dr.Session("s"):
        llm = dr.OpenAI("m", base_url=server.url, api_key="k", attempts=2, backoff_s=0.01, concurrency=1)
        out = dr.frame({"t": list("abc")}).prompt(llm, "{t}", schema=int, into="a").collect()
    assert out.get_column("a").to_list() == [1, 1, 1]
    assert server.n_calls == 5, "strict and loose are refused once, each"


def test_a_server_fault_of_another_kind_teaches_nothing() -> None:
    with Loopback(lambda body: json.dumps({"answer": 1}), fault=lambda c: status(500, "unexpected tool schema") if c.ordinal == 0 else None) as server:
        with dr.Session("s"):
            llm = dr.OpenAI("m", base_url=server.url, api_key="k", attempts=2, backoff_s=0.01, concurrency=1)
            dr.frame({"t": list("ab")}).prompt(llm, "{t}", schema=int, into="a").collect()
        assert {c.body["response_format"]["json_schema"]["strict"] for c in server.calls} == {True}


def test_what_came_while_the_process_was_stopped_is_read_before_it_is_judged() -> None:
    """As after SIGSTOP, or while a slow function runs in the loop's thread: the clock has jumped, and the answers lie in the socket."""

    async def main() -> tuple[dict[int, Failure], int, list[tuple[str, float]]]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        calls = 0

        class Socket(Says):
            async def complete(self, request: Request) -> Completion:
                nonlocal calls
                calls += 1
                for _ in range(8):  # a few turns of the loop until a reply is parsed
                    await asyncio.sleep(0)
                await asyncio.sleep(2.0)
                for _ in range(8):
                    await asyncio.sleep(0)
                return Completion("ok")

        run = Recorder()
        loop.call_later(1.0, lambda: setattr(loop._jump, "now", loop.time() + 600))
        asked = [row(i) for i in range(4)]
        return await Asker(Socket(lambda now, r: Completion("ok")), loop).ask(asked, run, order=0), calls, run.retries

    failures, calls, retries = run_virtual(main)
    assert (failures, calls, retries) == ({}, 4, [])


def test_a_call_that_never_comes_back_is_given_up_all_the_same() -> None:
    async def main() -> dict[int, Failure]:
        loop = asyncio.get_running_loop()

        class Silent(Says):
            async def complete(self, request: Request) -> Completion:
                await asyncio.sleep(1e6)
                raise AssertionError

        for at in range(1, 100):
            loop.call_later(10.0 * at, lambda: setattr(loop._jump, "now", loop.time() + 5))  # type: ignore[attr-defined]
        silent = Silent(lambda now, r: Completion("ok"), limits=Limits(timeout_s=60, attempts=2))
        return await Asker(silent, loop).ask([row(1)], Recorder(), order=0)

    assert {f.error for f in run_virtual(main).values()} == {"CallTimeoutError"}


def test_a_bad_request_is_no_evidence() -> None:
    assert not Patience().is_over(BadRequestError("no", status=400), "m", row(1), 0.0)
