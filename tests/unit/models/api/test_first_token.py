"""The probabilities of labels behind an API: the log-probabilities of the first token, however the server words them."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.models.api.first_token import of_letters
from tests.loopback.served import Reply, Seen, chat, response, run, said

P = {"A": 0.5, " A": 0.2, "B": 0.1, "Well": 0.15}
LISTED = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in P.items()]
FIRST = {"content": [{"token": "A", "logprob": math.log(0.5), "top_logprobs": LISTED}, {"token": ".", "logprob": 0.0, "top_logprobs": []}]}
LEGACY = {"tokens": ["A"], "token_logprobs": [math.log(0.5)], "top_logprobs": [{token: math.log(p) for token, p in P.items()}]}


def sports(df: dr.Frame, llm: Any) -> dr.Frame:
    return df.prompt(llm, "Sports? {t}", "a", schema=bool, probability="p", on_error="null")


def seen(reply: Reply, rows: list[str] | None = None, make: Any = dr.OpenAI, **llm: Any) -> Seen:
    return run(reply, rows or ["a"], make, verb=sports, llm=llm)


def told(first: Any = FIRST, content: str | None = "A", finish: str = "length") -> dict[str, Any]:
    made = chat(content, finish)
    made["choices"][0]["logprobs"] = first
    return made


def test_a_request_has_a_menu_and_asks_for_one_token() -> None:
    found = seen(lambda *_: told())
    assert found.answers == [pytest.approx(0.7 / 0.8)]
    (body,) = found.calls
    assert {k: v for k, v in body.items() if k != "messages"} == {"model": "m", "temperature": 1.0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}
    assert body["messages"] == [{"role": "user", "content": "Sports? a\n\nAnswer with one letter out of this list, and nothing else:\nA. yes\nB. no"}]


def test_the_completions_api_tells_them_as_it_always_has() -> None:
    found = seen(lambda *_: {"choices": [{"text": " A", "finish_reason": "length", "logprobs": LEGACY}]}, api="completions")
    assert found.answers == [pytest.approx(0.875)]
    assert (found.calls[0]["logprobs"], found.calls[0]["max_tokens"], found.calls[0]["prompt"][-5:]) == (20, 1, "B. no")


def test_the_responses_api_tells_them_with_the_text() -> None:
    part = {"type": "output_text", "text": "A", "logprobs": FIRST["content"]}
    found = seen(lambda *_: response(said(part)), api="responses")
    assert found.answers == [pytest.approx(0.875)]
    body = found.calls[0]
    assert (body["top_logprobs"], body["include"], body["max_output_tokens"]) == (20, ["message.output_text.logprobs"], 16)


def test_together_counts_them_in_logprobs() -> None:
    found = seen(lambda *_: told(LEGACY), make=dr.Together)
    assert found.answers == [pytest.approx(0.875)]
    assert found.calls[0]["logprobs"] == 20
    assert "top_logprobs" not in found.calls[0]


def test_the_token_alone_is_enough_where_a_server_lists_no_others() -> None:
    alone = {"content": [{"token": "B", "logprob": math.log(0.9)}]}
    assert seen(lambda *_: told(alone)).answers == [1.0]


def test_a_letter_that_is_not_listed_has_nothing_and_its_bound_is_told() -> None:
    found = json.loads(of_letters(["x", "y", "z"], [("A", math.log(0.6)), ("C", math.log(0.2)), ("So", math.log(0.05))]))
    assert dict(found["all"]) == pytest.approx({"x": 0.75, "y": 0.0, "z": 0.25})
    assert (found["unlisted"], found["outside"]) == (pytest.approx(0.2), pytest.approx(0.2))
    assert "unlisted" not in json.loads(of_letters(["x", "y"], [("A", -0.1), ("B", -3.0)]))


def test_an_answer_off_the_menu_is_a_failed_row_that_says_how_it_begins() -> None:
    off = {"content": [{"token": "<think>", "logprob": -0.01, "top_logprobs": [{"token": "<think>", "logprob": -0.01}]}]}
    found = seen(lambda *_: told(off, None))
    assert found.answers == [None]
    assert "would begin with '<think>', as a model does that thinks first" in found.failures[0][1]


def test_a_refusal_is_one() -> None:
    found = seen(lambda *_: told(None, None, "content_filter"))
    assert [error for error, _ in found.failures] == ["RefusedError"]


def test_a_server_that_tells_none_is_said_to_and_is_not_asked_for_every_row() -> None:
    found = seen(lambda *_: told(None, "A", "stop"), [f"{i}" for i in range(40)], concurrency=1)
    assert "the reply has no log-probabilities, so it tells no probabilities: leave probability= out" in found.failures[0][1]
    assert len(found.calls) <= 2


def test_a_server_that_refuses_to_tell_them_stops_the_run() -> None:
    words = "You are not allowed to request logprobs from this model"
    found = seen(lambda *_: (403, {"error": {"message": words, "type": "invalid_request_error"}}), ["a", "b", "c"], concurrency=1)
    other = seen(lambda *_: (400, {"error": {"message": "This model does not support the 'logprobs' parameter."}}), ["a", "b", "c"], concurrency=1)
    assert len(other.calls) == 1
    assert "does not support the 'logprobs' parameter, so it tells no probabilities: leave probability= out" in other.failures[0][1]
    assert words in found.failures[0][1]


def test_streams_tell_them_too() -> None:
    events = [{"choices": [{"index": 0, "delta": {"content": "A"}, "logprobs": FIRST}]}, {"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]}]
    from dreamframe.models.api.event_stream import whole

    folded = json.loads(whole("".join(f"data: {json.dumps(e)}\n\n" for e in events).encode() + b"data: [DONE]\n\n", place="here"))
    assert seen(lambda *_: folded).answers == [pytest.approx(0.875)]


@pytest.mark.parametrize(
    ("llm", "words"),
    [
        (dr.Anthropic("m"), "gives no log-probabilities"),
        (dr.Mistral("m"), "gives no log-probabilities"),
        (dr.Groq("m"), "gives no log-probabilities"),
        (dr.OpenAI("m", reasoning_effort="low"), "thinks before it answers"),
        (dr.Fireworks("m"), "5 labels at most, and there are 6"),
    ],
    ids=lambda v: getattr(v, "provider", ""),
)
def test_models_that_tell_none_or_too_few_are_refused_when_the_plan_is_built(llm: Any, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        dr.frame({"t": ["a"]}).classify(llm, list("uvwxyz"), "t", probability="p")


def test_twenty_labels_are_listed_and_no_more() -> None:
    rows = dr.frame({"t": ["a"]})
    rows.classify(dr.OpenAI("m"), [f"l{i}" for i in range(20)], "t", probability="p")
    with pytest.raises(SettingError, match="m tells those of 20 labels at most, and there are 21"):
        rows.classify(dr.OpenAI("m"), [f"l{i}" for i in range(21)], "t", probability="p")
