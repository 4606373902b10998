"""Answers that a server streams (text/event-stream): put together again into the reply that it would have given at once.

Only a stream that came to its end is one: where it breaks off, nobody knows what was still to come, and the call is made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from dreamframe.errors import BadReplyError
from dreamframe.store.ends import LENGTH, end_of

STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")  # no JSON begins so
JOINED = ("content", "reasoning_content", "reasoning", "refusal", "text", "arguments", "thinking", "partial_json", "signature")
DONE = "[DONE]"
NOTHING = ("", "null", "none")  # what some write as the reason where there is none yet
BLANK = b"\xef\xbb\xbf \t\r\n"


def is_stream(body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a reply is a stream of events, by its header or by how it begins."""
    begun = body[:4096].lstrip(BLANK)
    return begun.startswith(STARTS) or (headers.get("Content-Type", "").lower().startswith("text/event-stream") and not begun.startswith((b"{", b"[")))


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
    text = body.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    for event in text.split("\n\n"):
        kind, lines = "", []
        for line in event.split("\n"):
            name, _, value = line.partition(":")
            if name == "data":
                lines.append(value.removeprefix(" "))
            elif name == "event":
                kind = value.strip()
        yield from _data(lines, is_error=kind == "error")


def _data(lines: list[str], *, is_error: bool) -> Iterator[Any]:
    """What the lines of one event hold: together one object, or each its own, where a server leaves no empty line between its events."""
    data = "\n".join(lines).strip()
    if not data or data == DONE:
        yield from (DONE,) if data else ()
        return
    try:
        found = [json.loads(data)]
    except ValueError:
        if is_error:
            found = [{"message": data}]
        elif len(lines) > 1:
            found = [DONE if line.strip() == DONE else json.loads(line) for line in lines if line.strip()]
        else:
            raise
    yield from ({"error": event} if is_error and event != DONE and not _is_error(event) else event for event in found if event is not None)


def _is_error(event: Mapping[str, Any]) -> bool:
    """Whether an event says that something went wrong, also in the words of a server that has no name for it."""
    if event.get("error") or event.get("type") == "error" or event.get("object") == "error":
        return True
    return event.keys().isdisjoint(("choices", "type", "object", "usage")) and any(isinstance(event.get(name), str) for name in ("message", "detail", "msg"))


def _put_together(events: Iterator[Any]) -> dict[str, Any] | None:
    """The reply; None where the stream has no end."""
    reply: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    blocks: dict[int, dict[str, Any]] = {}
    items: list[Any] = []  # of a response
    is_over = False
    for event in events:
        if event == DONE:
            is_over = is_over or any(c.get("finish_reason") or "text" in c or c.get("message") for c in choices.values())
            break
        kind = event.get("type") or ""
        if _is_error(event):
            return dict(event) if event.keys() & {"error", "type", "object"} else {"error": event}
        if kind.startswith("response."):
            if kind == "response.output_item.done":
                items.append(event["item"])
            elif kind in ("response.completed", "response.incomplete", "response.failed"):
                return {**event["response"], "output": event["response"].get("output") or items}
        elif "choices" in event or not kind:
            reply |= {k: v for k, v in event.items() if k != "choices" and v is not None}
            for part in event.get("choices") or ():
                is_over |= bool(_choice(choices, part).get("finish_reason"))
        else:
            is_over |= _more(reply, blocks, event, kind)
    if not is_over:
        return None
    if choices:
        return {**reply, "choices": [choices[i] for i in sorted(choices)]}
    return {**reply, "content": [_input(blocks[i], reply.get("stop_reason")) for i in sorted(blocks)]}


def _choice(choices: dict[int, dict[str, Any]], part: dict[str, Any]) -> dict[str, Any]:
    """A choice with one more part of it."""
    at = part.get("index") or 0
    choice = choices.setdefault(at, {"index": at})
    is_part = part.get("delta") is not None  # some send the message so far beside it
    message = dict((part.get("delta") if is_part else part.get("message")) or {})
    if "text" in part:
        choice["text"] = (choice.get("text") or "") + (part["text"] or "")
    else:
        held = choice.setdefault("message", {"content": None})
        calls = message.pop("tool_calls", None) or []
        if not is_part and part.get("finish_reason"):
            _repeat(held, message)
        _join(held, message)
        for n, call in enumerate(calls):
            _call(held.setdefault("tool_calls", []), call, n)
    for name in ("finish_reason", "error", "content_filter_results"):
        if part.get(name) and str(part[name]).lower() not in NOTHING:
            choice[name] = part[name]
    if part.get("logprobs"):
        _logprobs(choice, part["logprobs"])
    return choice


def _repeat(held: dict[str, Any], message: Mapping[str, Any]) -> None:
    """Take out what a whole message at the end of its parts says again."""
    for name in [name for name, text in held.items() if isinstance(text, str) and str(message.get(name) or "").startswith(text)]:
        del held[name]


def _join(held: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put what came to what is there: texts are joined, and so are lists of parts; the rest is replaced."""
    for name, value in more.items():
        there = held.get(name)
        if isinstance(value, str) and name in JOINED and isinstance(there, str):
            held[name] += value
        elif isinstance(value, dict) and isinstance(there, dict):
            _join(there, value)
        elif name in JOINED and there and isinstance(value, str | list) and list in (type(value), type(there)):
            held[name] = _parts(there, value)
        elif value is not None and (value != "" or name in JOINED or name not in held):
            held[name] = value


def _parts(held: Any, more: Any) -> list[Any]:
    """Two contents as one list of parts, parts of one type that follow each other as one part."""
    there, came = ([{"type": "text", "text": content}] if isinstance(content, str) else content for content in (held, more))
    found: list[Any] = []
    for part in (*there, *came):
        if found and isinstance(part, dict) and found[-1].get("type") == part.get("type") in ("text", "thinking"):
            _join(found[-1], part)
        else:
            found.append(dict(part))
    return found


def _call(calls: list[dict[str, Any]], part: dict[str, Any], n: int) -> None:
    at = n if part.get("index") is None else part["index"]
    held = next((c for c in reversed(calls) if c["index"] == at), None)
    is_new = held is None or (part.get("id") not in (None, "", held.get("id")) and bool((part.get("function") or {}).get("name")))
    if held is None or is_new:
        calls.append({**part, "index": at})
    else:
        _join(held, {k: v for k, v in part.items() if k != "index"})


def _logprobs(choice: dict[str, Any], more: Any) -> None:
    held = choice.get("logprobs")
    if isinstance(held, dict) and isinstance(more, dict):
        for name, value in more.items():
            held[name] = held[name] + value if isinstance(held.get(name), list) and isinstance(value, list) else value
    else:
        choice["logprobs"] = more


def _more(reply: dict[str, Any], blocks: dict[int, dict[str, Any]], event: Mapping[str, Any], kind: str) -> bool:
    """A message of Anthropic's with one more event; whether it says that it is whole."""
    if kind == "message_start":
        reply |= event["message"]
    elif kind.startswith("content_block_"):
        _block(blocks, event, kind)
    elif kind == "message_delta":
        delta = event.get("delta") or {}
        reply |= {**delta, "usage": {**(reply.get("usage") or {}), **(event.get("usage") or {})}}
        return bool(delta.get("stop_reason"))
    return kind == "message_stop"


def _block(blocks: dict[int, dict[str, Any]], event: Mapping[str, Any], kind: str) -> None:
    """A content block of Anthropic's with one more part of it."""
    at = event["index"]
    if kind == "content_block_start":
        blocks[at] = dict(event["content_block"])
    elif kind == "content_block_delta":
        _join(blocks[at], {k: v for k, v in event["delta"].items() if k != "type"})


def _input(block: dict[str, Any], stop_reason: Any) -> dict[str, Any]:
    """A block with the input of its tool read. Raises ValueError for one that is cut, unless there was no more room for it, which the reply says."""
    pieces = block.pop("partial_json", None)
    if pieces:
        try:
            block["input"] = json.loads(pieces)
        except ValueError:
            if end_of(str(stop_reason)) != LENGTH:
                raise
    return block
