"""dr.LiteLLM against a stand-in for the library: litellm needs openai below 3 and is not installed beside it. Its documented interface is what is held."""

from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from dreamframe.errors import MissingExtraError
from dreamframe.models.llms.litellm import LiteLLM
from tests.loopback import replies
from tests.loopback.asking import ask


class ModelResponse:
    """What litellm.acompletion returns: a pydantic model of the OpenAI form."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def model_dump(self) -> dict[str, Any]:
        return self._body


class Response:
    def __init__(self, headers: dict[str, str]) -> None:
        self.headers = headers


def error(name: str, status: int, message: str, headers: dict[str, str] | None = None) -> Exception:
    """An exception as litellm.exceptions has them."""
    made: Exception = type(name, (Exception,), {"status_code": status, "response": Response(headers or {})})(message)
    return made


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The calls that the stand-in got; a prompt "raise NAME" raises."""
    seen: list[dict[str, Any]] = []
    errors = {
        "limit": error("RateLimitedOnce", 429, "slow down", {"retry-after": "0.01"}),
        "policy": error("ContentPolicyViolationError", 400, "no"),
        "context": error("ContextWindowExceededError", 400, "no"),
        "key": error("AuthenticationError", 401, "bad key"),
        "bug": KeyError("a bug of the library"),
    }

    async def acompletion(**arguments: Any) -> ModelResponse:
        seen.append(arguments)
        text = arguments["messages"][-1]["content"]
        name = text.removeprefix("raise ")
        if name in errors:
            raised = errors[name]
            if name == "limit":
                errors.pop("limit")
            raise raised
        return ModelResponse(replies.chat(arguments, text.upper()))

    async def atext_completion(**arguments: Any) -> ModelResponse:
        seen.append(arguments)
        return ModelResponse(replies.completion(arguments, arguments["prompt"].upper()))

    module = types.ModuleType("litellm")
    module.acompletion, module.atext_completion = acompletion, atext_completion  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "litellm", module)
    return seen


def test_a_request_becomes_a_call_of_the_library(calls: list[dict[str, Any]]) -> None:
    run, failures = ask(LiteLLM("cohere/command-r", system="S", temperature=0, max_tokens=9, api_key="k"), ["hi"])
    assert (failures, run.texts) == ({}, {"hi": "HI"})
    assert calls == [
        {
            "model": "cohere/command-r",
            "temperature": 0.0,
            "max_tokens": 9,
            "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "hi"}],
            "api_key": "k",
            "num_retries": 0,
            "max_retries": 0,
            "timeout": 300.0,
        }
    ]


def test_base_models_complete_texts(calls: list[dict[str, Any]]) -> None:
    run, _ = ask(LiteLLM("x/base", api="completions"), ["hi"])
    assert (run.texts, calls[0]["prompt"]) == ({"hi": "HI"}, "hi")


@pytest.mark.parametrize(
    ("prompt", "outcome"), [("raise context", "ContextLengthError"), ("raise key", "AuthenticationError"), ("raise policy", "content_filter")]
)
def test_an_exception_of_the_library_is_an_error_of_the_tree(calls: list[dict[str, Any]], prompt: str, outcome: str) -> None:
    run, failures = ask(LiteLLM("x/y"), [prompt])
    assert outcome == (failures[0].error if failures else run.completions[prompt].finish)


def test_a_rate_limit_is_obeyed_and_the_call_made_again(calls: list[dict[str, Any]]) -> None:
    run, failures = ask(LiteLLM("x/y", backoff_s=0.001), ["raise limit"])
    assert (failures, len(calls), run.retries[0][0]) == ({}, 2, "RateLimitedError")
    assert run.retries[0][1] >= 0.01


def test_a_fault_of_the_library_is_not_hidden(calls: list[dict[str, Any]]) -> None:
    with pytest.raises(KeyError, match="a bug of the library"):
        ask(LiteLLM("x/y"), ["raise bug"])


def test_without_the_library_the_error_gives_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "litellm", None)  # type: ignore[arg-type]
    with pytest.raises(MissingExtraError, match=r"pip install 'dreamframe\[litellm\]'"):
        ask(LiteLLM("x/y"), ["a"])
