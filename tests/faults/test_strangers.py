"""A stranger's plan that tries to reach a key, a file outside, an address, a checkpoint: each is refused by name, and nothing was touched before."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import NotAllowedError, PlanFormatError
from dreamframe.models.authority import Authority
from dreamframe.models.base import LLM
from tests.faults.strangers_plans import KEY, ROWS, SECRET, asking, changed, home_of, scanning, victim
from tests.loopback.server import Loopback
from tests.micro import micro_causal


@pytest.fixture
def evil() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return home_of(tmp_path, monkeypatch)


# Nothing is touched


def test_reading_explaining_and_collecting_a_strangers_plan_touches_nothing_outside(home: Path, evil: Loopback) -> None:
    private = str(home.parent / "private")
    weights = str(home.parent / "weights")
    picture = dr.frame({"p": ["x"]}).prompt(dr.testing.Echo(), dr.Chat([("user", "?")], images="p"))
    plans = {
        "the server": (asking(dr.OpenAI("m", base_url=evil.url)), evil.url),
        "an embedder": (dr.frame(ROWS).embed(dr.OpenAIEmbedder("e", base_url=evil.url, dimensions=3), "t").to_json(), evil.url),
        "one of several": (asking(dr.Parallel(dr.Ollama("a"), dr.OpenAI("m", base_url=evil.url))), evil.url),
        "a file": (scanning(f"{private}/id_a.txt"), f"{private}/id_a.txt"),
        "a glob": (scanning(f"{private}/**/*"), f"{private}/**/*"),
        "the home folder": (scanning("~/.ssh/id_*"), "~/.ssh/id_*"),
        "upwards": (scanning("../private/id_a.txt"), "../private/id_a.txt"),
        "upwards behind a glob": (scanning("*/../../private/*"), "*/../../private/*"),
        "a link": (scanning("linked.txt"), "linked.txt"),
        "through a link": (scanning("way out/id_a.txt"), "way out/id_a.txt"),
        "a glob that meets a link": (scanning("linke*.txt"), "linked.txt"),
        "a link that looks like a glob": (scanning("link[1].txt"), "link[1].txt"),
        "a hidden file": (scanning(".env"), ".env"),
        "a cloud": (scanning("s3://bucket/rows.csv"), "s3://bucket/rows.csv"),
        "an address": (scanning(f"{evil.url}/rows.csv"), f"{evil.url}/rows.csv"),
        "a file by its address": (scanning(f"file://{private}/id_a.txt"), f"file://{private}/id_a.txt"),
        "weights": (asking(dr.Transformers(weights)), weights),
        "an adapter": (changed(asking(dr.Transformers("org/model", adapter="org/adapter", revision="0" * 40)), ("org/adapter", weights)), weights),
        "a picture": (json.dumps(with_rows(json.loads(picture.to_json()), {"p": [f"{private}/picture.png"]})), f"{private}/picture.png"),
        "a picture that tells": (json.dumps(with_rows(json.loads(picture.to_json()), {"p": ["http://evil.invalid/?tea"]})), "http://evil.invalid/?tea"),
        "a base": (dr.frame(ROWS).train(dr.SFT(weights, steps=1), prompt="t", completion="t").to_json(), weights),
        "a tuned model elsewhere": (tuning(evil.url), evil.url),
    }
    for (name, (_, reach)), said in zip(plans.items(), victim(home, *({"plan": plan} for plan, _ in plans.values())), strict=True):
        assert said["kind"] == "NotAllowedError", (name, said)
        assert reach in said["error"], name
        assert "allow=[" in said["error"], name
        assert said["read"] == [], (name, "reading and explaining open nothing and ask nobody")
        assert [e for e in said["collected"] if private in e or weights in e or "socket" in e] == [], name
        assert said["rows"] is None
        assert SECRET not in json.dumps(said)
        if "picture" not in name and "link" not in name:
            assert reach in said["explained"], (name, "explain() names it")
    assert evil.n_calls == 0


def with_rows(record: dict[str, Any], rows: dict[str, list[str]]) -> dict[str, Any]:
    from dreamframe.plan.json.write import arrow_text

    record["steps"][0]["rows"] = {"arrow": arrow_text(pl.DataFrame(rows))}
    return record


def tuning(url: str) -> str:
    rows = dr.frame({"t": [str(i) for i in range(12)]})
    return rows.train(dr.OpenAIFineTune("gpt-4o-mini", base_url=url), prompt="t", completion="t").to_json()


# Addresses

LOOKALIKES = {
    "a longer host": "https://api.openai.com.evil.invalid/v1",
    "a port": "https://api.openai.com:8443/v1",
    "in clear": "http://api.openai.com/v1",
    "a dot at the end": "https://api.openai.com./v1",
    "another alphabet": "https://\u0430pi.openai.com/v1",
    "an escape": "https://api.openai.com%2eevil.invalid/v1",
    "in the path": "https://evil.invalid/https://api.openai.com/v1",
    "a backslash": "https://api.openai.com\\.evil.invalid/v1",
    "another path": "https://api.openai.com/v12",
    "upwards": "https://api.openai.com/v1/../v12",
    "another provider": "https://api.mistral.ai/v1",
    "this machine": "http://localhost:9/v1",
    "this machine by number": "http://[::1]:9/v1",
    "the cloud's own": "http://169.254.169.254/v1",
}


@pytest.mark.parametrize("url", LOOKALIKES.values(), ids=LOOKALIKES)
@pytest.mark.parametrize("kind", [dr.OpenAI, lambda m, **s: dr.OpenAIEmbedder("text-embedding-3-small", **s)], ids=["llm", "embedder"])
def test_no_key_is_lent_for_an_address_that_only_looks_like_the_providers_own(home: Path, url: str, kind: Callable[..., Any]) -> None:
    llm = kind("m", base_url=url)
    plan = asking(llm) if isinstance(llm, LLM) else dr.frame(ROWS).embed(llm, "t").to_json()
    read = dr.from_json(plan).step
    held = read.llm  # type: ignore[attr-defined]
    with pytest.raises(NotAllowedError):
        held.key()
    with dr.Session(None), pytest.raises(NotAllowedError) as raised:
        dr.from_json(plan).collect()
    assert ascii(held.endpoint) in str(raised.value)
    assert KEY not in str(raised.value)


@pytest.mark.parametrize("url", [None, "https://api.openai.com/v1", "HTTPS://API.OpenAI.com:443/v1/"])
def test_the_providers_own_address_gets_the_key(home: Path, url: str | None) -> None:
    llm = dr.from_json(asking(dr.OpenAI("m", base_url=url))).step.llm  # type: ignore[union-attr, attr-defined]
    assert llm.key() == KEY


@pytest.mark.parametrize("url", ["https://api.openai.com@evil.invalid/v1", "https://me:pw@api.openai.com/v1", "https://api.openai.com/v1?key=theirs"])
def test_an_address_with_credentials_is_refused_when_the_plan_is_read(home: Path, url: str) -> None:
    plan = changed(asking(dr.OpenAI("m", base_url="http://x.invalid/v1")), ("http://x.invalid/v1", url))
    with pytest.raises(PlanFormatError, match="base_url"):
        dr.from_json(plan, allow=[url])


@pytest.mark.parametrize("field", ["api_key", "headers", "userinfo", "query"])
def test_a_plan_that_brings_a_secret_of_its_own_is_refused(home: Path, field: str) -> None:
    record = json.loads(asking(dr.OpenAI("m")))
    record["steps"][1]["fields"]["llm"]["fields"][field] = "sk-of-the-stranger" if field != "headers" else {"$dict": [["Host", "evil.invalid"]]}
    with pytest.raises(PlanFormatError, match=field):
        dr.from_json(json.dumps(record), allow=[field])


def test_answers_are_not_filed_as_those_of_another_server(home: Path, evil: Loopback) -> None:
    """Else one listed server could answer, for good, in the name of another."""
    plan = asking(dr.OpenAI("gpt-4o", base_url=evil.url, identity="https://api.openai.com/v1"))
    with dr.Session(None), pytest.raises(NotAllowedError, match=r"files what it answers as answers of 'https://api\.openai\.com/v1'"):
        dr.from_json(plan, allow=[evil.url]).collect()
    assert evil.n_calls == 0
    with dr.Session(None):
        assert dr.from_json(plan, allow=[evil.url, "https://api.openai.com/v1"]).collect()["said"].to_list() == ROWS["t"]


@pytest.mark.parametrize("mode", ["calls", "batch"])
def test_a_listed_address_gets_the_rows_and_the_key(home: Path, evil: Loopback, mode: Any) -> None:
    keys: list[str] = []
    evil.fault = lambda call: keys.append(call.headers.get("authorization", ""))
    plan = asking(dr.OpenAI("m", base_url=evil.url))
    with dr.Session(None), pytest.raises(NotAllowedError):
        dr.from_json(plan, allow=["http://127.0.0.1:1/v1", "other.invalid"]).collect(mode=mode)
    assert keys == []
    if mode == "calls":
        with dr.Session(None):
            assert dr.from_json(plan, allow=[evil.url]).collect()["said"].to_list() == ROWS["t"]
        assert set(keys) == {f"Bearer {KEY}"}


def test_two_reads_of_one_plan_share_no_client(home: Path, evil: Loopback) -> None:
    plan = asking(dr.OpenAI("m", base_url=evil.url))
    with dr.Session(None):
        dr.from_json(plan, allow=[evil.url]).collect()
        dr.frame({"t": ["mine"]}).prompt(dr.OpenAI("m", base_url=evil.url), "{t}").collect()
    n_calls = evil.n_calls
    with dr.Session(None), pytest.raises(NotAllowedError):
        dr.from_json(plan).collect()
    assert evil.n_calls == n_calls
    pools = {dr.from_json(plan, allow=allow).step.llm.pool_key() for allow in ([], [evil.url], ["127.0.0.1"])}  # type: ignore[union-attr, attr-defined]
    assert len({*pools, dr.OpenAI("m", base_url=evil.url).pool_key()}) == 4


REFUSED_MODELS: dict[str, tuple[Any, list[str]]] = {
    "an address that is nobody's own": (lambda: dr.AzureOpenAI("gpt", base_url="https://mine.openai.azure.com"), ["https://mine.openai.azure.com"]),
    "a library that decides": (lambda: dr.LiteLLM("bedrock/claude"), ["bedrock/claude"]),
    "a library with an address": (lambda: dr.LiteLLM("openai/x", base_url="http://gpu.invalid/v1"), ["openai/x", "http://gpu.invalid/v1"]),
}


@pytest.mark.parametrize("name", REFUSED_MODELS)
def test_models_without_an_own_address_are_listed_or_refused(home: Path, name: str) -> None:
    make, allow = REFUSED_MODELS[name]
    for n in range(len(allow)):
        llm = dr.from_json(asking(make()), allow=allow[:n]).step.llm  # type: ignore[union-attr, attr-defined]
        with pytest.raises(NotAllowedError, match=r"allow=\["):
            llm.check_reach()
    dr.from_json(asking(make()), allow=allow).step.llm.check_reach()  # type: ignore[union-attr, attr-defined]


EXTRAS: dict[str, dict[str, Any]] = {
    "tools": {"tools": [{"type": "mcp", "server_url": "https://evil.invalid"}]},
    "an address": {"response_format": {"x": "https://evil.invalid"}},
    "a base": {"api_base": "https://evil.invalid"},
}


@pytest.mark.parametrize("extra", EXTRAS.values(), ids=EXTRAS)
@pytest.mark.parametrize("where", ["model", "verb"])
def test_arguments_that_a_server_would_act_on_are_listed_or_refused(home: Path, evil: Loopback, extra: dict[str, Any], where: str) -> None:
    name = next(iter(extra))
    llm = dr.OpenAI("m", base_url=evil.url, extra=extra if where == "model" else None)
    plan = dr.frame(ROWS).prompt(llm, "{t}", into="said", extra=extra if where == "verb" else None).to_json()
    with dr.Session(None), pytest.raises(NotAllowedError, match=name):
        dr.from_json(plan, allow=[evil.url]).collect()
    assert evil.n_calls == 0
    with dr.Session(None):
        dr.from_json(plan, allow=[evil.url, name]).collect()
    assert evil.n_calls == 2


def test_harmless_arguments_need_nothing(home: Path, evil: Loopback) -> None:
    plan = asking(dr.OpenAI("m", base_url=evil.url, extra={"top_k": 3, "chat_template_kwargs": {"enable_thinking": False}, "reasoning": None}))
    with dr.Session(None):
        dr.from_json(plan, allow=[evil.url]).collect()


# What stands on the plan


def test_the_lack_of_authority_stands_on_the_plan_whatever_is_made_of_it(home: Path, evil: Loopback) -> None:
    text = asking(dr.OpenAI("m", base_url=evil.url))
    read = dr.from_json(text)
    assert isinstance(read, dr.Frame)
    made = {
        "verbs on top": read.with_columns(n=1).filter(pl.col("n") > 0).head(1),
        "a model on top": read.prompt(dr.testing.Echo(), "{said}", into="more"),
        "a join": dr.frame(ROWS).join(read, on="t"),
        "written and read": dr.from_json(read.to_json()),
        "written and read, once allowed": dr.from_json(dr.from_json(text, allow=[evil.url]).to_json()),
        "a prompt over it": dr.frame(ROWS).prompt(dr.testing.Echo(), dr.FewShot("Do.", input="t", output="said", examples=read), into="a"),
        "its rows trained on": read.train(dr.SFT(str(micro_causal()), steps=1), prompt="t", completion="said"),
    }
    for name, plan in made.items():
        with dr.Session(None), pytest.raises(NotAllowedError):
            plan.fit() if isinstance(plan, dr.Model) else plan.collect()
        assert evil.n_calls == 0, name


def test_a_model_made_of_a_read_training_reaches_no_further(home: Path) -> None:
    plan = dr.frame({"t": [str(i) for i in range(12)]}).train(dr.OpenAIFineTune("gpt-4o-mini", base_url="http://evil.invalid/v1"), prompt="t", completion="t")
    read = dr.from_json(plan.to_json())
    assert isinstance(read, dr.Model)
    tuned = read.llm()
    with pytest.raises(NotAllowedError, match="evil"):
        tuned.of.key()  # type: ignore[attr-defined]
    assert tuned.authority == Authority()
    weights = dr.from_json(dr.frame(ROWS).train(dr.SFT("../weights", peft={"r": 2}), prompt="t", completion="t").to_json())
    with pytest.raises(NotAllowedError, match="weights"):
        weights.llm().identity_fields()  # type: ignore[union-attr]


def test_authority_is_no_part_of_what_a_plan_is(home: Path, evil: Loopback) -> None:
    plan = dr.frame(ROWS).prompt(dr.OpenAI("m", base_url=evil.url), "{t}", into="said")
    keys = {dr.from_json(plan.to_json(), allow=allow).step.key({}) for allow in ([], [evil.url], ["/data"])}
    assert keys == {plan.step.key({})}


@pytest.mark.parametrize("gone", [[], ["steps"]], ids=["from outputs", "from answers"])
def test_what_the_session_holds_is_replayed_without_consent(home: Path, evil: Loopback, gone: list[str]) -> None:
    import shutil

    with dr.Session("s") as session:
        dr.scan_text("own.txt").prompt(dr.OpenAI("m", base_url=evil.url), "{text}", into="said").collect()
        archive = session.export("run.tar.gz")
    n_calls = evil.n_calls
    dr.Session.load(archive, "elsewhere").close()
    for name in gone:
        shutil.rmtree(Path("elsewhere") / name)
    with dr.Session("elsewhere") as session:
        assert session.plan("said").collect()["said"].to_list() == ["my own"]  # type: ignore[union-attr]
    assert evil.n_calls == n_calls


def test_a_kept_plan_asks_nobody_that_was_not_listed(home: Path, evil: Loopback) -> None:
    import shutil

    with dr.Session("s") as session:
        dr.frame(ROWS).prompt(dr.OpenAI("m", base_url=evil.url), "{t}", into="said").collect()
        archive = session.export("run.tar.gz")
    n_calls = evil.n_calls
    dr.Session.load(archive, "elsewhere").close()
    for name in ("steps", "answers"):
        shutil.rmtree(Path("elsewhere") / name)
    with dr.Session("elsewhere") as session:
        with pytest.raises(NotAllowedError, match=evil.url):
            session.plan("said").collect()  # type: ignore[union-attr]
        assert evil.n_calls == n_calls
        assert session.plan("said", allow=[evil.url]).collect()["said"].to_list() == ROWS["t"]  # type: ignore[union-attr]


def test_a_plan_does_not_say_what_the_environment_of_its_reader_chooses(home: Path) -> None:
    """Else what one region answered would be filed as the answers of another."""
    record = json.loads(asking(dr.LiteLLM("bedrock/claude")))
    record["steps"][1]["fields"]["llm"]["fields"]["environment"] = "0" * 32
    with pytest.raises(PlanFormatError, match=r"LiteLLM\.environment"):
        dr.from_json(json.dumps(record), allow=["bedrock/claude"])
