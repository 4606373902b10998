"""A function as a language model."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import PermanentCallError, SettingError, TransientCallError

ROWS = dr.frame({"t": ["a", "b"]})


def shout(prompt: str) -> str:
    return prompt.upper()


async def later(prompt: str, temperature: float | None = None, seed: int = 0) -> str:
    await asyncio.sleep(0)
    return f"{prompt} {temperature}"


def chat(messages: list[dict[str, Any]]) -> str:
    return " / ".join(f"{m['role']}: {m['content']}" for m in messages)


def typed(prompt: str, *, json_schema: Any = None) -> str:
    return '{"answer": 3}' if json_schema["properties"]["answer"] == {"type": "integer"} else "?"


def split(prompt: str, system: str) -> str:
    return f"{system}|{prompt}"


def answers(llm: Any, **settings: Any) -> list[Any]:
    with dr.Session(None, progress=False):
        return ROWS.prompt(llm, "{t}", **settings).collect()["answer"].to_list()


def test_it_is_asked_like_any_model() -> None:
    assert answers(dr.FunctionLLM(shout)) == ["A", "B"]
    assert answers(dr.FunctionLLM(shout), system="Be brief.") == ["BE BRIEF.\n\nA", "BE BRIEF.\n\nB"]
    assert answers(dr.FunctionLLM(split), system="S") == ["S|a", "S|b"]
    assert answers(dr.FunctionLLM(later), temperature=0.5) == ["a 0.5", "b 0.5"]
    assert answers(dr.FunctionLLM(chat, system="S")) == ["system: S / user: a", "system: S / user: b"]
    assert answers(dr.FunctionLLM(typed), schema=int) == [3, 3]
    assert answers(dr.FunctionLLM(dr.versioned(shout, version=1))) == ["A", "B"]


def test_an_answer_that_does_not_fit_is_shown_to_it_once() -> None:
    asked: list[str] = []

    def moody(prompt: str) -> str:
        asked.append(prompt)
        return "7" if "could not be used" in prompt else "seven"

    llm = dr.FunctionLLM(dr.versioned(moody, version=1))
    assert answers(llm, schema=int) == [7, 7]
    assert len(asked) == 4
    assert "seven" in asked[-1]


def test_what_it_was_asked_is_kept_by_its_code() -> None:
    with dr.Session(None, progress=False):
        calls: list[str] = []

        def counted(prompt: str) -> str:
            calls.append(prompt)
            return prompt

        llm = dr.FunctionLLM(dr.versioned(counted, version=1))
        for _ in range(2):
            ROWS.prompt(llm, "{t}").collect()
        assert len(calls) == 2
        ROWS.prompt(dr.FunctionLLM(dr.versioned(counted, version=2)), "{t}").collect()
        assert len(calls) == 4
    assert ROWS.prompt(dr.FunctionLLM(shout), "{t}").step.key({}) != ROWS.prompt(dr.FunctionLLM(chat), "{t}").step.key({})


def test_settings_that_it_cannot_be_given_are_refused() -> None:
    with pytest.raises(SettingError, match="shout has no parameter 'temperature'"):
        dr.FunctionLLM(shout, temperature=0.5)
    assert dr.FunctionLLM(shout, temperature=0).sampling.is_greedy
    with pytest.raises(SettingError, match=r"^prompt: shout has no parameter 'max_tokens'"):
        ROWS.prompt(dr.FunctionLLM(shout), "{t}", max_tokens=9)
    for steering in ({"concurrency": 0}, {"concurrency": "4"}, {"attempts": 0}, {"timeout_s": 0}, {"timeout_s": "1"}):
        with pytest.raises(SettingError, match=f"FunctionLLM: {next(iter(steering))}="):
            dr.FunctionLLM(shout, **steering)  # type: ignore[arg-type]
    for wrong in ("shout", dr.OpenAI("m"), shout("x"), None):
        with pytest.raises(SettingError, match="is not a function"):
            dr.FunctionLLM(wrong, max_tokens=9)  # type: ignore[arg-type]


@pytest.mark.parametrize(("raised", "kind"), [(ValueError("no"), "ValueError: no"), (SystemExit(2), "SystemExit: 2"), (None, "gave None, not a text")])
def test_what_it_raises_is_a_failed_row(raised: Any, kind: str) -> None:
    def bad(prompt: str) -> str:
        if raised is not None:
            raise raised
        return raised

    async def bad_later(prompt: str) -> str:
        return bad(prompt)

    for function in (bad, bad_later):
        with dr.Session(None, progress=False):
            df = ROWS.prompt(dr.FunctionLLM(dr.versioned(function, version=1)), "{t}", on_error="null")
            assert df.collect()["answer"].to_list() == [None, None]
            assert df.failures()["error"].unique().to_list() == [PermanentCallError.__name__]
            assert kind in df.failures()["message"][0]


def test_what_is_worth_another_try_is_tried_again() -> None:
    tries: list[str] = []

    def flaky(prompt: str) -> str:
        tries.append(prompt)
        if len(tries) < 3:
            raise TransientCallError("busy", retry_after_s=0.001)
        return prompt

    with dr.Session(None, progress=False):
        assert ROWS.head(1).prompt(dr.FunctionLLM(dr.versioned(flaky, version=1)), "{t}").collect()["answer"].to_list() == ["a"]
    assert len(tries) == 3


def test_as_many_threads_call_it_as_are_allowed() -> None:
    gate = threading.Barrier(4, timeout=20)

    def together(prompt: str) -> str:
        gate.wait()
        return prompt

    rows = dr.frame({"t": list("abcd")})
    with dr.Session(None, progress=False):
        assert rows.prompt(dr.FunctionLLM(dr.versioned(together, version=1), concurrency=4), "{t}").collect().height == 4


def test_a_plan_with_it_is_written_and_read() -> None:
    df = ROWS.prompt(dr.FunctionLLM(shout), "{t}")
    assert "shout" in df.explain()
    assert dr.from_json(df.to_json(), functions=[shout]).step.key({}) == df.step.key({})


def test_it_is_asked_by_every_verb(session: dr.Session) -> None:
    """Also by reduce_by, which limits the answers of a model that can be told to."""
    asked = dr.frame({"k": [1, 1], "t": ["a", "b"]}).group_by("k")
    assert asked.reduce_by(dr.FunctionLLM(shout), "Sum up {t}", sep="+").to_dicts() == [{"k": 1, "answer": "SUM UP A+B"}]
    limited = dr.FunctionLLM(lambda prompt, max_tokens: f"{max_tokens}")
    assert asked.reduce_by(limited, "Sum up {t}", context=100).to_dicts() == [{"k": 1, "answer": "25"}]


def test_a_function_of_any_arguments_is_given_those_of_sampling(session: dr.Session) -> None:
    anything = dr.FunctionLLM(lambda prompt, **more: f"{prompt} {more}")
    assert answers(anything, max_tokens=9) == ["a {'max_tokens': 9}", "b {'max_tokens': 9}"]


def test_a_function_that_takes_labels_tells_how_likely_each_is(session: dr.Session) -> None:
    def sure(prompt: str, labels: tuple[str, ...] | None = None) -> Any:
        return "yes" if labels is None else dict(zip(labels, (0.7, 0.3), strict=True)) if "tea" in prompt else [1]

    rows = dr.frame({"t": ["tea", "rain"]})
    made = rows.prompt(dr.FunctionLLM(sure), "Hot? {t}", schema=bool, probability="p", on_error="null")
    assert made.collect().rows() == [("tea", True, 0.7), ("rain", None, None)]
    (message,) = made.failures()["message"]
    assert message.startswith("sure gave")
    assert "not the probabilities of 'yes', 'no'" in message
    assert rows.prompt(dr.FunctionLLM(sure), "Hot? {t}", schema=bool).collect()["answer"].to_list() == [True, True]
    with pytest.raises(SettingError, match="has no parameter 'labels'"):
        rows.prompt(dr.FunctionLLM(lambda prompt: prompt), "Hot? {t}", schema=bool, probability="p")
