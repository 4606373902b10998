"""Every way in which a server goes wrong, with its outcome: what goes on is tried again, what does not fails its row, and nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest

from dreamframe.models.llms.openai import OpenAI
from tests.loopback import FAULTS, Loopback
from tests.loopback.asking import ask

pytestmark = pytest.mark.usefixtures("either_way")

ONCE_MORE = {  # transient: asked again; for ever wrong, the row fails with this error
    "html with 200": "BadReplyError",
    "html with 502": "ServerError",
    "broken json": "BadReplyError",
    "an empty body": "BadReplyError",
    "json that is no object": "BadReplyError",
    "json nested too deep": "BadReplyError",
    "no choices": "BadReplyError",
    "a choice without message": "BadReplyError",
    "content that is a number": "BadReplyError",
    "an error with 200": "ServerError",
    "half a body": "ConnectionFailedError",
    "reset before the reply": "ConnectionFailedError",
    "reset within the reply": "ConnectionFailedError",
    "closed without a reply": "ConnectionFailedError",
    "no http at all": "ConnectionFailedError",
    "chunks that are none": "ConnectionFailedError",
    "gzip that is none": "ConnectionFailedError",
    "silence": "CallTimeoutError",
    "a drip": "CallTimeoutError",
    "an endless answer": "BadReplyError",
    "408": "ServerError",
    "500": "ServerError",
    "503 with Retry-After": "ServerError",
    "529": "ServerError",
}
NOT_NOW = ("429 with Retry-After", "429 without")  # does not count as a try
NEVER = {  # permanent: asked once
    "400": "BadRequestError",
    "422": "BadRequestError",
    "a prompt that is too long": "ContextLengthError",
}
STOPS = {  # true for every row: nothing more is sent
    "429 for want of money": "QuotaExhaustedError",
    "402": "QuotaExhaustedError",
    "401": "AuthenticationError",
    "403": "AuthenticationError",
    "no such model": "BadRequestError",
    "a redirect": "BadRequestError",
}
ANSWERS = {  # an answer with a status
    "cut by length": ("half an ans", "length"),
    "a content filter": (None, "content_filter"),
    "a refusal": ("I cannot help with that.", "refusal"),
    "a filtered prompt": (None, "content_filter"),
    "half a surrogate pair": ("ok �!", "stop"),
}


def model(server: Loopback, **settings: Any) -> OpenAI:
    return OpenAI(
        "m",
        base_url=server.url,
        **{"api_key": "sk-secret-0123", "timeout_s": 0.5, "attempts": 3, "backoff_s": 0.001, "concurrency": 4, "max_reply_bytes": 1 << 20, **settings},
    )


def test_every_fault_has_its_outcome() -> None:
    assert set(FAULTS) == {*ONCE_MORE, *NOT_NOW, *NEVER, *STOPS, *ANSWERS}
    assert len(FAULTS) >= 20


@pytest.mark.parametrize("name", [*ONCE_MORE, *NOT_NOW])
def test_a_passing_fault_is_asked_again_and_loses_nothing(name: str) -> None:
    with Loopback(fault=lambda call: FAULTS[name] if call.ordinal == 1 else None) as server:
        run, failures = ask(model(server), list("abcdef"))
    assert failures == {}
    assert run.texts == {p: p for p in "abcdef"}
    assert (server.n_calls, len(run.retries)) == (7, 1)


@pytest.mark.parametrize("name", ONCE_MORE)
def test_a_lasting_fault_of_one_row_fails_that_row_after_its_attempts(name: str) -> None:
    with Loopback(fault=lambda call: FAULTS[name] if call.prompt == "b" else None) as server:
        run, failures = ask(model(server), list("abc"))
    assert {i: (f.error, f.attempts, f.request) for i, f in failures.items()} == {1: (ONCE_MORE[name], 3, "b")}
    assert run.texts == {"a": "a", "c": "c"}
    assert server.n_calls == 5


@pytest.mark.parametrize("name", NEVER)
def test_what_can_never_succeed_is_asked_once(name: str) -> None:
    prompts = [f"p{i}" for i in range(100)]
    with Loopback(fault=lambda call: FAULTS[name] if call.prompt == "p37" else None) as server:
        run, failures = ask(model(server), prompts)
    assert {i: f.error for i, f in failures.items()} == {37: NEVER[name]}
    assert (len(run.texts), server.n_calls) == (99, 100)


@pytest.mark.parametrize("name", STOPS)
def test_what_is_true_for_every_row_stops_the_run(name: str) -> None:
    with Loopback(fault=lambda call: FAULTS[name]) as server:
        _run, failures = ask(model(server), [f"p{i}" for i in range(100)])
    assert {f.error for f in failures.values()} == {STOPS[name]}
    assert len(failures) == 100
    assert server.n_calls <= 4
    assert not any("sk-secret-0123" in f"{f.message} {f.text}" for f in failures.values())


@pytest.mark.parametrize("name", ANSWERS)
def test_an_unusual_ending_is_an_answer(name: str) -> None:
    with Loopback(fault=lambda call: FAULTS[name]) as server:
        run, failures = ask(model(server), ["a"])
    done = run.completions["a"]
    assert (failures, done.text, done.finish, server.n_calls) == ({}, *ANSWERS[name], 1)


def test_money_that_ends_half_way_keeps_everything_answered() -> None:
    with Loopback(fault=lambda call: FAULTS["429 for want of money"] if call.ordinal >= 50 else None) as server:
        run, failures = ask(model(server), [f"p{i}" for i in range(100)])
    assert (len(run.texts), len(failures)) == (50, 50)
    assert server.n_calls <= 54


def test_a_server_that_is_not_there_says_so() -> None:
    with Loopback() as server:
        gone = server.port
    _run, failures = ask(OpenAI("m", base_url=f"http://127.0.0.1:{gone}/v1", attempts=2, backoff_s=0.001), ["a"])
    assert failures[0].error == "ConnectionFailedError"
    assert f"127.0.0.1:{gone}" in failures[0].message


def test_an_unknown_host_says_so() -> None:
    _run, failures = ask(OpenAI("m", base_url="http://nowhere.invalid/v1", attempts=2, backoff_s=0.001), ["a"])
    assert failures[0].error == "ConnectionFailedError"
    assert "nowhere.invalid" in failures[0].message
