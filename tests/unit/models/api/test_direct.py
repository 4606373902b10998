"""What HTTP/1.1 allows a server to do, over connections of our own and over aiohttp's: the same reply, the same error."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from dreamframe.errors import BadReplyError, BadRequestError, ConnectionFailedError
from dreamframe.models.api.http import Http
from tests.loopback.raw import BRIEF, CLOSE, HANG, OK, Raw, connected, raw_server

PEM = Path(__file__).parents[3] / "loopback" / "self_signed.pem"
BODY = b'{"a": 1}'
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\n" + b'{"a\r\n5\r\n": 1}\r\n0\r\nTrailer: t\r\n\r\n'


def served(says: Callable[[int], bytes], use: Callable[[Http, Raw], Awaitable[Any]], **settings: Any) -> Any:
    """What `use` makes of a server that says this."""

    async def main() -> Any:
        async with raw_server(says) as server, connected(server.url, **settings) as http, asyncio.timeout(20):
            return await use(http, server)

    return asyncio.run(main())


async def post(http: Http, server: Raw) -> Any:
    reply = await http.post(f"{server.url}/v1", BODY)
    return reply.status, reply.body


REPLIES = {
    "of a length": (OK + b"Content-Length: 8\r\n\r\n" + BODY, BODY),
    "in chunks": (CHUNKED, BODY),
    "to the end of the connection": (OK + b"\r\n" + BODY + CLOSE, BODY),
    "of HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\n" + BODY + CLOSE, BODY),
    "after 100 Continue": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Content-Length: 8\r\n\r\n" + BODY, BODY),
    "after early hints": (b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Encoding: br\r\n\r\n" + OK + b"Content-Length: 8\r\n\r\n" + BODY, BODY),
    "packed": (OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(BODY)) + gzip.compress(BODY), BODY),
    "with lines that end in LF": (b"HTTP/1.1 200 OK\nContent-Length: 8\n\n" + BODY, BODY),
    "without a word for its status": (b"HTTP/1.1 200\r\nContent-Length: 8\r\n\r\n" + BODY, BODY),
    "empty": (OK + b"Content-Length: 0\r\n\r\n", b""),
}


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("name", REPLIES)
def test_a_reply_is_read_however_it_is_framed(name: str) -> None:
    said, body = REPLIES[name]
    assert served(lambda n: said, post) == (200, body)


def test_a_reply_that_comes_byte_by_byte_is_whole() -> None:
    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(BODY)
        for byte in CHUNKED:
            writer.write(bytes((byte,)))
            await asyncio.sleep(0)
        writer.close()

    async def main() -> bytes:
        server = await asyncio.start_server(drip, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, connected(url) as http:
            return (await http.post(url, BODY)).body

    assert asyncio.run(main()) == BODY


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_ends_with_its_head_and_keeps_the_connection(status: int) -> None:
    async def twice(http: Http, server: Raw) -> Any:
        return [(await http.post(server.url, BODY)).status for _ in range(2)], server.n_connections

    assert served(lambda n: b"HTTP/1.1 %d X\r\n\r\n" % status, twice) == ([status, status], 1)


BROKEN = {  # what breaks off, or is not HTTP
    "a length that is not reached": OK + b"Content-Length: 9\r\n\r\n" + BODY + CLOSE,
    "chunks without an end": OK + b"Transfer-Encoding: chunked\r\n\r\n8\r\n" + BODY + b"\r\n" + CLOSE,
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le" + CLOSE,
    "nothing": CLOSE,
    "a length and chunks": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 8\r\nContent-Length: 9\r\n\r\n" + BODY,
    "a length that is no number": OK + b"Content-Length: eight\r\n\r\n" + BODY,
    "a status that is no number": b"HTTP/1.1 OK\r\n\r\n",
    "a head without an end": b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 60_000,
    "a header without an end": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000,
}


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_a_whole_reply_is_a_failed_connection(name: str) -> None:
    with pytest.raises(ConnectionFailedError):
        served(lambda n: BROKEN[name], post)


@pytest.mark.parametrize("said", [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", CHUNKED[:-9] + b"T: " + b"y" * 300_000])
def test_another_protocol_and_trailers_without_an_end_are_refused(said: bytes) -> None:
    with pytest.raises(ConnectionFailedError, match=r"another protocol|bytes, and no body"):
        served(lambda n: said, post)


LONG = b"x" * 2000


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("framing", [b"Content-Length: 2000\r\n\r\n" + LONG, b"Transfer-Encoding: chunked\r\n\r\n7d0\r\n" + LONG + b"\r\n", b"\r\n" + LONG])
def test_a_reply_that_is_longer_than_allowed_is_cut_with_its_status(framing: bytes) -> None:
    with pytest.raises(BadReplyError, match="longer than 1,000 bytes") as caught:
        served(lambda n: b"HTTP/1.1 502 X\r\n" + framing, post, max_bytes=1000)
    assert caught.value.status == 502


@pytest.mark.usefixtures("either_way")
def test_a_request_carries_its_headers_once_and_keeps_its_connection() -> None:
    async def twice(http: Http, server: Raw) -> Any:
        for _ in range(2):
            await http.send("POST", f"{server.url}/v1?a=b#c", b"multi", {"content-type": "multipart/x"})
        await http.send("GET", f"{server.url}/v1")
        return server

    server = served(lambda n: BRIEF, twice, authorization="Bearer k")
    lines = [sorted(head.lower().split("\r\n")[1:]) for head in server.heads]
    assert [head.partition("\r\n")[0] for head in server.heads] == ["POST /v1?a=b HTTP/1.1", "POST /v1?a=b HTTP/1.1", "GET /v1 HTTP/1.1"]
    shared = ["accept-encoding: gzip, deflate", "accept: */*", "authorization: bearer k", f"host: {server.url[7:]}", "user-agent: dreamframe"]
    assert lines[0] == lines[1] == ["", "", *shared[:3], "content-length: 5", "content-type: multipart/x", *shared[3:]]
    assert lines[2] == ["", "", *shared[:3], "content-type: application/json", *shared[3:]]
    assert (server.bodies, server.n_connections) == ([b"multi", b"multi", b""], 1)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "a\0b"])
def test_a_text_that_would_begin_another_header_is_not_sent(value: str) -> None:
    async def with_it(http: Http, server: Raw) -> Any:
        with pytest.raises(ConnectionFailedError, match="header injection"):
            await http.send("POST", server.url, BODY, {"X": value})
        return server.heads

    assert served(lambda n: BRIEF, with_it) == []


def test_the_path_of_a_request_is_one_word_of_its_first_line() -> None:
    async def odd(http: Http, server: Raw) -> Any:
        await http.post(f"{server.url}/ü b/%20?q=ü d", BODY)
        await http.post(server.url, BODY)
        return [head.partition("\r\n")[0] for head in server.heads]

    assert served(lambda n: BRIEF, odd) == ["POST /%C3%BC%20b/%20?q=%C3%BC%20d HTTP/1.1", "POST / HTTP/1.1"]


@pytest.mark.parametrize("url", ["http://me:hush-hush@h/v1", "ftp://h/v1", "http:///v1", "http://h:port/v1", "http://h o/v1", "v1"])
def test_what_is_not_an_address_is_refused_without_what_may_be_a_password(url: str) -> None:
    async def there(http: Http, server: Raw) -> Any:
        return await http.post(url, BODY)

    with pytest.raises(BadRequestError, match="is not an address") as caught:
        served(lambda n: BRIEF, there)
    assert "hush-hush" not in str(caught.value)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_large_request_arrives_whole(monkeypatch: pytest.MonkeyPatch, *, tls: bool) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    large = bytes(range(256)) * (20 << 10)

    async def main() -> Any:
        async with raw_server(lambda n: BRIEF, tls=context if tls else None) as server, connected(server.url) as http:
            return [(await http.post(server.url, body)).status for body in (large, BODY)], server.bodies, server.n_connections

    assert asyncio.run(main()) == ([200, 200], [large, BODY], 1)


def test_a_large_request_that_is_refused_before_its_end_is_answered_with_the_refusal() -> None:
    async def upload(http: Http, server: Raw) -> Any:
        refused = await http.post(server.url, bytes(30 << 20))
        after = await http.post(server.url, BODY)
        return refused.status, after.status, server.n_connections

    says = {0: b"HTTP/1.1 413 X\r\nContent-Length: 0\r\n\r\n"}
    assert served(lambda n: says.get(n, BRIEF), upload) == (413, 200, 2)


@pytest.mark.usefixtures("either_way")
def test_a_call_that_is_given_up_closes_its_connection_and_makes_room() -> None:
    async def give_up(http: Http, server: Raw) -> Any:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await http.post(server.url, BODY)
        after = await http.post(server.url, BODY)
        while server.n_open > 1:
            await asyncio.sleep(0.01)
        return after.status, server.n_connections

    says = {0: OK + b"Content-Length: 500\r\n\r\n{"}
    assert served(lambda n: says.get(n, BRIEF), give_up, concurrency=1) == (200, 2)


def test_nothing_is_left_of_a_client_that_was_closed() -> None:
    async def main() -> Any:
        async with raw_server(lambda n: BRIEF if n else HANG) as server:
            async with connected(server.url) as http:
                waits = asyncio.create_task(http.post(server.url, BODY))
                await server.saw.wait()
                await http.post(server.url, BODY)
                assert server.n_open == 2
                waits.cancel()
            async with asyncio.timeout(5):
                while server.n_open:
                    await asyncio.sleep(0.01)

    asyncio.run(main())
