"""The connections to one server: as many as may be asked at once, each kept for the next request."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import deque
from typing import Any

from dreamframe.models.api.connection import Connection
from dreamframe.models.api.mishaps import (
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ConnectionTimeoutError,
    ServerDisconnectedError,
)

KEEP_ALIVE_S = 4.0  # below the 5 s after which common servers close an idle connection, so that none is used as it closes
LOOKED_AT_S = 0.5  # of idleness, after which a connection is looked at before it is used: a busy loop may not have heard that it was closed
CONNECT_S = 20.0
NAMES_S = 10.0  # how long the addresses of a name are known
EYEBALLS_S = 0.25  # until the next address is tried beside one that does not answer (RFC 8305)
CLOSE_S = 1.0


class Pool:
    """Made and used inside one event loop. At most `most` connections at once; whoever comes then waits."""

    def __init__(self, host: str, port: int, *, context: ssl.SSLContext | None, most: int) -> None:
        self._host, self._port, self._context, self._most = host, port, context, most
        self._loop = asyncio.get_running_loop()
        self._idle: deque[Connection] = deque()  # the one used last is used first
        self._open: set[Connection] = set()
        self._n_opening = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweeping: asyncio.TimerHandle | None = None
        self._addresses: list[Any] = []
        self._known_until = 0.0
        self._lookup: asyncio.Task[list[Any]] | None = None
        self._is_closed = False

    def take(self) -> Connection | None:
        """An idle connection, if there is one that is still good."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            unused_s = self._loop.time() - connection.idle_since
            if connection.is_open and unused_s < KEEP_ALIVE_S and not (unused_s > LOOKED_AT_S and connection.is_stale):
                return connection
            connection.drop()
        return None

    async def connect(self) -> Connection:
        """A new connection, or one that becomes free. Raises ConnectionErrors."""
        while len(self._open) + self._n_opening >= self._most and not self._is_closed:
            turn: asyncio.Future[None] = self._loop.create_future()
            self._waiting.append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self._wake()  # the turn was this one's
                raise
            if (found := self.take()) is not None:
                return found
        if self._is_closed:
            raise ServerDisconnectedError("Connection closed")
        self._n_opening += 1
        try:
            connection = await self._connected()
            if not connection.is_open or self._is_closed:
                connection.drop()
                raise ServerDisconnectedError("Server disconnected")
            self._open.add(connection)
            return connection
        finally:
            self._n_opening -= 1
            self._wake()

    def give(self, connection: Connection) -> None:
        """Take back a connection whose request is over."""
        if self._is_closed or not connection.is_reusable:  # one that is about to close is seen when it is taken
            connection.drop()
            return
        connection.is_new = False
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._waiting:
            self._wake()
        if self._sweeping is None:
            self._sweeping = self._loop.call_later(KEEP_ALIVE_S, self._sweep)

    async def close(self) -> None:
        """Close every connection."""
        self._is_closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._lookup is not None:
            self._lookup.cancel()
        for connection in list(self._open):
            connection.drop()
        while self._waiting:
            self._wake()
        until = self._loop.time() + CLOSE_S
        while self._open and self._loop.time() < until:
            await asyncio.sleep(0)  # their sockets are closed in the next round of the loop

    def _lost(self, connection: Connection) -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._wake()

    def _wake(self) -> None:
        """Let the next in the queue look whether there is room."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _sweep(self) -> None:
        """Close what has not been used for long."""
        self._sweeping = None
        now = self._loop.time()
        while self._idle and now - self._idle[0].idle_since >= KEEP_ALIVE_S:
            self._idle.popleft().drop()
        if self._idle:
            self._sweeping = self._loop.call_later(max(KEEP_ALIVE_S - (now - self._idle[0].idle_since), 0.01), self._sweep)

    # Connecting

    @property
    def _place(self) -> str:
        return f"{self._host}:{self._port}"

    async def _connected(self) -> Connection:
        try:
            async with asyncio.timeout(CONNECT_S):
                sock = await self._socket()
                try:
                    made = lambda: Connection(self._loop, self._lost)  # noqa: E731
                    name = self._host.rstrip(".") if self._context is not None else None
                    _, connection = await self._loop.create_connection(made, sock=sock, ssl=self._context, server_hostname=name)
                except BaseException:
                    sock.close()
                    raise
                return connection
        except TimeoutError as exc:
            raise ConnectionTimeoutError(f"Connection timeout to host {'https' if self._context else 'http'}://{self._place}") from exc
        except (ssl.SSLError, ssl.CertificateError) as exc:
            raise ClientConnectorSSLError(f"Cannot connect to host {self._place} ssl:default [{exc}]", exc) from exc
        except socket.gaierror as exc:
            raise ClientConnectorDNSError(f"Cannot connect to host {self._place} ssl:default [{exc.strerror}]") from exc
        except OSError as exc:
            raise ClientConnectorError(f"Cannot connect to host {self._place} ssl:default [{exc.strerror or exc}]") from exc

    async def _socket(self) -> socket.socket:
        """A connected socket: of several addresses, the first that answers."""
        from aiohappyeyeballs import start_connection

        found = await self._known()
        sock = await start_connection(found, happy_eyeballs_delay=EYEBALLS_S, interleave=1, loop=self._loop)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # an answer may take minutes, and what stands between forgets the quiet
        return sock

    async def _known(self) -> list[Any]:
        """The addresses of the name, another one first each time."""
        if self._loop.time() >= self._known_until:
            if self._lookup is None:
                self._lookup = self._loop.create_task(self._look_up())
                self._lookup.add_done_callback(lambda task: task.cancelled() or task.exception())  # heard, also where all who asked are gone
            await asyncio.shield(self._lookup)  # others wait for it too
        self._addresses.append(self._addresses.pop(0))
        return [*self._addresses[-1:], *self._addresses[:-1]]

    async def _look_up(self) -> list[Any]:
        try:
            self._addresses = list(await self._resolved())
            if not self._addresses:
                raise OSError("getaddrinfo() returned an empty list")
            self._known_until = self._loop.time() + NAMES_S
            return self._addresses
        finally:
            self._lookup = None

    async def _resolved(self) -> list[Any]:
        try:
            ipaddress.ip_address(self._host.partition("%")[0])
        except ValueError:
            return await self._loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        return socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)  # asks nobody
