"""Servers that stream: what they send is put together into the answer, a stream that breaks off is not one, and who only streams is asked to."""

from __future__ import annotations

import json
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.models.request import Completion
from tests.loopback import Call, Loopback
from tests.loopback.asking import ask

INTEGER = {"type": "object", "properties": {"answer": {"type": "integer"}}, "required": ["answer"]}
SSE = "text/event-stream; charset=utf-8"


def events(*sent: dict[str, Any], done: bool = True) -> bytes:
    """A stream as servers write it, with the comments that keep it alive."""
    named = [(f"event: {e['type']}\n" if "type" in e else "") + f"data: {json.dumps(e)}\n\n" for e in sent]
    return (": keep-alive\n\n" + "".join(named) + ("data: [DONE]\n\n" if done else "")).encode()


def part(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {"object": "chat.completion.chunk", "model": "m-1", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


USAGE = {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
CHAT = events(part(role="assistant", content=""), part(content="Hel"), part(content="lo ü"), part("stop"), USAGE)
STARTED = {"type": "message_start", "message": {"type": "message", "model": "m-1", "content": [], "usage": {"input_tokens": 5, "output_tokens": 1}}}


def block(kind: str, *pieces: str) -> list[dict[str, Any]]:
    """A content block of Anthropic's: text, thinking, or the input of a tool."""
    held: dict[str, Any] = {"type": kind, "name": "answer", "input": {}} if kind == "tool_use" else {"type": kind, kind: ""}
    delta, name = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking"), "tool_use": ("input_json_delta", "partial_json")}[kind]
    at = {"thinking": 0}.get(kind, 1)
    inner = [{"type": "content_block_delta", "index": at, "delta": {"type": delta, name: piece}} for piece in pieces]
    return [{"type": "content_block_start", "index": at, "content_block": held}, {"type": "ping"}, *inner, {"type": "content_block_stop", "index": at}]


def ended(reason: str) -> list[dict[str, Any]]:
    return [{"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": 2}}, {"type": "message_stop"}]


def asked(sent: bytes, make: Any = dr.OpenAI, *, kind: str = SSE, schema: Any = None, **settings: Any) -> Completion | str:
    """The answer, or the name of the error."""
    with Loopback(fault=lambda call: lambda c: c.send(200, sent, {"Content-Type": kind})) as server:
        url = server.url.removesuffix("/v1") if make is dr.Anthropic else server.url
        run, failures = ask(make("m", base_url=url, api_key="k", attempts=1, **settings), ["a"], schema=schema)
    return run.completions["a"] if not failures else f"{failures[0].error}: {failures[0].message}"


@pytest.mark.parametrize("kind", [SSE, "text/plain", "application/json"])
def test_a_chat_is_put_together_whatever_the_header_says(kind: str) -> None:
    done = asked(CHAT, kind=kind)
    assert isinstance(done, Completion)
    assert (done.text, done.finish, done.n_in, done.n_out, done.model) == ("Hello ü", "stop", 5, 2, "m-1")


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"], ids=repr)
def test_any_line_end_will_do(ends: str) -> None:
    done = asked(CHAT.replace(b"\n", ends.encode()))
    assert isinstance(done, Completion)
    assert done.text == "Hello ü"


RESPONSE = {"object": "response", "status": "completed", "output": [{"type": "message", "content": [{"type": "output_text", "text": "Hello"}]}]}
OTHERS: dict[str, tuple[bytes, Any, dict[str, Any]]] = {
    "completions": (events({"choices": [{"text": "Hel"}]}, {"choices": [{"text": "lo", "finish_reason": "stop"}]}), dr.OpenAI, {"api": "completions"}),
    "responses": (
        events({"type": "response.output_text.delta", "delta": "Hel"}, {"type": "response.completed", "response": RESPONSE}, done=False),
        dr.OpenAI, {"api": "responses"},
    ),
    "anthropic": (events(STARTED, *block("thinking", "hm"), *block("text", "Hel", "lo"), *ended("end_turn"), done=False), dr.Anthropic, {}),
    "mistral": (events(part(content="Hel"), part("stop", content="lo")), dr.Mistral, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_every_protocol_is_read(name: str) -> None:
    sent, make, settings = OTHERS[name]
    done = asked(sent, make, **settings)
    assert isinstance(done, Completion), done
    assert (done.text, done.finish) == ("Hello", "stop")
    assert "hm" in (done.extra or "") if name == "anthropic" else not done.extra


@pytest.mark.parametrize("make", [dr.OpenAI, dr.Anthropic], ids=lambda make: make.__name__)
def test_thoughts_and_the_arguments_of_tools_come_in_pieces_too(make: Any) -> None:
    call = [{"index": 0, "id": "c", "function": {"name": "answer", "arguments": '{"ans'}}], [{"index": 0, "function": {"arguments": 'wer": 4}'}}]
    chat = events(part(reasoning_content="let me "), part(reasoning_content="see"), part(tool_calls=call[0]), part(tool_calls=call[1]), part("tool_calls"))
    done = asked(chat if make is dr.OpenAI else events(STARTED, *block("tool_use", '{"ans', 'wer": 4}'), *ended("tool_use")), make, schema=INTEGER)
    assert isinstance(done, Completion), done
    assert json.loads(done.text or "") == {"answer": 4}


BROKEN = {
    "no end": (events(part(content="Hel"), done=False), dr.OpenAI, {}),
    "nothing": (events(done=False), dr.OpenAI, {}),
    "half an event": (CHAT[:90], dr.OpenAI, {}),
    "a message without its end": (events(STARTED, *block("text", "Hel"), done=False), dr.Anthropic, {}),
    "a response without its end": (events({"type": "response.output_text.delta", "delta": "Hel"}, done=False), dr.OpenAI, {"api": "responses"}),
    "bytes that are no text": (b"data: \xff\xfe\n\n", dr.OpenAI, {}),
    "an event that is a list": (b"data: [1]\n\n", dr.OpenAI, {}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_stream_that_breaks_off_is_no_answer(name: str) -> None:
    sent, make, settings = BROKEN[name]
    assert str(asked(sent, make, **settings)).startswith("BadReplyError: 127.0.0.1")


@pytest.mark.parametrize("sent", [{"error": {"message": "upstream lost", "code": 502}}, {"object": "error", "message": "upstream lost", "code": 502}])
def test_an_error_in_a_stream_is_the_error_that_it_says(sent: dict[str, Any]) -> None:
    assert "ServerError: " in (said := str(asked(events(part(content="half an ans"), sent))))
    assert "upstream lost" in said


WORDS = [  # of servers that only stream
    "This model only support stream mode, please enable the stream parameter to access the model.",
    "Stream must be set to true",
    "parameter.enable_thinking must be set to false for non-streaming calls",
    "streaming is required for this model",
    "Non-streaming requests are not supported",
]


@pytest.mark.parametrize("words", WORDS)
def test_a_server_that_only_streams_is_asked_to_after_its_first_refusal(words: str) -> None:
    def behave(call: Call) -> None:
        if not call.body.get("stream"):
            call.send(400, {"error": {"message": words, "type": "invalid_request_error"}})
        elif "stream_options" in call.body and words == WORDS[1]:
            call.send(400, {"error": {"message": "Unknown parameter: 'stream_options'"}})
        else:
            call.send(200, CHAT, {"Content-Type": SSE})

    with Loopback(fault=lambda call: behave) as server:
        run, failures = ask(dr.OpenAI("m", base_url=server.url, concurrency=1), ["a", "b"])
    assert (failures, run.texts) == ({}, {"a": "Hello ü", "b": "Hello ü"})
    assert server.n_calls == (4 if words == WORDS[1] else 3)
    assert ("stream_options" in server.calls[-1].body) is (words != WORDS[1])


def test_the_limit_of_bytes_holds_for_streams() -> None:
    assert "longer than 1,000 bytes" in str(asked(events(*[part(content="x" * 50)] * 50, part("stop")), max_reply_bytes=1000))
