"""One connection to a server: HTTP/1.1, one request at a time, each reply whole or an error. What comes is read by httptools, uvicorn's parser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

from dreamframe.models.api.mishaps import ClientPayloadError, ServerDisconnectedError, TooMuchError, UnreadableError
from dreamframe.models.api.reply_headers import Headers

MOST_QUIET = 1 << 17  # bytes of heads, trailers and the like that come without a byte of a body between them
PIECE = 1 << 18  # bytes of a large request that are written at once


class Got(NamedTuple):
    """A reply as it travelled."""

    status: int
    headers: Mapping[str, str]
    body: bytes  # packed as `encoding` says
    encoding: str | None


class Connection(asyncio.Protocol):
    """Given its transport by the event loop. Its owner waits for each answer before it asks again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, lost: Callable[[Connection], None]) -> None:
        from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

        self._loop, self._lost = loop, lost
        self._unreadable, self._upgrade = HttpParserError, HttpParserUpgrade
        self._parser: Any = HttpResponseParser(self)
        self._parser.set_dangerous_leniencies(lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True)  # as aiohttp
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Got] | None = None  # what is waited for
        self._drained: asyncio.Future[None] | None = None  # by a large request
        self._is_pouring = False
        self.is_reusable = True  # for another request, once this one is answered
        self.is_new = True  # nothing was asked yet
        self.came_any = False  # of the present reply
        self.idle_since = 0.0
        self._start(0)

    def _start(self, most: int) -> None:
        self._most, self._size, self._quiet, self._status = most, 0, 0, 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._parts: list[bytes] = []
        self._encoding: str | None = None

    # Asking

    def ask(self, head: bytes, body: bytes | None, most: int) -> asyncio.Future[Got]:
        """Send a request; the reply comes as a future, with `most` bytes or fewer."""
        assert self._transport is not None
        self._start(most)
        self.came_any = False
        self._answer = answer = self._loop.create_future()
        if body is None:
            self._transport.write(head)
        elif len(body) <= PIECE:
            self._transport.write(head + body)
        else:
            self._transport.write(head)
            self._is_pouring = True
        return answer

    async def pour(self, body: bytes) -> None:
        """Send a large body as fast as it is taken, until all of it is sent or the answer is there: a server may refuse it before its end."""
        assert self._transport is not None
        view = memoryview(body)
        for at in range(0, len(body), PIECE):
            if self._answer is None:
                return
            self._transport.write(view[at : at + PIECE])
            if self._drained is not None:
                await self._drained
        self._is_pouring = False

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        self._drained = None

    @property
    def is_open(self) -> bool:
        """Whether another request may be sent."""
        return self.is_reusable and self._transport is not None and not self._transport.is_closing()

    @property
    def is_stale(self) -> bool:
        """Whether the server has closed it and nobody has looked since: something is there to be read, where nothing was asked."""
        import select

        assert self._transport is not None
        fileno = self._transport.get_extra_info("socket").fileno()
        if fileno < 0:
            return True
        if not hasattr(select, "poll"):
            return bool(select.select([fileno], [], [], 0)[0])
        look = select.poll()
        look.register(fileno, select.POLLIN | select.POLLHUP | select.POLLERR)
        return bool(look.poll(0))

    def drop(self, exc: Exception | None = None) -> None:
        """Close it at once, whatever is under way; who waits for an answer hears why."""
        answer, self._answer = self._answer, None
        self._parts = []
        self.is_reusable = False
        if self._transport is not None:
            self._transport.abort()
        if answer is not None and not answer.done():
            answer.set_exception(exc or ServerDisconnectedError("Connection closed"))
        self.resume_writing()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        if self._answer is None:
            self.drop()  # nothing was asked
            return
        self.came_any = True
        self._quiet += len(data)
        try:
            self._parser.feed_data(data)
        except self._unreadable as exc:
            self.drop(exc)  # of a reply that is whole already, only the connection is closed
        except self._upgrade:
            self.drop(UnreadableError("the server changes to another protocol"))
        else:
            if self._quiet > MOST_QUIET:
                self.drop(UnreadableError(f"more than {MOST_QUIET:,} bytes, and no body among them"))

    def eof_received(self) -> None:
        if self._answer is not None and self._ends_with_connection():
            self.is_reusable = False
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_reusable = False
        self.resume_writing()
        if self._answer is not None:
            if not self.came_any:
                self.drop(exc or ServerDisconnectedError("Server disconnected"))
            else:
                self.drop(ClientPayloadError(f"Response payload is not completed: {self._size:,} bytes of it came{f'. {exc!r}' if exc else ''}"))
        self._lost(self)

    # What the parser calls

    def on_message_begin(self) -> None:
        if self._answer is None:
            self.is_reusable = False  # a reply to nothing

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._status:  # else a trailer
            self._headers.append((name, value))
            if len(name) == 16 and name.lower() == b"content-encoding":
                self._encoding = value.decode("latin-1") if self._encoding is None else f"{self._encoding}, {value.decode('latin-1')}"

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status

    def on_body(self, data: bytes) -> None:
        self._quiet = 0
        self._size += len(data)
        if self._size > self._most:
            self.drop(TooMuchError(self._status))
        elif self._answer is not None:
            self._parts.append(data)

    def on_message_complete(self) -> None:
        if not self._status:  # 100 Continue and the like
            self._headers, self._encoding = [], None
        elif self._answer is not None:
            self._quiet = 0
            self.is_reusable = self.is_reusable and not self._is_pouring and self._parser.should_keep_alive()
            self._finish()

    def _finish(self) -> None:
        answer, self._answer = self._answer, None
        parts, self._parts = self._parts, []
        if answer is not None and not answer.done():
            answer.set_result(Got(self._status, Headers(self._headers), parts[0] if len(parts) == 1 else b"".join(parts), self._encoding))
        if self._is_pouring:
            self.resume_writing()

    def _ends_with_connection(self) -> bool:
        """Whether the end of the connection is the end of the reply: it has a head, and neither a length nor chunks."""
        if not self._status:
            return False
        told = {name.lower(): value.lower() for name, value in self._headers}
        return b"content-length" not in told and not told.get(b"transfer-encoding", b"").strip().endswith(b"chunked")
