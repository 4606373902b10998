"""JSON that was asked for and stands among the thoughts or in a tool's arguments is the answer; thoughts in words never are."""

from __future__ import annotations

from typing import Any

import pytest

import dreamframe as dr
from tests.loopback.served import chat, message, response, run, text

JSON = '{"answer": 4}'


def call(*arguments: Any) -> dict[str, Any]:
    return {"tool_calls": [{"id": str(i), "type": "function", "function": {"name": "f", "arguments": a}} for i, a in enumerate(arguments)]}


TAKEN: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "reasoning_content": (chat(None, reasoning_content=JSON), dr.OpenAI, {}),
    "reasoning, content empty": (chat("", reasoning=f" {JSON}\n"), dr.OpenAI, {}),
    "between marks": (chat(f"<think>{JSON}</think>"), dr.OpenAI, {}),
    "a tool": (chat(None, "tool_calls", **call(JSON)), dr.OpenAI, {}),
    "a tool, as an object": (chat(None, "stop", **call({"answer": 4})), dr.OpenAI, {}),
    "a function": (chat(None, "function_call", function_call={"name": "f", "arguments": JSON}), dr.OpenAI, {}),
    "Mistral": (chat("", "tool_calls", **call(JSON)), dr.Mistral, {}),
    "responses": (response({"type": "function_call", "name": "f", "arguments": JSON}), dr.OpenAI, {"api": "responses"}),
    "Anthropic's tool of another name": (message({"type": "tool_use", "name": "json", "input": {"answer": 4}}, stop="tool_use"), dr.Anthropic, {}),
    "Anthropic's thoughts": (message({"type": "thinking", "thinking": JSON}), dr.Anthropic, {}),
}
LEFT: dict[str, tuple[Any, Any]] = {
    "thoughts in words": (chat(None, reasoning_content="It is 4."), dr.OpenAI),
    "thoughts with JSON in them": (chat(None, reasoning_content=f"So I answer {JSON}"), dr.OpenAI),
    "JSON of another shape": (chat(None, reasoning_content='{"other": 4}'), dr.OpenAI),
    "a number alone": (chat(None, reasoning_content="4"), dr.OpenAI),
    "cut off": (chat(None, "length", reasoning_content=JSON), dr.OpenAI),
    "two tools": (chat(None, "tool_calls", **call(JSON, JSON)), dr.OpenAI),
    "a tool with other arguments": (chat(None, "tool_calls", **call('{"city": "Rome"}')), dr.OpenAI),
    "thoughts before two tools": (chat(None, "tool_calls", reasoning_content=JSON, **call(JSON, JSON)), dr.OpenAI),
    "thoughts before a tool with other arguments": (chat(None, "stop", reasoning_content=JSON, **call('{"city": "Rome"}')), dr.OpenAI),
    "thoughts before a tool that is not told": (chat(None, "tool_calls", reasoning_content=JSON), dr.OpenAI),
    "filtered": (chat(None, "content_filter", reasoning_content=JSON), dr.OpenAI),
    "Anthropic's thoughts in words": (message({"type": "thinking", "thinking": "It is 4."}), dr.Anthropic),
}


@pytest.mark.parametrize("name", TAKEN)
def test_it_is_the_answer_where_it_is_what_was_asked_for(name: str) -> None:
    reply, make, llm = TAKEN[name]
    seen = run(lambda n, body: reply, make=make, llm=llm, schema=int)
    assert (seen.answers, seen.failures, len(seen.calls)) == ([4], [], 1)


@pytest.mark.parametrize("name", LEFT)
def test_anything_else_stays_a_failed_row(name: str) -> None:
    reply, make = LEFT[name]
    seen = run(lambda n, body: reply, make=make, schema=int)
    assert (seen.answers, len(seen.failures)) == ([None], 1)


@pytest.mark.parametrize("name", TAKEN)
def test_a_prompt_without_a_schema_takes_none_of_it(name: str) -> None:
    reply, make, llm = TAKEN[name]
    seen = run(lambda n, body: reply, make=make, llm=llm)
    assert (seen.answers, [error for error, _ in seen.failures]) == ([None], ["RefusedError"])


@pytest.mark.parametrize("make", [dr.OpenAI, dr.Anthropic], ids=lambda make: make.__name__)
def test_a_call_of_a_tool_that_the_user_gave_is_no_answer(make: Any) -> None:
    reply = chat(None, "tool_calls", **call(JSON)) if make is dr.OpenAI else message({"type": "tool_use", "name": "f", "input": {"answer": 4}}, stop="tool_use")
    seen = run(lambda n, body: reply, make=make, llm={"extra": {"tools": [{"name": "f"}]}}, schema=int)
    assert (seen.answers, len(seen.failures)) == ([None], 1)


def test_content_comes_first() -> None:
    seen = run(lambda n, body: chat('{"answer": 7}', "stop", reasoning_content=JSON, **call(JSON)), schema=int)
    assert seen.answers == [7]
    seen = run(lambda n, body: message({"type": "thinking", "thinking": JSON}, text('{"answer": 7}')), make=dr.Anthropic, schema=int)
    assert seen.answers == [7]
