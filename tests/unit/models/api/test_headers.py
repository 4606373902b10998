"""What stands in a request's headers: keys and headers that cannot travel are told at once, and by name; logins of addresses travel unquoted."""

from __future__ import annotations

import base64
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import AuthenticationError, SettingError
from tests.asking import ask_all
from tests.loopback import Loopback
from tests.loopback.asking import ask

MAKERS = [dr.OpenAI, dr.Anthropic, dr.Mistral, dr.Ollama]
every_client = pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)


def headers_of(make: Any, **settings: Any) -> dict[str, str]:
    with Loopback() as server:
        login, url = settings.pop("login", ""), server.url.removesuffix("/v1") if make is dr.Anthropic else server.url
        answers = ask_all(make("m", base_url=url.replace("://", f"://{login}"), max_tokens=9, **settings), ["a"])
    assert [getattr(a, "text", a) for a in answers] == ["a"]
    return server.calls[0].headers


@every_client
def test_the_line_end_around_a_key_does_not_travel(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "sk-abc" in headers_of(make, api_key="sk-abc\n").values() or headers_of(make, api_key=" sk-abc\r\n")["authorization"] == "Bearer sk-abc"
    monkeypatch.setenv(make.key_variable, "sk-def\n")
    seen = headers_of(make)
    assert "sk-def" in (seen.get("x-api-key"), seen.get("authorization", "").removeprefix("Bearer "))


@every_client
@pytest.mark.parametrize("key", ["sk-\x01abcdef", "sk-ab\ncdef", "sk-“abcdef”"], ids=["control", "line end within", "typed quotes"])
def test_a_key_that_cannot_travel_is_refused_before_anything_is_sent(make: Any, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as server:
        with pytest.raises(AuthenticationError, match="api_key=") as caught:
            ask(make("m", base_url=server.url, api_key=key), ["a"])
        monkeypatch.setenv(make.key_variable, key)
        with pytest.raises(AuthenticationError, match=make.key_variable):
            ask(make("m", base_url=server.url), ["a"])
    assert server.n_connections == 0
    assert "abcdef" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "said"), [('"sk-abcdef"', "stands in quotes"), ("'sk-abcdef'", "stands in quotes"), ("Bearer sk-abcdef", "begins with 'Bearer '")]
)
def test_a_key_with_something_around_it_is_refused(key: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(AuthenticationError, match=f"OPENAI_API_KEY.*{said}") as caught:
        dr.OpenAI("m").key()
    assert "abcdef" not in str(caught.value)


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "Connection"])
def test_a_header_that_the_connection_writes_is_refused(name: str) -> None:
    with pytest.raises(SettingError, match=f"headers= has '{name}', which the connection writes itself"):
        dr.OpenAI("m", headers={name: "3"})


@pytest.mark.parametrize("kind", [dr.OpenAIFineTune, lambda *a, **k: dr.MistralFineTune(*a, steps=1, **k)], ids=["OpenAI", "Mistral"])
def test_keys_of_fine_tuning_are_looked_at_in_the_same_way(kind: Any) -> None:
    assert kind("m", api_key="sk-abc\n").key() == "sk-abc"
    with pytest.raises(AuthenticationError, match="control character"):
        kind("m", api_key="sk-\x7fabc").key()


def test_a_key_in_a_secret_of_pydantics_is_taken_out_of_it() -> None:
    from pydantic import SecretStr

    assert headers_of(dr.OpenAI, api_key=SecretStr("sk-abc"))["authorization"] == "Bearer sk-abc"
    with pytest.raises(SettingError, match="must be a text"):
        dr.OpenAI("m", api_key=["sk-abc"])


def test_numbers_and_bytes_are_headers_too() -> None:
    seen = headers_of(dr.OpenAI, headers={"X-Tenant": 1, "X-Team": b"research", "X-End": "a\n"})
    assert (seen["x-tenant"], seen["x-team"], seen["x-end"]) == ("1", "research", "a")


@pytest.mark.parametrize(
    "headers", [{"X": None}, {"X": ["a"]}, {"X": True}, {"X": "a\r\nEvil: b"}, {"X Y": "a"}, {"": "a"}, {1: "a"}, "X: a", 7],
    ids=["None", "a list", "a bool", "a line end", "a blank in the name", "no name", "a number as name", "a text", "a number"],
)  # fmt: skip
@every_client
def test_headers_that_cannot_travel_are_refused_where_they_are_written(make: Any, headers: Any) -> None:
    with pytest.raises(SettingError, match="headers="):
        make("m", base_url="http://127.0.0.1:1", headers=headers)


@every_client
def test_the_login_of_an_address_travels_unquoted(make: Any) -> None:
    sent = headers_of(make, login="us%C3%A9r:p%40ss%2Fword@")["authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")).decode() == "usér:p@ss/word"


def test_a_login_takes_no_other_header_away() -> None:
    seen = headers_of(dr.Anthropic, login="me:pw@", api_key="sk-abc")
    assert (seen["anthropic-version"], seen["x-api-key"]) == ("2023-06-01", "sk-abc")
