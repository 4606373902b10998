"""Tools and the turns that call them, as each API has them; between steps and models they travel in the shape of OpenAI's chat API."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from dreamframe.models.tools.turns import Call, read_call, read_message

NOTHING: Mapping[str, Any] = {"type": "object", "properties": {}}


def offered(tools: str, api: str) -> list[dict[str, Any]]:
    """The tools of a question, as an API takes them: "chat", "responses" or "messages" (Anthropic's)."""
    found: list[dict[str, Any]] = json.loads(tools)
    if api == "chat":
        return found
    functions = [tool["function"] for tool in found]
    if api == "responses":  # which holds models to schemas of its own kind unless it is told not to
        return [{"type": "function", "strict": False, **function} for function in functions]
    return [_described(f) | {"input_schema": f.get("parameters") or NOTHING} for f in functions]


def _described(function: Mapping[str, Any]) -> dict[str, Any]:
    return {name: function[name] for name in ("name", "description") if name in function}


def response_items(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages as the responses API has them: each call, and each result, is an item of its own."""
    items: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool":
            items.append({"type": "function_call_output", "call_id": message["tool_call_id"], "output": message["content"]})
            continue
        if not message.get("tool_calls") or message.get("content"):
            items.append({"role": message["role"], "content": message["content"]})
        for call in message.get("tool_calls") or ():
            items.append({"type": "function_call", "call_id": call["id"], **call["function"]})
    return items


def response_calls(found: Mapping[str, Any]) -> list[Call]:
    """The calls in a reply of the responses API."""
    items = [item for item in found["output"] if item["type"] == "function_call"]
    return [read_call(item.get("call_id") or item.get("id"), item.get("name"), item.get("arguments")) for item in items]


def chat_calls(choice: Mapping[str, Any]) -> list[Call]:
    """The calls in a choice of the chat API."""
    return read_message(choice.get("message") or {})


def blocks(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages as Anthropic's API has them: calls are blocks of the assistant's, and results of the user's, all of one turn in one message."""
    made: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "tool":
            result = {"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": message["content"]}
            if made and made[-1]["role"] == "user" and isinstance(made[-1]["content"], list) and made[-1]["content"][0]["type"] == "tool_result":
                made[-1]["content"].append(result)
            else:
                made.append({"role": "user", "content": [result]})
        elif message.get("tool_calls"):
            text = [{"type": "text", "text": message["content"]}] if message.get("content") else []
            made.append({"role": "assistant", "content": [*text, *map(_use, message["tool_calls"])]})
        else:
            made.append({"role": message["role"], "content": message["content"]})
    return made


def _use(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call as a block. What the model wrote where arguments belong is handed back as it is, as the value of one argument."""
    told = call["function"]["arguments"]
    try:
        given = json.loads(told or "{}")
    except (ValueError, RecursionError):
        given = None
    return {"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": given if isinstance(given, dict) else {"arguments": told}}


def block_calls(found: Mapping[str, Any]) -> list[Call]:
    """The calls in a reply of Anthropic's API."""
    return [read_call(b.get("id"), b.get("name"), b.get("input")) for b in found["content"] if b["type"] == "tool_use"]
