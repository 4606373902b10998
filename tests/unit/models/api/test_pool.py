"""Connections: how many there are, which are used again, and what happens to a request when the server has closed one."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from dreamframe.errors import ConnectionFailedError
from dreamframe.models.api import pool
from dreamframe.models.api.http import Http
from tests.loopback.raw import BRIEF, CLOSE, HANG, OK, Raw, connected, raw_server
from tests.unit.models.api.test_direct import BODY, served


async def three(http: Http, server: Raw) -> Any:
    bodies = []
    for _ in range(3):
        bodies.append((await http.post(server.url, BODY)).body)
        await asyncio.sleep(0)
    return bodies, server.n_connections


KEEPS = {
    "kept": (BRIEF, 1),
    "closed, as it says": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}" + CLOSE, 3),
    "said to be closed, and left open": (OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", 3),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}", 3),
    "HTTP/1.0, kept": (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", 1),
    "with a reply to nothing behind it": (BRIEF + OK + b"Content-Length: 5\r\n\r\nother", 3),
    "with half a reply to nothing behind it": (BRIEF + b"HTTP/1.1 200", 3),
}


@pytest.mark.parametrize("name", KEEPS)
def test_a_connection_is_used_again_where_the_server_keeps_it_and_says_nothing_unasked(name: str) -> None:
    said, n_connections = KEEPS[name]
    assert served(lambda n: said, three) == ([b"{}"] * 3, n_connections)


@pytest.mark.usefixtures("either_way")
def test_no_more_connections_than_calls_may_be_in_flight() -> None:
    async def many(http: Http, server: Raw) -> Any:
        replies = await asyncio.gather(*(http.post(server.url, BODY) for _ in range(20)))
        return [r.status for r in replies], server.most_open

    assert served(lambda n: BRIEF, many, concurrency=3) == ([200] * 20, 3)


def test_who_is_given_up_as_its_turn_comes_passes_it_on() -> None:
    async def main() -> Any:
        async with raw_server(lambda n: BRIEF) as server:
            crowded = pool.Pool("127.0.0.1", int(server.url.rpartition(":")[2]), context=None, most=1)
            held = await crowded.connect()
            first, second = (asyncio.create_task(crowded.connect()) for _ in range(2))
            await asyncio.sleep(0)
            crowded.give(held)
            first.cancel()
            async with asyncio.timeout(5):
                assert await second is held
            await crowded.close()
            return first.cancelled()

    assert asyncio.run(main())


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_on_a_connection_that_dies_under_it_is_sent_again_only_where_it_cannot_be_paid_twice(method: str) -> None:
    """The server read it, and closed: whether it was counted, nobody knows. The asker tries a POST again, and says so."""

    async def dies(http: Http, server: Raw) -> Any:
        await http.send(method, server.url)
        try:
            return (await http.send(method, server.url)).status, len(server.heads)
        except ConnectionFailedError as exc:
            return str(exc).partition(": ")[2], len(server.heads)

    says = {1: CLOSE}
    expected = (200, 3) if method == "GET" else ("ServerDisconnectedError: Server disconnected", 2)
    assert served(lambda n: says.get(n, BRIEF), dies) == expected


def test_a_connection_that_was_closed_while_the_loop_was_busy_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LOOKED_AT_S", -1.0)

    async def main() -> Any:
        async with raw_server(lambda n: BRIEF) as server, connected(server.url) as http:
            await http.post(server.url, BODY)
            ours = next(iter(http._way._pools.values()))._idle[0]._transport  # type: ignore[attr-defined]
            ours.get_extra_info("socket").shutdown(socket.SHUT_RD)  # what the end of the other side looks like, before the loop hears of it
            return (await http.post(server.url, BODY)).status, server.n_connections

    assert asyncio.run(main()) == (200, 2)


def test_a_connection_that_is_idle_for_long_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "KEEP_ALIVE_S", 0.05)

    async def idle(http: Http, server: Raw) -> Any:
        await http.post(server.url, BODY)
        while server.n_open:
            await asyncio.sleep(0.01)
        await http.post(server.url, BODY)
        return server.n_connections

    assert served(lambda n: BRIEF, idle) == 2


@pytest.mark.usefixtures("either_way")
def test_localhost_is_found_at_whichever_address_listens() -> None:
    async def main() -> Any:
        async with raw_server(lambda n: BRIEF) as server:
            url = server.url.replace("127.0.0.1", "localhost")
            async with connected(url) as http:
                return (await http.post(url, BODY)).status

    assert asyncio.run(main()) == 200


def test_the_next_address_is_tried_where_the_first_refuses_and_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    async def main() -> Any:
        async with raw_server(lambda n: BRIEF) as server:
            port = int(server.url.rpartition(":")[2])
            loop = asyncio.get_running_loop()

            async def two(host: str, *_: Any, **__: Any) -> Any:
                looked_up.append(host)
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("127.0.0.2", "127.0.0.1")]

            monkeypatch.setattr(loop, "getaddrinfo", two)
            url = f"http://gateway.invalid:{port}"
            async with connected(url, concurrency=8) as http:
                found = await asyncio.gather(*(http.post(url, BODY) for _ in range(8)))
                return [r.status for r in found]

    assert asyncio.run(main()) == [200] * 8
    assert looked_up == ["gateway.invalid"]


def test_a_server_that_takes_no_connection_in_time_is_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "CONNECT_S", 0.1)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        url = f"https://127.0.0.1:{full.getsockname()[1]}"  # the kernel takes it, and nobody shakes hands

        async def main() -> Any:
            async with connected(url) as http:
                return await http.post(url, BODY)

        with pytest.raises(ConnectionFailedError, match="ConnectionTimeoutError: Connection timeout to host https"):
            asyncio.run(main())


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
def test_a_server_that_hangs_up_as_it_is_connected_to_fails_each_call_and_blocks_none(*, reset: bool) -> None:
    def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort() if reset else writer.close()

    async def main() -> Any:
        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, connected(url, concurrency=8) as http, asyncio.timeout(10):
            return await asyncio.gather(*(http.post(url, BODY) for _ in range(64)), return_exceptions=True)

    assert {type(said) for said in asyncio.run(main())} == {ConnectionFailedError}


def test_calls_under_way_hear_that_the_client_is_closed() -> None:
    async def close(http: Http, server: Raw) -> Any:
        calls = [asyncio.create_task(http.post(server.url, BODY)) for _ in range(4)]
        await server.saw.wait()
        await http.close()
        return await asyncio.gather(*calls, return_exceptions=True)

    said = served(lambda n: HANG, close, concurrency=2)
    assert [type(s) for s in said] == [ConnectionFailedError] * 4


def test_a_connection_that_is_lost_before_it_is_used_is_a_failed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> Any:
        async with raw_server(lambda n: BRIEF) as server, connected(server.url, concurrency=1) as http, asyncio.timeout(5):
            loop, made = asyncio.get_running_loop(), asyncio.get_running_loop().create_connection

            async def lost_at_once(*args: Any, **kwargs: Any) -> Any:
                transport, connection = await made(*args, **kwargs)
                transport.abort()
                await asyncio.sleep(0)
                return transport, connection

            with monkeypatch.context() as patched:
                patched.setattr(loop, "create_connection", lost_at_once)
                with pytest.raises(ConnectionFailedError, match="Server disconnected"):
                    await http.post(server.url, BODY)
            return (await http.post(server.url, BODY)).status

    assert asyncio.run(main()) == 200
