"""Answers that a server streams (text/event-stream): put together again into the reply that it would have given at once.

Only a stream that came to its end is one: where it breaks off, nobody knows what was still to come, and the call is made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dreamframe.errors import BadReplyError

STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")  # no JSON begins so
JOINED = ("content", "reasoning_content", "reasoning", "refusal", "text", "arguments", "thinking", "partial_json", "signature")
DONE = "[DONE]"


def is_stream(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a reply is a stream of events, by its header or by how it begins."""
    begun = body[:64].lstrip()
    return begun.startswith(STARTS) or (headers.get("Content-Type", "").startswith("text/event-stream") and not begun.startswith((b"{", b"[")))


def whole(body: bytes, *, place: str) -> bytes:
    """The JSON of the whole reply. An error that was streamed is a reply with an error. Raises BadReplyError for what cannot be read, or breaks off."""
    try:
        found = _put_together(_events(body))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as exc:
        begins = body[:2000].decode("utf-8", "replace")
        raise BadReplyError(f"{place}: the stream cannot be read: {type(exc).__name__}: {exc}", status=200, text=begins) from exc
    if found is None:
        ends = body[-2000:].decode("utf-8", "replace")
        raise BadReplyError(f"{place}: the stream breaks off before the end of the answer", status=200, text=ends)
    return json.dumps(found).encode()


def _events(body: bytes) -> Iterator[Any]:
    """The data of each event: an object, or the text that ends a stream."""
    text = body.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    for event in text.split("\n\n"):
        lines = [line.partition(":")[2].removeprefix(" ") for line in event.split("\n") if line.startswith("data:")]
        data = "\n".join(lines).strip()
        if data == DONE:
            yield DONE
        elif data:
            yield json.loads(data)


def _put_together(events: Iterator[Any]) -> dict[str, Any] | None:
    """The reply; None where the stream has no end."""
    reply: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    blocks: dict[int, dict[str, Any]] = {}
    is_over = False
    for event in events:
        if event == DONE:
            is_over = is_over or any(c.get("finish_reason") or "text" in c or c.get("message") for c in choices.values())
            break
        kind = event.get("type") or ""
        if event.get("error") or kind == "error" or event.get("object") == "error":
            return dict(event)
        if isinstance(event.get("response"), dict) and kind.startswith("response."):
            if kind in ("response.completed", "response.incomplete", "response.failed"):
                return dict(event["response"])
        elif kind == "message_start":
            reply = {**event["message"]}
        elif kind.startswith("content_block_"):
            _block(blocks, event, kind)
        elif kind == "message_delta":
            reply = {**reply, **event.get("delta", {}), "usage": {**(reply.get("usage") or {}), **(event.get("usage") or {})}}
        elif kind == "message_stop":
            is_over = True
        elif "choices" in event:
            reply |= {k: v for k, v in event.items() if k != "choices" and v is not None}
            for part in event["choices"]:
                is_over |= bool(_choice(choices, part).get("finish_reason"))
    if not is_over:
        return None
    return {**reply, "content": [blocks[i] for i in sorted(blocks)]} if not choices else {**reply, "choices": [choices[i] for i in sorted(choices)]}


def _choice(choices: dict[int, dict[str, Any]], part: dict[str, Any]) -> dict[str, Any]:
    """A choice with one more part of it."""
    at = part.get("index") or 0
    choice = choices.setdefault(at, {"index": at})
    message = part.get("delta") or part.get("message") or {}
    if "text" in part:
        choice["text"] = (choice.get("text") or "") + (part["text"] or "")
    else:
        held = choice.setdefault("message", {"content": None})
        calls = message.pop("tool_calls", None) or []
        _join(held, message)
        for n, call in enumerate(calls):
            _call(held.setdefault("tool_calls", []), call, n)
    for name in ("finish_reason", "error", "content_filter_results"):
        if part.get(name):
            choice[name] = part[name]
    if part.get("logprobs"):
        _logprobs(choice, part["logprobs"])
    return choice


def _join(held: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put what came to what is there: texts are joined, the rest is replaced."""
    for name, value in more.items():
        if isinstance(value, str) and name in JOINED and isinstance(held.get(name), str):
            held[name] += value
        elif isinstance(value, dict) and isinstance(held.get(name), dict):
            _join(held[name], value)
        elif value is not None:
            held[name] = value


def _call(calls: list[dict[str, Any]], part: dict[str, Any], n: int) -> None:
    at = part.get("index", n)
    held = next((c for c in calls if c["index"] == at), None)
    if held is None:
        calls.append({**part, "index": at})
    else:
        _join(held, part)


def _logprobs(choice: dict[str, Any], more: Any) -> None:
    held = choice.get("logprobs")
    if isinstance(held, dict) and isinstance(more, dict):
        for name, value in more.items():
            held[name] = held[name] + value if isinstance(held.get(name), list) and isinstance(value, list) else value
    else:
        choice["logprobs"] = more


def _block(blocks: dict[int, dict[str, Any]], event: dict[str, Any], kind: str) -> None:
    """A content block of Anthropic's with one more part of it."""
    at = event["index"]
    if kind == "content_block_start":
        blocks[at] = dict(event["content_block"])
    elif kind == "content_block_delta":
        _join(blocks[at], {k: v for k, v in event["delta"].items() if k != "type"})
    elif "partial_json" in blocks[at]:
        blocks[at]["input"] = json.loads(blocks[at].pop("partial_json") or "{}")
