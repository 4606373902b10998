"""The loopback server: HTTP/1.1 by hand on asyncio, so that it costs a fraction of its clients."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.loopback import replies

Answer = Callable[[dict[str, Any]], Any]  # request body → the text, or (text, finish), or (text, finish, refusal)


@dataclass
class Call:
    """One request, and the connection that it came on."""

    path: str
    method: str
    headers: dict[str, str]  # names in lower case
    raw: bytes
    transport: asyncio.Transport
    server: Loopback
    ordinal: int  # of all requests, from 0
    at: float  # time.monotonic()
    body: dict[str, Any] = field(default_factory=dict)
    status: int = 0  # what was answered

    @property
    def prompt(self) -> str:
        return replies.prompt_of(self.body)

    def send(self, status: int, payload: bytes | dict[str, Any] | list[Any], headers: dict[str, str] | None = None) -> None:
        """Answer. A payload that is no bytes is JSON."""
        if self.transport.is_closing():
            return
        kind = "text/html" if isinstance(payload, bytes) and payload[:1] == b"<" else "application/json"
        data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        lines = {"Content-Type": kind, "Content-Length": str(len(data)), **(headers or {})}
        head = f"HTTP/1.1 {status} X\r\n" + "".join(f"{k}: {v}\r\n" for k, v in lines.items()) + "\r\n"
        self.transport.write(head.encode() + data)
        self.done(status)

    def done(self, status: int) -> None:
        self.status = status
        self.server.in_flight -= 1

    def answer(self) -> None:
        """The answer of a healthy server."""
        if self.server.desk is not None and self.server.desk.treats(self):
            return
        if self.path.endswith("/counters"):
            self.send(200, self.server.counters())
            return
        if self.method == "GET" and self.path.endswith("/models"):
            self.send(200, {"object": "list", "data": []})
            return
        made = replies.maker(self.path)
        if made is None:
            self.send(404, replies.error(f"no such address: {self.path}"))
            return
        said = self.server.reply(self.body)
        said = said if isinstance(said, tuple) else (said,)
        self.send(200, made(self.body, *said))


Behaviour = Callable[[Call], None]


@dataclass
class Bucket:
    """A rate limit: `per_minute` calls, of which at most `burst` at once."""

    per_minute: float
    burst: float = 10.0
    says_when: bool = True  # sends Retry-After
    level: float = 0.0
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level, self.at = self.burst, time.monotonic()

    def take(self, n: float = 1.0) -> float:
        """0 if allowed, else the seconds until it would be."""
        now = time.monotonic()
        self.level = min(self.burst, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now
        if self.level >= n:
            self.level -= n
            return 0.0
        return (n - self.level) * 60 / self.per_minute


class Loopback:
    """A server in a thread of this process, or, by `python -m tests.loopback`, of its own.

    `reply` makes the answers, `fault` chooses a behaviour for a request (None: answer), `latency_s` passes before anything is sent.
    """

    def __init__(
        self,
        reply: Answer = replies.prompt_of,
        *,
        fault: Callable[[Call], Behaviour | None] | None = None,
        latency_s: float | Callable[[Call], float] = 0.0,
        rate: Bucket | None = None,
        keep: bool = True,
        desk: Any = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.reply, self.fault, self.latency_s, self.rate, self.keep = reply, fault, latency_s, rate, keep
        self.desk = desk  # of batches
        self.tls = tls
        self.calls: list[Call] = []
        self.port = 0
        self.n_calls = self.n_posts = self.n_connections = self.open_connections = self.in_flight = self.most_in_flight = 0
        self.first_at = self.last_at = 0.0
        self.saw = threading.Event()  # set at every call
        self.statuses: dict[int, int] = {}
        self.seconds: dict[int, dict[int, int]] = {}  # since the first call: statuses of the answers of each second
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._transports: set[asyncio.Transport] = set()

    # Using it

    @property
    def url(self) -> str:
        """The base URL, as OpenAI's clients want it."""
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    @property
    def prompts(self) -> list[str]:
        return [c.prompt for c in self.calls]

    def counters(self) -> dict[str, Any]:
        return {
            "calls": self.n_calls,
            "posts": self.n_posts,
            "connections": self.n_connections,
            "in_flight": self.in_flight,
            "most_in_flight": self.most_in_flight,
            "span_s": self.last_at - self.first_at,
            "statuses": self.statuses,
            "seconds": self.seconds,
        }

    def __enter__(self) -> Loopback:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.serve(ready)), name="loopback", daemon=True)
        self._thread.start()
        assert ready.wait(20), "the loopback server did not start"
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop)
        self._thread.join(20)
        assert not self._thread.is_alive(), "the loopback server did not stop"

    # Serving

    async def serve(self, ready: threading.Event | None = None, port: int = 0) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._server = await self._loop.create_server(lambda: Connection(self), "127.0.0.1", port, backlog=4096, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        if ready is not None:
            ready.set()
        await self._stopped.wait()
        self._server.close()
        for transport in list(self._transports):
            transport.abort()

    def _stop(self) -> None:
        self._stopped.set()

    def came(self, call: Call) -> None:
        """Treat one request."""
        self.n_calls += 1
        self.n_posts += call.method == "POST"
        self.saw.set()
        self.last_at = call.at
        self.first_at = self.first_at or call.at
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self.keep:
            self.calls.append(call)
        if call.raw and call.headers.get("content-type", "").startswith("application/json"):
            call.body = json.loads(call.raw)
        latency = self.latency_s(call) if callable(self.latency_s) else self.latency_s
        if latency:
            assert self._loop is not None
            self._loop.call_later(latency, self._treat, call)
        else:
            self._treat(call)

    def _treat(self, call: Call) -> None:
        behaviour = self.fault(call) if self.fault is not None else None
        wait = self.rate.take() if self.rate is not None and behaviour is None else 0.0
        if wait > 0:
            assert self.rate is not None
            said = {"Retry-After": f"{wait:.3f}"} if self.rate.says_when else {}
            call.send(429, replies.error("Rate limit reached", kind="requests", code="rate_limit_exceeded"), said)
        else:
            (behaviour or Call.answer)(call)
        self.statuses[call.status] = self.statuses.get(call.status, 0) + 1
        second = self.seconds.setdefault(int(time.monotonic() - self.first_at), {})
        second[call.status] = second.get(call.status, 0) + 1

    def opened(self, transport: asyncio.Transport) -> None:
        self.n_connections += 1
        self._transports.add(transport)

    def closed(self, transport: asyncio.Transport) -> None:
        self._transports.discard(transport)


class Connection(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, server: Loopback) -> None:
        self._server, self._buffer = server, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.opened(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        assert self._transport is not None
        self._server.closed(self._transport)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
            whole = end + 4 + int(headers.get("content-length", 0))
            if len(self._buffer) < whole:
                return
            raw, self._buffer = self._buffer[end + 4 : whole], self._buffer[whole:]
            method, path, _ = first.split(" ")
            assert self._transport is not None
            self._server.came(Call(path, method, headers, raw, self._transport, self._server, self._server.n_calls, time.monotonic()))
