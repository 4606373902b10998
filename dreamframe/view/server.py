"""`dreamframe view FOLDER`: a web server of the standard library, on loopback, that shows a session and changes nothing."""

from __future__ import annotations

import json
import secrets
import threading
import webbrowser
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import polars as pl

from dreamframe.errors import DreamframeError, MissingExtraError, SettingError
from dreamframe.redaction.visible import visible
from dreamframe.run.active import DEFAULT_FOLDER
from dreamframe.session.page.assets import ASSETS, asset
from dreamframe.session.page.folder import Held
from dreamframe.session.page.routes import ROUTES
from dreamframe.session.session import Session
from dreamframe.view.door import HEADERS, Door

WAIT_S = 30.0  # for a browser to send its request
MOST_WORDS = 64  # parameters of an address
JSON = "application/json"
REFUSED = {
    "token": "this is not the address that was told: it has a token in it",
    "host": "open it as 127.0.0.1 or localhost, at the port that was told; a tunnel leads to the same port",
    "origin": "another page asks",
    "site": "another page asks",
}


def serve(folder: str | Path = DEFAULT_FOLDER, *, port: int = 0, open: bool = True, say: Callable[[str], object] = print) -> None:
    """Show the session in `folder` until Ctrl-C: on 127.0.0.1 alone, under an address that holds a random token. Nothing is written or asked.

    `port`: 0 takes a free one. `open` opens the address in the browser. `say` is given the one line that tells the address.

    Raises SettingError where there is no session in the folder or the port is taken, CorruptFileError or SessionFormatError for a session that cannot be
    read.
    """
    with Server(folder, port=port) as server:
        say(f"{server.called} is at {server.address} (Ctrl-C ends it)")
        if open:
            webbrowser.open(server.address)
        try:
            server.wait()
        except KeyboardInterrupt:
            return


class Server:
    """The page of one session, served by threads of this process from `with` on until its end."""

    def __init__(self, folder: str | Path = DEFAULT_FOLDER, *, port: int = 0) -> None:
        at = Session(folder, offline=True, progress=False)
        assert at.folder is not None
        self.held = Held(at.folder.name, at.folder, address=at.address, opened=lambda: Session.existing(folder))
        self.held.check()
        self.called = visible(str(folder))
        try:
            self._http = _Http(("127.0.0.1", port), _Handler)
        except (OSError, OverflowError) as exc:
            raise SettingError(f"view: port {port} cannot be used ({exc}). Name another, or none: a free one is taken.") from exc
        self._http.held, self._http.door = self.held, Door(self._http.server_address[1], secrets.token_urlsafe(24))
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, name="dreamframe-view", daemon=True)

    @property
    def address(self) -> str:
        """Where the page is. Whoever knows it, on this machine, sees the session."""
        return self._http.door.address

    def wait(self) -> None:
        """Return when the server has ended."""
        while self._thread.is_alive():
            self._thread.join(1.0)  # with a limit, Ctrl-C comes through everywhere

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False
    block_on_close = False
    held: Held
    door: Door

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away is not news."""


class _Handler(BaseHTTPRequestHandler):
    """Answers GET, and nothing else, to whoever comes through the door."""

    server: _Http
    protocol_version = "HTTP/1.1"
    server_version = "dreamframe"
    sys_version = ""
    timeout = WAIT_S
    disable_nagle_algorithm = True  # else a reply in two writes waits for the browser's delayed acknowledgement, 40 ms
    wbufsize = -1

    def do_GET(self) -> None:
        """Answer, or refuse in a word."""
        why = self.server.door.refusal(self.path, {name.lower(): self.headers.get(name) for name in self.headers})
        if why is not None or len(self.headers.get_all("host") or ()) != 1:
            self._send(HTTPStatus.FORBIDDEN, "text/plain; charset=utf-8", f"refused: {REFUSED.get(why or 'host', why)}\n".encode())
            return
        parts = urlsplit(self.path)
        what = parts.path.split("/", 2)[2] if parts.path.count("/") > 1 else None
        if what is None:
            self._send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"not found\n")
        elif what.startswith("api/"):
            self._send(*self._asked(what.removeprefix("api/"), parts.query))
        elif (what or "page.html") in ASSETS:
            self._send(HTTPStatus.OK, *asset(what or "page.html"))
        else:
            self._send(HTTPStatus.NOT_FOUND, "text/plain; charset=utf-8", b"not found\n")

    def _asked(self, what: str, query: str) -> tuple[HTTPStatus, str, bytes]:
        route = ROUTES.get(what)
        if route is None:
            return HTTPStatus.NOT_FOUND, JSON, _error("there is no such thing")
        try:
            words = dict(parse_qsl(query, keep_blank_values=True, max_num_fields=MOST_WORDS))
            return HTTPStatus.OK, JSON, json.dumps(route(self.server.held, words), allow_nan=False, separators=(",", ":")).encode()
        except KeyError as exc:
            return HTTPStatus.BAD_REQUEST, JSON, _error(f"the address lacks {str(exc)[:80]}")
        except MissingExtraError as exc:
            return HTTPStatus.NOT_IMPLEMENTED, JSON, _error(str(exc))
        except (SettingError, ValueError) as exc:
            return HTTPStatus.NOT_FOUND, JSON, _error(str(exc))
        except (DreamframeError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as exc:
            return HTTPStatus.INTERNAL_SERVER_ERROR, JSON, _error(f"{type(exc).__name__}: {exc}")

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002  as of the standard library
        """What is not GET, or not HTTP, is refused with the same headers, and the connection ends."""
        self.close_connection = True
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._send(status, "text/plain; charset=utf-8", f"{status.phrase}\n".encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the token is in every line."""


def _error(text: str) -> bytes:
    return json.dumps({"error": visible(text)}).encode()
