"""The ways in which a model's server goes wrong, each a behaviour: what it writes instead of an answer."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from typing import Any

from tests.loopback import replies
from tests.loopback.server import Call

Fault = Callable[[Call], None]
HTML = b"<html><head><title>504</title></head><body>The gateway is having a bad day</body></html>"


def status(number: int, message: str = "no", *, headers: dict[str, str] | None = None, **error: Any) -> Fault:
    """An error reply as providers send it."""
    return lambda call: call.send(number, replies.error(message, **error), headers)


def body(data: bytes, code: int = 200) -> Fault:
    return lambda call: call.send(code, data)


def finish(text: str | None, reason: str, refusal: str | None = None) -> Fault:
    """An answer that ended otherwise than well."""

    def behave(call: Call) -> None:
        made = replies.maker(call.path)
        assert made is not None
        call.send(200, made(call.body, text, reason, refusal))

    return behave


def raw(data: bytes, *, then: str = "close") -> Fault:
    """Bytes as they are, and then close, reset or hang."""

    def behave(call: Call) -> None:
        call.transport.write(data)
        call.done(0)
        if then == "close":
            call.transport.close()
        elif then == "reset":
            reset(call.transport)

    return behave


def reset(transport: Any) -> None:
    """Close with RST instead of FIN."""
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def drip(call: Call, every_s: float = 0.02) -> None:
    """A byte now and then, for ever: no single read ever times out."""
    call.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
    call.done(200)
    loop = call.server._loop
    assert loop is not None

    def drop() -> None:
        if not call.transport.is_closing():
            call.transport.write(b" ")
            loop.call_later(every_s, drop)

    drop()


def endless(call: Call) -> None:
    """Chunks without end, as fast as they are read."""
    call.transport.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
    call.done(200)
    chunk = b"10000\r\n" + b" " * 65536 + b"\r\n"
    loop = call.server._loop
    assert loop is not None

    def pour() -> None:
        if not call.transport.is_closing():
            if call.transport.get_write_buffer_size() < 1 << 20:
                call.transport.write(chunk)
            loop.call_later(0.0005, pour)

    pour()


def half(call: Call) -> None:
    """The first half of a good reply, and the connection closes."""
    data = json.dumps(replies.chat(call.body, "half")).encode()
    call.transport.write(f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data[: len(data) // 2])
    call.done(200)
    call.transport.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
FAULTS: dict[str, Fault] = {
    "html with 200": body(HTML),
    "html with 502": body(HTML, 502),
    "broken json": body(b'{"id": "x", "choices": [{"mess'),
    "an empty body": body(b""),
    "json that is no object": body(b"[1, 2]"),
    "json nested too deep": body(b"[" * 200_000),
    "no choices": body(b'{"choices": []}'),
    "a choice without message": body(b'{"choices": [{"finish_reason": "stop"}]}'),
    "content that is a number": body(b'{"choices": [{"message": {"content": 5}}]}'),
    "an error with 200": body(json.dumps(replies.error("the upstream model is down") | {"choices": None}).encode()),
    "half a body": half,
    "reset before the reply": raw(b"", then="reset"),
    "reset within the reply": raw(OK + b'Content-Length: 500\r\n\r\n{"id":', then="reset"),
    "closed without a reply": raw(b""),
    "no http at all": raw(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    "chunks that are none": raw(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n"),
    "gzip that is none": raw(OK + b"Connection: close\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello"),
    "silence": lambda call: call.done(0),
    "a drip": drip,
    "an endless answer": endless,
    "429 with Retry-After": status(429, "Rate limit reached", headers={"Retry-After": "0.05"}),
    "429 without": status(429, "Rate limit reached"),
    "429 for want of money": status(429, "You exceeded your current quota, please check your plan and billing details.", code="insufficient_quota"),
    "402": status(402, "Insufficient Balance"),
    "401": status(401, "Incorrect API key provided: sk-secret-0123.", code="invalid_api_key"),
    "403": status(403, "Country, region, or territory not supported"),
    "400": status(400, "Invalid 'messages[0].content'"),
    "422": status(422, "Unprocessable"),
    "a prompt that is too long": status(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded", param="messages"),
    "no such model": status(404, "The model `x` does not exist", code="model_not_found"),
    "a redirect": lambda call: call.send(307, b"{}", {"Location": "http://127.0.0.1:1/v1"}),
    "408": status(408, "Request timeout"),
    "500": status(500, "The server had an error", kind="server_error"),
    "503 with Retry-After": status(503, "Overloaded", headers={"Retry-After": "0.05"}),
    "529": status(529, "Overloaded", kind="overloaded_error"),
    "cut by length": finish("half an ans", "length"),
    "a content filter": finish(None, "content_filter"),
    "a refusal": finish(None, "stop", "I cannot help with that."),
    "a filtered prompt": status(400, "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.", code="content_filter"),
    "half a surrogate pair": body(b'{"choices": [{"message": {"content": "ok \\ud83d!"}, "finish_reason": "stop"}]}'),
}
