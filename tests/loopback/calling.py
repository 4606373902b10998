"""Replies of servers whose models call tools, in each provider's protocol, whole and streamed."""

from __future__ import annotations

import json
from typing import Any

from tests.loopback import replies
from tests.loopback.server import Behaviour, Call

Called = tuple[str, str, str]  # id, name, arguments as text


def chat(body: dict[str, Any], text: str | None, calls: list[Called]) -> dict[str, Any]:
    made = replies.chat(body, text, "tool_calls" if calls else "stop")
    if calls:
        held = [{"id": i, "type": "function", "function": {"name": n, "arguments": a}} for i, n, a in calls]
        made["choices"][0]["message"]["tool_calls"] = held
    return made


def response(body: dict[str, Any], text: str | None, calls: list[Called]) -> dict[str, Any]:
    made = replies.response(body, text)
    if text is None:
        made["output"] = made["output"][:1]
    made["output"] += [{"type": "function_call", "id": f"fc_{i}", "call_id": i, "name": n, "arguments": a, "status": "completed"} for i, n, a in calls]
    return made


def messages(body: dict[str, Any], text: str | None, calls: list[Called]) -> dict[str, Any]:
    made = replies.anthropic({"model": body["model"]}, text)
    uses = [{"type": "tool_use", "id": i, "name": n, "input": json.loads(a)} for i, n, a in calls]
    made["content"] = ([{"type": "text", "text": text}] if text is not None else []) + uses
    made["stop_reason"] = "tool_use" if calls else "end_turn"
    return made


def events(*sent: Any, done: bool = True) -> bytes:
    lines = [f"data: {json.dumps(e)}\n\n" for e in sent]
    return "".join([*lines, *(["data: [DONE]\n\n"] if done else [])]).encode()


def chat_stream(text: str | None, calls: list[Called], *, cut: bool = False) -> bytes:
    """Arguments come in halves; `cut`: the stream ends between them."""
    parts: list[dict[str, Any]] = [{"role": "assistant", "content": text}]
    for at, (i, name, arguments) in enumerate(calls):
        half = len(arguments) // 2
        parts.append({"tool_calls": [{"index": at, "id": i, "type": "function", "function": {"name": name, "arguments": arguments[:half]}}]})
        if cut:
            return events(*({"choices": [{"index": 0, "delta": d}]} for d in parts), done=False)
        parts.append({"tool_calls": [{"index": at, "function": {"arguments": arguments[half:]}}]})
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}]}
    return events(*({"choices": [{"index": 0, "delta": d}]} for d in parts), end)


def messages_stream(text: str | None, calls: list[Called], *, cut: bool = False) -> bytes:
    sent: list[dict[str, Any]] = [{"type": "message_start", "message": {"type": "message", "role": "assistant", "model": "m", "content": []}}]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if text is not None:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": text}]))
    for i, name, arguments in calls:
        half = len(arguments) // 2
        pieces = [{"type": "input_json_delta", "partial_json": piece} for piece in (arguments[:half], arguments[half:])]
        blocks.append(({"type": "tool_use", "id": i, "name": name, "input": {}}, pieces[: 1 if cut else 2]))
    for at, (block, deltas) in enumerate(blocks):
        sent += [{"type": "content_block_start", "index": at, "content_block": block}]
        sent += [{"type": "content_block_delta", "index": at, "delta": d} for d in deltas] + [{"type": "content_block_stop", "index": at}]
    sent.append({"type": "message_delta", "delta": {"stop_reason": "tool_use" if calls else "end_turn"}, "usage": {"output_tokens": 3}})
    return events(*sent, {"type": "message_stop"}, done=False)


def sends(call: Call, text: str | None, calls: list[Called], *, stream: bool = False, cut: bool = False) -> Behaviour:
    """The reply in the protocol of the address that was asked."""
    of_messages = call.path.endswith("/messages")
    if stream:
        made = (messages_stream if of_messages else chat_stream)(text, calls, cut=cut)
        return lambda c: c.send(200, made, {"Content-Type": "text/event-stream"})
    maker = messages if of_messages else response if call.path.endswith("/responses") else chat
    return lambda c: c.send(200, maker(c.body, text, calls))


def results_in(body: dict[str, Any]) -> list[tuple[str, str]]:
    """The results of tools in a request: the id of the call, and what the tool gave."""
    found = []
    for item in body.get("messages") or body.get("input") or []:
        if item.get("role") == "tool":
            found.append((item["tool_call_id"], item["content"]))
        elif item.get("type") == "function_call_output":
            found.append((item["call_id"], item["output"]))
        elif isinstance(item.get("content"), list):
            found += [(p["tool_use_id"], p["content"]) for p in item["content"] if p["type"] == "tool_result"]
    return found
