"""Reading answers with code of the user's: in a worker thread, while the event loop goes on to take what other rows are answered."""

from __future__ import annotations

import threading
from typing import Any

import pydantic
import pytest

import dreamframe as dr

ROWS = dr.frame({"i": [f"r{i}" for i in range(8)]})


class Loud(pydantic.BaseModel):
    a: int

    @pydantic.field_validator("a")
    @classmethod
    def where(cls, v: int) -> int:
        raise ValueError(f"read in {threading.current_thread().name}")


@pytest.mark.parametrize("kind", ["parse", "schema and parse", "many samples"])
def test_answers_are_taken_while_a_slow_parse_reads_others(kind: str) -> None:
    """Two rows a batch and two calls at once: the parse of the first batch ends only when the last row has been answered."""
    last_was_answered, waited = threading.Event(), []

    def slow(text: str) -> str:
        waited.append(last_was_answered.wait(20))
        return text.upper()

    def answer(prompt: str) -> str:
        if prompt == "r7":
            last_was_answered.set()
        return prompt

    more: dict[str, Any] = {"parse": {}, "schema and parse": {"schema": ["R0", *(f"R{i}" for i in range(1, 8))]}, "many samples": {"n": 2}}[kind]
    llm = dr.testing.Scripted(dr.versioned(answer, version=1), concurrency=2)
    with dr.Session(None, batch_rows=2, progress=False):
        out = ROWS.prompt(llm, "{i}", parse=dr.versioned(slow, version=1), into="a", **more).collect()
    assert all(waited)
    assert out["a"].to_list() == [[f"R{i}"] * 2 if kind == "many samples" else f"R{i}" for i in range(8)]


def test_a_parse_is_never_run_by_two_threads_at_once() -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def counted(text: str) -> str:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.001)  # lets another thread in, if there is one
        with lock:
            running[0] -= 1
        return text

    with dr.Session(None, batch_rows=1, progress=False):
        ROWS.prompt(dr.testing.Echo(), "{i}", parse=dr.versioned(counted, version=1)).collect()
    assert most == [1]


def test_validators_of_the_users_are_run_outside_the_event_loop() -> None:
    llm = dr.testing.Scripted(lambda _: '{"a": 1}')
    with dr.Session(None, progress=False):
        df = dr.frame({"i": ["x"]}).prompt(llm, "{i}", schema=Loud, on_error="null", repairs=1)
        df.collect()
        said = df.failures()["message"][0]
    assert "read in dreamframe-aside" in said


def test_failures_of_a_parse_stay_with_their_rows() -> None:
    def picky(text: str) -> str:
        if text in ("r1", "r6"):
            raise ZeroDivisionError(text)
        return text

    with dr.Session(None, batch_rows=3, progress=False):
        df = ROWS.prompt(dr.testing.Echo(), "{i}", parse=dr.versioned(picky, version=1), into="a", on_error="null")
        assert df.collect()["a"].to_list() == [None if i in (1, 6) else f"r{i}" for i in range(8)]
        assert df.failures().select("row", "answer").rows() == [(1, "r1"), (6, "r6")]


def test_a_parse_that_would_end_the_program_fails_its_row() -> None:
    """As graders do that read a command line: raised in a worker thread, it would end the event loop and leave the run waiting."""

    def ends(text: str) -> str:
        raise SystemExit(2)

    with dr.Session(None, progress=False):
        df = dr.frame({"i": ["x"]}).prompt(dr.testing.Echo(), "{i}", parse=dr.versioned(ends, version=1), on_error="null")
        df.collect()
        assert df.failures().select("error", "message").rows() == [("ParseError", "parse= refused the answer: SystemExit: 2")]


def test_a_slow_counter_of_a_reduction_holds_up_nobody() -> None:
    """The counter of the second group's texts waits until the first group has been answered."""
    answered, waited = threading.Event(), []

    def count(text: str) -> int:
        if threading.current_thread() is not threading.main_thread() and "b" in text:
            waited.append(answered.wait(20))
        return len(text)

    def answer(prompt: str) -> str:
        answered.set()
        return prompt

    df = dr.frame({"g": ["1", "2"], "t": ["a", "b"]}).group_by("g")
    with dr.Session(None, progress=False):
        llm = dr.testing.Scripted(dr.versioned(answer, version=1))
        out = df.reduce_by(llm, "{t}", count=dr.versioned(count, version=1), into="a").sort("g").collect()
    assert out["a"].to_list() == ["a", "b"]
    assert waited
    assert all(waited)
