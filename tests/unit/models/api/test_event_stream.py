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


def list_of(text: str, kind: str = "text") -> list[dict[str, Any]]:
    return [{"type": kind, kind: text if kind == "text" else list_of(text)}]


MANNERS = {  # of servers that are not as the protocol has it, and what they mean
    "no empty line between events": events(part(content="Hel"), part("stop", content="lo")).replace(b"\n\n", b"\n"),
    "content in parts": events(part(content=list_of("Hel")), part("stop", content=list_of("lo"))),
    "thoughts in parts, then text": events(part(content=list_of("h", "thinking")), part(content=list_of("m", "thinking")), part("stop", content="Hello")),
    "the message so far beside each part": events(
        {"choices": [{"delta": {"content": "Hello"}, "message": {"content": "Hello"}}]},
        {"choices": [{"delta": {}, "message": {"content": "Hello"}, "finish_reason": "stop"}]},
    ),
    "the whole message at the end": events(part(content="Hel"), {"choices": [{"message": {"content": "Hello"}, "finish_reason": "stop"}]}),
    "no reason yet, as a word": events(part("null", content="Hel"), part("stop", content="lo")),
    "counts without choices": events(part("stop", content="Hello"), {"usage": {"prompt_tokens": 5}}, {"choices": None}),
    "an event of nothing": b"data: null\n\n" + events(part("stop", content="Hello")),
    "many blanks first": b"\n" * 200 + events(part("stop", content="Hello")),
    "half a character in each part": events(part(content="Hello\ud83d"), part("stop", content="\ude00")),
}


@pytest.mark.parametrize("name", MANNERS)
def test_bad_manners_change_no_answer(name: str) -> None:
    done = asked(MANNERS[name])
    assert isinstance(done, Completion), done
    assert ((done.text or "").removesuffix("\U0001f600"), done.finish) == ("Hello", "stop")
    assert json.loads(done.extra or "{}").get("reasoning") == ("hm" if "thoughts" in name else None)


def test_a_response_is_put_together_from_its_items_where_its_end_has_none() -> None:
    item = {"type": "response.output_item.done", "item": RESPONSE["output"][0]}
    done = asked(events(item, {"type": "response.completed", "response": {**RESPONSE, "output": []}}), api="responses")
    assert isinstance(done, Completion)
    assert done.text == "Hello"


def test_a_message_ends_with_its_reason_and_a_tool_that_is_cut_is_a_cut_answer() -> None:
    done = asked(events(STARTED, *block("text", "Hello"), ended("end_turn")[0], done=False), dr.Anthropic)
    assert isinstance(done, Completion), done
    assert done.text == "Hello"
    cut = asked(events(STARTED, *block("tool_use", '{"answ'), *ended("max_tokens")), dr.Anthropic, schema=INTEGER)
    assert str(cut).startswith("TruncatedAnswerError") or (isinstance(cut, Completion) and (cut.text, cut.finish) == (None, "length")), cut
    assert str(asked(events(STARTED, *block("tool_use", '{"answ'), *ended("tool_use")), dr.Anthropic, schema=INTEGER)).startswith("BadReplyError")


def test_two_calls_are_two_also_without_their_numbers() -> None:
    calls = [part(tool_calls=[{"id": name, "function": {"name": name, "arguments": "{}"}}]) for name in "ab"]
    done = asked(events(*calls, part("tool_calls")))
    assert isinstance(done, Completion), done
    assert [c["function"] for c in json.loads(done.extra or "")["tool_calls"]] == [{"name": name, "arguments": "{}"} for name in "ab"]


@pytest.mark.parametrize(
    "sent",
    [
        events({"message": "upstream lost", "code": 503}),
        events({"detail": "upstream lost"}),
        b'event: error\ndata: {"message": "upstream lost", "code": 503}\n\ndata: [DONE]\n\n',
        b"event: error\ndata: upstream lost\n\ndata: [DONE]\n\n",
    ],
)
def test_half_an_answer_before_an_error_in_words_is_no_answer(sent: bytes) -> None:
    said = str(asked(events(part(content="half an ans"), done=False) + sent))
    assert said.startswith("ServerError")
    assert "upstream lost" in said


BROKEN = {
    "no end": (events(part(content="Hel"), done=False), dr.OpenAI, {}),
    "nothing": (events(done=False), dr.OpenAI, {}),
    "half an event": (CHAT[:90], dr.OpenAI, {}),
    "a message without its end": (events(STARTED, *block("text", "Hel"), done=False), dr.Anthropic, {}),
    "a response without its end": (events({"type": "response.output_text.delta", "delta": "Hel"}, done=False), dr.OpenAI, {"api": "responses"}),
    "bytes that are no text": (b"data: \xff\xfe\n\n", dr.OpenAI, {}),
    "an event that is a list": (b"data: [1]\n\n", dr.OpenAI, {}),
    "a reason that is none": (events(part("null", content="Hel"), done=False), dr.OpenAI, {}),
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


@pytest.mark.parametrize("words", ["The upstream API key is required", "only the upstream model is allowed", "stream_options is not supported"])
def test_words_of_other_things_have_nothing_streamed(words: str) -> None:
    with Loopback(fault=lambda call: lambda c: c.send(400, {"error": {"message": words}})) as server:
        _, failures = ask(dr.OpenAI("m", base_url=server.url), ["a"])
    assert (server.n_calls, len(failures)) == (1, 1)


def test_the_limit_of_bytes_holds_for_streams() -> None:
    assert "longer than 1,000 bytes" in str(asked(events(*[part(content="x" * 50)] * 50, part("stop")), max_reply_bytes=1000))
