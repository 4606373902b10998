"""The batch APIs of OpenAI and Anthropic on loopback: files, batches, results, and what may become of a request."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.loopback import replies
from tests.loopback.server import Call

Fate = Callable[[str, dict[str, Any]], str]  # (custom id, request body) → "answered", "expired", "refused" or "failed"


@dataclass
class Desk:
    """What was submitted. Every batch is over after `polls` looks at it; `fate` says what becomes of each request."""

    polls: int = 2
    fate: Fate = lambda key, body: "answered"
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)  # id → {requests, looks, at, metadata, …}
    most_waiting: int = 10**9  # requests; a batch that comes on top of so many fails, as OpenAI's do
    says_full_at_once: bool = False  # it is refused when it is submitted, instead
    loses_reply: bool = False  # the connection closes after a submission has been taken, once

    @property
    def submitted(self) -> list[list[str]]:
        """The prompts of each submission, in order."""
        return [[replies.prompt_of(body) for _, body in b["requests"]] for b in self.batches.values()]

    def treats(self, call: Call) -> bool:
        """Answer a call of the batch APIs; False for any other."""
        path = re.sub(r"\?.*", "", call.path.removeprefix("/v1"))
        if path == "/files":
            self._take_file(call)
        elif match := re.fullmatch(r"/files/([^/]+)/content", path):
            call.send(200, self.files[match[1]])
        elif path == "/batches" and call.method == "POST":
            self._open(call, self._requests(self.files[call.body["input_file_id"]]), **call.body)
        elif path == "/batches":
            call.send(200, {"object": "list", "data": [self._openai(i) for i in reversed(self.batches)], "has_more": False})
        elif match := re.fullmatch(r"/batches/([^/]+)", path):
            self._look(match[1])
            call.send(200, self._openai(match[1]))
        elif path == "/messages/batches" and call.method == "POST":
            self._open(call, [(r["custom_id"], r["params"]) for r in call.body["requests"]])
        elif path == "/messages/batches":
            call.send(200, {"data": [self._anthropic(i) for i in reversed(self.batches)], "has_more": False})
        elif match := re.fullmatch(r"/messages/batches/([^/]+)/results", path):
            call.send(200, self._lines(match[1], self._message_line))
        elif match := re.fullmatch(r"/messages/batches/([^/]+)", path):
            self._look(match[1])
            call.send(200, self._anthropic(match[1]))
        else:
            return False
        return True

    def _take_file(self, call: Call) -> None:
        boundary = call.headers["content-type"].partition("boundary=")[2].encode()
        parts = call.raw.split(b"--" + boundary)
        content = next(p.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n") for p in parts if b"filename=" in p)
        name = f"file-{len(self.files)}"
        self.files[name] = content
        call.send(200, {"id": name, "object": "file", "bytes": len(content), "created_at": 1, "filename": "x", "purpose": "batch", "status": "processed"})

    def _requests(self, content: bytes) -> list[tuple[str, dict[str, Any]]]:
        return [(line["custom_id"], line["body"]) for line in map(json.loads, content.splitlines())]

    def _open(self, call: Call, requests: list[tuple[str, dict[str, Any]]], **more: Any) -> None:
        name = f"batch_{len(self.batches)}"
        waiting = sum(len(b["requests"]) for b in self.batches.values() if b["looks"] < self.polls and not b["is_full"])
        is_full = waiting + len(requests) > self.most_waiting
        if is_full and self.says_full_at_once:
            call.send(400, replies.error("Enqueued token limit reached", code="token_limit_exceeded"))
            return
        self.batches[name] = {"requests": requests, "looks": 0, "at": time.time(), "is_full": is_full, **more}
        if self.loses_reply:
            self.loses_reply = False
            call.done(0)
            call.transport.abort()
        else:
            call.send(200, self._anthropic(name) if "messages" in call.path else self._openai(name))

    def _look(self, name: str) -> None:
        batch = self.batches[name]
        batch["looks"] += 1
        if batch["looks"] >= self.polls and f"out-{name}" not in self.files:
            self.files[f"out-{name}"] = self._lines(name, self._result_line, ("answered",))
            self.files[f"err-{name}"] = self._lines(name, self._result_line, ("refused", "failed", "expired"))

    def _lines(self, name: str, line: Callable[..., dict[str, Any]], fates: tuple[str, ...] = ("answered", "refused", "failed", "expired")) -> bytes:
        found = [(key, body, self.fate(key, body)) for key, body in self.batches[name]["requests"]]
        return b"".join(json.dumps(line(key, body, fate)).encode() + b"\n" for key, body, fate in reversed(found) if fate in fates)

    def _result_line(self, key: str, body: dict[str, Any], fate: str) -> dict[str, Any]:
        response = {
            "answered": lambda: {"status_code": 200, "request_id": "r", "body": replies.chat(body, replies.prompt_of(body))},
            "refused": lambda: {"status_code": 400, "request_id": "r", "body": replies.error("no")},
            "failed": lambda: {"status_code": 500, "request_id": "r", "body": replies.error("bad day")},
            "expired": lambda: None,
        }[fate]()
        error = {"code": "batch_expired", "message": "This request could not be executed before the completion window expired."}
        return {"id": "x", "custom_id": key, "response": response, "error": error if fate == "expired" else None}

    def _message_line(self, key: str, body: dict[str, Any], fate: str) -> dict[str, Any]:
        if fate == "answered":
            return {"custom_id": key, "result": {"type": "succeeded", "message": replies.anthropic(body, replies.prompt_of(body))}}
        if fate == "expired":
            return {"custom_id": key, "result": {"type": "expired"}}
        kind = "invalid_request_error" if fate == "refused" else "api_error"
        return {"custom_id": key, "result": {"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": "no"}}}}

    def _openai(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        is_over = batch["looks"] >= self.polls and not batch["is_full"]
        full = {"code": "token_limit_exceeded", "message": "Enqueued token limit reached. Please try again once some in_progress batches have been completed."}
        return {
            "id": name,
            "object": "batch",
            "endpoint": batch.get("endpoint", ""),
            "input_file_id": batch.get("input_file_id", ""),
            "completion_window": "24h",
            "status": "failed" if batch["is_full"] else "completed" if is_over else "in_progress",
            "created_at": int(batch["at"]),
            "metadata": batch.get("metadata"),
            "output_file_id": f"out-{name}" if is_over else None,
            "error_file_id": f"err-{name}" if is_over and self.files.get(f"err-{name}") else None,
            "errors": {"object": "list", "data": [full]} if batch["is_full"] else None,
        }

    def _anthropic(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        is_over = batch["looks"] >= self.polls
        at = datetime.fromtimestamp(batch["at"], UTC).isoformat()
        counts = {"processing": 0 if is_over else len(batch["requests"]), "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0}
        counts["succeeded"] = len(batch["requests"]) if is_over else 0
        ended = {"ended_at": at if is_over else None, "results_url": f"http://x.invalid/v1/messages/batches/{name}/results" if is_over else None}
        more = {"archived_at": None, "cancel_initiated_at": None, "created_at": at, "expires_at": at, "request_counts": counts, **ended}
        return {"id": name, "type": "message_batch", "processing_status": "ended" if is_over else "in_progress", **more}
