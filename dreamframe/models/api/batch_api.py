"""Providers' batch APIs: many requests in one submission, answered within a day at half the price."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from dreamframe.errors import BadReplyError, BadRequestError, CallError, RateLimitedError
from dreamframe.models.api.error_replies import ErrorReply
from dreamframe.models.api.http import Http, Reply
from dreamframe.models.api.openai_format import error_in, in_body

MOST_RESULT_BYTES = 1 << 30
SLACK_S = 120.0  # between this clock and the provider's
FULL = ("token_limit_exceeded", "enqueued_token_limit_exceeded", "batch_limit_exceeded", "batch_queue_full")
"""Codes of a provider that has too much waiting already: later, or less at once, would do."""
STATUS_OF = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "overloaded_error": 529,
}


class BatchState(NamedTuple):
    """Where a batch stands."""

    is_over: bool
    said: str  # the provider's own word
    results: tuple[str, ...] = ()  # addresses of what there is
    error: str | None = None  # of the batch as a whole
    is_full: bool = False  # it was not begun, since too much was waiting


class Line(NamedTuple):
    """The result of one request. Status 0: it was not tried (expired, cancelled), and may be sent again."""

    key: str
    status: int
    body: bytes


class BatchApi(Protocol):
    """What a batch API can do. Raises CallErrors."""

    most_requests: int
    most_bytes: int

    async def submit(self, requests: Sequence[tuple[str, bytes]], *, path: str, mark: str) -> str:
        """Send (key, body) pairs as one batch; its id."""
        ...

    async def find(self, *, mark: str, n_requests: int, since: float) -> str | None:
        """The id of a live batch that was submitted after `since` (seconds since 1970), for a submission whose id was never written down."""
        ...

    async def state(self, batch: str) -> BatchState: ...

    async def read(self, address: str) -> Iterator[Line]:
        """The results at an address of a state."""
        ...


class OpenAIBatches:
    """Files and batches, as OpenAI has them and compatible servers copy them."""

    most_requests = 50_000
    most_bytes = 150 << 20

    def __init__(self, http: Http, url: Callable[[str], str], *, place: str) -> None:
        self._http, self._url, self._place = http, url, place

    async def submit(self, requests: Sequence[tuple[str, bytes]], *, path: str, mark: str) -> str:
        endpoint = f"/v1{path}"
        head = json.dumps({"method": "POST", "url": endpoint})[1:-1].encode()
        lines = b"".join(b'{"custom_id":"%s",%s,"body":%s}\n' % (key.encode(), head, body) for key, body in requests)
        kind, form = multipart({"purpose": "batch"}, name=f"{mark}.jsonl", content=lines)
        file = await self._json("POST", "/files", form, {"Content-Type": kind})
        order = {"input_file_id": file["id"], "endpoint": endpoint, "completion_window": "24h", "metadata": {"dreamframe": mark}}
        return str((await self._json("POST", "/batches", json.dumps(order).encode()))["id"])

    async def find(self, *, mark: str, n_requests: int, since: float) -> str | None:  # noqa: ARG002  the mark says it
        after = ""
        while True:
            page = await self._json("GET", f"/batches?limit=100{after}")
            for batch in page["data"]:
                if (batch.get("metadata") or {}).get("dreamframe") == mark and batch["status"] not in ("failed", "expired", "cancelling", "cancelled"):
                    return str(batch["id"])
                if batch["created_at"] < since - SLACK_S:  # newest first
                    return None
            if not page.get("has_more"):
                return None
            after = f"&after={plain(page['data'][-1]['id'])}"

    async def state(self, batch: str) -> BatchState:
        found = await self._json("GET", f"/batches/{plain(batch)}")
        files = tuple(plain(found[k]) for k in ("output_file_id", "error_file_id") if found.get(k))
        errors = (found.get("errors") or {}).get("data") or []
        problems = [str(e.get("message")) for e in errors]
        is_full = bool(errors) and all(e.get("code") in FULL for e in errors)
        is_over = found["status"] in ("completed", "failed", "expired", "cancelled")
        return BatchState(is_over, found["status"], tuple(f"/files/{f}/content" for f in files), "; ".join(problems) or None, is_full)

    async def read(self, address: str) -> Iterator[Line]:
        reply = await self._send("GET", address, most=MOST_RESULT_BYTES)
        return (self._line(json.loads(line)) for line in reply.body.splitlines() if line.strip())

    def _line(self, found: dict[str, Any]) -> Line:
        response, error = found.get("response"), found.get("error")
        if response:
            return Line(str(found["custom_id"]), int(response["status_code"]), json.dumps(response["body"]).encode())
        expired = (error or {}).get("code") in ("batch_expired", "batch_cancelled")
        return Line(str(found["custom_id"]), 0 if expired else 500, json.dumps({"error": error}).encode())

    async def _json(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> Any:
        return parsed(await self._send(method, path, body, headers), place=self._place)

    async def _send(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None, *, most: int | None = None) -> Reply:
        reply = await self._http.send(method, self._url(path), body, headers, most=most)
        if reply.status >= 300:
            raise refused(reply, place=f"{self._place}{path}")
        return reply


class AnthropicBatches:
    """Message batches, as Anthropic has them. They carry no mark of ours: a lost one is told by its time and its number of requests."""

    most_requests = 100_000
    most_bytes = 200 << 20

    def __init__(self, http: Http, url: Callable[[str], str], *, place: str) -> None:
        self._http, self._url, self._place = http, url, place

    async def submit(self, requests: Sequence[tuple[str, bytes]], *, path: str, mark: str) -> str:  # noqa: ARG002  as of the protocol
        body = b'{"requests":[%s]}' % b",".join(b'{"custom_id":"%s","params":%s}' % (key.encode(), params) for key, params in requests)
        return str(parsed(await self._send("POST", "/v1/messages/batches", body), place=self._place)["id"])

    async def find(self, *, mark: str, n_requests: int, since: float) -> str | None:  # noqa: ARG002  as of the protocol
        from datetime import datetime

        page = parsed(await self._send("GET", "/v1/messages/batches?limit=100"), place=self._place)
        found = [
            str(b["id"])
            for b in page["data"]
            if datetime.fromisoformat(b["created_at"]).timestamp() > since - SLACK_S
            and sum(b["request_counts"].values()) == n_requests
            and not b.get("archived_at")
        ]
        return found[0] if len(found) == 1 else None

    async def state(self, batch: str) -> BatchState:
        found = parsed(await self._send("GET", f"/v1/messages/batches/{plain(batch)}"), place=self._place)
        is_over = found["processing_status"] == "ended"
        return BatchState(is_over, found["processing_status"], (f"/v1/messages/batches/{plain(batch)}/results",) if is_over else ())

    async def read(self, address: str) -> Iterator[Line]:
        reply = await self._send("GET", address, most=MOST_RESULT_BYTES)
        return (self._line(json.loads(line)) for line in reply.body.splitlines() if line.strip())

    def _line(self, found: dict[str, Any]) -> Line:
        result = found["result"]
        if result["type"] == "succeeded":
            return Line(str(found["custom_id"]), 200, json.dumps(result["message"]).encode())
        if result["type"] != "errored":
            return Line(str(found["custom_id"]), 0, b"{}")
        error = result["error"].get("error", result["error"])
        return Line(str(found["custom_id"]), STATUS_OF.get(error.get("type"), 500), json.dumps({"error": error}).encode())

    async def _send(self, method: str, path: str, body: bytes | None = None, *, most: int | None = None) -> Reply:
        reply = await self._http.send(method, self._url(path), body, most=most)
        if reply.status >= 300:
            raise refused(reply, place=f"{self._place}{path}")
        return reply


def refused(reply: Reply, *, place: str) -> CallError:
    """What an error reply of a batch API means."""
    found = ErrorReply(reply)
    error = found.error(place=place)
    if any(code in FULL for code in found.codes):
        return RateLimitedError(str(error), status=error.status, text=error.text, retry_after_s=found.retry_after_s)
    return error


def parsed(reply: Reply, *, place: str) -> Any:
    """A reply that must be a JSON object."""
    try:
        found = json.loads(reply.body)
    except (ValueError, RecursionError) as exc:
        raise BadReplyError(f"{place}: the reply is not JSON: {exc}", status=reply.status) from exc
    if not isinstance(found, dict):
        raise BadReplyError(f"{place}: the reply is not a JSON object", status=reply.status)
    if (error := error_in(found)) is not None:  # routers send them with 200
        raise in_body(error, reply.body, place=place)
    return Told(found, place)


class Told(dict[str, Any]):
    """A JSON object of a server: what it must hold and lacks is the server's fault, in words. Raises BadReplyError."""

    def __init__(self, found: dict[str, Any], place: str) -> None:
        super().__init__(found)
        self._place = place

    def __missing__(self, name: str) -> Any:
        raise BadReplyError(f"{self._place}: the reply has no {name!r}: {json.dumps(self)[:300]}", status=200)


def plain(name: Any) -> str:
    """An id that can stand in an address as it is. Raises BadRequestError for any other: it may come from a file."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_.:-]{1,200}", name) or ".." in name:
        raise BadRequestError(f"{name!r} is not the id of a batch or a file")
    return name


def multipart(fields: Mapping[str, str], *, name: str, content: bytes) -> tuple[str, bytes]:
    """A form with one file: its content type and its bytes. The boundary is from the file's name, which is from its content."""
    boundary = f"dreamframe-{name}".encode()
    parts = [b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary, k.encode(), v.encode()) for k, v in fields.items()]
    head = b'--%s\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\nContent-Type: application/jsonl\r\n\r\n' % (boundary, name.encode())
    return f"multipart/form-data; boundary={boundary.decode()}", b"".join([*parts, head, content, b"\r\n--%s--\r\n" % boundary])
