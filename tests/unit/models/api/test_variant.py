"""What a server is asked by its query, its headers and the environment is who answers: part of the identity, and never readable in it."""

from __future__ import annotations

import json
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.models.api.variant import variant_of
from dreamframe.models.llms.litellm import LiteLLM
from tests.loopback import replies
from tests.loopback.asking import ask, question
from tests.loopback.server import Loopback

URL = "http://host.invalid/v1"
MAKERS = [
    pytest.param(lambda **s: dr.OpenAI("m", **{"base_url": URL, **s}), id="OpenAI"),
    pytest.param(lambda **s: dr.Anthropic("m", **{"base_url": URL, **s}), id="Anthropic"),
    pytest.param(lambda **s: dr.AzureOpenAI("m", **{"base_url": URL, **s}), id="AzureOpenAI"),
    pytest.param(lambda **s: dr.OpenAIEmbedder("m", **{"base_url": URL, "dimensions": 3, **s}), id="OpenAIEmbedder"),
    pytest.param(lambda **s: LiteLLM("x/m", **{"base_url": URL, **s}), id="LiteLLM"),
]


@pytest.mark.parametrize("make", MAKERS)
def test_query_and_headers_are_identity_and_none_of_them_leaves_it_as_it_was(make: Any) -> None:
    asked = [
        {},
        {"base_url": f"{URL}?deployment=gpt-4o"},
        {"base_url": f"{URL}?deployment=gpt-3.5"},
        {"headers": {"x-variant": "A"}},
        {"headers": {"x-variant": "B"}},
        {"headers": {"x-variant": "B"}, "base_url": f"{URL}?deployment=gpt-4o"},
    ]
    assert len({json.dumps(make(**settings).identity_fields()) for settings in asked}) == len(asked)
    assert "variant" not in make().identity_fields()
    seen = json.dumps([make(**settings).identity_fields() for settings in asked])
    assert not [word for word in ("gpt-4o", "gpt-3.5", "x-variant") if word in seen]


WHO = [
    {"headers": {"Authorization": "Bearer 1"}},
    {"headers": {"authorization": "Bearer 2", "Cookie": "a=b"}},
    {"headers": {"api-key": "k"}},
    {"headers": {"X-API-Key": "k"}},
    {"headers": {"x-goog-api-key": "k"}},
    {"headers": {"Ocp-Apim-Subscription-Key": "k"}},
    {"headers": {"X-Auth-Token": "t", "X-Request-Id": "7", "traceparent": "00-1"}},
    {"headers": {"X-Amz-Security-Token": "t", "X-Amz-Date": "20260101"}},
    {"base_url": f"{URL}?api_key=k"},
    {"base_url": f"{URL}?apiKey=k&accessToken=t"},
    {"base_url": f"{URL}?sv=2026&se=2026-12-01&sig=abc"},
    {"base_url": "http://me:password@host.invalid/v1"},
]


@pytest.mark.parametrize("settings", WHO, ids=lambda s: str(next(iter(s.values()))))
def test_who_asks_is_not_identity(settings: dict[str, Any]) -> None:
    assert dr.OpenAI("m", **{"base_url": URL, **settings}).identity_fields() == dr.OpenAI("m", base_url=URL).identity_fields()


def test_neither_order_nor_case_of_names_counts() -> None:
    assert variant_of("b=2&a=1", [("X-A", "1"), ("x-b", "2")]) == variant_of("a=1&b=2", [("X-B", "2"), ("x-a", "1")])
    assert variant_of("a=1", []) != variant_of("", [("a", "1")])
    assert variant_of("a=1&a=2", []) != variant_of("a=1", [])
    assert variant_of("flag", []) is not None, "an argument without a value is one"


def test_headers_are_those_of_the_moment_when_the_model_was_named() -> None:
    given = {"x-variant": "A"}
    llm = dr.OpenAI("m", base_url=URL, headers=given)
    before = llm.identity_fields()
    given["x-variant"] = "B"
    assert dict(llm.headers) == {"x-variant": "A"}
    assert llm.identity_fields() == before


def test_an_identity_of_ones_own_stands_for_the_address_with_its_query_and_not_for_the_headers() -> None:
    moved = [dr.OpenAI("m", base_url=f"http://{host}.invalid/v1?deployment={host}", identity="ours") for host in ("a", "b")]
    assert moved[0].identity_fields() == moved[1].identity_fields()
    ours = dr.OpenAI("m", base_url=URL, identity="ours")
    assert replace(ours, headers={"x": "1"}).identity_fields() != ours.identity_fields()


def test_azures_version_of_the_api_is_how_it_is_asked() -> None:
    plain = dr.AzureOpenAI("m", base_url="https://mine.openai.azure.com")
    assert dr.AzureOpenAI("m", base_url="https://mine.openai.azure.com?api-version=2026-01-01").identity_fields() == plain.identity_fields()


def test_a_server_that_answers_by_query_and_header_is_asked_for_each(tmp_path: Path) -> None:
    with Loopback() as server:
        variants: list[dict[str, Any]] = [
            {"base_url": f"{server.url}?deployment=a"},
            {"base_url": f"{server.url}?deployment=b"},
            {"base_url": f"{server.url}?deployment=b", "headers": {"x-variant": "B"}},
            {"base_url": f"{server.url}?deployment=b", "headers": {"x-variant": "B", "Authorization": "Bearer rotated"}},
        ]
        calls = []
        for settings in variants:
            with dr.Session(tmp_path / "s", progress=False):
                dr.frame({"x": ["hi"]}).prompt(dr.OpenAI("m", api_key="k", **settings), "{x}", into="y").collect()
            calls.append(len(server.calls))
    assert calls == [1, 2, 3, 3]


def test_a_plan_that_was_read_finds_its_answers_and_asks_nothing_without_what_it_was_made_with(tmp_path: Path) -> None:
    with Loopback() as server:
        llm = dr.OpenAI("m", api_key="k", base_url=server.url, headers={"x-variant": "B"})
        plan = dr.frame({"x": ["hi"]}).prompt(llm, "{x}", into="y")
        with dr.Session(tmp_path / "s", progress=False):
            made = plan.collect()
            text = plan.to_json()
            assert "x-variant" not in text
            assert dr.from_json(text).collect().equals(made)
        with dr.Session(None, progress=False), pytest.raises(SettingError, match="headers= or a query"):
            dr.from_json(text, allow=[server.url]).collect()
    assert len(server.calls) == 1


# The environment


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_API_BASE", "AZURE_API_VERSION", "AWS_REGION_NAME", "AWS_REGION", "VERTEXAI_LOCATION", "OPENAI_API_BASE", "OLLAMA_API_BASE"):
        monkeypatch.delenv(name, raising=False)


CHOSEN = [
    ("azure/gpt", "AZURE_API_BASE", "https://a.invalid"),
    ("azure/gpt", "AZURE_API_VERSION", "2026-01-01"),
    ("azure_ai/gpt", "AZURE_AI_API_BASE", "https://a.invalid"),
    ("bedrock/claude", "AWS_REGION_NAME", "eu-west-1"),
    ("bedrock/converse/claude", "AWS_BEDROCK_RUNTIME_ENDPOINT", "https://a.invalid"),
    ("vertex_ai/gemini", "VERTEXAI_LOCATION", "us-east5"),
    ("vertex_ai/gemini", "VERTEXAI_PROJECT", "project-7"),
    ("ollama/llama", "OLLAMA_API_BASE", "http://a.invalid"),
    ("hosted_vllm/m", "HOSTED_VLLM_API_BASE", "http://a.invalid"),
    ("openai/gpt", "OPENAI_BASE_URL", "http://a.invalid"),
    ("gpt-4o", "OPENAI_API_BASE", "http://a.invalid"),
    ("claude-3", "ANTHROPIC_API_BASE", "http://a.invalid"),
]


@pytest.mark.parametrize(("model", "name", "value"), CHOSEN, ids=[f"{m} {n}" for m, n, _ in CHOSEN])
def test_what_the_environment_chooses_for_litellm_is_identity(model: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = LiteLLM(model)
    plain, pool = before.identity_fields(), before.pool_key()
    assert "environment" not in plain
    monkeypatch.setenv(name, value)
    first = LiteLLM(model).identity_fields()
    monkeypatch.setenv(name, value + "-other")
    assert len({json.dumps(seen) for seen in (plain, first, LiteLLM(model).identity_fields())}) == 3
    assert value not in json.dumps(first)
    assert LiteLLM(model).pool_key() != pool


OTHERS = [("azure/gpt", "OPENAI_API_BASE"), ("azure/gpt", "AZURE_API_KEY"), ("bedrock/claude", "AWS_ACCESS_KEY_ID"), ("bedrock/claude", "AWS_SESSION_TOKEN")]


@pytest.mark.parametrize(("model", "name"), OTHERS, ids=[f"{m} {n}" for m, n in OTHERS])
def test_keys_and_other_providers_are_not(model: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = LiteLLM(model).identity_fields()
    monkeypatch.setenv(name, "x")
    assert LiteLLM(model).identity_fields() == plain


def test_an_address_that_is_given_goes_over_the_environments_and_the_librarys(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, anywhere = LiteLLM("azure/gpt", base_url=URL).identity_fields(), LiteLLM("azure/gpt").identity_fields()
    monkeypatch.setenv("AZURE_API_BASE", "https://a.invalid")
    assert LiteLLM("azure/gpt", base_url=URL).identity_fields() == plain
    monkeypatch.delenv("AZURE_API_BASE")
    module = types.ModuleType("litellm")
    module.api_base = "https://set.invalid"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "litellm", module)
    assert LiteLLM("azure/gpt").identity_fields() != anywhere


def test_an_environment_that_changes_under_a_run_is_not_asked_in_the_name_of_the_old_one(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("litellm")
    asked: list[str] = []

    async def acompletion(**arguments: Any) -> Any:
        asked.append(arguments["messages"][-1]["content"])
        return types.SimpleNamespace(model_dump=lambda: replies.chat(arguments, "hi"))

    module.acompletion = acompletion  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "litellm", module)
    monkeypatch.setenv("AZURE_API_BASE", "https://a.invalid")
    asking = question(LiteLLM("azure/gpt"))
    assert asking.llm.identity_fields() == LiteLLM("azure/gpt").identity_fields()
    run, failures = ask(asking.llm, ["x"], then=asking)  # type: ignore[arg-type]
    assert (failures, run.texts) == ({}, {"x": "hi"})
    monkeypatch.setenv("AZURE_API_BASE", "https://b.invalid")
    assert asking.llm.identity_fields() != LiteLLM("azure/gpt").identity_fields(), "pinned when it was made"
    with pytest.raises(SettingError, match="names another address"):
        ask(asking.llm, ["y"], then=asking)  # type: ignore[arg-type]
    assert asked == ["x"]


@pytest.mark.parametrize("written", ["http://Old.invalid/v1/", "http://me:pw-1234567@old.invalid/v1", "http://old.invalid/v1?api-key=pw-1234567"])
def test_an_identity_is_the_address_that_it_names_however_it_is_written(written: str) -> None:
    before = dr.OpenAI("m", base_url=written)
    moved = dr.OpenAI("m", base_url="http://new.invalid/v1", identity=written)
    assert moved.identity_fields() == before.identity_fields()
    assert "pw-1234567" not in repr(moved) + str(moved.identity)


def test_a_query_that_chooses_the_answer_stays_in_an_identity() -> None:
    one, other = (dr.OpenAI("m", base_url=URL, identity=f"http://old.invalid/v1?key=pw-1234567&deployment={name}") for name in "ab")
    assert one.identity_fields() != other.identity_fields()
    assert one.identity == "http://old.invalid/v1?deployment=a"


@pytest.mark.parametrize("name", ["base_url", "identity"])
def test_an_address_that_is_not_a_text_is_refused(name: str) -> None:
    with pytest.raises(dr.errors.SettingError, match=f"{name}=5"):
        dr.OpenAI("m", **{name: 5})  # type: ignore[arg-type]
