"""What of an address is told and what goes along out of sight; and the names by which a constructor takes it."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.api.address import Address, address_of, without_login
from dreamframe.models.llms.litellm import LiteLLM

URL = "http://me:pa55word-of-mine@Host.invalid/v1/?deployment=gpt-4o&api-key=k3y-of-mine"
MODELS = [dr.OpenAI, dr.AzureOpenAI, dr.Anthropic, dr.Together, dr.Mistral, dr.OpenAIEmbedder, LiteLLM]


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_a_constructor_takes_what_a_user_knows_and_no_plumbing(model: Any) -> None:
    taken = set(inspect.signature(model).parameters)
    assert {"base_url", "identity"} <= taken
    assert not taken & {"identity_", "userinfo", "query", "variant"}


COPIES: dict[str, Callable[[Any], Any]] = {
    "replace": lambda llm: replace(llm, temperature=0.5, api_key="other"),
    "copy": copy.copy,
    "deep copy": copy.deepcopy,
}


@pytest.mark.parametrize("made", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("key", [None, "Host.invalid/v1"], ids=["", "a key in the path"])
def test_login_and_query_go_along_wherever_settings_are_copied(made: Callable[[Any], Any], key: str | None) -> None:
    llm = dr.OpenAI("m", base_url=URL if key is None else URL.replace("/v1/", "/sk-abcdefgh12345678/v1/"), api_key=key and "sk-abcdefgh12345678")
    other = made(llm)
    for name in ("userinfo", "query", "variant", "endpoint", "base_url"):
        assert str(getattr(other, name)) == str(getattr(llm, name)) != "None", name
    assert (other.userinfo, other.url("/x")) == ("me:pa55word-of-mine", f"{other.endpoint}/x?deployment=gpt-4o&api-key=k3y-of-mine")
    assert repr(other.base_url) == repr(llm.base_url)


def test_another_address_gets_neither_login_nor_query_of_the_old_one() -> None:
    moved = replace(dr.OpenAI("m", base_url=URL), base_url="http://other.invalid/v1")
    assert (moved.userinfo, moved.query, moved.variant) == (None, None, None)
    assert moved == dr.OpenAI("m", base_url="http://other.invalid/v1")


def test_nothing_that_shows_settings_shows_login_or_query() -> None:
    llm = dr.OpenAI("m", base_url=URL)
    told = [repr(llm), repr(vars(llm)), repr(asdict(llm)), f"{llm.base_url} {llm.endpoint}", repr(llm.userinfo), repr(llm.identity_fields())]
    told.append(dr.frame({"x": ["a"]}).prompt(llm, "{x}").to_json())
    assert not [word for word in ("pa55word", "k3y-of", "gpt-4o") for text in told if word in text]
    assert repr(llm.base_url) == "'http://host.invalid/v1'"


def test_the_text_of_an_address_is_as_any_other_text() -> None:
    kept = address_of(URL, who="OpenAI")
    assert isinstance(kept, Address)
    assert (kept, fingerprint(kept)) == ("http://host.invalid/v1", fingerprint("http://host.invalid/v1"))
    assert type(address_of("http://host.invalid/v1/", who="OpenAI")) is str


@pytest.mark.parametrize("address", ["host/v1", "ftp://me:pw@host", "http://", "http://me:p/w@host:80"])
def test_what_is_not_an_address_is_said_without_its_login(address: str) -> None:
    with pytest.raises(dr.errors.SettingError, match=r"OpenAI: base_url=.* is not an address") as caught:
        dr.OpenAI("m", base_url=address)
    assert "pw" not in str(caught.value)
    assert "p/w" not in without_login(address)


FORMER: dict[str, tuple[Callable[[], Any], str]] = {  # as version 0.1.0 had them
    "moved": (lambda: dr.OpenAI("m", base_url="http://new.invalid/v1", identity="http://old.invalid/v1"), "ee9d98f252f9404c1760c95f0da39cac"),
    "query": (lambda: dr.OpenAI("m", base_url="http://h.invalid/v1?deployment=a"), "3a198d4cd15f6507da14d8577a039d41"),
}


@pytest.mark.parametrize("name", FORMER)
def test_names_of_settings_are_not_identity(name: str) -> None:
    make, digest = FORMER[name]
    assert fingerprint(make()) == digest


ROWS = (
    "/////3AAAAAEAAAA8v///xQAAAAEAAEAAAAKAAsACAAKAAQA+P///wwAAAAIAAgAAAAEAAEAAAAEAAAA7P///ywAAAAgAAAAGAAAAAEYAAAQABIABAAQABEACAAAAAwAAAAAAPz///8EAAQA"
    "AQAAAHgAAAAAAAAA/////6gAAAAEAAAA7P///0AAAAAAAAAAFAAAAAQAAwAMABMAEAASAAwABADe////AQAAAAAAAABkAAAAOAAAACgAAAAYAAAAAAAAAAAADgAcAAQADAAQABQAGAABAAAA"
    "AAAAAAAAAAD6////AQAGAAUABAACAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAHgAAAAAAAAAAAAAAAQAAAAEAAAAAAAAAAAAAAAAAAAAQAAAAAAAAACi1L/0gEG0AADgCAAAAaGkAAQAF"
    "MAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/////wAAAAA="
)


def former_plan(**settings: Any) -> str:
    """A plan as version 0.1.0 wrote it."""
    own = {"temperature": None, "max_tokens": None, "concurrency": 256, "timeout_s": 300.0, "api": "chat", **settings}
    llm = {"$record": "OpenAI", "fields": {"model": "m", **own}}
    asked = {"llm": llm, "prompt": {"$record": "Template", "fields": {"text": "{x}"}}, "into": "y", "n": 1, "techniques": [], "repairs": 1}
    steps = [
        {"step": "Table", "inputs": [], "fields": {"name": None}, "rows": {"arrow": ROWS}},
        {"step": "PromptStep", "inputs": [0], "fields": {"name": None, "on_error": "raise", **asked}},
    ]
    return json.dumps({"dreamframe": "0.1.0", "polars": "2.1.0", "plan": 1, "given": {}, "steps": steps})


FORMER_PLANS = {
    "moved": ({"base_url": "http://new.invalid/v1", "identity_": "http://old.invalid/v1", "variant": None}, "0cc10b54044fd3bbb87b79d34110156b"),
    "query": ({"base_url": "http://h.invalid/v1", "identity_": None, "variant": "1cd727d56ab165308b79a360f1563098"}, "15da09237f41a60ce12f6b52d4ecad12"),
}


@pytest.mark.parametrize(("settings", "key"), FORMER_PLANS.values(), ids=FORMER_PLANS)
def test_a_plan_that_was_written_before_is_read_with_its_key_and_written_as_it_was(settings: dict[str, Any], key: str) -> None:
    plan = dr.from_json(former_plan(**settings))
    assert plan.step.key({}) == key
    written = json.loads(plan.to_json())["steps"][1]["fields"]["llm"]["fields"]
    assert {name: written[name] for name in settings} == settings
    assert "identity" not in written


def test_what_a_plan_told_of_a_query_stays_where_its_settings_are_copied() -> None:
    llm: Any = dr.from_json(former_plan(**FORMER_PLANS["query"][0])).step.llm  # type: ignore[union-attr, attr-defined]
    assert replace(llm, timeout_s=1.0).identity_fields() == llm.identity_fields()
    assert llm.identity_fields() == dr.OpenAI("m", base_url="http://h.invalid/v1?deployment=a").identity_fields()
