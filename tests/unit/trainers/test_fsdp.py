"""Weights that are parted among processes: trained as whole copies are, gathered before they are written, and refused where they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from tests.micro import micro_causal
from tests.two_processes import train_in_two

TEXTS = [f"tell me about {w} {i}" for i, w in enumerate(["tea", "bread", "lamp", "kettle"] * 2)]
ROWS: dict[str, list[Any]] = {"prompt": TEXTS, "completion": [f"no {t}" for t in TEXTS]}
FEW: dict[str, Any] = {"steps": 3, "batch_size": 4, "learning_rate": 1e-2, "device": "cpu", "processes": 2}


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {name: tensor for file in sorted((folder / "out").glob("*.safetensors")) for name, tensor in load_file(file).items()}


def furthest(one: dict[str, Any], other: dict[str, Any]) -> float:
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@pytest.mark.models
def test_parted_weights_are_those_of_whole_copies_and_a_stopped_training_goes_on(tmp_path: Path) -> None:
    base, folders = micro_causal(), {name: tmp_path / name for name in ("ddp", "fsdp")}
    for name, folder in folders.items():
        trainer = dr.SFT(str(base), strategy=name, checkpoint_s=0.0, **FEW)
        summary = train_in_two(trainer, ROWS, folder, base=base)
        assert (summary["steps"], summary["n_rows"]) == (3, 8)
        assert any(folder.glob("checkpoints/checkpoint-*/pytorch_model_fsdp.bin")) == (name == "fsdp")
    start = weights_of_base(base)
    parted, copies = (weights(folder) for folder in folders.values())
    assert furthest(parted, copies) < 1e-5  # sums of other orders
    assert max(float((parted[name] - start[name]).abs().max()) for name in parted) > 1e-3
    (folders["fsdp"] / "result.json").unlink()
    again = train_in_two(dr.SFT(str(base), strategy="fsdp", checkpoint_s=0.0, **FEW), ROWS, folders["fsdp"], base=base)
    assert again["resumed_from_step"] == 2
    assert furthest(weights(folders["fsdp"]), parted) < 1e-5  # where a tensor lies in memory decides its last bits


def weights_of_base(base: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(base / "model.safetensors"))


@pytest.mark.models
def test_an_adapter_over_parted_weights_is_kept_whole(tmp_path: Path) -> None:
    base, peft = micro_causal(), {"r": 2, "target_modules": ["q_proj", "v_proj"]}
    train_in_two(dr.SFT(str(base), strategy="fsdp", peft=peft, **FEW), ROWS, tmp_path, base=base)
    kept = weights(tmp_path)
    assert {tensor.shape[1] for name, tensor in kept.items() if "lora_B" in name} == {2}
    assert {tensor.shape[1] for name, tensor in kept.items() if "lora_A" in name} == {32}
    assert all(float(tensor.abs().max()) > 0 for tensor in kept.values())  # B begins with zeros
    assert (tmp_path / "out" / "adapter_config.json").exists()


REFUSED: dict[str, tuple[Any, str]] = {
    "another word": (lambda: dr.SFT("x", strategy="zero3"), r"SFT: strategy='zero3' is not 'ddp' \(each process has all weights\) or 'fsdp'"),
    "a trainer of encoders": (lambda: dr.Classifier("x", strategy="fsdp"), "Classifier: strategy='fsdp' is not possible: Classifier trains whole copies alone"),
    "a loop of its own": (lambda: dr.PPO("x", rewards=weights, strategy="fsdp"), "PPO: strategy='fsdp' is not possible"),
    "quantised weights": (lambda: dr.SFT("x", quantization="8bit", peft={"r": 2}, strategy="fsdp"), "quantised ones cannot be parted"),
    "an optimizer": (lambda: dr.SFT("x", optimizer=weights, strategy="fsdp"), "leave out optimizer="),
    "the library's word": (lambda: dr.frame(ROWS).train(dr.SFT("x", args={"fsdp": True})), r"'fsdp': …\} is refused: strategy=\"fsdp\" parts the weights"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_parted_is_refused_where_it_is_written(case: str) -> None:
    make, said = REFUSED[case]
    with pytest.raises(SettingError, match=said):
        make()


def test_one_process_has_nobody_to_part_with() -> None:
    rows = dr.frame({"prompt": ["tea"]}).prompt(dr.testing.Echo(), "{prompt}", into="completion")
    with dr.Session(None) as session:
        with pytest.raises(SettingError, match=r"SFT: strategy='fsdp' parts the weights among processes, and this training has one: give processes="):
            rows.train(dr.SFT(str(micro_causal()), strategy="fsdp", steps=1)).fit()
        assert session.usage()["calls"] == 0


def test_the_default_strategy_is_no_part_of_a_models_key_and_the_other_is() -> None:
    made = [dr.frame(ROWS).train(dr.SFT("me/base", **more)).step.key({}) for more in ({}, {"strategy": "ddp"}, {"strategy": "fsdp"})]
    assert made[0] == made[1] != made[2]


@pytest.mark.gpu
@pytest.mark.models
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_gpus_train_as_two_processes_of_a_cpu_do(strategy: str, tmp_path: Path) -> None:
    import torch

    if torch.cuda.device_count() < 2:
        pytest.skip("it wants two GPUs")
    base = micro_causal()
    for device in ("cpu", "cuda"):
        trainer = dr.SFT(str(base), strategy=strategy, args={"bf16": False}, **{**FEW, "device": device})
        train_in_two(trainer, ROWS, tmp_path / device, base=base)
    assert furthest(weights(tmp_path / "cuda"), weights(tmp_path / "cpu")) < 1e-2


@pytest.mark.gpu
@pytest.mark.models
def test_a_process_without_a_gpu_of_its_own_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from dreamframe.trainers.loading import need_device

    monkeypatch.setenv("LOCAL_RANK", "63")
    with pytest.raises(SettingError, match=r"SFT: process 64 of this machine has no device: there are \d+"):
        need_device(dr.SFT("x"))
