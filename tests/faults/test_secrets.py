"""A key that goes through everything leaves no byte of itself anywhere."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import BadRequestError
from dreamframe.identity.fingerprint import canonical
from dreamframe.models.base import LLM, secret, setting
from dreamframe.models.request import Completion, Request
from tests.leaks import ENCODED, ODD, check, everything, leaks, told, written
from tests.loopback import faults
from tests.loopback.replies import error
from tests.loopback.server import Call, Loopback

KEY = "sk-Canary3f9c27d1b8E64a05"
FAST = {"backoff_s": 0.01, "attempts": 2}


def sent(call: Call) -> str:
    """All the words of a request that may hold the key: its address and headers."""
    return f"{call.path} {call.headers}"


def llm(server: Loopback, **given: Any) -> dr.OpenAI:
    return dr.OpenAI("m", **{"base_url": server.url, "api_key": KEY, **FAST, **given})


def frame(model: Any, **given: Any) -> Callable[[], dr.Frame]:
    return lambda: dr.frame({"i": [1, 2]}).prompt(model() if callable(model) else model, "row {i}", into="said", **given)


def with_login(server: Loopback, login: str) -> str:
    return server.url.replace("//", f"//{login}@")


@dataclass(frozen=True)
class Told(LLM):
    """A model of a user's own whose errors tell its key in every way that an error has."""

    token: str | None = secret()
    crashes: bool = setting(False)

    def pool_key(self) -> str:
        return f"told {self.token} {self.crashes}"

    def open(self) -> Any:
        return ToldClient(self)


class ToldClient:
    concurrency = 2

    def __init__(self, llm: Told) -> None:
        self._llm = llm

    async def complete(self, request: Request) -> Completion:
        key = str(self._llm.token)
        try:
            try:
                f"{key}\udc80".encode()
            except UnicodeEncodeError as exc:
                exc.add_note(f"while {key} was sent")
                raise ValueError({"headers": [f"Bearer {key}"]}, key) from exc
        except ValueError as exc:
            made = RuntimeError(key, 1) if self._llm.crashes else BadRequestError("." * 1990 + key, text="." * 1990 + key)
            made.add_note(f"note {key}")
            raise made from exc
        raise AssertionError

    async def close(self) -> None: ...


# How a server may say it

CUTS = (*range(270, 300, 4), 1985, 1990, 1995)


def page(text: str) -> bytes:
    return f"<html><p>{text}</p></html>".encode()


SAID: dict[str, Callable[[str], faults.Fault]] = {
    "400": lambda t: lambda c: c.send(400, error(f"no: {t}")),
    "401": lambda t: lambda c: c.send(401, error(f"Incorrect API key provided: {t}")),
    "503": lambda t: lambda c: c.send(503, error(f"slow down {t}"), {"Retry-After": "0", "X-Said": t}),
    "500 page": lambda t: lambda c: c.send(500, page(t)),
    "200 page": lambda t: lambda c: c.send(200, page(t)),
    "200 without an answer": lambda t: lambda c: c.send(200, {"said": t}),
    "200 with an error": lambda t: lambda c: c.send(200, {"error": {"message": t, "code": 400}}),
    "code and param": lambda t: lambda c: c.send(400, {"error": {"message": "no", "code": t, "param": t}}),
}


def shown_by(fault: faults.Fault, folder: Path, model: Callable[[Loopback], Any] = llm, **given: Any) -> list[tuple[str, str]]:
    with Loopback(fault=lambda _: fault) as server:
        return everything(folder / "s", frame(model(server), **given))


@pytest.mark.parametrize("key", [KEY, ODD], ids=["key", "odd"])
@pytest.mark.parametrize("form", ENCODED)
def test_a_server_that_repeats_the_key_in_any_encoding_shows_none_of_it(form: str, key: str, tmp_path: Path) -> None:
    said = ENCODED[form](key)
    with Loopback(fault=lambda c: SAID[("400", "500 page", "200 page")[c.ordinal % 3]](said)) as server:
        check(key, everything(tmp_path / "s", frame(llm(server, api_key=key))))


@pytest.mark.parametrize("way", SAID)
def test_a_server_that_repeats_the_key_in_any_place_shows_none_of_it(way: str, tmp_path: Path) -> None:
    check(KEY, shown_by(SAID[way](KEY), tmp_path))


@pytest.mark.parametrize("at", CUTS)
def test_what_a_message_cuts_off_holds_no_part_of_the_key(at: int, tmp_path: Path) -> None:
    """A key of 10 characters: 7 of it, left by a cut, would be most of it."""
    key = "q7Zk29XwPm"
    with Loopback(fault=lambda _: SAID["500 page"]("." * (at - 9) + key + "." * 40)) as server:
        shown = everything(tmp_path / "s", frame(llm(server, api_key=key), on_error="null"))
    assert [name for name, text in shown if any(key[:n] + end in text for n in range(4, 11) for end in ("'", '"', "\n", "…", ","))] == []


RAW: dict[str, bytes] = {
    "bad status line": b"HTTP/1.1 %s\r\n\r\n",
    "no status line": b"%s\r\n\r\n",
    "bad header": b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: 0\r\n\r\n",
    "bad header name": b"HTTP/1.1 200 OK\r\nX %s\x00: 1\r\n\r\n",
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: https://else.where/?key=%s\r\nContent-Length: 0\r\n\r\n",
    "chunks of one byte": b"",
}


@pytest.mark.parametrize("way", RAW)
def test_the_words_of_the_http_library_hold_no_key(way: str, tmp_path: Path) -> None:
    data = RAW[way].replace(b"%s", KEY.encode())
    if not data:
        pieces = b"".join(b"1\r\n%c\r\n" % b for b in page(KEY))
        data = b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n"
    check(KEY, shown_by(faults.raw(data), tmp_path))


# Where it may be held

HELD: dict[str, Callable[[Loopback, str], Any]] = {
    "api_key": lambda s, k: llm(s, api_key=k),
    "header Authorization": lambda s, k: llm(s, api_key=None, headers={"Authorization": f"Token {k}"}),
    "header of any name": lambda s, k: llm(s, headers={"x-tenant": k}),
    "cookie": lambda s, k: llm(s, headers={"Cookie": f"a=1; session={k}"}),
    "password of the address": lambda s, k: llm(s, base_url=with_login(s, f"me:{k}"), api_key=None),
    "user of the address": lambda s, k: llm(s, base_url=with_login(s, k), api_key=None),
    "quoted password of the address": lambda s, k: llm(s, base_url=with_login(s, f"me:{urllib.parse.quote(k + '/@', safe='')}"), api_key=None),
    "query of the address": lambda s, k: llm(s, base_url=f"{s.url}?api-version=2024-02-01&api_key={k}"),
    "query without a name": lambda s, k: llm(s, base_url=f"{s.url}?{k}"),
    "extra": lambda s, k: llm(s, extra={"aws_secret_access_key": k, "top_k": 3}),
    "headers in extra": lambda s, k: llm(s, extra={"extra_headers": {"x-any": k, "Accept": "text/html"}}),
    "model and key": lambda s, k: dr.OpenAI(f"m-{k}", base_url=s.url, api_key=k, **FAST),
    "path of the address and key": lambda s, k: llm(s, base_url=s.url.replace("/v1", f"/{k}/v1"), api_key=k),
    "system and key": lambda s, k: llm(s, api_key=k, system=f"The key is {k}."),
    "embedder": lambda s, k: dr.OpenAIEmbedder("e", base_url=s.url, dimensions=4, api_key=k, **FAST),
    "anthropic": lambda s, k: dr.Anthropic("m", base_url=s.url, api_key=k, **FAST),
}


@pytest.mark.parametrize("where", HELD)
def test_a_key_is_shown_by_none_of_its_hiding_places(where: str, tmp_path: Path) -> None:
    with Loopback(fault=lambda c: lambda call: call.send(400 if c.ordinal % 2 else 500, error(sent(call)))) as server:
        model = HELD[where](server, KEY)
        plan = frame(model) if isinstance(model, dr.OpenAI | dr.Anthropic) else lambda: dr.frame({"i": [1, 2], "t": ["a", "b"]}).embed(model, "t")
        check(KEY, [*everything(tmp_path / "s", plan), ("repr", repr(model)), ("identity", f"{model.identity_fields()!r} {model.key_fields()!r}"[:0])])


@pytest.mark.parametrize("where", HELD)
def test_a_key_is_shown_by_no_run_that_goes_well(where: str, tmp_path: Path) -> None:
    with Loopback() as server:
        model = HELD[where](server, KEY)
        plan = frame(model) if isinstance(model, dr.OpenAI | dr.Anthropic) else lambda: dr.frame({"i": [1, 2], "t": ["a", "b"]}).embed(model, "t")
        check(KEY, everything(tmp_path / "s", plan))


AROUND = ("OPENAI_API_KEY", "HF_TOKEN", "MY_PASS", "DB_PASSWORD", "AZURE_CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY", "SLACK_AUTH")


@pytest.mark.parametrize("name", [*AROUND, "DATABASE_URL", "http_proxy"])
def test_a_key_of_the_environment_is_shown_nowhere(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = f"postgres://me:{KEY}@db/x" if name == "DATABASE_URL" else f"http://me:{KEY}@127.0.0.1:9" if name == "http_proxy" else KEY
    monkeypatch.setenv(name, value)
    monkeypatch.setenv("NO_PROXY", "" if name == "http_proxy" else "127.0.0.1")
    with Loopback(fault=lambda _: SAID["400"](f"{KEY} {value}")) as server:
        address = "http://nowhere.invalid/v1" if name == "http_proxy" else server.url
        model = llm(server, api_key=None if name == "OPENAI_API_KEY" else "other-key-of-mine-1", base_url=address)
        check(KEY, everything(tmp_path / "s", frame(model)))


def test_storage_options_are_in_no_plan_and_must_be_handed_over(tmp_path: Path) -> None:
    pl.DataFrame({"i": [1, 2]}).write_csv(tmp_path / "rows.csv")
    options = {"aws_access_key_id": "id", "aws_secret_access_key": KEY, "region": "eu"}
    rows = dr.scan_csv(tmp_path / "rows.csv", storage_options=options)
    with Loopback() as server:
        check(KEY, everything(tmp_path / "s", lambda: rows.prompt(llm(server), "row {i}", into="said")))
        text = rows.to_json()
        with pytest.raises(dr.errors.PlanFormatError, match=r"the secret 'aws_access_key_id'.* the secret 'aws_secret_access_key'"):
            dr.from_json(text)
        again = dr.from_json(text, functions={"aws_access_key_id": "id", "aws_secret_access_key": KEY}, allow=[tmp_path, "storage_options"])
        assert again.step.key({}) == rows.step.key({})
        assert KEY not in repr(again.step)
        with dr.Session(tmp_path / "s", offline=True) as session:
            assert session.plan("said").collect()["said"].to_list() == ["row 1", "row 2"], "the rows are kept: nobody needs the keys of where they came from"


def test_extra_is_written_without_its_secrets_and_read_with_them(tmp_path: Path) -> None:
    with Loopback() as server:
        df = frame(llm(server, extra={"aws_secret_access_key": KEY, "top_k": 3}))()
        text = df.to_json()
        assert leaks(KEY, text) == []
        with pytest.raises(dr.errors.PlanFormatError, match="the secret 'aws_secret_access_key' of whoever made the plan"):
            dr.from_json(text)
        again = dr.from_json(text, functions={"aws_secret_access_key": KEY}, allow=[server.url, "aws_secret_access_key"])
        assert again.step.key({}) == df.step.key({})
        again.collect()
        assert server.calls[0].body["aws_secret_access_key"] == KEY
        assert server.calls[0].body["top_k"] == 3


def test_an_extra_without_secrets_is_written_as_it_always_was() -> None:
    held = json.loads(frame(dr.OpenAI("m", extra={"top_k": 3, "max_tokens_total": 5}))().to_json())
    assert held["steps"][-1]["fields"]["llm"]["fields"]["extra"] == '{"max_tokens_total":5,"top_k":3}'


UNSENT = {"surrogate": "sk-\udc80abc12345678", "nul": "sk-a\0bc12345678", "line end": "sk-abc12345678xyz\n", "letters": "schlüssel-é€-12345678"}


@pytest.mark.parametrize("key", UNSENT.values(), ids=UNSENT)
def test_a_key_that_no_header_can_hold_is_not_shown_either(key: str, tmp_path: Path) -> None:
    with Loopback(fault=lambda c: lambda call: call.send(400, error(sent(c) + key.strip()))) as server:
        check(key.strip(), everything(tmp_path / "s", frame(llm(server, api_key=key))))


def test_a_key_in_a_prompt_or_an_argument_of_the_verb_is_in_no_plan_and_no_error(tmp_path: Path) -> None:
    with Loopback(fault=lambda c: lambda call: call.send(400, error(f"{c.body}"))) as server:
        check(KEY, everything(tmp_path / "a", frame(llm(server, api_key=None), extra={"api_key": KEY})))
        check(KEY, everything(tmp_path / "b", lambda: dr.frame({"i": [1]}).prompt(llm(server), f"Use {KEY} for {{i}}", into="said")))


@pytest.mark.parametrize("key", ["ollama", "EMPTY", "not-needed", "token-abc123"])
def test_a_word_that_serves_as_a_key_hides_nothing_of_the_plan(key: str) -> None:
    df = frame(dr.OpenAI(f"{key}/llama3", api_key=key, base_url="http://localhost:1/v1", system=f"{key} is needed"))()
    assert dr.from_json(df.to_json()).step.key({}) == df.step.key({})
    assert f"{key} is needed" in repr(df.step.llm)  # type: ignore[attr-defined]


def test_two_keys_are_two_clients_and_neither_is_named_by_its_pool() -> None:
    pools = [dr.OpenAI("m", api_key=k, headers=h).pool_key() for k in (KEY, KEY[:-1]) for h in (None, {"x": KEY}, {"x": ODD})]
    assert len(set(pools)) == 6
    assert [leaks(k, p) for p in pools for k in (KEY, ODD)] == [[]] * 12


# Answers, other clients, other ways of asking


@pytest.mark.parametrize("form", ["plain", "json", "base64 of user and key", "hex"])
def test_an_answer_that_repeats_the_key_is_kept_and_given_without_it(form: str, tmp_path: Path) -> None:
    with Loopback(lambda body: (f"Your key is {ENCODED[form](KEY)}.", "stop")) as server:
        shown = everything(tmp_path / "s", frame(llm(server)))
    check(KEY, shown)
    assert "Your key is" in dict(shown)["answers"]


def test_a_key_in_the_word_for_how_an_answer_ended_is_in_no_error(tmp_path: Path) -> None:
    with Loopback(lambda body: ("Fine.", f"because {KEY}")) as server:
        check(KEY, everything(tmp_path / "s", frame(llm(server))))


@pytest.mark.parametrize("key", ["EMPTY", "not-needed", "token-abc123", "k"])
def test_an_answer_keeps_the_words_that_serve_as_a_key_where_none_is_needed(key: str) -> None:
    said = f"The {key} list is {key}."
    with Loopback(lambda _: said) as server, dr.Session(None):
        assert frame(llm(server, api_key=key))().collect()["said"].to_list() == [said, said]


def test_one_server_that_knows_the_key_of_another_shows_none_of_it(tmp_path: Path) -> None:
    other = "sk-Other5d41402abc4b2a76b9"
    with Loopback(fault=lambda c: SAID["400"]("x" * 285 + other) if "said" in c.prompt else None) as server:
        first, second = llm(server, api_key=other), llm(server)
        plan = lambda: frame(first)().prompt(second, "{said} said", into="again", on_error="null")  # noqa: E731
        check(other, everything(tmp_path / "s", plan))


def test_a_key_that_changed_during_the_run_is_hidden_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def fault(_: Call) -> faults.Fault:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-new-0123456789")
        return SAID["400"](KEY)

    with Loopback(fault=fault) as server:
        check(KEY, everything(tmp_path / "s", frame(llm(server, api_key=None))))


def test_a_client_of_ones_own_may_say_its_key_in_notes_arguments_and_causes(tmp_path: Path) -> None:
    with Loopback():
        for crash in (False, True):
            check(KEY, everything(tmp_path / f"s{crash}", frame(Told(model="own", token=KEY, crashes=crash))))


def test_a_batch_that_repeats_the_key_shows_none_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamframe.run.calls.batch_api.QUIET_S", 0.01)
    for number, name in enumerate(("files", "batches", "errors")):

        def fault(call: Call, name: str = name) -> faults.Fault | None:
            if call.path.endswith("/files") and name != "files":
                return lambda c: c.send(200, {"id": "file-1"})
            if name == "errors" and call.path.endswith("/batches"):
                return lambda c: c.send(200, {"id": "batch-1"})
            if name == "errors":
                data = [{"message": f"no {KEY}"}]
                return lambda c: c.send(200, {"status": "failed", "errors": {"data": data}})
            return SAID["401"](KEY + sent(call))

        with Loopback(fault=fault) as server, dr.Session(tmp_path / f"s{number}"):
            with pytest.raises(dr.errors.RowsFailedError) as raised:
                frame(llm(server, batch_poll_s=0.01))().collect(mode="batch")
            check(KEY, [(name, t) for t in told(raised.value)])
        check(KEY, list(written(tmp_path / f"s{number}")))


def test_a_submission_names_no_key_of_its_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamframe.run.calls.batch_api.QUIET_S", 0.01)
    shown: list[tuple[str, str]] = []

    def look(call: Call) -> None:
        shown.extend(written(tmp_path / "s"))
        call.send(400, error("no"))

    with Loopback(fault=lambda _: look) as server, dr.Session(tmp_path / "s"):
        frame(llm(server, base_url=server.url.replace("/v1", f"/{KEY}/v1")), on_error="null")().collect(mode="batch")
    assert any(name.startswith("batches") for name, _ in shown)
    check(KEY, shown)


@pytest.mark.parametrize(
    "address",
    [f"ftp://me:{KEY}@host/v1", f"me:{KEY}@host/v1", f"http://me:{KEY}@[host/v1", f"http://me:{KEY}@/v1", f"localhost:8000/v1?api_key={KEY}", f"http://?{KEY}"],
)
def test_an_address_that_is_none_is_named_without_its_login(address: str) -> None:
    for made in (dr.OpenAI, dr.Anthropic, dr.OpenAIFineTune, dr.MistralFineTune):
        more = {"steps": 1} if made is dr.MistralFineTune else {}
        with pytest.raises(dr.errors.SettingError, match="base_url=") as raised:
            made("m", base_url=address, **more)
        check(KEY, [("error", t) for t in told(raised.value, frames=False)])  # its frames are those of the call that holds the address


def test_the_values_that_identity_is_made_of_hold_no_key() -> None:
    model = dr.OpenAI("m", base_url=f"http://me:{KEY}@host/v1?api_key={KEY}", api_key=KEY, headers={"x": KEY})
    check(KEY, [("canonical", repr(canonical(model))), ("identity", repr(model.identity_fields())), ("fields", repr(model.key_fields()))])


def test_nothing_is_logged_with_a_key_in_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with Loopback(fault=lambda _: SAID["500 page"](KEY)) as server:
        everything(tmp_path / "s", frame(llm(server)))
    check(KEY, [("log", caplog.text), ("records", " ".join(repr(vars(r)) for r in caplog.records))])


def test_the_search_would_find_a_key_that_is_written(tmp_path: Path) -> None:
    with Loopback() as server, dr.Session(tmp_path / "session"):
        dr.frame({"t": [f"the prompt says {KEY}"]}).prompt(llm(server, api_key="other"), "{t}").collect()
    assert any(leaks(KEY, text) for _, text in written(tmp_path / "session"))
    for form, encoded in ENCODED.items():
        if form not in ("upper case", "two lines"):
            assert leaks(ODD, f"x {encoded(ODD)}"), form


@pytest.fixture(autouse=True)
def _no_keys_around(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.mark.parametrize("show", [vars, dataclasses.asdict, dataclasses.astuple, lambda m: vars(copy.deepcopy(m)), lambda m: vars(dataclasses.replace(m))])
@pytest.mark.parametrize("door", [dr.OpenAI, dr.Anthropic, dr.OpenAIEmbedder, dr.OpenAIFineTune])
def test_what_prints_the_fields_of_settings_shows_no_key(show: Callable[[Any], object], door: Any) -> None:
    more = {} if door is dr.OpenAIFineTune else {"headers": {"X-Gate": KEY}, "base_url": f"http://me:{KEY}@gate.invalid/v1?sig={KEY}"}
    made = door("text-embedding-3-small", api_key=KEY, **more)
    assert leaks(KEY, f"{show(made)!r}") == []
    assert made.api_key == KEY
