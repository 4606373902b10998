"""dr.OpenAI: what leaves, what comes back, what is found out, and what is never shown."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from dreamframe.errors import AuthenticationError, SettingError
from dreamframe.models.llms.names import llm as named
from dreamframe.models.llms.openai import OpenAI
from tests.loopback import Call, Loopback, replies
from tests.loopback.asking import ask, question
from tests.loopback.faults import status

PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer", "default": 1}}, "required": ["name"]}


def model(server: Loopback, **settings: Any) -> OpenAI:
    return OpenAI(settings.pop("model", "m"), base_url=server.url, **{"attempts": 2, "backoff_s": 0.001, "concurrency": 4, **settings})


def bodies(server: Loopback) -> list[dict[str, Any]]:
    return [c.body for c in server.calls]


def test_a_chat_request_has_the_system_prompt_first_and_only_what_was_set() -> None:
    with Loopback() as server:
        _run, failures = ask(model(server, system="Be kind.", temperature=0, max_tokens=5, stop="\n", api_key="k", extra={"top_k": 3}), ['say "ü"\n'])
    assert failures == {}
    assert bodies(server) == [
        {
            "model": "m",
            "temperature": 0.0,
            "max_tokens": 5,
            "stop": ["\n"],
            "top_k": 3,
            "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": 'say "ü"\n'}],
        }
    ]
    assert server.calls[0].headers["authorization"] == "Bearer k"
    assert server.calls[0].path == "/v1/chat/completions"


def test_messages_travel_as_they_are() -> None:
    talk = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}]
    with Loopback() as server:
        run, _ = ask(model(server, system="S"), [json.dumps(talk)], form="messages")
    assert bodies(server)[0]["messages"] == [{"role": "system", "content": "S"}, *talk]
    assert list(run.texts.values()) == ["c"]


def test_usage_model_and_finish_are_read() -> None:
    with Loopback(lambda body: ("one two three", "length")) as server:
        run, _ = ask(model(server), ["a"])
    done = run.completions["a"]
    assert (done.text, done.finish, done.n_out, done.n_cached, done.n_reasoning, done.model) == ("one two three", "length", 3, 1, 2, "m-2026")
    assert done.n_in > 0


@pytest.mark.parametrize(
    ("api", "path"), [("chat", "/v1/chat/completions"), ("completions", "/v1/completions"), ("responses", "/v1/responses")], ids=lambda v: v
)
def test_each_protocol_is_spoken(api: str, path: str) -> None:
    with Loopback() as server:
        run, failures = ask(model(server, api=api, system="S", max_tokens=7), ["hello there"])
    assert failures == {}
    assert server.calls[0].path == path
    assert "hello there" in run.texts["hello there"]
    assert 7 in bodies(server)[0].values()
    assert "S" in json.dumps(bodies(server)[0])


def test_the_seed_is_sent_and_differs_by_sample() -> None:
    from dreamframe.models.api.openai_format import OpenAIFormat
    from dreamframe.models.api.wire import Dialect
    from dreamframe.models.request import Request

    shape = OpenAIFormat(question(OpenAI("m", seed=7)), Dialect(), model="m", more={})
    seeds = [json.loads(shape.body(Request(shape.question, "a", k, bytes([k + 1] * 16))))["seed"] for k in range(3)]
    assert seeds[0] == 7
    assert len(set(seeds)) == 3


def test_a_schema_is_asked_for_strictly_with_all_its_properties() -> None:
    with Loopback(lambda body: '{"name": "Ada", "age": 36}') as server:
        run, _ = ask(model(server), ["a"], schema=PERSON)
    made = bodies(server)[0]["response_format"]["json_schema"]
    assert made["strict"] is True
    assert made["schema"]["required"] == ["name", "age"]
    assert made["schema"]["additionalProperties"] is False
    assert run.texts == {"a": '{"name": "Ada", "age": 36}'}


def test_a_schema_that_strict_modes_do_not_take_is_sent_as_it_is() -> None:
    schema = {"type": "object", "properties": {"counts": {"type": "object", "additionalProperties": {"type": "integer"}}}}
    with Loopback(lambda body: '{"counts": {"a": 1}}') as server:
        run, _ = ask(model(server), ["a"], schema=schema)
    assert bodies(server)[0]["response_format"]["json_schema"] == {"name": "answer", "strict": False, "schema": schema}
    assert run.texts == {"a": '{"counts": {"a": 1}}'}


def unless(fine: Callable[[dict[str, Any]], bool], message: str, **error: Any) -> Callable[[Call], Any]:
    return lambda call: None if fine(call.body) else status(400, message, **error)


@pytest.mark.parametrize(
    ("fault", "settings"),
    [
        (
            unless(
                lambda b: "max_tokens" not in b,
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
                param="max_tokens",
            ),
            {"max_tokens": 5},
        ),
        (unless(lambda b: "seed" not in b, "Extra inputs are not permitted: seed"), {"seed": 3}),
        (
            unless(lambda b: b["messages"][0]["role"] == "user", "Unsupported value: 'messages[0].role' does not support 'system' with this model."),
            {"system": "S"},
        ),
        (unless(lambda b: b.get("response_format", {}).get("type") == "json_object", "response_format json_schema is not supported"), {"schema": PERSON}),
        (unless(lambda b: "response_format" not in b, "Unrecognized request argument: response_format"), {"schema": PERSON}),
    ],
    ids=["max_tokens", "seed", "system role", "json_schema", "response_format"],
)
@pytest.mark.filterwarnings("ignore:the server takes no seed")
def test_what_a_server_refuses_is_found_out_once(fault: Callable[[Call], Any], settings: dict[str, Any]) -> None:
    fields = {"schema": settings.pop("schema")} if "schema" in settings else {}
    with Loopback(fault=fault) as server:
        run, failures = ask(model(server, concurrency=1, **settings), [f"p{i}" for i in range(20)], **fields)
    assert failures == {}
    assert len(run.texts) == 20
    assert server.n_calls <= 23, "at most three refusals, each at the first row"
    if settings.get("system"):
        assert bodies(server)[-1]["messages"] == [{"role": "user", "content": "S\n\np19"}]
    if fields:
        assert "JSON schema" in json.dumps(bodies(server)[-1]["messages"][0])


def test_another_api_is_spoken_after_the_refusal_that_names_it() -> None:
    wrong = status(404, "This model is only supported in v1/responses and not in v1/chat/completions.")
    with Loopback(fault=lambda call: wrong if "chat" in call.path else None) as server:
        run, failures = ask(model(server, concurrency=1, max_tokens=9), ["a", "b"])
    assert (failures, run.texts) == ({}, {"a": "a", "b": "b"})
    assert [c.path for c in server.calls] == ["/v1/chat/completions", "/v1/responses", "/v1/responses"]


def test_a_refusal_that_says_nothing_of_use_is_the_rows_error() -> None:
    with Loopback(fault=unless(lambda b: "temperature" not in b, "Unsupported value: 'temperature' does not support 0.0 with this model.")) as server:
        _run, failures = ask(model(server, temperature=0), ["a"])
    assert failures[0].error == "BadRequestError"
    assert "temperature" in failures[0].message
    assert server.n_calls == 1


def test_connections_are_few_and_kept() -> None:
    with Loopback(latency_s=0.002) as server:
        ask(model(server, concurrency=8), [f"p{i}" for i in range(100)])
    assert server.n_connections <= 8
    assert server.most_in_flight == 8


def test_a_missing_key_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY"):
        ask(OpenAI("gpt-4o-mini"), ["a"])


def test_the_key_is_read_when_the_client_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback() as server:
        llm = model(server)
        monkeypatch.setenv("OPENAI_API_KEY", "sk-late")
        ask(llm, ["a"])
    assert server.calls[0].headers["authorization"] == "Bearer sk-late"


def test_no_secret_is_shown_or_part_of_the_identity() -> None:
    llm = OpenAI("m", base_url="https://me:pw123@Host.example/v1/?sig=s3cret", api_key="sk-secret", headers={"X-Key": "h1dden"})
    seen = f"{llm!r} {llm.identity_fields()} {llm.key_fields()}"
    assert not [s for s in ("pw123", "s3cret", "sk-secret", "h1dden") if s in seen]
    assert llm.identity_fields()["base_url"] == "https://host.example/v1"
    assert llm.url("/x") == "https://host.example/v1/x?sig=s3cret"


@pytest.mark.parametrize(
    "change",
    [{"api_key": "other"}, {"concurrency": 3}, {"timeout_s": 1.0}, {"base_url": "http://other.invalid/v1", "identity": "http://one.invalid/v1"}],
    ids=str,
)
def test_steering_does_not_change_the_identity(change: dict[str, Any]) -> None:
    assert OpenAI("m", **{"base_url": "http://one.invalid/v1/", **change}).identity_fields() == OpenAI("m", base_url="http://one.invalid/v1").identity_fields()


@pytest.mark.parametrize("change", [{"model": "n"}, {"base_url": "http://two.invalid/v1"}, {"reasoning_effort": "low"}, {"api": "completions"}], ids=str)
def test_what_decides_the_answers_changes_the_identity(change: dict[str, Any]) -> None:
    base = {"model": "m", "base_url": "http://one.invalid/v1"}
    assert OpenAI(**{**base, **change}).identity_fields() != OpenAI(**base).identity_fields()


@pytest.mark.parametrize("settings", [{"base_url": "localhost:8000"}, {"concurrency": 0}, {"temperature": "hot"}], ids=str)
def test_an_impossible_setting_fails_where_it_is_written(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError):
        OpenAI("m", **settings)


def test_a_base_install_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("aiohttp", "multidict", "yarl", "openai", "httpx", "uvloop"):
        monkeypatch.setitem(sys.modules, library, None)
    with Loopback() as server:
        run, failures = ask(model(server), ["a"])
    assert (run.texts, failures) == ({"a": "a"}, {})


@pytest.mark.parametrize(
    ("name", "says"),
    [("gpt-4o-mini", "names no provider"), ("opnai/gpt", "Did you mean 'openai'"), ("openai", "names no model"), ("openai/", "names no model")],
)
def test_a_name_that_names_no_provider_lists_them(name: str, says: str) -> None:
    with pytest.raises(SettingError, match=says) as caught:
        named(name)
    assert 'dr.llm("openai/gpt-4o-mini")' in str(caught.value)


def test_a_model_by_name_takes_its_settings() -> None:
    assert named("openai/org/some-model", temperature=0.5, base_url="http://x.invalid/v1") == OpenAI(
        "org/some-model", temperature=0.5, base_url="http://x.invalid/v1"
    )
    with pytest.raises(SettingError, match="temperature"):
        named("openai/m", temprature=1)


@pytest.mark.parametrize("api", ["chat", "completions", "responses"])
def test_the_openai_sdk_reads_the_servers_replies(api: str) -> None:
    import openai

    with Loopback() as server:
        client = openai.OpenAI(base_url=server.url, api_key="k", max_retries=0)
        if api == "chat":
            assert client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}]).choices[0].message.content == "hi"
        elif api == "completions":
            assert client.completions.create(model="m", prompt="hi").choices[0].text == "hi"
        else:
            done = client.responses.create(model="m", input="hi")
            assert (done.output_text, done.usage.input_tokens_details.cached_tokens) == ("hi", 1)  # type: ignore[union-attr]
        assert client.embeddings.create(model="m", input=["hi you"], encoding_format="float").data[0].embedding == [6.0, 2.0, 3.0]
        client.close()


def test_the_server_reads_what_the_user_said_last_in_each_protocol() -> None:
    talk = [{"role": "user", "content": [{"type": "text", "text": "x"}]}]
    assert [replies.prompt_of(b) for b in ({"messages": talk}, {"prompt": "y"}, {"input": "z"}, {"input": talk})] == ["x", "y", "z", "x"]
