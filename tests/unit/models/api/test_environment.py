"""Addresses that the environment names, as the providers' own clients read them: in the key exactly as if they were given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import pytest

import dreamframe as dr
from dreamframe.errors import NotAllowedError, SettingError
from tests.loopback import Loopback, replies
from tests.loopback.asking import ask

NAMED: list[tuple[Any, str, str, str]] = [  # class, variable, what it holds, the address that is asked
    (dr.OpenAI, "OPENAI_BASE_URL", "http://gw:1/v1/", "http://gw:1/v1"),
    (dr.Anthropic, "ANTHROPIC_BASE_URL", "http://gw:1", "http://gw:1"),
    (dr.Groq, "GROQ_BASE_URL", "http://gw:1", "http://gw:1/openai/v1"),
    (dr.Groq, "GROQ_BASE_URL", "http://gw:1/openai/v1", "http://gw:1/openai/v1"),
    (dr.Together, "TOGETHER_BASE_URL", "http://gw:1/v1", "http://gw:1/v1"),
    (dr.Fireworks, "FIREWORKS_BASE_URL", "http://gw:1/inference/v1", "http://gw:1/inference/v1"),
    (dr.Gemini, "GOOGLE_GEMINI_BASE_URL", "http://gw:1", "http://gw:1/v1beta/openai"),
    (dr.AzureOpenAI, "AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com/", "https://mine.openai.azure.com"),
    (dr.Ollama, "OLLAMA_HOST", "gpu1", "http://gpu1:11434/v1"),
    (dr.Ollama, "OLLAMA_HOST", "gpu1:80", "http://gpu1:80/v1"),
    (dr.Ollama, "OLLAMA_HOST", "https://gpu1", "https://gpu1:443/v1"),
    (dr.Ollama, "OLLAMA_HOST", "http://gpu1:99/api2/v1", "http://gpu1:99/api2/v1"),
    (dr.Ollama, "OLLAMA_HOST", ":99", "http://localhost:99/v1"),
    (dr.Ollama, "OLLAMA_HOST", "[fe80::1]:99", "http://[fe80::1]:99/v1"),
    (dr.Ollama, "OLLAMA_HOST", "0.0.0.0", "http://localhost:11434/v1"),
    (dr.Ollama, "OLLAMA_HOST", "127.0.0.1:11434", "http://localhost:11434/v1"),
    (dr.Ollama, "OLLAMA_HOST", "::1", "http://localhost:11434/v1"),
    (dr.Ollama, "OLLAMA_HOST", "fe80::1", "http://[fe80::1]:11434/v1"),
    (dr.Ollama, "OLLAMA_HOST", '"gpu1:80"', "http://gpu1:80/v1"),
    (dr.Ollama, "OLLAMA_HOST", "HTTP://gpu1", "http://gpu1:80/v1"),
    (dr.Ollama, "OLLAMA_HOST", "https://gpu1/behind/", "https://gpu1:443/behind/v1"),
    (dr.Ollama, "OLLAMA_HOST", "gpu1:11434/api", "http://gpu1:11434/v1"),
    (dr.OpenAI, "OPENAI_BASE_URL", "'http://gw:1/v1'", "http://gw:1/v1"),
]


@pytest.mark.parametrize(("kind", "variable", "told", "asked"), NAMED, ids=[f"{k.__name__} {t}" for k, _, t, _ in NAMED])
def test_it_is_the_address_and_the_key_as_if_it_were_given(kind: Any, variable: str, told: str, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    given = kind("m", base_url=asked)
    monkeypatch.setenv(variable, told)
    named = kind("m")
    assert named.endpoint == given.endpoint == asked
    assert named.identity_fields() == given.identity_fields()
    assert kind("m", base_url="http://mine:1/v1").endpoint == "http://mine:1/v1"


@pytest.mark.parametrize("kind", [dr.DeepSeek, dr.OpenRouter, dr.Mistral, dr.VLLMServer, dr.HFInference], ids=lambda kind: kind.__name__)
def test_no_provider_reads_the_variable_of_another(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gw:1/v1")
    assert kind("m").endpoint == kind.address


def test_nor_does_a_class_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class Acme(dr.OpenAI):
        address: ClassVar[str] = "https://api.acme.invalid/v1"

    monkeypatch.setenv("OPENAI_BASE_URL", "http://gw:1/v1")
    assert Acme("m").endpoint == Acme.address


@pytest.mark.parametrize("told", ["", "  ", "https://api.openai.com/v1", "https://api.openai.com/v1/"])
def test_an_empty_variable_and_the_providers_own_address_change_nothing(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = dr.OpenAI("gpt-4o-mini")
    monkeypatch.setenv("OPENAI_BASE_URL", told)
    same = dr.OpenAI("gpt-4o-mini")
    assert (same.base_url, same.price, same.identity_fields()) == (None, plain.price, plain.identity_fields())


def test_what_is_not_an_address_is_named_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "me:hush-hush@localhost:8000")
    with pytest.raises(SettingError, match="OPENAI_BASE_URL=") as caught:
        dr.OpenAI("m")
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize("told", ["gpu1:99999", "gpu1:eleven", "gpu1, gpu2", "*", "tcp://gpu1", "http://[::1"])
def test_a_host_that_is_none_is_named_too(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OLLAMA_HOST", told)
    with pytest.raises(SettingError, match="OLLAMA_HOST="):
        dr.Ollama("m")


def test_rows_go_there_and_the_answers_are_found_by_the_address_that_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rows = dr.frame({"t": ["a"]})
    with Loopback() as server, dr.Session(tmp_path, progress=False):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        rows.prompt("openai/m", "{t}").collect()
        monkeypatch.delenv("OPENAI_BASE_URL")
        rows.prompt(dr.OpenAI("m", base_url=server.url), "{t}").collect()
    assert server.n_calls == 1


def test_embedders_and_fine_tuning_read_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gw:1/v1")
    assert dr.OpenAIEmbedder("m", dimensions=3).endpoint == "http://gw:1/v1"
    trainer = dr.OpenAIFineTune("m", api_key="k")
    assert trainer == dr.OpenAIFineTune("m", api_key="k", base_url="http://gw:1/v1")
    assert str(trainer.provider().client.base_url) == "http://gw:1/v1/"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:pw@gw:1/v1")
    with pytest.raises(SettingError, match="OPENAI_BASE_URL"):
        dr.OpenAIFineTune("m")


def test_a_plan_that_was_read_stays_the_same_plan_and_asks_where_its_reader_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plan = dr.frame({"t": ["a"]}).prompt(dr.OpenAI("m", api_key="k"), "{t}", into="said")
    text = plan.to_json()
    with Loopback() as server, dr.Session(tmp_path, progress=False):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        moved = dr.from_json(text)
        assert moved.step.key({}) == plan.step.key({})
        with pytest.raises(NotAllowedError, match=r"OPENAI_BASE_URL sends it to .* allow="):  # or its answers would be found as those of OpenAI
            moved.collect()
        assert server.n_calls == 0
        assert dr.from_json(text, allow=[server.url]).collect()["said"].to_list() == ["a"]
        assert moved.collect()["said"].to_list() == ["a"]  # what is kept needs no leave
    assert server.n_calls == 1


def test_a_plan_that_names_the_address_of_the_environment_is_asked_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as server, dr.Session(None, progress=False):
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        text = dr.frame({"t": ["a"]}).prompt("openai/m", "{t}", into="said").to_json()
        assert dr.from_json(text).collect()["said"].to_list() == ["a"]


def test_anthropics_token_stands_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "token-of-a-gateway\n")
    with Loopback(replies.prompt_of) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url.removesuffix("/v1"))
        run, _ = ask(dr.Anthropic("m"), ["a"])
    assert run.texts == {"a": "a"}
    assert (server.calls[0].headers["authorization"], "x-api-key" in server.calls[0].headers) == ("Bearer token-of-a-gateway", False)


def test_azures_version_is_read_beside_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_VERSION", "2024-10-21")
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://mine.openai.azure.com/")
    asked = dr.AzureOpenAI("dep").url("/chat/completions")
    assert asked == "https://mine.openai.azure.com/openai/deployments/dep/chat/completions?api-version=2024-10-21"
    assert dr.AzureOpenAI("dep", base_url="https://mine.openai.azure.com").api_version is None
