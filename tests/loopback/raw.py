"""A server in the loop of the test that says exactly these bytes, and counts its connections: for what HTTP itself can do."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable

from dreamframe.models.api.http import Http

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
BRIEF = OK + b"Content-Length: 2\r\n\r\n{}"
CLOSE = b"<close>"  # at the end of a reply: the connection is closed behind it
HANG = b""
Says = Callable[[int], bytes]  # number of a request, from 0 → what is written


class Raw:
    """The requests that came, and on how many connections."""

    def __init__(self, says: Says) -> None:
        self._says = says
        self.url = ""
        self.heads: list[str] = []
        self.bodies: list[bytes] = []
        self.n_connections = self.n_open = self.most_open = 0
        self.saw = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        self.n_open += 1
        self.most_open = max(self.most_open, self.n_open)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next((int(line.partition(":")[2]) for line in head.split("\r\n") if line.lower().startswith("content-length:")), 0)
                said = self._says(len(self.heads))
                self.heads.append(head)
                self.saw.set()
                if said.startswith(b"HTTP/1.1 413"):  # before the body was read
                    writer.write(said)
                    await writer.drain()
                self.bodies.append(await reader.readexactly(length))
                writer.write(said.removesuffix(CLOSE))
                await writer.drain()
                if said.endswith(CLOSE):
                    break
        self.n_open -= 1
        writer.close()


@contextlib.asynccontextmanager
async def raw_server(says: Says, tls: ssl.SSLContext | None = None) -> AsyncIterator[Raw]:
    made = Raw(says)
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    made.url = f"http{'s' if tls else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()


@contextlib.asynccontextmanager
async def connected(url: str, *, concurrency: int = 4, max_bytes: int = 1 << 20, **headers: str) -> AsyncIterator[Http]:
    http = Http(url, headers, concurrency=concurrency, max_bytes=max_bytes)
    try:
        yield http
    finally:
        await http.close()
