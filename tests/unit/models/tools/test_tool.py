"""Functions as tools: what is a result, and what is a failed call."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import ServerError, SettingError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.request import Question, Request
from dreamframe.models.tools.tool import Tool


def called(function: Callable[..., Any], arguments: dict[str, Any] | None = None, **settings: Any) -> dict[str, str]:
    """What a call of a tool gives."""
    tool = Tool(function, **settings)
    request = Request(Question(llm=tool, form="input"), json.dumps({"arguments": arguments or {}}), 0, b"0" * 16)
    made: dict[str, str] = json.loads(asyncio.run(tool.open().complete(request)).text or "")
    return made


@dataclass
class Point:
    x: int


def text() -> str:
    return "é"


def number() -> float:
    return 4.5


def record() -> Point:
    return Point(1)


async def awaited() -> list[int]:
    await asyncio.sleep(0)
    return [1]


def fails() -> str:
    raise KeyError("tea")


def leaves() -> str:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("function", "gives"),
    [
        (text, {"result": "é"}), (number, {"result": "4.5"}), (record, {"result": '{"x": 1}'}), (awaited, {"result": "[1]"}),
        (fails, {"error": "KeyError: 'tea'"}), (leaves, {"error": "RuntimeError: SystemExit: 3"}),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)  # fmt: skip
def test_what_a_function_gives_or_raises_is_a_result(function: Callable[..., Any], gives: dict[str, str]):
    assert called(function) == gives


def test_a_call_that_takes_too_long_is_a_result_that_says_so():
    held = threading.Event()

    def waits() -> str:
        held.wait(20)
        return ""

    assert called(dr.versioned(waits, version=1), timeout_s=0.05) == {"error": "TimeoutError: no result within 0.05 s"}
    held.set()


def test_what_is_worth_another_try_is_no_result():
    def busy() -> str:
        raise ServerError("busy")

    with pytest.raises(ServerError):
        called(busy)


def test_secrets_of_the_environment_stand_in_no_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WEATHER_API_KEY", "sk-5b1c8e77aa90d1")

    def leaks() -> str:
        raise ValueError("refused: sk-5b1c8e77aa90d1")

    assert "sk-5b1c8e77aa90d1" not in called(leaks)["error"]


def price(item: str) -> float:
    """What it costs."""
    return {"tea": 4.5}[item]


def test_how_a_model_is_told_of_a_function_changes_no_result():
    told, otherwise = Tool(price), Tool(price, name="cost", description="Ask me.")
    assert told.identity_fields() == otherwise.identity_fields()
    assert fingerprint(told) != fingerprint(otherwise), "the plan is another one: the model is told something else"
    assert otherwise.schema["function"] == {
        "name": "cost", "description": "Ask me.",
        "parameters": {"additionalProperties": False, "properties": {"item": {"type": "string"}}, "required": ["item"], "type": "object"},
    }  # fmt: skip


@pytest.mark.parametrize(("given", "settings"), [(3, {}), (price, {"name": "what it costs"}), (lambda: 1, {}), (price, {"timeout_s": 0})])
def test_what_is_not_a_tool_is_refused(given: Any, settings: dict[str, Any]):
    with pytest.raises(SettingError, match="Tool"):
        Tool(given, **settings)
