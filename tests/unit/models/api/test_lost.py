"""Addresses that lead nowhere: the error says what was asked, and what base_url most likely should be."""

from __future__ import annotations

from typing import Any

import pytest

import dreamframe as dr
from tests.loopback import Loopback
from tests.loopback.asking import ask

CASES: list[tuple[Any, str, str, str]] = [  # class, path of base_url, path that is asked, what is advised ("" for nothing)
    (dr.OpenAI, "", "/chat/completions", "/v1"),
    (dr.OpenAI, "/", "/chat/completions", "/v1"),
    (dr.OpenAI, "/v1", "/v1/chat/completions", ""),
    (dr.OpenAI, "/v1/v1", "/v1/v1/chat/completions", "/v1"),
    (dr.OpenAI, "/v1/chat/completions", "/v1/chat/completions/chat/completions", "/v1"),
    (dr.OpenAI, "/v1/responses", "/v1/responses/chat/completions", "/v1"),
    (dr.OpenAI, "/v1/models", "/v1/models/chat/completions", "/v1"),
    (dr.OpenAI, "/api/v3", "/api/v3/chat/completions", ""),
    (dr.Ollama, "/api", "/api/chat/completions", "/v1"),
    (dr.Ollama, "/api/chat", "/api/chat/chat/completions", "/api"),
    (dr.Mistral, "", "/chat/completions", "/v1"),
    (dr.Anthropic, "/v1", "/v1/v1/messages", ""),
    (dr.Anthropic, "/v1/messages", "/v1/messages/v1/messages", ""),
]


def failure(make: Any, path: str, status: int, body: Any, **settings: Any) -> tuple[str, str]:
    """What a row says, and the host that it says it of."""
    with Loopback(fault=lambda call: lambda c: c.send(status, body)) as server:
        host = server.url.removesuffix("/v1")
        _, failures = ask(make("m", base_url=host + path, api_key="k", attempts=1, **settings), ["a"])
    return failures[0].message, host


@pytest.mark.parametrize("status", [404, 405])
@pytest.mark.parametrize(("make", "path", "asked", "advised"), CASES, ids=[f"{m.__name__} {p}" for m, p, _, _ in CASES])
def test_the_path_that_was_asked_is_told_and_what_to_give_instead(make: Any, path: str, asked: str, advised: str, status: int) -> None:
    said, host = failure(make, path, status, {"detail": "Not Found"})
    assert said.startswith(f"{host.removeprefix('http://')}{asked}: {status}: Not Found")
    is_right = (make, path) in ((dr.OpenAI, "/v1"), (dr.OpenAI, "/api/v3"))
    assert said.endswith("Not Found" if is_right else f"Try base_url='{host}{advised}'.")


def test_a_model_that_is_missing_is_not_a_wrong_address() -> None:
    said, _ = failure(dr.Ollama, "", 404, {"error": {"message": 'model "m" not found, try pulling it first'}})
    assert "/chat/completions: 404" in said
    assert "base_url" not in said


def test_embedders_tell_it_too() -> None:
    with Loopback(fault=lambda call: lambda c: c.send(404, b"404 page not found")) as server, dr.Session(None, progress=False):
        host = server.url.removesuffix("/v1")
        df = dr.frame({"t": ["a"]}).embed(dr.OpenAIEmbedder("m", dimensions=3, base_url=host), "t", on_error="null")
        df.collect()
        assert f"Try base_url='{host}/v1'." in df.failures()["message"][0]


@pytest.mark.parametrize("page", [b"<!doctype html><title>Open WebUI</title>", b"\xef\xbb\xbf\n<html>", b"Ollama is running", b""])
def test_a_page_with_200_is_told_the_same(page: bytes) -> None:
    said, host = failure(dr.OpenAI, "", 200, page)
    assert ("It is a web page." in said) is (b"<" in page)
    assert f"Try base_url='{host}/v1'." in said


def test_a_server_that_says_404_with_200_is_asked_once() -> None:
    with Loopback(fault=lambda call: lambda c: c.send(200, {"error": "Unexpected endpoint or method. (POST /chat/completions)"})) as server:
        host = server.url.removesuffix("/v1")
        _, failures = ask(dr.OpenAI("m", base_url=host, concurrency=1), ["a"])
    assert failures[0].error == "BadRequestError"
    assert f"Try base_url='{host}/v1'." in failures[0].message
    assert server.n_calls == 1


def test_a_secret_in_the_path_is_not_told() -> None:
    said, _ = failure(dr.OpenAI, "/sk-of-a-gateway-0123456789", 404, {"detail": "Not Found"}, headers={"X-Api-Key": "sk-of-a-gateway-0123456789"})
    assert "sk-of-a-gateway-0123456789" not in said


def test_an_object_that_says_error_with_200_is_told_in_the_servers_words() -> None:
    said, _ = failure(dr.OpenAI, "/v1", 200, {"object": "error", "message": "boom", "code": 404})
    assert "boom" in said
