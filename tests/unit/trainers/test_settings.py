"""What of a trainer's settings is identity."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.models.authority import Authority
from dreamframe.models.base import Artefact
from dreamframe.models.edges import Trained
from dreamframe.trainers.base import Chained, finite
from dreamframe.trainers.config_fields import config_fields

ROWS = dr.frame({"prompt": ["a"], "completion": ["b"]})
CHATS = dr.frame({"messages": [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "reasoning_content": "c"}]]})
PROMPTS = dr.frame({"prompt": ["a"]})


def accuracy(seen: Any) -> dict[str, float]:
    return {"right": float(len(seen))}


def sgd(parameters: Any) -> Any:
    return parameters


SETTINGS: dict[str, Any] = {
    "peft": {"r": 4}, "quantization": "8bit", "init": "scratch", "epochs": 2.0, "steps": 7, "batch_size": 2, "learning_rate": 1e-3, "early_stopping": 2,
    "eval_every": 3, "max_length": 64, "too_long": "drop", "dtype": "bfloat16", "seed": 1, "processes": 2, "trust_remote_code": True,
    "args": {"weight_decay": 0.1}, "packing": True, "loss_on": "all", "thoughts": "masked", "chat_template": "{{prompt}}", "neftune": 5.0,
    "early_stopping_threshold": 0.1, "callbacks": dict, "compute_metrics": accuracy, "optimizer": sgd, "strategy": "fsdp",
}  # fmt: skip
STEERING: dict[str, Any] = {"device": "cpu", "checkpoint_s": 1.0, "authority": Authority()}


def key(trainer: Any, rows: dr.Frame = ROWS) -> str:
    return rows.train(trainer, validation=rows).step.key({})


def length_of(completions: list[str]) -> list[int]:
    return [len(c) for c in completions]


@pytest.mark.parametrize("name", SETTINGS)
def test_every_setting_is_part_of_the_key(name: str) -> None:
    needs = {"quantization": {"peft": {"r": 8}}, "early_stopping_threshold": {"early_stopping": 1}}
    base = needs.get(name, {})
    rows = CHATS if name == "thoughts" else ROWS
    assert key(dr.SFT("base", **base), rows) != key(dr.SFT("base", **{**base, name: SETTINGS[name]}), rows)


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
    assert json.loads(dr.SFT("base", peft=LoraConfig(use_dora=True)).peft) == {"peft_type": "LORA", "use_dora": True, "target_modules": "all-linear"}


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


@pytest.mark.models
def test_config_fields_are_those_of_the_class() -> None:
    import dataclasses
    import importlib

    for trainer in (dr.SFT, dr.DPO, dr.KTO, dr.Reward, dr.GRPO, dr.RLOO, dr.Distill, dr.Seq2Seq, dr.Classifier):
        module, name = trainer.config.split(":")
        real = {f.name for f in dataclasses.fields(getattr(importlib.import_module(module), name))}
        assert config_fields(trainer.config) == real, trainer.__name__


def test_numbers_that_json_lacks_become_null() -> None:
    assert finite({"a": float("nan"), "b": [1.0, float("inf")], "c": "x"}) == {"a": None, "b": [1.0, None], "c": "x"}
