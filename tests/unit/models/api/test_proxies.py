"""Proxies: which requests go through one, which go straight, and what is said of one that is wrong. The loopback server plays the proxy."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.models.api.proxies import goes_straight, proxy_of
from dreamframe.models.request import Failure
from dreamframe.models.secrets import secrets_around
from tests.asking import ask_all
from tests.loopback import Loopback
from tests.loopback.asking import ask
from tests.loopback.socks import socks_proxy

FAR = "http://nowhere.invalid/v1"
NAMES = [f"{kind}_proxy" for kind in ("http", "https", "all", "no")]


@pytest.fixture(autouse=True)
def _no_proxy_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def asked(llm: Any) -> list[Any]:
    return [getattr(a, "text", a) for a in ask_all(llm, ["a"])]


def failed(llm: Any) -> Failure:
    return ask(llm, ["a"])[1][0]


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""], ids=["with a scheme", "without one"])
def test_the_proxy_of_the_environment_is_used(name: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as proxy:
        monkeypatch.setenv(name, f"{scheme}127.0.0.1:{proxy.port}")
        assert asked(dr.OpenAI("m", base_url=FAR)) == ["a"]
    assert proxy.calls[0].path == f"{FAR}/chat/completions"


@pytest.mark.parametrize("make", [dr.Anthropic, dr.Mistral, dr.Ollama], ids=lambda make: make.__name__)
def test_every_client_goes_through_it(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as proxy:
        monkeypatch.setenv("ALL_PROXY", f"127.0.0.1:{proxy.port}")
        assert asked(make("m", base_url="http://nowhere.invalid", max_tokens=9, api_key="k")) == ["a"]


@pytest.mark.parametrize(
    "make", [lambda url: dr.OpenAIFineTune("m", base_url=url, api_key="k"), lambda url: dr.MistralFineTune("m", steps=1, base_url=url, api_key="k")],
    ids=["OpenAIFineTune", "MistralFineTune"],
)  # fmt: skip
def test_fine_tuning_goes_through_it_too(make: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(fault=lambda call: lambda c: c.send(200, {"data": [], "object": "list", "has_more": False})) as proxy:
        monkeypatch.setenv("ALL_PROXY", f"me:p%40ss@127.0.0.1:{proxy.port}")
        assert make(FAR).provider().find_file("rows.jsonl") is None
    assert proxy.calls[0].path.startswith(f"{FAR}/files")
    assert base64.b64decode(proxy.calls[0].headers["proxy-authorization"].removeprefix("Basic ")) == b"me:p@ss"


def test_the_login_of_a_proxy_is_unquoted(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as proxy:
        monkeypatch.setenv("http_proxy", f"me:p%40ss%2Fword@127.0.0.1:{proxy.port}")
        assert asked(dr.OpenAI("m", base_url=FAR)) == ["a"]
    assert base64.b64decode(proxy.calls[0].headers["proxy-authorization"].removeprefix("Basic ")) == b"me:p@ss/word"


@pytest.mark.parametrize("entry", ["127.0.0.1:{port}", "other.invalid, 127.0.0.1", "127.0.0.0/8", "*", "http://127.0.0.1:{port}"])
def test_what_no_proxy_names_goes_straight(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as proxy, Loopback() as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", entry.format(port=server.port))
        assert asked(dr.OpenAI("m", base_url=server.url)) == ["a"]
    assert (proxy.n_calls, server.n_calls) == (0, 1)


def test_another_port_in_no_proxy_names_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as proxy, Loopback() as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setenv("no_proxy", f"127.0.0.1:{server.port + 1}")
        assert asked(dr.OpenAI("m", base_url=server.url)) == ["a"]
    assert (proxy.n_calls, server.n_calls) == (1, 0)


def test_ports_that_an_address_leaves_out_count() -> None:
    assert goes_straight("api.openai.com:443", "api.openai.com", 443)
    assert not goes_straight("api.openai.com:8443", "api.openai.com", 443)
    assert not goes_straight("openai.com.evil.invalid", "openai.com", 443)


@pytest.mark.parametrize("told", ["ftp://proxy:21", "http://", "http://proxy:port", "http://me:hush-hush@proxy:99999999"])
def test_a_proxy_that_is_none_is_named_by_its_variable(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", told)
    with pytest.raises(SettingError, match="HTTP_PROXY=") as caught:
        proxy_of(FAR)
    assert "hush-hush" not in str(caught.value)
    with pytest.raises(SettingError, match="HTTP_PROXY="):
        ask_all(dr.OpenAI("m", base_url=FAR), ["a"])


@pytest.mark.parametrize("login", ["", "me:p%40ss@"], ids=["open", "with a login"])
def test_a_socks_proxy_is_spoken_to_and_looks_names_up(login: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp_socks")
    with Loopback() as server, socks_proxy(server.port) as proxy:
        monkeypatch.setenv("all_proxy", f"socks5h://{login}127.0.0.1:{proxy.port}")
        assert asked(dr.OpenAI("m", base_url=FAR)) == ["a"]
    assert proxy.asked == [("nowhere.invalid", 80)]
    assert proxy.logins == ([("me", "p@ss")] if login else [])


def test_a_socks_proxy_without_its_library_is_refused_before_anything_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    with Loopback() as proxy:
        monkeypatch.setenv("ALL_PROXY", f"socks5://me:hush-hush@127.0.0.1:{proxy.port}")
        with pytest.raises(MissingExtraError, match=r"ALL_PROXY.*aiohttp-socks.*dreamframe\[socks\]") as caught:
            ask_all(dr.OpenAI("m", base_url=FAR), ["a"])
    assert proxy.n_connections == 0
    assert "hush-hush" not in str(caught.value)


def test_a_proxy_without_its_library_is_refused_before_a_row_is_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = dr.OpenAI("m", base_url=FAR, api_key="k")
    assert llm.missing() == ()
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    assert llm.missing() == ()  # what goes straight needs no library
    with Loopback() as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:hush-hush@127.0.0.1:{proxy.port}")
        with pytest.raises(MissingExtraError, match=r"HTTP_PROXY.*needs aiohttp.*dreamframe\[proxy\]") as caught:
            ask_all(llm, ["a"])
        assert [str(error) for error in llm.missing()] == [str(caught.value)]
    assert proxy.n_connections == 0
    assert "hush-hush" not in str(caught.value)


def test_the_password_of_a_proxy_is_a_secret_without_a_scheme_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "me:hush-hush-hush@proxy.invalid:3128")
    assert "hush-hush-hush" in set(secrets_around())


def test_a_socks_proxy_that_is_not_there_is_a_failed_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("aiohttp_socks")
    with Loopback() as server:
        gone = server.port
    monkeypatch.setenv("ALL_PROXY", f"socks5h://127.0.0.1:{gone}")
    assert [type(a).__name__ for a in ask_all(dr.OpenAI("m", base_url=FAR), ["a"])] == ["ConnectionFailedError"]


def test_a_proxy_that_wants_a_login_stops_the_run_in_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(fault=lambda call: lambda c: c.send(407, b"")) as proxy:
        monkeypatch.setenv("http_proxy", f"http://me:hush-hush@127.0.0.1:{proxy.port}")
        error = failed(dr.OpenAI("m", base_url=FAR, attempts=3))
        assert (proxy.n_calls, error.error) == (1, "ConnectionFailedError")
        assert f"http_proxy='http://***@127.0.0.1:{proxy.port}' wants another login (407)" in error.message


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_a_proxy_that_is_not_there_is_named_with_its_variable(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", f"{kind}://me:hush-hush@127.0.0.1:9")
    error = failed(dr.OpenAI("m", base_url=FAR, attempts=1))
    assert f"(through the proxy all_proxy='{kind}://***@127.0.0.1:9')" in error.message


def test_socks_without_a_number_is_its_fifth_as_desktops_write_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("all_proxy", "socks://127.0.0.1:1080/")
    found = proxy_of(FAR)
    assert found is not None
    assert (found.url, found.is_socks) == ("socks5://127.0.0.1:1080", True)


@pytest.mark.parametrize("entry", ["http://gpu1/", "http://gpu1:80/v1", "HTTP://GPU1"])
def test_an_address_in_no_proxy_may_have_a_path(entry: str) -> None:
    assert goes_straight(entry, "gpu1", 80)
