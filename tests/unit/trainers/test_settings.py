"""What of a trainer's settings is identity, and what crosses to other processes."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError, TrainingError
from dreamframe.models.authority import Authority
from dreamframe.models.base import Artefact
from dreamframe.models.edges import Trained
from dreamframe.trainers.base import Chained, finite
from dreamframe.trainers.config_fields import config_fields
from dreamframe.trainers.distributed import from_spec, result_of, spec_of
from dreamframe.trainers.job import TrainJob, fit_length, read_rows, write_log
from dreamframe.trainers.weights import Located, locate

ROWS = dr.frame({"prompt": ["a"], "completion": ["b"]})
PROMPTS = dr.frame({"prompt": ["a"]})
SETTINGS: dict[str, Any] = {
    "peft": {"r": 4}, "quantization": "8bit", "init": "scratch", "epochs": 2.0, "steps": 7, "batch_size": 2, "learning_rate": 1e-3, "early_stopping": 2,
    "eval_every": 3, "max_length": 64, "too_long": "drop", "dtype": "bfloat16", "seed": 1, "processes": 2, "trust_remote_code": True,
    "args": {"weight_decay": 0.1}, "packing": True, "loss_on": "all", "chat_template": "{{prompt}}", "neftune": 5.0,
}  # fmt: skip
STEERING: dict[str, Any] = {"device": "cpu", "checkpoint_s": 1.0, "authority": Authority()}


def key(trainer: Any, rows: dr.Frame = ROWS) -> str:
    return rows.train(trainer, validation=rows).step.key({})


def length_of(completions: list[str]) -> list[int]:
    return [len(c) for c in completions]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_part_of_the_key(name: str) -> None:
    base = {"peft": {"r": 8}} if name in ("quantization",) else {}
    assert key(dr.SFT("base", **base)) != key(dr.SFT("base", **{**base, name: SETTINGS[name]}))


def test_the_list_of_settings_above_is_whole() -> None:
    assert {f.name for f in fields(dr.SFT)} == {"base", *SETTINGS, *STEERING}


@pytest.mark.parametrize("name", STEERING)
def test_what_steers_is_not(name: str) -> None:
    assert key(dr.SFT("base")) == key(dr.SFT("base", **{name: STEERING[name]}))


def test_a_reward_function_is_part_of_the_key_by_its_code() -> None:
    def other(completions: list[str]) -> list[int]:
        return [2 * len(c) for c in completions]

    one = key(dr.GRPO("base", rewards=length_of), PROMPTS)
    assert one == key(dr.GRPO("base", rewards=[length_of]), PROMPTS)
    assert one != key(dr.GRPO("base", rewards=other), PROMPTS)


def test_a_judge_is_part_of_the_key_by_model_and_prompt() -> None:
    keys = [
        key(dr.GRPO("base", rewards=dr.LLMReward(dr.OpenAI(model, api_key=secret), prompt)), PROMPTS)
        for model, secret, prompt in [("m", "k", "{completion}"), ("m", "other", "{completion}"), ("n", "k", "{completion}"), ("m", "k", "! {completion}")]
    ]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


@pytest.mark.models
def test_an_adapter_config_and_its_fields_are_one_setting() -> None:
    from peft import LoraConfig

    assert dr.SFT("base", peft=LoraConfig(r=4, target_modules=["q", "v"])) == dr.SFT("base", peft={"r": 4, "target_modules": ["q", "v"]})
    assert json.loads(dr.SFT("base", peft=LoraConfig(use_dora=True)).peft) == {"peft_type": "LORA", "use_dora": True}


def test_a_model_of_the_plan_is_an_edge_wherever_it_stands() -> None:
    first = ROWS.train(dr.SFT("base"))
    judge = dr.frame({"chosen": ["a"], "rejected": ["b"]}).train(dr.Reward("base"))
    llm = dr.Transformers("base", adapter=first)
    trainer = dr.GRPO(first, rewards=[judge, length_of, dr.LLMReward(llm, "{completion}")])
    assert trainer.edges() == (Trained(first.step), Trained(judge.step), Trained(first.step))
    resolved = trainer.resolve(lambda model: Artefact("/somewhere", model.step.key({})))
    assert resolved.edges() == ()
    assert isinstance(resolved.base, Chained)
    assert resolved.rewards[2].llm.adapter == Artefact("/somewhere", first.step.key({}))


def test_settings_cross_to_another_process_whole(tmp_path: Path) -> None:
    chained = Chained(Artefact("/a", "k"), "below")
    trainer = dr.GRPO(
        chained, rewards=[length_of, chained], reward_weights=[1, 2], peft={"r": 2}, device=["cpu", "cpu"], batch_size=16, args={"weight_decay": 0.1}
    )
    job = TrainJob(rows=tmp_path / "rows", workdir=tmp_path, out=tmp_path / "out", base=tmp_path / "base")
    there, its_job = from_spec(json.loads(json.dumps(spec_of(trainer, job))))
    assert [getattr(there, f.name) for f in fields(there) if f.name != "base"] == [getattr(trainer, f.name) for f in fields(trainer) if f.name != "base"]
    assert (its_job.rows, its_job.base, its_job.validation) == (job.rows, job.base, None)


def test_a_function_that_no_other_process_can_import_is_refused(tmp_path: Path) -> None:
    trainer = dr.GRPO("base", rewards=lambda completions: [0.0], batch_size=16, processes=2)
    with pytest.raises(SettingError, match="give a function of an importable module, or train with processes=1"):
        spec_of(trainer, TrainJob(rows=tmp_path, workdir=tmp_path, out=tmp_path))


def test_an_error_of_another_process_is_raised_here_as_what_it_was(tmp_path: Path) -> None:
    trainer, job = dr.SFT("base", processes=2), TrainJob(rows=tmp_path, workdir=tmp_path, out=tmp_path)
    (tmp_path / "workers.log").write_text("RuntimeError: the last words of a process")
    with pytest.raises(TrainingError, match=r"ended with code 1 and no result\. They said last:\nRuntimeError: the last words"):
        result_of(trainer, job, 1)
    (tmp_path / "result.json").write_text(json.dumps({"error": "SettingError", "message": "no such folder", "notes": ["a note"]}))
    with pytest.raises(SettingError, match="no such folder"):
        result_of(trainer, job, 0)
    assert job.notes == ["a note"]
    (tmp_path / "result.json").write_text(json.dumps({"summary": {"steps": 4}, "notes": []}))
    assert result_of(trainer, job, 0) == {"steps": 4}


@pytest.mark.models
def test_config_fields_are_those_of_the_class() -> None:
    import dataclasses
    import importlib

    for trainer in (dr.SFT, dr.DPO, dr.KTO, dr.Reward, dr.GRPO, dr.RLOO, dr.Distill, dr.Seq2Seq, dr.Classifier):
        module, name = trainer.config.split(":")
        real = {f.name for f in dataclasses.fields(getattr(importlib.import_module(module), name))}
        assert config_fields(trainer.config) == real, trainer.__name__


def job_in(folder: Path) -> TrainJob:
    return TrainJob(rows=folder / "rows.arrow", workdir=folder, out=folder / "out")


def test_rows_without_a_value_are_left_out_where_it_is_needed(tmp_path: Path) -> None:
    pl.DataFrame({"prompt": ["a", None, "c"], "hint": [None, "x", None]}).write_ipc(tmp_path / "rows.arrow")
    job = job_in(tmp_path)
    assert read_rows(None, job, who="SFT") is None
    kept = read_rows(job.rows, job, who="SFT", nullable=["hint"])
    assert kept is not None
    assert kept["prompt"].to_list() == ["a", "c"]
    assert job.notes == ["SFT: 1 of 3 rows hold a null and were left out (rows 1)."]


def test_when_every_row_is_too_long_none_is_left(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="none is left"):
        fit_length(pl.DataFrame({"x": ["a", "b"]}), [5, 6], limit=4, policy="drop", who="SFT", job=job_in(tmp_path))


def test_the_log_has_a_column_for_every_number(tmp_path: Path) -> None:
    write_log([{"step": 1, "loss": 2.0, "note": "x"}, {"step": 2, "eval_loss": 1.5, "epoch": 0.5}], tmp_path / "log.arrow")
    read = pl.read_ipc(tmp_path / "log.arrow")
    assert read.columns == ["step", "epoch", "eval_loss", "loss"]
    assert read["step"].to_list() == [1, 2]
    assert read["loss"].to_list() == [2.0, None]


def test_numbers_that_json_lacks_become_null() -> None:
    assert finite({"a": float("nan"), "b": [1.0, float("inf")], "c": "x"}) == {"a": None, "b": [1.0, None], "c": "x"}


def test_the_folders_of_a_chain_are_found(tmp_path: Path) -> None:
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    for folder, file in ((base, "config.json"), (adapter, "adapter_config.json")):
        folder.mkdir()
        (folder / file).write_text("{}")
    below = Chained(Artefact(str(base), "b"))
    assert locate(Chained(Artefact(str(adapter), "a"), below), who="DPO") == Located(base, adapter)
    with pytest.raises(SettingError, match="what it lies over is not known"):
        locate(Artefact(str(adapter), "a"), who="DPO")
    with pytest.raises(SettingError, match=r"not the folder of a model: it has no config\.json"):
        locate(Artefact(str(tmp_path), "a"), who="DPO")
