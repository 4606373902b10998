"""dr.Anthropic and dr.Mistral: their own protocols, spoken to a server whose replies their SDKs accept."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dreamframe.errors import SettingError
from dreamframe.models.llms.anthropic import Anthropic
from dreamframe.models.llms.mistral import Mistral
from tests.loopback import FAULTS, Loopback
from tests.loopback.asking import ask
from tests.loopback.faults import status

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer", "default": 1}}}


def claude(server: Loopback, **settings: Any) -> Anthropic:
    base = server.url.removesuffix("/v1")
    return Anthropic("claude-x", base_url=base, **{"api_key": "k-1", "attempts": 2, "backoff_s": 0.001, "concurrency": 2, **settings})


def test_a_request_has_the_system_prompt_marked_for_the_cache_and_a_number_of_tokens() -> None:
    with Loopback() as server:
        run, failures = ask(claude(server, system="Be kind.", temperature=0.5, stop=["x"]), ["hello"])
    assert (failures, run.texts) == ({}, {"hello": "hello"})
    assert server.calls[0].path == "/v1/messages"
    assert (server.calls[0].headers["x-api-key"], server.calls[0].headers["anthropic-version"]) == ("k-1", "2023-06-01")
    assert server.calls[0].body == {
        "model": "claude-x",
        "max_tokens": 8192,
        "temperature": 0.5,
        "stop_sequences": ["x"],
        "system": [{"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}}],
        "messages": [{"role": "user", "content": "hello"}],
    }


def test_cached_tokens_are_counted_as_read() -> None:
    with Loopback() as server:
        run, _ = ask(claude(server), ["hello"])
    done = run.completions["hello"]
    assert (done.n_in, done.n_cached, done.n_out, done.finish, done.model) == (8, 3, 1, "stop", "claude-x")


def test_system_messages_go_to_the_top_and_images_become_sources() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    talk = [
        {"role": "system", "content": "A."},
        {"role": "user", "content": [{"type": "text", "text": "what?"}, image, {"type": "image_url", "image_url": {"url": "https://x.invalid/i.png"}}]},
    ]
    with Loopback() as server:
        ask(claude(server, system="S.", cache=False), [json.dumps(talk)], form="messages")
    body = server.calls[0].body
    assert body["system"] == [{"type": "text", "text": "S.\n\nA."}]
    assert [p.get("source") for p in body["messages"][0]["content"]] == [
        None,
        {"type": "base64", "media_type": "image/png", "data": "AAAA"},
        {"type": "url", "url": "https://x.invalid/i.png"},
    ]


def test_a_schema_is_an_output_format_then_a_tool_then_words() -> None:
    def refuse(call: Any) -> Any:
        if "output_config" in call.body:
            return status(400, "output_config.format: Extra inputs are not permitted")
        return status(400, "tool_choice forces tool use, which is not supported here") if "tools" in call.body and call.ordinal < 4 else None

    with Loopback(lambda body: '{"n": 7}', fault=refuse) as server:
        run, failures = ask(claude(server, concurrency=1), ["a", "b"], schema=SCHEMA)
    first, second, third = (c.body for c in server.calls[:3])
    assert first["output_config"]["format"]["schema"]["required"] == ["n"]
    assert second["tools"][0]["input_schema"] == SCHEMA
    assert "JSON schema" in third["system"][0]["text"]
    assert (failures, run.texts) == ({}, {"a": '{"n": 7}', "b": '{"n": 7}'})
    assert server.n_calls == 4, "found out once"


def test_a_tools_input_is_the_answer() -> None:
    with Loopback(lambda body: '{"n": 7}', fault=lambda c: status(400, "output_config: not supported") if "output_config" in c.body else None) as server:
        run, _ = ask(claude(server), ["a"], schema=SCHEMA)
    assert run.texts == {"a": '{"n":7}'}


def test_the_most_tokens_of_a_model_are_found_out() -> None:
    fault = status(400, "max_tokens: 8192 > 4096, which is the maximum allowed number of output tokens for claude-x")
    with Loopback(fault=lambda c: fault if c.body["max_tokens"] > 4096 else None) as server:
        _run, failures = ask(claude(server, concurrency=1), ["a", "b"])
    assert (failures, [c.body["max_tokens"] for c in server.calls]) == ({}, [8192, 4096, 4096])


@pytest.mark.parametrize(
    "kind", [claude, lambda s, **k: Mistral("m", base_url=s.url, api_key="k", attempts=2, backoff_s=0.001, **k)], ids=["anthropic", "mistral"]
)
@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        ("401", "AuthenticationError"),
        ("a prompt that is too long", "ContextLengthError"),
        ("529", "ServerError"),
        ("broken json", "BadReplyError"),
        ("no choices", "BadReplyError"),
        ("cut by length", "length"),
        ("a refusal", "refusal"),
    ],
)
def test_faults_have_the_same_outcomes(kind: Any, fault: str, outcome: str) -> None:
    with Loopback(fault=lambda call: FAULTS[fault]) as server:
        run, failures = ask(kind(server), ["a"])
    assert outcome in (failures[0].error if failures else run.completions["a"].finish)


def test_no_credit_stops_the_run() -> None:
    fault = status(400, "Your credit balance is too low to access the Anthropic API.")
    with Loopback(fault=lambda call: fault) as server:
        _run, failures = ask(claude(server, concurrency=1), list("abcdef"))
    assert ({f.error for f in failures.values()}, server.n_calls) == ({"QuotaExhaustedError"}, 1)


def test_what_the_api_does_not_have_is_refused() -> None:
    with Loopback() as server, pytest.raises(SettingError, match="logit_bias"):
        ask(claude(server, logit_bias={"5": 1.0}), ["a"])


def test_mistral_has_a_seed_of_its_own_name() -> None:
    with Loopback() as server:
        ask(Mistral("m", base_url=server.url, seed=3, api_key="k"), ["a"])
    assert server.calls[0].body["random_seed"] == 3
    assert "seed" not in server.calls[0].body


@pytest.mark.parametrize("answer", ["hi", '{"n": 1}'], ids=["text", "tool"])
def test_anthropics_sdk_reads_the_servers_replies(answer: str) -> None:
    import anthropic

    with Loopback(lambda body: answer) as server:
        client = anthropic.Anthropic(base_url=server.url.removesuffix("/v1"), api_key="k", max_retries=0)
        tools: Any = {"tools": [{"name": "answer", "input_schema": SCHEMA}]} if answer != "hi" else {}
        done = client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}], **tools)
        client.close()
    assert done.content[0].type == ("text" if answer == "hi" else "tool_use")
    assert done.usage.cache_read_input_tokens == 3


def test_mistrals_sdk_reads_the_servers_replies() -> None:
    from mistralai.client import Mistral as Sdk

    with Loopback() as server, Sdk(server_url=server.url.removesuffix("/v1"), api_key="k") as client:
        done = client.chat.complete(model="m", messages=[{"role": "user", "content": "hi"}])
    assert done.choices[0].message.content == "hi"
