"""Providers' own ways to call tools, spoken to a server: whatever it sends is a result or a failed row, and every conversation ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import dreamframe as dr
from tests.loopback import Loopback
from tests.loopback.calling import Called, results_in, sends
from tests.loopback.server import Behaviour, Call

PROVIDERS: dict[str, Callable[[str], dr.LLM]] = {
    "chat": lambda url: dr.OpenAI("m", base_url=url, api_key="k", attempts=2, backoff_s=0.001),
    "responses": lambda url: dr.OpenAI("m", base_url=url, api_key="k", api="responses", attempts=2, backoff_s=0.001),
    "anthropic": lambda url: dr.Anthropic("m", base_url=url.removesuffix("/v1"), api_key="k", attempts=2, backoff_s=0.001),
    "mistral": lambda url: dr.Mistral("m", base_url=url, api_key="k", attempts=2, backoff_s=0.001),
}
ADD: list[Called] = [("call_one1", "add", '{"a": 1, "b": 2}'), ("call_two2", "add", '{"a": 3, "b": 4}')]


def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: one of them
    """
    return a + b


def talk(provider: str, fault: Callable[[Call], Behaviour | None], **settings: Any) -> tuple[list[dict[str, Any]] | None, list[Call], list[str]]:
    """The messages of one row, the requests that the server saw, and what failed."""
    with Loopback(fault=fault) as server, dr.Session(None):
        df = dr.frame({"q": ["Add."]}).converse(PROVIDERS[provider](server.url), "{q}", tools=[add], on_error="null", **{"max_turns": 4, **settings})
        return df.collect()["messages"].to_list()[0], server.calls, df.failures()["message"].to_list()


def once(calls: list[Called], *, text: str | None = None, stream: bool = False) -> Callable[[Call], Behaviour]:
    """A model that makes these calls, and then says the results."""

    def fault(call: Call) -> Behaviour:
        results = results_in(call.body)
        return sends(call, " and ".join(r for _, r in results), [], stream=stream) if results else sends(call, text, calls, stream=stream)

    return fault


@pytest.mark.parametrize(("provider", "stream"), [*((p, False) for p in PROVIDERS), ("chat", True), ("anthropic", True)])
def test_parallel_calls_go_out_and_back_in_the_providers_own_shape(provider: str, stream: bool):
    messages, seen, failed = talk(provider, once(ADD, text="Let me see.", stream=stream))
    assert failed == []
    assert messages is not None
    assert [(m["role"], m["content"], m["tool_call_id"], m["name"]) for m in messages] == [
        ("user", "Add.", None, None), ("assistant", "Let me see.", None, None), ("tool", "3", "call_one1", "add"), ("tool", "7", "call_two2", "add"),
        ("assistant", "3 and 7", None, None),
    ]  # fmt: skip
    assert [c["function"] for c in messages[1]["tool_calls"]] == [{"name": "add", "arguments": a} for _, _, a in ADD] or stream or provider == "anthropic"
    assert [json.loads(c["function"]["arguments"]) for c in messages[1]["tool_calls"]] == [json.loads(a) for _, _, a in ADD]
    assert results_in(seen[1].body) == [("call_one1", "3"), ("call_two2", "7")]


def test_each_api_is_told_of_tools_in_its_own_words():
    told = {provider: talk(provider, once(ADD))[1] for provider in ("chat", "responses", "anthropic")}
    schema = {
        "type": "object", "additionalProperties": False, "required": ["a", "b"],
        "properties": {"a": {"type": "integer", "description": "one of them"}, "b": {"type": "integer"}},
    }  # fmt: skip
    function = {"name": "add", "description": "Add two numbers.", "parameters": schema}
    assert told["chat"][0].body["tools"] == [{"type": "function", "function": function}]
    assert told["responses"][0].body["tools"] == [{"type": "function", "strict": False, **function}]
    assert told["anthropic"][0].body["tools"] == [{"name": "add", "description": "Add two numbers.", "input_schema": schema}]
    held = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in ADD]
    results = [{"role": "tool", "content": said, "tool_call_id": i} for (i, _, _), said in zip(ADD, "37", strict=True)]
    assert told["chat"][1].body["messages"] == [{"role": "user", "content": "Add."}, {"role": "assistant", "content": None, "tool_calls": held}, *results]
    assert told["responses"][1].body["input"][1:] == [
        *({"type": "function_call", "call_id": i, "name": n, "arguments": a} for i, n, a in ADD),
        *({"type": "function_call_output", "call_id": i, "output": said} for (i, _, _), said in zip(ADD, "37", strict=True)),
    ]
    assert told["anthropic"][1].body["messages"][1:] == [
        {"role": "assistant", "content": [{"type": "tool_use", "id": i, "name": n, "input": json.loads(a)} for i, n, a in ADD]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": i, "content": s} for (i, _, _), s in zip(ADD, "37", strict=True)]},
    ]


ODD: dict[str, tuple[list[Called], str]] = {
    "unknown tool": ([("c1", "subtract", "{}")], "Error: there is no tool 'subtract'; there are add"),
    "bad JSON": ([("c1", "add", '{"a": 1, "b"')], "Error: the arguments are not a JSON object: "),
    "a list": ([("c1", "add", "[1, 2]")], "Error: the arguments are not a JSON object"),
    "not what the tool takes": ([("c1", "add", '{"a": "one", "b": 2}')], "Error: the arguments do not fit: a: Input should be a valid integer"),
    "no name": ([("c1", "", "{}")], "Error: there is no tool ''"),
    "nested without an end": ([("c1", "add", "[" * 100_000)], "Error: the arguments are not a JSON object: "),
    "infinite": ([("c1", "add", '{"a": NaN, "b": 2}')], "Error: the arguments do not fit: a: "),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("provider", ["chat", "responses"])
def test_calls_that_cannot_be_made_are_told_to_the_model(odd: str, provider: str):
    calls, said = ODD[odd]
    messages, _, failed = talk(provider, once(calls))
    assert failed == []
    assert messages is not None
    assert messages[2]["role"] == "tool"
    assert messages[2]["content"].startswith(said)
    assert messages[-1]["role"] == "assistant"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_model_that_only_calls_tools_comes_to_its_last_turn(provider: str):
    messages, seen, failed = talk(provider, lambda call: sends(call, None, ADD))
    assert (len(seen), failed) == (4, [])
    assert messages is not None
    assert [m["role"] for m in messages] == ["user", *["assistant", "tool", "tool"] * 4]


@pytest.mark.parametrize("provider", ["chat", "anthropic"])
def test_a_stream_that_is_cut_in_the_arguments_is_asked_for_again_and_fails_its_row(provider: str):
    messages, seen, failed = talk(provider, lambda call: sends(call, None, ADD, stream=True, cut=True))
    assert (messages, len(seen)) == (None, 2), "two attempts"
    assert failed[0].startswith("turn 1, the assistant: ")


def refusal(call: Call) -> Behaviour:
    if not results_in(call.body):
        return sends(call, None, ADD)
    return lambda c: c.send(200, {"choices": [{"index": 0, "message": {"content": None, "refusal": "I will not."}, "finish_reason": "stop"}]})


def test_a_refusal_in_the_middle_is_a_failed_row_that_says_which_turn():
    messages, _, failed = talk("chat", refusal)
    assert messages is None
    assert failed == ["turn 2, the assistant: the model gave no answer (finish_reason 'refusal')"]


def cut_off(call: Call) -> Behaviour:
    made = {"choices": [{"index": 0, "message": {"content": "I add", "tool_calls": [{"id": "c", "function": {"name": "add", "arguments": '{"a'}}]}}]}
    made["choices"][0]["finish_reason"] = "length"
    return lambda c: c.send(200, made)


def test_a_turn_that_was_cut_off_in_its_calls_calls_nothing():
    messages, seen, failed = talk("chat", cut_off, max_tokens=5)
    assert (messages, len(seen)) == (None, 1)
    assert "raise max_tokens=" in failed[0]


def test_ids_that_are_missing_or_shared_are_told_apart():
    messages, seen, _ = talk("chat", once([("", "add", '{"a": 1, "b": 1}'), ("x", "add", '{"a": 2, "b": 2}'), ("x", "add", '{"a": 3, "b": 3}')]))
    ids = [i for i, _ in results_in(seen[1].body)]
    assert len(set(ids)) == 3
    assert messages is not None
    assert [c["id"] for c in messages[1]["tool_calls"]] == ids
    assert all(len(i) == 9 and i.isalnum() for i in ids if i != "x"), "as Mistral wants them"


@pytest.mark.parametrize(
    ("llm", "why"),
    [
        (dr.OpenAI("m", api="completions", base_url="http://x.invalid"), "speaks the completions API"),
        (dr.SmolLM2(), "is not one that takes tools here"),
        (dr.FunctionLLM(len), "has no parameter 'tools'"),
        (dr.Parallel(dr.OpenAI("m", base_url="http://x.invalid"), dr.SmolLM2()), "is not one that takes tools here"),
    ],
    ids=["completions", "local", "function", "parallel"],
)
def test_models_without_tools_refuse_when_the_plan_is_built(llm: dr.LLM, why: str):
    with pytest.raises(dr.errors.SettingError, match=why):
        dr.frame({"q": ["x"]}).converse(llm, "{q}", tools=[add])
