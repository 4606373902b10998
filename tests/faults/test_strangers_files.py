"""Files, weights, trainings and texts of a stranger's plan: what is not below the working folder, and not listed, is refused by name."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import NotAllowedError, PlanFormatError
from dreamframe.models.authority import is_inside
from tests.faults.strangers_plans import ROWS, SECRET, asking, changed, home_of, scanning


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return home_of(tmp_path, monkeypatch)


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
    from dreamframe.plan.json.write import arrow_text

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
    from dreamframe.models.local.weights import KeptWeights, weights_identity, weights_path

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


WEIGHTS: dict[str, Callable[[str, str], Any]] = {
    "transformers": lambda folder, _: dr.frame(ROWS).prompt(dr.Transformers(folder), "{t}"),
    "vllm": lambda folder, _: dr.frame(ROWS).prompt(dr.VLLM(folder), "{t}"),
    "a GGUF file": lambda _, file: dr.frame(ROWS).prompt(dr.LlamaCpp(file), "{t}"),
    "an adapter of a GGUF file": lambda _, file: dr.frame(ROWS).prompt(dr.LlamaCpp("own.txt", adapter=file), "{t}"),
    "an embedder": lambda folder, _: dr.frame(ROWS).embed(dr.SentenceTransformer(folder), "t"),
    "a classifier": lambda folder, _: dr.frame(ROWS).classify(dr.HFClassifier(folder), ["a", "b"], "t"),
    "a reward model": lambda folder, _: dr.frame(ROWS).classify(dr.RewardModel(folder), None, "t"),
    "examples found by an embedder": lambda folder, _: dr.frame(ROWS).prompt(dr.testing.Echo(), near(folder), into="a"),
}
TRAININGS: dict[str, Callable[[str], Any]] = {
    "a base": lambda folder: dr.SFT(folder, steps=1),
    "a base that is a model": lambda folder: dr.SFT(dr.Transformers(folder), steps=1),
    "an adapter": lambda folder: dr.SFT(dr.Transformers("own", adapter=folder), steps=1),
    "a teacher": lambda folder: dr.Distill("gpt2", teacher=folder, steps=1),
    "rewards": lambda folder: dr.GRPO("gpt2", rewards=[folder], steps=1),
}


def near(folder: str) -> Any:
    return dr.FewShot("Do.", input="t", output="t", examples=dr.frame(ROWS), k=1, by=dr.SentenceTransformer(folder))


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_outside_are_opened_neither_to_read_a_plan_nor_to_know_what_they_are(home: Path, name: str) -> None:
    folder, file = str(home.parent / "weights"), str(home.parent / "private" / "id_a.txt")
    read = dr.from_json(WEIGHTS[name](folder, file).to_json())
    assert "private" in read.explain() or "weights" in read.explain()
    with pytest.raises(NotAllowedError, match=r"weights|private"):
        read.step.key({})
    with dr.Session(None), pytest.raises(NotAllowedError, match=r"weights|private"):
        read.collect()  # type: ignore[union-attr]


@pytest.mark.parametrize("name", TRAININGS)
def test_no_training_starts_from_weights_outside(home: Path, name: str) -> None:
    folder = str(home.parent / "weights")
    plan = dr.frame({"prompt": ["a"], "completion": ["b"]}).train(TRAININGS[name](folder))
    with dr.Session(None), pytest.raises(NotAllowedError, match="weights"):
        dr.from_json(plan.to_json()).fit()  # type: ignore[union-attr]


def test_what_may_be_reached_goes_with_settings_into_other_processes(home: Path) -> None:
    from dreamframe.models.authority import Authority
    from dreamframe.models.local.replica_wire import settings_fields
    from dreamframe.trainers.distributed import plain, restored

    mine = Authority(("/data", "me/private"))
    assert restored(plain(mine, "authority")) == mine
    llm = dr.from_json(asking(dr.Transformers("org/model", revision="0" * 40, device=["cpu", "cpu"])), allow=mine.listed).step.llm  # type: ignore[union-attr, attr-defined]
    assert json.loads(json.dumps(settings_fields(llm, "cpu", share=1)))["fields"]["authority"] == ["/data", "me/private"]


def test_no_other_folder_is_looked_into_for_the_rows_of_a_kept_plan(home: Path) -> None:
    from dreamframe.session.plans import _rows

    for key in ("/../../../x", "../" + "0" * 29, "0" * 31 + "\n"):
        with dr.Session("s") as session, pytest.raises(PlanFormatError, match="is not the key of rows"):
            _rows(session.stores, {"label": "rows", "kept": key})


@pytest.mark.parametrize("repo", ["/etc", "../private", "csv", "http://evil.invalid/x"])
def test_a_data_set_of_the_hub_is_no_folder_of_this_machine(home: Path, repo: str) -> None:
    held = {"repo": repo, "config": None, "split": "train", "revision": "0" * 40, "columns": [["a", {"$dtype_class": "Int64"}]]}
    plan = dr.from_json(json.dumps({"plan": 1, "given": {}, "steps": [{"step": "HubStream", "inputs": [], "fields": held}]}))
    with dr.Session(None), pytest.raises(NotAllowedError, match="scan_hub"):
        plan.collect()  # type: ignore[union-attr]


def test_explain_names_the_places_of_models_inside_prompts_and_trainings(home: Path) -> None:
    judge = dr.OpenAI("judge", base_url="http://evil.invalid/v1")
    rows = dr.frame({"prompt": ["a"]})
    train = dr.from_json(rows.train(dr.GRPO("gpt2", rewards=[dr.LLMReward(judge, "Rate {completion}")], steps=1)).to_json())
    near = dr.FewShot("Do.", input="prompt", output="prompt", examples=rows, k=1, by=dr.OpenAIEmbedder("e", base_url="http://near.invalid/v1", dimensions=3))
    asked = dr.from_json(rows.prompt(dr.testing.Echo(), near, into="a").to_json())
    assert "at 'http://evil.invalid/v1'" in train.explain()
    assert "at 'http://near.invalid/v1'" in asked.explain()
    with pytest.raises(NotAllowedError, match="evil"):
        train.step.trainer.check_reach()  # type: ignore[attr-defined]


def test_explain_looks_at_no_file_of_a_read_plan_to_know_what_is_stored(home: Path) -> None:
    with dr.Session("s"):
        dr.frame(ROWS).prompt(dr.testing.Echo(), "{t}").collect()  # a session with a folder, in which outputs may be found
        plan = changed(dr.scan_text("own.txt").prompt(dr.testing.Echo(), "{text}").to_json(), ("own.txt", "/private/**/*"))
        assert "SCAN text /private/**/* [1 columns]" in dr.from_json(plan).explain()
        assert "SCAN text /private/**/* [1 columns]" in dr.from_json(plan).head(1).explain()  # type: ignore[union-attr]
