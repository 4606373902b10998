"""Presets of compatible providers: addresses, keys, and where they differ."""

from __future__ import annotations

import pytest

from dreamframe.errors import AuthenticationError, SettingError
from dreamframe.models.llms import compatible
from dreamframe.models.llms.names import llm as named
from dreamframe.models.llms.openai import OpenAI
from dreamframe.names import providers
from tests.loopback import Loopback
from tests.loopback.asking import ask

PRESETS = [kind for kind in vars(compatible).values() if isinstance(kind, type) and issubclass(kind, OpenAI) and kind is not OpenAI]
HOSTED = [k for k in PRESETS if k.needs_key and k is not compatible.AzureOpenAI]


@pytest.mark.parametrize("kind", PRESETS, ids=lambda k: k.__name__)
def test_a_preset_is_found_by_its_provider_and_asks_its_server(kind: type[OpenAI], monkeypatch: pytest.MonkeyPatch) -> None:
    assert providers()[kind.provider] == kind.__name__
    monkeypatch.setenv(kind.key_variable, "k-1")
    with Loopback() as server:
        run, failures = ask(named(f"{kind.provider}/some/model", base_url=server.url), ["hello"])
    assert (failures, run.texts) == ({}, {"hello": "hello"})
    seen = server.calls[0].headers
    assert "k-1" in (seen.get("authorization", "") + seen.get("api-key", ""))


@pytest.mark.parametrize("kind", HOSTED, ids=lambda k: k.__name__)
def test_a_hosted_provider_wants_its_own_key(kind: type[OpenAI], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(kind.key_variable, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "not for others")
    assert kind.address.startswith("https://")
    with pytest.raises(AuthenticationError, match=kind.key_variable):
        kind("m").key()


def test_each_provider_is_another_identity() -> None:
    made = [k("m", base_url="http://one.invalid/v1") for k in PRESETS]
    assert len({str(llm.identity_fields()) for llm in made}) == len(PRESETS)


def test_azure_asks_a_deployment_in_the_old_way_where_a_version_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as server:
        llm = compatible.AzureOpenAI("dep", base_url=server.url, api_version="2024-10-21", api_key="k")
        _run, failures = ask(llm, ["a"])
    assert failures == {}
    assert server.calls[0].path == "/v1/openai/deployments/dep/chat/completions?api-version=2024-10-21"
    with pytest.raises(SettingError, match="base_url"):
        compatible.AzureOpenAI("dep")
    monkeypatch.delenv("AZURE_OPENAI_API_KEY", raising=False)
    with pytest.raises(AuthenticationError, match="AZURE_OPENAI_API_KEY"):
        ask(compatible.AzureOpenAI("dep", base_url="http://127.0.0.1:1"), ["a"])


def test_deepseek_is_told_the_schema_and_held_to_json() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    with Loopback(lambda body: '{"n": 1}') as server:
        ask(compatible.DeepSeek("m", base_url=server.url), ["a"], schema=schema)
    body = server.calls[0].body
    assert body["response_format"] == {"type": "json_object"}
    assert '"n"' in body["messages"][0]["content"]
