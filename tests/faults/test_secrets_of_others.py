"""Keys of fine-tuning APIs and of the Hub: whatever the other side repeats, no byte of them is left."""

from __future__ import annotations

import base64
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import DreamframeError, HubError, SettingError
from dreamframe.hub import push as publish
from dreamframe.hub.datasets import HubSplit
from dreamframe.run.active import current
from tests.leaks import ENCODED, check, leaks, told, written
from tests.loopback import faults
from tests.loopback.replies import error
from tests.loopback.server import Call, Loopback

KEY = "sk-Tune3f9c27d1b8E64a05"
ROWS = {"q": [f"question {i}" for i in range(12)], "a": [f"answer {i}" for i in range(12)]}
WHO = pytest.mark.parametrize("who", ["openai", "mistral"])


def trainer(who: str, server: Loopback) -> Any:
    common: dict[str, Any] = {"base_url": server.url, "api_key": KEY, "poll_s": 0.001}
    return dr.OpenAIFineTune("gpt-tiny", **common) if who == "openai" else dr.MistralFineTune("mistral-tiny", steps=3, **common)


def echo(call: Call) -> str:
    """What was sent, in several encodings, so that a cut falls into one of them."""
    said = f"{call.path} {call.headers} {KEY} {base64.b64encode(KEY.encode()).decode()} {urllib.parse.quote(KEY)}"
    return f"{said} {'.' * (1990 - len(said))}{KEY} {KEY}"


SAYS = {
    "400": lambda c: c.send(400, error(echo(c))),
    "401": lambda c: c.send(401, error(echo(c))),
    "429 without credit": lambda c: c.send(429, error(echo(c), code="insufficient_quota")),
    "500": lambda c: c.send(500, error(echo(c))),
    "page": lambda c: c.send(502, f"<p>{echo(c)}</p>".encode()),
    "no JSON": lambda c: c.send(200, f"<p>{echo(c)}</p>".encode()),
    "bad status line": faults.raw(f"HTTP/1.1 {KEY}\r\n\r\n".encode()),
    "bad header": faults.raw(f"HTTP/1.1 200 OK\r\n{KEY}\r\n\r\n".encode()),
}


@WHO
@pytest.mark.parametrize("way", SAYS)
def test_a_provider_that_repeats_the_key_shows_none_of_it(way: str, who: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with Loopback(fault=lambda _: SAYS[way]) as server, dr.Session(tmp_path / "s") as session:
        model = dr.frame(ROWS).train(trainer(who, server), prompt="q", completion="a")
        with pytest.raises(Exception) as raised:  # noqa: PT011  whatever it is, what it says is looked at
            model.fit()
        shown = [("error", t) for t in told(raised.value, frames=False)]
        shown += [("repr", repr(model)), ("explain", model.explain()), ("card", model.card()), ("json", model.to_json()), ("summary", session.summary())]
    check(KEY, [*shown, ("log", caplog.text), *written(tmp_path / "s")])


@WHO
def test_a_redirect_takes_the_key_nowhere(who: str, tmp_path: Path) -> None:
    with Loopback() as elsewhere:
        away = f"http://localhost:{elsewhere.port}/v1/files?k={KEY}"
        with Loopback(fault=lambda _: lambda c: c.send(302, b"", {"Location": away})) as server, dr.Session(tmp_path / "s"):
            with pytest.raises(Exception) as raised:  # noqa: PT011  as above
                dr.frame(ROWS).train(trainer(who, server), prompt="q", completion="a").fit()
            check(KEY, [("error", t) for t in told(raised.value, frames=False)])
        assert [c.headers.get("authorization") for c in elsewhere.calls if KEY in str(c.headers)] == []


def test_secrets_among_a_trainers_arguments_are_in_no_plan(tmp_path: Path) -> None:
    made = dr.OpenAIFineTune("gpt-tiny", args={"integrations": [{"type": "wandb", "wandb": {"project": "p", "api_key": KEY}}]})
    model = dr.frame(ROWS).train(made, prompt="q", completion="a")
    with dr.Session(tmp_path / "s"):
        shown = [("json", model.to_json()), ("repr", repr(made)), ("card", model.card()), ("explain", model.explain())]
    check(KEY, shown)
    with pytest.raises(dr.errors.PlanFormatError, match="the secret 'api_key'"):
        dr.from_json(model.to_json())
    again = dr.from_json(model.to_json(), functions={"api_key": KEY})
    assert again.step.key({}) == model.step.key({})  # type: ignore[union-attr]


def test_an_address_with_a_login_is_refused_without_it() -> None:
    with pytest.raises(SettingError, match="has a user or a query in it") as raised:
        dr.OpenAIFineTune("m", base_url=f"https://me:{KEY}@host/v1")
    assert leaks(KEY, str(raised.value)) == []


@pytest.mark.parametrize("source", ["argument", "environment"])
@pytest.mark.parametrize("form", ENCODED)
def test_errors_of_the_hub_hold_no_token(form: str, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    token = "hf_Canary3f9c27d1b8E64a05xyz"
    monkeypatch.setenv("HF_TOKEN", token if source == "environment" else "")
    given = token if source == "argument" else None
    said = f"{'.' * 490}{ENCODED[form](token)}{'.' * 30} {ENCODED[form](token)}"
    with dr.Session(None):
        hub = HubSplit("org/data", None, "train", current().source_context, token=given)
        for opened in (lambda: publish._hub("org/data", given), hub._said):
            with pytest.raises(HubError) as raised, opened():
                raise OSError(f"while asking: {said}", {"Authorization": f"Bearer {token}"})
            check(token, [("error", t) for t in told(raised.value, frames=False)] + [("hub", repr(hub))])


def test_a_server_of_a_trained_model_shows_no_key(tmp_path: Path) -> None:
    """The tuned model is asked with the trainer's key."""
    with Loopback(fault=lambda _: SAYS["400"]) as server, dr.Session(tmp_path / "s"):
        llm = dr.OpenAI("ft:gpt-tiny:1", base_url=server.url, api_key=KEY)
        with pytest.raises(DreamframeError) as raised:
            dr.frame({"q": ["a"]}).prompt(llm, "{q}").collect()
        check(KEY, [("error", t) for t in told(raised.value)])
    check(KEY, list(written(tmp_path / "s")))
