"""What the loopback server says: bodies of the providers' protocols, made from a request and an answer's text."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Callable
from typing import Any


def words(text: str) -> int:
    return len(text.split())


def prompt_of(body: dict[str, Any]) -> str:
    """The last thing that the user said, in whatever protocol."""
    if "messages" in body:
        content = body["messages"][-1]["content"]
    elif isinstance(body.get("input"), list) and body["input"] and isinstance(body["input"][-1], dict):
        content = body["input"][-1].get("content") or body["input"][-1].get("output") or ""
    else:
        content = body.get("prompt") or body.get("input") or ""
    if isinstance(content, list):
        return "".join(part.get("text", "") if isinstance(part, dict) else str(part) for part in content)
    return str(content)


def chat(body: dict[str, Any], text: str | None, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    n_in, n_out = words(json.dumps(body.get("messages", ""))), words(text or "")
    message = {"role": "assistant", "content": text, "refusal": refusal}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body.get("model", "") + "-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": finish, "logprobs": first_token(body)}],
        "usage": {
            "prompt_tokens": n_in,
            "completion_tokens": n_out,
            "total_tokens": n_in + n_out,
            "prompt_tokens_details": {"cached_tokens": 1},
            "completion_tokens_details": {"reasoning_tokens": 2},
        },
    }


def first_token(body: dict[str, Any]) -> dict[str, Any] | None:
    """Log-probabilities where they are asked for: three quarters for the letter A, the rest for B; the other way round of what holds the word cup."""
    if not body.get("logprobs"):
        return None
    first, second = ("B", "A") if "cup" in prompt_of(body) else ("A", "B")
    listed = [{"token": token, "logprob": math.log(p), "bytes": None} for token, p in ((first, 0.75), (second, 0.25))]
    return {"content": [{**listed[0], "top_logprobs": listed}]}


def completion(body: dict[str, Any], text: str | None, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    n_in, n_out = words(body.get("prompt", "")), words(text or "")
    return {
        "id": "cmpl-1",
        "object": "text_completion",
        "created": 1,
        "model": body.get("model", ""),
        "choices": [{"index": 0, "text": text or "", "finish_reason": finish, "logprobs": None}],
        "usage": {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out},
    }


def response(body: dict[str, Any], text: str | None, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    part: dict[str, Any] = {"type": "refusal", "refusal": refusal} if refusal else {"type": "output_text", "text": text or "", "annotations": []}
    n_in, n_out = words(prompt_of(body)), words(text or "")
    cut = {"length": "max_output_tokens"}.get(finish, finish)
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": body.get("model", ""),
        "status": "completed" if finish == "stop" else "incomplete",
        "error": None,
        "incomplete_details": None if finish == "stop" else {"reason": cut},
        "instructions": body.get("instructions"),
        "metadata": {},
        "output": [
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [part]},
        ],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": n_in,
            "output_tokens": n_out,
            "total_tokens": n_in + n_out,
            "input_tokens_details": {"cached_tokens": 1},
            "output_tokens_details": {"reasoning_tokens": 2},
        },
    }


def embeddings(body: dict[str, Any], text: str | None, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    """A vector for each input: its length, its words and its vowels."""
    inputs = [body["input"]] if isinstance(body["input"], str) else body["input"]
    vectors: list[Any] = [[float(len(t)), float(words(t)), float(sum(c in "aeiou" for c in t))] for t in inputs]
    if body.get("encoding_format") == "base64":
        vectors = [base64.b64encode(struct.pack(f"<{len(v)}f", *v)).decode() for v in vectors]
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    return {
        "object": "list",
        "model": body.get("model", ""),
        "data": data[::-1],  # the index tells which is which
        "usage": {"prompt_tokens": sum(words(t) for t in inputs), "total_tokens": sum(words(t) for t in inputs)},
    }


def anthropic(body: dict[str, Any], text: str | None, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    tools = body.get("tools") or []
    part: dict[str, Any] = {"type": "text", "text": text or ""}
    if tools and finish == "stop" and not refusal:
        part = {"type": "tool_use", "id": "toolu_1", "name": tools[0]["name"], "input": json.loads(text or "{}")}
    stop = {"stop": "tool_use" if tools else "end_turn", "length": "max_tokens", "content_filter": "refusal"}.get(finish, finish)
    if refusal:
        finish, stop = "refusal", "refusal"
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body.get("model", ""),
        "content": [] if stop == "refusal" else [part],
        "stop_reason": stop,
        "stop_sequence": None,
        "stop_details": {"type": "refusal", "category": None, "explanation": refusal} if refusal else None,
        "usage": {"input_tokens": 5, "output_tokens": words(text or ""), "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0},
    }


Maker = Callable[..., dict[str, Any]]
PROTOCOLS: dict[str, Maker] = {
    "/chat/completions": chat,
    "/completions": completion,
    "/responses": response,
    "/embeddings": embeddings,
    "/messages": anthropic,
}


def maker(path: str) -> Maker | None:
    """The protocol of an address, by how it ends."""
    return next((made for end, made in PROTOCOLS.items() if path.split("?", maxsplit=1)[0].endswith(end)), None)


def error(message: str, *, kind: str = "invalid_request_error", code: str | None = None, param: str | None = None) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}
