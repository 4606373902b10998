"""A stranger's plan that tries to reach a key, a file outside, an address, a checkpoint: each is refused by name, and nothing was touched before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.authority import Authority, is_inside
from dreamframe.errors import NotAllowedError, PlanFormatError
from dreamframe.llms.base import LLM
from tests.loopback.server import Loopback
from tests.micro import micro_causal

ROOT = Path(__file__).parents[2]
KEY = "sk-CANARY-env-1234567890"
SECRET = "the content of a private file"
ROWS = {"t": ["tea", "rain"]}


@pytest.fixture
def evil() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and beside it what is nobody's business."""
    here = tmp_path / "work"
    for folder in (here, tmp_path / "private" / ".ssh", tmp_path / "weights"):
        folder.mkdir(parents=True)
    for name in ("id_a.txt", ".ssh/id_rsa", "picture.png"):
        (tmp_path / "private" / name).write_bytes((b"\x89PNG" if name.endswith("png") else b"") + SECRET.encode())
    (tmp_path / "weights" / "config.json").write_text(json.dumps({"hidden_size": 8, "model_type": "bert"}))
    (here / "own.txt").write_text("my own")
    (here / ".env").write_text(SECRET)
    (here / "way out").symlink_to(tmp_path / "private")
    (here / "linked.txt").symlink_to(tmp_path / "private" / "id_a.txt")
    monkeypatch.chdir(here)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return here


def changed(text: str, *pairs: tuple[str, str]) -> str:
    """A plan in which a stranger wrote something else."""
    for old, new in pairs:
        assert old in text
        text = text.replace(old, json.dumps(new)[1:-1])
    return text


def asking(llm: Any) -> str:
    return dr.frame(ROWS).prompt(llm, "{t}", into="said").to_json()


def scanning(path: str) -> str:
    return changed(dr.scan_text("own.txt").to_json(), ("own.txt", path))


def victim(folder: Path, *attempts: dict[str, Any]) -> list[dict[str, Any]]:
    """What another process, with a key, makes of plans."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder.parent / "private"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    env |= {"OPENAI_API_KEY": KEY, "HF_HOME": str(folder.parent / "hub")}
    command = [sys.executable, "-m", "tests.faults.stranger"]
    done = subprocess.run(command, input=json.dumps(attempts), env=env, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


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
        "a glob that meets a link": (scanning("lin*.txt"), "linked.txt"),
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
    from dreamframe.plan_json.write import arrow_text

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
    plan = asking(dr.OpenAI("gpt-4o", base_url=evil.url, identity_="https://api.openai.com/v1"))
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
    "tools": {"tools": [{"type": "mcp", "server_url": "https://evil.invalid", "authorization": "theirs"}]},
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
        weights.llm().identity()  # type: ignore[union-attr]


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


# Files


def test_what_is_below_the_working_folder_is_read(home: Path) -> None:
    (home / "data").mkdir()
    pl.DataFrame({"a": [1]}).write_csv("data/x.csv")
    with dr.Session(None):
        for path in ("data/x.csv", "data/*.csv", str(home / "data" / "x.csv"), "./data/../data/x.csv"):
            plan = changed(dr.scan_csv("data/x.csv").to_json(), ("data/x.csv", path))
            assert dr.from_json(plan).collect().rows() == [(1,)], path


@pytest.mark.parametrize("entry", ["file", "glob", "folder", "any depth"])
def test_a_listed_path_is_read_and_nothing_beside_it(home: Path, entry: str) -> None:
    private = home.parent / "private"
    allow = {"file": private / "id_a.txt", "glob": private / "*.txt", "folder": private, "any depth": private / "**"}[entry]
    with dr.Session(None):
        assert dr.from_json(scanning(str(private / "id_a.txt")), allow=[allow]).collect()["text"].to_list() == [SECRET]
        for other in (private / ".." / "weights" / "config.json", home.parent / "weights" / "config.json"):
            with pytest.raises(NotAllowedError):
                dr.from_json(scanning(str(other)), allow=[allow]).collect()


def test_options_that_lead_elsewhere_are_refused(home: Path) -> None:
    (home / "x.csv").write_text("a\n1\n")
    record = json.loads(dr.scan_csv("x.csv", has_header=True).to_json())
    record["steps"][0]["fields"]["options"] = [["storage_options", {"$dict": [["endpoint_url", "http://evil.invalid"]]}]]
    with dr.Session(None), pytest.raises(NotAllowedError, match="storage_options"):
        dr.from_json(json.dumps(record)).collect()


def test_a_plan_that_lies_about_its_columns_gives_no_rows(home: Path) -> None:
    (home / "x.csv").write_text("a\n1\n")
    text = dr.scan_csv("x.csv").to_json()
    (home / "x.csv").write_text("b\n1\n")
    with dr.Session(None), pytest.raises(dr.errors.SourceChangedError, match="columns"):
        dr.from_json(text).collect()


def test_a_plan_without_the_columns_of_its_files_is_read_where_they_are_listed(home: Path) -> None:
    (home / "x.csv").write_text("a\n1\n")
    record = json.loads(dr.scan_csv("x.csv").to_json())
    del record["steps"][0]["fields"]["columns"]
    with pytest.raises(NotAllowedError, match=r"allow=\['x\.csv'\]"):
        dr.from_json(json.dumps(record))
    with dr.Session(None):
        assert dr.from_json(json.dumps(record), allow=["x.csv"]).collect().rows() == [(1,)]


def test_rows_that_only_a_text_says_are_a_files_are_filed_under_another_key(home: Path) -> None:
    """Else a stranger who knows a public file could lay other rows under its key."""
    from dreamframe.plan_json.write import arrow_text

    with dr.Session("s") as session:
        mine = dr.scan_text("own.txt").prompt(dr.testing.Echo(), "{text}", into="said")
        mine.collect()
        kept = session.plan("said")
    record = json.loads(kept.to_json())
    record["steps"][0]["rows"] = {"arrow": arrow_text(pl.DataFrame({"text": ["poison"]}))}
    forged = dr.from_json(json.dumps(record))
    assert kept.step.key({}) == mine.step.key({})
    assert forged.step.key({}) != mine.step.key({})
    with dr.Session("fresh"):
        forged.collect()
        assert mine.collect()["said"].to_list() == ["my own"]


# Weights, the Hub, trainings


def test_weights_are_what_the_plan_says_they_are(home: Path) -> None:
    from dreamframe.llms.weights import KeptWeights, weights_identity, weights_path

    (home / "base").mkdir()
    (home / "base" / "config.json").write_text("{}")
    digest = weights_identity("base")
    assert weights_path(KeptWeights.elsewhere("base", digest)) == Path("base")
    with pytest.raises(dr.errors.SettingError, match="are not here"):
        weights_path(KeptWeights.elsewhere("base", "0" * 32))
    with pytest.raises(dr.errors.SettingError, match="said to be those of 'openai/gpt'"):
        weights_path(KeptWeights.elsewhere("me/tiny", {"hub": "openai/gpt", "commit": "0" * 40}))


def test_the_hub_is_not_told_who_reads_a_plan(home: Path) -> None:
    plan = asking(dr.Transformers("me/private", revision="0" * 40))
    for allow, token in (([], False), (["me/private"], None), (["hf://me/private"], None), (["me/other"], False)):
        llm = dr.from_json(plan, allow=allow).step.llm  # type: ignore[union-attr, attr-defined]
        assert llm.hub_token is token
    assert dr.Transformers("me/private").hub_token is None


TRAINING_ARGS: dict[str, dict[str, Any]] = {
    "report_to": {"report_to": ["wandb"]},
    "deepspeed": {"deepspeed": "/etc/passwd"},
    "fsdp_config": {"fsdp_config": "/etc/passwd"},
    "hub_token": {"hub_token": "theirs"},
    "hub_model_id": {"hub_model_id": "them/stolen"},
    "resume_from_checkpoint": {"resume_from_checkpoint": "/tmp/checkpoint"},
    "model_init_kwargs": {"model_init_kwargs": {"cache_dir": "/"}},
    "logging_dir": {"logging_dir": "/tmp/logs"},
    "run_name": {"run_name": "../../x"},
}


@pytest.mark.parametrize("name", TRAINING_ARGS)
def test_arguments_of_a_training_that_name_a_place_are_listed_or_refused(home: Path, name: str) -> None:
    sft = dr.SFT("gpt2", steps=1, args=TRAINING_ARGS[name])
    record = json.loads(dr.frame(ROWS).train(dr.SFT("gpt2", steps=1), prompt="t", completion="t").to_json())
    record["steps"][-1]["fields"]["trainer"]["fields"]["args"] = sft.args
    text = json.dumps(record)
    with pytest.raises(NotAllowedError, match=name):
        dr.from_json(text).step.trainer.check_reach()  # type: ignore[union-attr, attr-defined]
    dr.from_json(text, allow=[name]).step.trainer.check_reach()  # type: ignore[union-attr, attr-defined]
    sft.check_reach()  # what the user wrote asks nobody


def test_usual_arguments_of_a_training_need_nothing(home: Path) -> None:
    args = {"report_to": "none", "warmup_steps": 3, "lr_scheduler_type": "cosine", "bf16": False, "optim": "adamw_torch"}
    peft = {"r": 4, "target_modules": ["q_proj"], "lora_dropout": 0.1}
    plan = dr.frame(ROWS).train(dr.SFT("gpt2", steps=1, args=args, peft=peft), prompt="t", completion="t")
    dr.from_json(plan.to_json()).step.trainer.check_reach()  # type: ignore[union-attr, attr-defined]


def test_a_module_that_an_adapter_names_is_not_imported(home: Path) -> None:
    plan = dr.frame(ROWS).train(dr.SFT("gpt2", steps=1, peft={"r": 4, "megatron_core": "evil"}), prompt="t", completion="t")
    with pytest.raises(NotAllowedError, match="megatron_core"):
        dr.from_json(plan.to_json()).step.trainer.check_reach()  # type: ignore[union-attr, attr-defined]


# Texts


def test_a_plan_of_3000_steps_is_refused_or_works(home: Path) -> None:
    record = json.loads(dr.frame(ROWS).reverse().to_json())
    record["steps"] += [{**record["steps"][1], "inputs": [n]} for n in range(1, 3000)]
    try:
        dr.from_json(json.dumps(record))
    except PlanFormatError as exc:
        assert "nested too deeply" in str(exc)  # noqa: PT017  whichever of the two


def test_allow_is_a_list(home: Path) -> None:
    for wrong in ("http://localhost/v1", Path("/data"), [1], [""]):
        with pytest.raises(dr.errors.SettingError, match="allow="):
            dr.from_json(asking(dr.testing.Echo()), allow=wrong)  # type: ignore[arg-type]


INSIDE = {"a/b.csv": True, "*.csv": True, "a/**/b": True, "../x": False, "a/../../x": False, "*/../x": False, "/": False,
          "~": False, ".env": False, "a/.x/*": False}


@pytest.mark.parametrize(("path", "is_in"), INSIDE.items(), ids=INSIDE)
def test_what_is_inside(home: Path, path: str, is_in: bool) -> None:
    assert is_inside(path) is is_in
    assert is_inside(os.path.join(os.getcwd(), path)) is is_in or path in ("/", "~")
