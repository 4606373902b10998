"""Certificates: a server of one's own authority is trusted once the environment names the file, and until then the first call says how."""

from __future__ import annotations

import os
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import ConnectionFailedError, SettingError, TrainingError
from dreamframe.models.api.certificates import BY_OPENSSL, BY_OTHERS
from tests.asking import ask_all
from tests.loopback import Loopback
from tests.loopback.asking import ask

PEM = Path(__file__).parents[3] / "loopback" / "self_signed.pem"
pytestmark = pytest.mark.usefixtures("either_way")


@pytest.fixture(autouse=True)
def _nothing_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*BY_OPENSSL, *BY_OTHERS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[Loopback]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(PEM)
    with Loopback(tls=context) as running:
        yield running


def test_a_certificate_that_is_not_trusted_stops_the_run_at_once_and_says_what_to_set(server: Loopback) -> None:
    run, failures = ask(dr.OpenAI("m", base_url=server.url, concurrency=1), ["a", "b", "c"])  # with the attempts and waits of every user
    assert run.retries == []
    assert {f.error for f in failures.values()} == {"ConnectionFailedError"}
    assert all(name in failures[0].message for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "not trusted"))
    assert sorted(f.attempts for f in failures.values()) == [0, 0, 1]


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_the_file_that_the_environment_names_is_trusted(name: str, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, str(PEM))
    assert [a.text for a in ask_all(dr.OpenAI("m", base_url=server.url), ["a"])] == ["a"]


@pytest.mark.parametrize("name", [*BY_OPENSSL, *BY_OTHERS])
def test_a_path_that_is_not_there_is_named_by_its_variable(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(name, str(tmp_path / "gone.pem"))
    with pytest.raises(SettingError, match=f"{name}=.*no such file"):
        ask_all(dr.OpenAI("m", base_url="https://127.0.0.1:1/v1"), ["a"])


def test_folders_that_are_listed_are_read_as_far_as_they_are_there(server: Loopback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", f"{tmp_path / 'gone'}{os.pathsep}{tmp_path}")
    monkeypatch.setenv("CURL_CA_BUNDLE", str(PEM))
    assert [a.text for a in ask_all(dr.OpenAI("m", base_url=server.url), ["a"])] == ["a"]


def test_a_server_without_tls_needs_none_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "gone.pem"))
    with Loopback() as plain:
        assert [a.text for a in ask_all(dr.OpenAI("m", base_url=plain.url), ["a"])] == ["a"]


def test_a_file_without_a_certificate_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing of the kind")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "notes.txt"))
    with pytest.raises(SettingError, match=r"REQUESTS_CA_BUNDLE=.*PEM"):
        ask_all(dr.OpenAI("m", base_url="https://127.0.0.1:1/v1"), ["a"])


def test_another_name_than_the_certificates_is_told_apart(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(PEM))
    url = server.url.replace("127.0.0.1", "localhost")
    (error,) = ask_all(dr.OpenAI("m", base_url=url), ["a"])
    assert isinstance(error, ConnectionFailedError)
    assert "by the name that its certificate is for" in str(error)
    assert error.stops_run


def test_https_to_a_server_without_tls_says_so_at_once() -> None:
    class Plain(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1 << 16)
            self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with socketserver.TCPServer(("127.0.0.1", 0), Plain) as plain:
        threading.Thread(target=plain.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        run, failures = ask(dr.OpenAI("m", base_url=f"https://127.0.0.1:{plain.server_address[1]}/v1", concurrency=1), ["a", "b"])
        plain.shutdown()
    assert run.retries == []
    assert "http://" in failures[0].message


def trainers(url: str) -> list[Any]:
    return [dr.OpenAIFineTune("m", base_url=url, api_key="k"), dr.MistralFineTune("m", steps=1, base_url=url, api_key="k")]


@pytest.mark.parametrize("which", [0, 1], ids=["OpenAIFineTune", "MistralFineTune"])
def test_fine_tuning_says_and_trusts_the_same(which: int, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    server.fault = lambda call: lambda c: c.send(200, {"data": [], "object": "list", "has_more": False})
    with pytest.raises(ConnectionFailedError, match="SSL_CERT_FILE") as caught:
        trainers(server.url)[which].provider().find_file("x")
    assert caught.value.stops_run
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(PEM))
    assert trainers(server.url)[which].provider().find_file("x") is None


def test_a_training_stops_at_once_too(server: Loopback, tmp_path: Path) -> None:
    rows = dr.frame({"q": ["a"] * 12, "a": ["b"] * 12})
    with dr.Session(tmp_path, progress=False), pytest.raises(TrainingError, match="SSL_CERT_FILE"):
        rows.train(dr.MistralFineTune("m", steps=1, base_url=server.url, api_key="k"), prompt="q", completion="a").fit()
