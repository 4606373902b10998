"""What is an answer, and what is not: whatever a provider sends instead of one, it is a failed row that says why, and never a value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.base import Limits
from tests.loopback import Desk, Loopback
from tests.loopback.served import Seen, chat, last, message, response, run, said, text

RESPONSES: dict[str, Any] = {"api": "responses"}
BROKEN = chat("The capital of Fra", "error")
BROKEN["choices"][0]["error"] = {"code": 502, "message": "upstream lost"}


def only(seen: Seen) -> tuple[str, str]:
    """The one failure of a run that has no answer."""
    assert seen.answers == [None] * len(seen.answers)
    assert len(seen.failures) == 1, seen
    return seen.failures[0]


# Nothing


@pytest.mark.parametrize("neighbour", ["fine", "cut", "refused"])
@pytest.mark.parametrize("nothing", [None, "", []], ids=repr)
def test_a_null_answer_is_a_failed_row_whatever_its_neighbours_are(nothing: Any, neighbour: str) -> None:
    given = {"nul": chat(nothing), "cut": chat("half", "length"), "refused": chat(None, "content_filter")}
    seen = run(lambda n, b: given.get(last(b), chat("fine")), ["nul", neighbour], llm={"max_tokens": 9})
    assert seen.failures[0][0] == "RefusedError"
    assert "the model gave no answer (finish_reason 'stop'" in seen.failures[0][1]
    assert seen.answers[0] is None


@pytest.mark.parametrize("content", [[], [text("")], [{"type": "text", "text": None}], [{"type": "thinking", "thinking": "hm"}]], ids=str)
def test_anthropics_message_of_nothing_is_a_failed_row(content: list[Any]) -> None:
    seen = run(lambda n, b: message(*content), make=dr.Anthropic, llm={"max_tokens": 9})
    assert (only(seen)[0], len(seen.calls)) == ("RefusedError", 1)


@pytest.mark.parametrize(
    "output",
    [
        [],
        [said()],
        [{"type": "message", "content": None}],
        [said({"type": "output_text", "text": None})],
        [{"type": "reasoning", "summary": []}],
        [{"type": "function_call", "name": "f"}],
    ],
    ids=str,
)
def test_a_response_without_a_message_is_asked_for_once(output: list[Any]) -> None:
    seen = run(lambda n, b: response(*output), llm=RESPONSES)
    assert (only(seen)[0], len(seen.calls)) == ("RefusedError", 1)


def test_an_empty_text_may_be_what_stop_left_of_it_or_what_parse_takes() -> None:
    assert run(lambda n, b: chat(""), llm={"stop": ["\n"]}).answers == [""]
    assert run(lambda n, b: chat(""), parse=len, schema=int).answers == [0]
    assert run(lambda n, b: chat(" \n")).answers == [" \n"], "a text that the model gave is not judged"


# Refusals


@pytest.mark.parametrize("content", [None, "", "Well."], ids=repr)
@pytest.mark.parametrize("more", [{}, {"role": "assistant"}], ids=["two fields", "three"])
def test_a_refusal_is_seen_in_a_message_of_any_number_of_fields(content: Any, more: dict[str, str]) -> None:
    with_refusal = chat(content, refusal="No.", **more)
    if content == "Well.":
        del with_refusal["choices"][0]["message"]["content"]
    assert only(run(lambda n, b: with_refusal)) == ("RefusedError", "the model gave no answer (finish_reason 'refusal')")


def test_a_refusal_within_a_list_of_parts_is_seen() -> None:
    part = {"type": "refusal", "refusal": "No."}
    assert "'refusal'" in only(run(lambda n, b: chat([part])))[1]
    assert "'refusal'" in only(run(lambda n, b: response(said(part)), llm=RESPONSES))[1]


def test_a_refusal_keeps_what_the_model_said() -> None:
    with dr.Session(None):
        llm = dr.testing.Scripted(lambda _: dr.testing.Completion("I will not.", finish="refusal"))
        df = dr.frame({"t": ["a"]}).prompt(llm, "{t}", on_error="null")
        df.collect()
        assert df.failures()["answer"].to_list() == ["I will not."]


# How an answer ends


@pytest.mark.parametrize("again", [{}, {"api": "completions"}], ids=["chat", "completions"])
@pytest.mark.parametrize("finish", ["error", "ERROR", "abort", "cancelled", "network_error", "insufficient_system_resource", "FINISH_REASON_ERROR"])
def test_what_broke_off_is_tried_again(finish: str, again: dict[str, Any]) -> None:
    def reply(n: int, b: dict[str, Any]) -> Any:
        made = chat("half", finish) if n == 0 else chat("whole")
        made["choices"][0]["text"] = made["choices"][0]["message"]["content"]
        if again:
            del made["choices"][0]["message"]
        return made

    seen = run(reply, llm=again)
    assert (seen.answers, len(seen.calls)) == (["whole"], 2)


@pytest.mark.parametrize(
    "broken",
    [
        BROKEN,
        {**chat("The capital of Fra"), "error": {"code": "502", "message": "upstream lost"}},
        {"choices": [{**chat("The capital of Fra")["choices"][0], "error": "upstream lost"}]},
        {"object": "error", "message": "upstream lost", "code": 50301},
    ],
    ids=["in the choice", "beside the choices", "a text", "the whole body"],
)
def test_an_error_within_a_reply_is_tried_again_and_named(broken: dict[str, Any], tmp_path: Path) -> None:
    seen = run(lambda n, b: broken, where=tmp_path)
    assert (only(seen)[0], len(seen.calls)) == ("ServerError", 3)
    assert "upstream lost" in only(seen)[1]
    again = run(lambda n, b: chat("Paris"), where=tmp_path)
    assert (again.answers, len(again.calls)) == (["Paris"], 1), "nothing of it was kept"


@pytest.mark.parametrize(
    ("error", "name", "n_calls"),
    [
        ({"object": "error", "message": "no such thing", "type": "BadRequestError", "code": 400}, "BadRequestError", 1),
        ({"error": {"message": "bad", "type": "invalid_request_error", "code": "invalid_prompt"}}, "BadRequestError", 1),
        ({"error": {"message": "the upstream is down", "type": "invalid_request_error", "code": None}}, "ServerError", 3),
        ({"error": {"message": "You exceeded your current quota", "code": "insufficient_quota"}}, "QuotaExhaustedError", 1),
        ({"error": {"message": "slow down", "code": "rate_limit_exceeded"}}, "RateLimitedError", None),
        ({"error": {"message": "who?", "type": "authentication_error"}}, "AuthenticationError", 1),
        ({"error": {"message": "boom"}}, "ServerError", 3),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "RateLimitedError", None),
    ],
    ids=lambda v: None if isinstance(v, int) else str(v)[:60],
)
def test_an_error_with_status_200_is_the_error_that_it_says(error: dict[str, Any], name: str, n_calls: int | None) -> None:
    if n_calls is None:
        assert run(lambda n, b: error if n == 0 else chat("ok")).answers == ["ok"]
        return
    seen = run(lambda n, b: error)
    assert (only(seen)[0], len(seen.calls)) == (name, n_calls)
    assert str(next(v["message"] for v in (error.get("error"), error) if v)) in only(seen)[1]


@pytest.mark.parametrize("named", ["message", "detail", "msg"])
def test_a_reply_that_is_not_of_the_protocol_is_named_in_the_servers_words(named: str) -> None:
    seen = run(lambda n, b: {named: "no such route", "code": 5})
    assert only(seen)[0] == "BadReplyError"
    assert "no such route" in only(seen)[1]


def test_an_error_field_that_holds_nothing_is_no_error() -> None:
    for nothing in (None, {}, "", {"code": None, "message": ""}):
        assert run(lambda n, b, nothing=nothing: {**chat("ok"), "error": nothing}).answers == ["ok"]


@pytest.mark.parametrize(
    ("finish", "error"),
    [
        ("content_filter: prohibited", "RefusedError"),
        ("sensitive", "RefusedError"),
        ("SAFETY", "RefusedError"),
        ("RECITATION", "RefusedError"),
        ("guardrail_intervened", "RefusedError"),
        ("tool_calls", "RefusedError"),
        ("function_call", "RefusedError"),
        ("MAX_TOKENS", "TruncatedError"),
        ("model_length", "TruncatedError"),
        ("FINISH_REASON_MAX_TOKENS", "TruncatedError"),
        ("OTHER", "AnswerError"),
        ("load", "AnswerError"),
        ("a word of tomorrow", "AnswerError"),
    ],
)
def test_a_finish_reason_that_is_not_known_to_be_good_is_a_failed_row(finish: str, error: str) -> None:
    seen = run(lambda n, b: chat("half a sen", finish))
    assert (only(seen)[0], len(seen.calls)) == (error, 1)


@pytest.mark.parametrize("message", [{}, {"message": None}, {"message": {"role": "assistant"}}], ids=str)
@pytest.mark.parametrize(("finish", "error"), [("content_filter: PROHIBITED_CONTENT", "RefusedError"), ("length", "TruncatedError")])
def test_a_choice_without_a_message_that_says_why_is_asked_for_once(message: dict[str, Any], finish: str, error: str) -> None:
    seen = run(lambda n, b: {"choices": [{"index": 0, "finish_reason": finish, **message}]}, llm={"max_tokens": 9})
    assert (only(seen)[0], len(seen.calls)) == (error, 1)


@pytest.mark.parametrize("finish", ["stop", "STOP", "eos", "eos_token", "end_turn", "stop_sequence", "COMPLETE", "FINISH_REASON_STOP", None, ""])
def test_a_finish_reason_that_is_known_to_be_good_or_not_told_is_an_answer(finish: Any) -> None:
    assert run(lambda n, b: chat("whole", finish)).answers == ["whole"]
    assert run(lambda n, b: message(text("whole"), stop=finish), make=dr.Anthropic, llm={"max_tokens": 9}).answers == ["whole"]


@pytest.mark.parametrize("finish", ["MAX_TOKENS", "length", "max_new_tokens"])
def test_a_cut_answer_is_one_where_max_tokens_was_asked_for(finish: str) -> None:
    assert run(lambda n, b: chat("half", finish), llm={"max_tokens": 9}).answers == ["half"]


@pytest.mark.parametrize(
    ("stop", "error"),
    [
        ("refusal", "RefusedError"),
        ("pause_turn", "AnswerError"),
        ("compaction", "AnswerError"),
        ("tool_use", "RefusedError"),
        ("model_context_window_exceeded", "TruncatedError"),
        ("max_tokens", "TruncatedError"),
    ],
)
def test_a_stop_reason_of_anthropics_that_is_not_known_to_be_good_is_a_failed_row(stop: str, error: str) -> None:
    assert only(run(lambda n, b: message(text("I'd be glad"), stop=stop), make=dr.Anthropic))[0] == error


@pytest.mark.parametrize(
    ("given", "error", "n_calls"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "sorry"}}, "ServerError", 3),
        ({"status": "failed", "error": {"code": "invalid_prompt", "message": "sorry"}}, "BadRequestError", 1),
        ({"status": "failed"}, "BadReplyError", 3),
        ({"status": "cancelled"}, "BadReplyError", 3),
        ({"status": "in_progress"}, "BadReplyError", 3),
        ({"status": "incomplete"}, "AnswerError", 1),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "RefusedError", 1),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "TruncatedError", 1),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "AnswerError", 1),
    ],
    ids=lambda v: json.dumps(v)[:70] if isinstance(v, dict) else None,
)
def test_a_response_that_did_not_complete_is_no_answer(given: dict[str, Any], error: str, n_calls: int) -> None:
    half = said({"type": "output_text", "text": "The capital of Fra"})
    seen = run(lambda n, b: response(half, **given), llm=RESPONSES)
    assert (only(seen)[0], len(seen.calls)) == (error, n_calls)


def test_an_answer_that_ended_nobody_knows_how_is_not_kept(tmp_path: Path) -> None:
    assert only(run(lambda n, b: chat("half", "hm"), where=tmp_path))[0] == "AnswerError"
    assert run(lambda n, b: chat("whole"), where=tmp_path).answers == ["whole"]


def test_a_batch_keeps_and_repeats_as_single_calls_do() -> None:
    class Half(Desk):
        def _result_line(self, key: str, body: dict[str, Any], fate: str) -> dict[str, Any]:
            made = super()._result_line(key, body, fate)
            first = len(self.batches) == 1
            for choice in made["response"]["body"]["choices"]:
                choice["finish_reason"] = {"broken": "error" if first else "stop", "odd": "hm"}.get(last(body), "stop")
            return made

    desk = Half()
    with Loopback(desk=desk) as server, dr.Session(None, progress=False):
        llm = dr.OpenAI("m", base_url=server.url, batch_poll_s=0.001)
        df = dr.frame({"t": ["fine", "broken", "odd"]}).prompt(llm, "{t}", on_error="null")
        out = df.collect(mode="batch")
        assert out["answer"].to_list() == ["fine", "broken", None]
        assert df.failures()["error"].to_list() == ["AnswerError"]
    assert [sorted(prompts) for prompts in desk.submitted] == [["broken", "fine", "odd"], ["broken"]]


@pytest.mark.parametrize("finish", ["error", "hm", None])
def test_a_client_of_the_users_own_is_held_to_the_same(finish: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dr.testing.FakeClient, "limits", Limits(attempts=2, backoff_s=0.001), raising=False)
    llm = dr.testing.Scripted(lambda _: dr.testing.Completion("half", finish=finish))
    with dr.Session(None, progress=False):
        df = dr.frame({"t": ["a"]}).prompt(llm, "{t}", on_error="null")
        assert df.collect()["answer"].to_list() == ([None] if finish else ["half"])


# Nothing but thoughts


@pytest.mark.parametrize("max_tokens", [None, 500])
@pytest.mark.parametrize(
    ("make", "llm", "reply"),
    [
        (dr.OpenAI, {}, chat(None, "length")),
        (dr.OpenAI, {}, chat("", "length", reasoning_content="…")),
        (dr.OpenAI, {}, chat("\n\n", "length", reasoning="…")),
        (dr.OpenAI, {}, chat("<think>Let me see", "length")),
        (dr.OpenAI, {"api": "completions"}, {"choices": [{"text": "", "finish_reason": "length"}]}),
        (dr.OpenAI, RESPONSES, response({"type": "reasoning", "summary": []}, status="incomplete", incomplete_details={"reason": "max_output_tokens"})),
        (dr.Anthropic, {}, message({"type": "thinking", "thinking": "hm"}, stop="max_tokens")),
        (dr.Anthropic, {}, message(stop="model_context_window_exceeded")),
        (dr.Mistral, {}, chat([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}], "length")),
    ],
    ids=["null", "empty", "blank", "tags", "completions", "responses", "anthropic", "anthropic's context", "mistral"],
)
@pytest.mark.parametrize("settings", [{}, {"schema": int}, {"parse": len, "schema": int}], ids=["plain", "schema", "parse"])
def test_a_budget_spent_on_thinking_is_a_cut_answer(make: Any, llm: dict[str, Any], reply: Any, max_tokens: int | None, settings: dict[str, Any]) -> None:
    seen = run(lambda n, b: reply, make=make, llm={**llm, "max_tokens": max_tokens}, **settings)
    assert only(seen)[0] == "TruncatedError"
    assert "raise max_tokens" in only(seen)[1]
    assert len(seen.calls) == 1


def test_a_tools_input_that_was_cut_is_no_answer() -> None:
    cut = message({"type": "tool_use", "name": "answer", "input": {}}, stop="max_tokens")
    shape = {"type": "object", "properties": {"counts": {"type": "object", "additionalProperties": {"type": "integer"}}}}
    assert only(run(lambda n, b: cut, make=dr.Anthropic, llm={"max_tokens": 9}, schema=shape))[0] == "TruncatedError"


# An answer that is elsewhere


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (chat(None, reasoning_content='{"answer": 4}'), "thoughts and no answer"),
        (chat("", reasoning='{"answer": 4}'), "thoughts and no answer"),
        (chat('<think>{"answer": 4}'), "thoughts and no answer"),
        (chat(None, "tool_calls", tool_calls=[{"function": {"name": "f", "arguments": '{"answer": 4}'}}]), "called a tool"),
        (chat(None, "stop", tool_calls=[{"function": {"name": "f", "arguments": '{"answer": 4}'}}]), "called a tool"),
        (chat(None, "stop", function_call={"name": "f", "arguments": '{"answer": 4}'}), "called a tool"),
        (chat("Let me look that up.", "tool_calls", tool_calls=[{"function": {"name": "f", "arguments": "{}"}}]), "called a tool"),
    ],
    ids=["reasoning_content", "reasoning", "tags", "tool_calls", "a forced tool", "function_call", "words before a tool"],
)
@pytest.mark.parametrize("schema", [None, int], ids=["plain", "schema"])
def test_what_is_in_thoughts_or_tool_calls_is_no_answer_in_words_and_the_error_says_where_it_is(reply: Any, says: str, schema: Any) -> None:
    seen = run(lambda n, b: reply, schema=schema)
    if schema is not None and "Let me look" not in str(reply):  # the JSON that was asked for, and nothing else: see api/test_misplaced.py
        assert seen.answers == [4]
        return
    assert only(seen)[0] == "RefusedError"
    assert says in only(seen)[1]


def test_the_text_parts_of_a_message_are_its_text_and_no_others() -> None:
    thoughts = [{"type": "thinking", "thinking": [text("hm")]}, {"type": "reasoning", "text": "hm"}]
    parts = [*thoughts, text("a"), {"type": "output_text", "text": "b"}]
    assert run(lambda n, b: chat(parts)).answers == ["ab"]


# Repairs


@pytest.mark.parametrize("empty", ["", "\n ", "```\n```"], ids=repr)
@pytest.mark.parametrize("make", [dr.OpenAI, dr.Anthropic], ids=["openai", "anthropic"])
def test_a_repair_never_quotes_an_empty_answer(make: Any, empty: str) -> None:
    def reply(n: int, b: dict[str, Any]) -> Any:
        if any(m["role"] == "assistant" and not m["content"].strip() for m in b["messages"]):
            return 400, {"error": {"message": "messages: text content blocks must be non-empty"}}
        said = empty if n == 0 else '{"answer": 4}'
        return chat(said) if make is dr.OpenAI else message(text(said))

    seen = run(reply, make=make, schema=int)
    assert (seen.answers, len(seen.calls)) == ([4], 2)
    if not empty.strip():
        assert [m["role"] for m in seen.calls[1]["messages"]] == ["user"], "asked anew, in a form that every template takes"


def test_asking_anew_keeps_the_images_of_the_question() -> None:
    from dreamframe.errors import ParseError
    from dreamframe.plan.steps.repair import ANEW, next_turn

    image = {"type": "image_url", "image_url": {"url": "data:,x"}}
    talk: list[dict[str, Any]] = [{"role": "user", "content": [image]}]
    assert next_turn(talk, ParseError("no", text="")) == [{"role": "user", "content": [image, {"type": "text", "text": ANEW}]}]
    prefilled = [*talk, {"role": "assistant", "content": "{"}]
    assert next_turn(prefilled, ParseError("no", text=None)) == [*prefilled, {"role": "user", "content": ANEW}]


# Vectors


@pytest.mark.parametrize(
    ("reply", "error", "says"),
    [
        ({"data": [{"index": 0, "embedding": None}]}, "BadReplyError", "no vectors"),
        ({"data": [{"index": 0, "embedding": []}]}, "BadReplyError", "0 numbers"),
        ({"data": []}, "BadReplyError", "0 vectors came for 1 texts"),
        ({"data": [{"index": 0, "embedding": [1.0, 2.0]}], "error": {"message": "upstream lost"}}, "ServerError", "upstream lost"),
        ({"object": "error", "message": "no such model", "code": 400}, "BadRequestError", "no such model"),
    ],
    ids=["null", "empty", "none", "an error beside it", "an error"],
)
def test_what_is_no_vector_is_a_failed_row(reply: Any, error: str, says: str) -> None:
    seen = run(lambda n, b: reply, make=embedder, verb=lambda df, m: df.embed(m, "t", on_error="null"))
    assert only(seen)[0] == error
    assert says in only(seen)[1]


def embedder(name: str, **settings: Any) -> Any:
    return dr.OpenAIEmbedder(name, dimensions=2, **settings)



@pytest.mark.parametrize(("reply", "error"), [(chat(None), "RefusedError"), (chat("", "length"), "TruncatedError"), (chat("x", "tool_calls"), "RefusedError")])
def test_a_reduction_is_held_to_the_same(reply: Any, error: str) -> None:
    seen = run(lambda n, b: reply, verb=lambda df, m: df.group_by(k=pl.lit(1)).reduce_by(m, "{t}", on_error="null"))
    assert only(seen)[0] == error
