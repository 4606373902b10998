"""A SOCKS5 proxy on loopback: it writes down whereto it is asked to connect, and connects to the one server that it is given."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Socks:
    """What the proxy saw."""

    port: int = 0
    asked: list[tuple[str, int]] = field(default_factory=list)  # targets, names as they came
    logins: list[tuple[str, str]] = field(default_factory=list)


@contextmanager
def socks_proxy(leads_to: int) -> Iterator[Socks]:
    """A proxy whose connections all lead to one port of this machine."""
    seen = Socks()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            _, n = self.rfile.read(2)
            methods = self.rfile.read(n)
            if 2 in methods:
                self.wfile.write(b"\x05\x02")
                self.rfile.read(1)
                user, word = (self.rfile.read(self.rfile.read(1)[0]).decode() for _ in range(2))
                seen.logins.append((user, word))
                self.wfile.write(b"\x01\x00")
            else:
                self.wfile.write(b"\x05\x00")
            kind = self.rfile.read(4)[3]
            host = self.rfile.read(self.rfile.read(1)[0]).decode() if kind == 3 else socket.inet_ntoa(self.rfile.read(4))
            seen.asked.append((host, struct.unpack(">H", self.rfile.read(2))[0]))
            with socket.create_connection(("127.0.0.1", leads_to)) as server:
                self.wfile.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
                there = threading.Thread(target=_copy, args=(server, self.connection), daemon=True)
                there.start()
                _copy(self.connection, server)
                there.join(5)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as proxy:
        seen.port = proxy.server_address[1]
        threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield seen
        finally:
            proxy.shutdown()


def _copy(whence: socket.socket, whither: socket.socket) -> None:
    try:
        while data := whence.recv(1 << 16):
            whither.sendall(data)
        whither.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one of them is gone
