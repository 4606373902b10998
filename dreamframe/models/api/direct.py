"""Requests that go straight to their server, over connections of our own: the way of nearly every call."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from urllib.parse import quote, urlsplit

from dreamframe.models.api.certificates import default_context, named_context
from dreamframe.models.api.connection import PIECE, Connection, Got
from dreamframe.models.api.mishaps import ClientConnectorSSLError, NotAnAddressError
from dreamframe.models.api.pool import Pool

PORTS = {"http": 80, "https": 443}
PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))  # what an address may have in it as it is
SAFE_AGAIN = ("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE")  # what may be asked twice (RFC 9110); a POST may be paid twice
BREAKS = ("\r", "\n", "\0")


class Target:
    """One address: its connections, and the first bytes of a request to it. They hold the key, so nothing shows them."""

    __slots__ = ("host", "path", "pool", "post")

    def __init__(self, pool: Pool, host: str, path: str) -> None:
        self.pool, self.host, self.path, self.post = pool, host, path, b""


class Direct:
    """Connections to servers, `concurrency` to each at the most. Made inside the event loop."""

    unsafe: tuple[type[Exception], ...] = (ClientConnectorSSLError, ssl.SSLError)
    mishaps: tuple[type[Exception], ...]

    def __init__(self, base_url: str, headers: Mapping[str, str], *, concurrency: int) -> None:
        from httptools import HttpParserError

        self.mishaps = (OSError, ValueError, HttpParserError)
        self._named = named_context(base_url)
        self._headers = headers
        self._concurrency = concurrency
        self._pools: dict[tuple[str, str, int], Pool] = {}
        self._targets: dict[str, Target] = {}

    async def exchange(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None, most: int) -> Got:
        """Send one request and read the whole reply."""
        target = self._targets.get(url)
        if target is None:
            target = self._targets[url] = self._target(url)
        pool = target.pool
        while True:
            connection = pool.take() or await pool.connect()
            answer: asyncio.Future[Got] | None = None
            try:
                answer = connection.ask(self._head(target, method, headers, body), body, most)
                if body is not None and len(body) > PIECE:
                    await connection.pour(body)
                got = await answer
            except BaseException as exc:
                connection.drop()
                if answer is not None and answer.done() and not answer.cancelled():
                    answer.exception()  # heard, also by one who was cancelled meanwhile
                if isinstance(exc, ConnectionError) and _may_ask_again(connection, method):
                    continue
                raise
            pool.give(connection)
            return got

    async def close(self) -> None:
        """Close every connection."""
        for pool in self._pools.values():
            await pool.close()

    def _target(self, url: str) -> Target:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
            host = host if host.isascii() else host.encode("idna").decode()
        except (ValueError, KeyError) as exc:
            raise NotAnAddressError(str(exc)) from exc
        if not host or "@" in parts.netloc or any(c not in PRINTABLE for c in host):
            raise NotAnAddressError("no name of a server")
        place = (parts.scheme, host, port)
        if place not in self._pools:
            context = (self._named or default_context()) if parts.scheme == "https" else None
            self._pools[place] = Pool(host, port, context=context, most=self._concurrency)
        shown = f"[{host}]" if ":" in host else host.rstrip(".")
        path = quote(parts.path or "/", safe=PRINTABLE) + (f"?{quote(parts.query, safe=PRINTABLE)}" if parts.query else "")
        return Target(self._pools[place], shown if port == PORTS[parts.scheme] else f"{shown}:{port}", path)

    def _head(self, target: Target, method: str, headers: Mapping[str, str] | None, body: bytes | None) -> bytes:
        """A request up to its body."""
        if method == "POST" and headers is None and body is not None:
            begun = target.post or self._begun(target, method, headers)
            target.post = begun
        else:
            begun = self._begun(target, method, headers)
        if body is None:
            return begun + (b"\r\n" if method == "GET" else b"Content-Length: 0\r\n\r\n")
        return b"%bContent-Length: %d\r\n\r\n" % (begun, len(body))

    def _begun(self, target: Target, method: str, headers: Mapping[str, str] | None) -> bytes:
        """The first line and the headers. Raises ValueError for a text that would begin another header."""
        fields: dict[str, tuple[str, str]] = {}
        for name, value in {"Host": target.host, "Accept": "*/*", **self._headers}.items():
            fields[name.lower()] = (name, value)
        fields |= {name.lower(): (name, value) for name, value in (headers or {}).items()}
        lines = ["".join((name, ": ", value)) for name, value in fields.values()]  # joined, so that a key that hides itself is sent
        if any(c in line for line in lines for c in BREAKS):
            raise ValueError("Newline, carriage return, or null byte detected in headers. Potential header injection attack.")
        return "".join((method, " ", target.path, " HTTP/1.1\r\n", *(f"{line}\r\n" for line in lines))).encode("utf-8", "surrogateescape")


def _may_ask_again(connection: Connection, method: str) -> bool:
    """Whether the server closed the connection as it was used, before it saw the request, and the request does no harm where it did see it."""
    return method in SAFE_AGAIN and not connection.is_new and not connection.came_any
