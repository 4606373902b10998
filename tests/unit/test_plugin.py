"""The test plugin itself: tests cannot leave this machine, and they start in an empty folder."""

import http.server
import socket
import threading
import urllib.request
from pathlib import Path

import pytest

from tests import plugin


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"], ids=["ipv4", "ipv6"])
def test_a_connection_to_another_machine_is_refused_and_noted(address: str):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as sock, pytest.raises(ConnectionRefusedError, match="may not leave"):
        sock.connect((address, 80))
    assert plugin.left == [f"{address}:80"]
    plugin.left.clear()


def test_a_name_of_another_machine_is_not_looked_up():
    with pytest.raises(socket.gaierror):
        socket.create_connection(("example.org", 80))
    assert plugin.left == ["example.org"]
    plugin.left.clear()


def test_a_name_that_cannot_exist_is_no_offence():
    with pytest.raises(socket.gaierror):
        socket.create_connection(("no-such-host.invalid", 80))
    assert plugin.left == []


def test_a_server_of_this_machine_is_reached():
    with http.server.ThreadingHTTPServer(("localhost", 0), http.server.SimpleHTTPRequestHandler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with urllib.request.urlopen(f"http://localhost:{server.server_address[1]}/") as reply:
                assert reply.status == 200
        finally:
            server.shutdown()
            thread.join()


def test_a_test_starts_in_an_empty_folder():
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("room", "chosen", "expected"), [(0, None, True), (1 << 60, None, False), (0, "/elsewhere", False)], ids=["plenty", "little", "chosen"]
)
def test_temporary_files_lie_in_memory_where_that_is_plenty_and_nobody_chose(
    room: int, chosen: str | None, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(plugin, "MEMORY", tmp_path)
    monkeypatch.setattr(plugin, "ROOMY", room)
    monkeypatch.setattr(plugin.tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", chosen or "")
    if chosen is None:
        monkeypatch.delenv("TMPDIR")
    plugin.in_memory()
    assert (plugin.os.environ.get("TMPDIR") == str(tmp_path)) is expected
