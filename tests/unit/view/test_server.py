"""The server: loopback, GET, and what its headers forbid; what goes wrong is said in JSON."""

from __future__ import annotations

import http.client
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dreamframe.errors import SettingError
from dreamframe.view.server import Server, serve
from tests.sessions import said


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("served")
    said(folder)
    with Server(folder) as running:
        yield running


def ask(server: Server, path: str = "", method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    """What the server says to a request below its address, or to another path."""
    where = urlsplit(server.address)
    connection = http.client.HTTPConnection("127.0.0.1", where.port or 0, timeout=10)
    connection.putrequest(method, path if path.startswith("/") else where.path + path, skip_host="host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    reply = connection.getresponse()
    found = reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read()
    connection.close()
    return found


def told(server: Server, path: str) -> Any:
    return json.loads(ask(server, path)[2])


def test_the_page_and_its_parts_are_served_and_forbid_all_that_is_not_theirs(server: Server) -> None:
    for path, kind in {"": "text/html", "page.js": "text/javascript", "page.css": "text/css", "api/overview": "application/json"}.items():
        status, headers, body = ask(server, path)
        assert (status, headers["content-type"].split(";")[0], bool(body)) == (200, kind, True)
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert (headers["x-content-type-options"], headers["cache-control"], headers["referrer-policy"]) == ("nosniff", "no-store", "no-referrer")
        assert "access-control-allow-origin" not in headers


def test_a_strangers_host_origin_or_a_missing_token_is_refused(server: Server) -> None:
    port = urlsplit(server.address).port
    assert ask(server, "/")[0] == ask(server, "/page.js")[0] == ask(server, "/api/overview")[0] == 403
    assert ask(server, "api/overview", host="evil.example")[0] == 403
    assert ask(server, "api/overview", origin="http://evil.example")[0] == 403
    assert ask(server, "api/overview", sec_fetch_site="cross-site")[0] == 403
    assert ask(server, "api/overview", origin=f"http://127.0.0.1:{port}", sec_fetch_site="same-origin")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT"])
def test_nothing_but_get_is_answered(method: str, server: Server) -> None:
    assert ask(server, "api/overview", method)[0] == 405


@pytest.mark.parametrize("path", ["../../etc/passwd", "api/", "api/x", "page.js/", "%2e%2e/page.js", "__init__.py", "api/overview/"])
def test_there_is_nothing_else(path: str, server: Server) -> None:
    assert ask(server, path)[0] == 404


def test_mistakes_are_said_in_json(server: Server) -> None:
    assert ask(server, "api/rows")[0] == 400
    assert told(server, "api/rows?output=x")["error"] == "there is no stored output 'x'"
    assert told(server, "api/rows?output=%1b%5b31m")["error"] == "there is no stored output '\\x1b[31m'"
    name = told(server, "api/overview")["outputs"][0]["name"]
    assert "is not a number" in told(server, f"api/rows?output={name}&page=x")["error"]
    assert ask(server, "api/overview?" + "&".join(f"a{i}=1" for i in range(99)))[0] == 404
    assert told(server, f"api/rows?output={name}")["n"] == 3


def test_what_is_not_http_ends_the_connection_and_not_the_server(server: Server) -> None:
    port = urlsplit(server.address).port or 0
    for raw in (b"\x00\x01\x02\r\n\r\n", b"GET " + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", b"GET /"):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as out:
            out.sendall(raw)
            out.shutdown(socket.SHUT_WR)
            assert b"200 OK" not in out.recv(1 << 16)
    assert ask(server)[0] == 200


def test_it_listens_on_loopback_alone_and_each_time_under_another_address(server: Server) -> None:
    assert server._http.server_address[0] == "127.0.0.1"
    with Server(server.held.folder or "") as other:
        assert urlsplit(other.address).path != urlsplit(server.address).path
        assert len(urlsplit(other.address).path) > 30


def test_serve_tells_the_address_and_ends_with_ctrl_c(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    monkeypatch.setattr(Server, "wait", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    n = threading.active_count()
    serve(server.held.folder or "", open=False, say=lines.append)
    assert len(lines) == 1
    assert "http://127.0.0.1:" in lines[0]
    assert threading.active_count() == n


def test_a_folder_without_a_session_and_a_port_that_is_taken_are_said(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="holds no session"):
        Server(tmp_path)
    with pytest.raises(SettingError, match="cannot be used"):
        Server(server.held.folder or "", port=urlsplit(server.address).port or 0)
