"""Counts and names that no server should send: the answer is kept, what was odd is not, and everything of it can be written to the journal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dreamframe.models.api.wire import Api, Dialect
from dreamframe.models.llms.anthropic import Anthropic
from dreamframe.models.llms.openai import OpenAI
from dreamframe.models.request import Completion, Question
from dreamframe.store.journal import batch_of
from tests.storing import key_of

ODD = ["12", 1.5, 2**70, -5, [1], {"a": 1}, None, "x", float("inf"), float("nan")]


def read(reply: dict[str, Any], api: Api = "chat", *, anthropic: bool = False) -> Completion:
    llm = Anthropic("m", max_tokens=9) if anthropic else OpenAI("m")
    return llm.wire(Question(llm=llm, sampling=llm.sampling), Dialect(api=api)).read(json.dumps(reply).encode(), place="here")


def reply_of(api: str, *, usage: Any, finish: Any = "stop", model: Any = "m") -> dict[str, Any]:
    if api == "anthropic":
        return {"content": [{"type": "text", "text": "hi"}], "stop_reason": finish, "usage": usage, "model": model}
    if api == "responses":
        content = [{"type": "output_text", "text": "hi"}]
        return {"status": "completed", "output": [{"type": "message", "content": content}], "usage": usage, "model": model}
    if api == "completions":
        return {"choices": [{"text": "hi", "finish_reason": finish}], "usage": usage, "model": model}
    return {"choices": [{"message": {"content": "hi"}, "finish_reason": finish}], "usage": usage, "model": model}


APIS = ["chat", "completions", "responses", "anthropic"]


def written(done: Completion) -> dict[str, Any]:
    """The answer as the journal gives it back."""
    counts = (done.n_in, done.n_out, done.n_cached, done.n_reasoning)
    row = (key_of(1), done.text, done.data, done.finish, *counts, done.model, done.extra, 0)
    return batch_of([row]).row(0, named=True)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("odd", ODD, ids=repr)
def test_an_odd_count_is_0_and_the_answer_stays(api: Any, odd: Any) -> None:
    counts = dict.fromkeys(("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "cache_read_input_tokens"), odd)
    kept = {"cached_tokens": odd, "cache_write_tokens": odd}
    details = {"prompt_tokens_details": kept, "output_tokens_details": odd, "input_tokens_details": [odd], "cache_creation_input_tokens": odd}
    done = read(reply_of(api, usage=counts | details), api if api != "anthropic" else "chat", anthropic=api == "anthropic")
    found = written(done)
    assert done.n_written == 0
    assert (found["text"], found["n_in"], found["n_out"], found["n_cached"], found["n_reasoning"]) == ("hi", 0, 0, 0, 0)


@pytest.mark.parametrize("api", APIS)
def test_what_the_cache_had_and_keeps_is_a_part_of_what_was_read(api: Any) -> None:
    """OpenAI counts it within the prompt's tokens, Anthropic beside them."""
    details = {"cached_tokens": 30, "cache_write_tokens": 60}
    usage = {"prompt_tokens": 100, "prompt_tokens_details": details, "input_tokens": 100, "input_tokens_details": details}
    if api == "anthropic":
        usage = {"input_tokens": 10, "cache_read_input_tokens": 30, "cache_creation_input_tokens": 60}
    done = read(reply_of(api, usage=usage), api if api != "anthropic" else "chat", anthropic=api == "anthropic")
    assert (done.n_in, done.n_cached, done.n_written) == (100, 30, 60)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("usage", [None, "x", [1], 5], ids=repr)
def test_usage_that_is_no_object_is_none(api: Any, usage: Any) -> None:
    found = written(read(reply_of(api, usage=usage), api if api != "anthropic" else "chat", anthropic=api == "anthropic"))
    assert (found["text"], found["n_in"]) == ("hi", 0)


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("name", [5, ["m"], {"a": 1}, "half \ud83d", None, ""], ids=ascii)
def test_an_odd_name_of_a_model_can_be_written(api: Any, name: Any) -> None:
    found = written(read(reply_of(api, usage={}, model=name), api if api != "anthropic" else "chat", anthropic=api == "anthropic"))
    assert found["text"] == "hi"
    assert isinstance(found["model"], str)


@pytest.mark.parametrize("api", ["chat", "completions", "anthropic"])
@pytest.mark.parametrize("finish", [5, "half \ud83d", "their own word", None], ids=ascii)
def test_an_odd_reason_to_stop_can_be_written(api: Any, finish: Any) -> None:
    found = written(read(reply_of(api, usage={}, finish=finish), "chat" if api == "anthropic" else api, anthropic=api == "anthropic"))
    assert found["text"] == "hi"
    assert isinstance(found["finish"], str)


def test_whole_numbers_written_as_floats_count() -> None:
    assert read(reply_of("chat", usage={"prompt_tokens": 12.0, "completion_tokens": True})).n_in == 12
