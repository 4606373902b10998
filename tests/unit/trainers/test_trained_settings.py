"""What settings make of a training: heads, best weights, adapters, devices, functions of the user's, distances."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import RowsFailedError, SettingError, TrainingError
from tests.micro import micro_causal, micro_classifier, micro_encoder

pytestmark = pytest.mark.slow  # torch, transformers, TRL and peft are loaded

TEXTS = [f"tell me about {w} {i}" for i, w in enumerate(["tea", "bread", "lamp", "kettle", "coffee", "line"])]
FEW: dict[str, Any] = {"steps": 2, "batch_size": 2, "device": "cpu", "learning_rate": 1e-2}
CHAT = dr.frame({"prompt": TEXTS, "completion": [t.upper() for t in TEXTS]})
THREE = dr.frame({"text": TEXTS, "label": ["a", "b", "c"] * 2})
SCORED = dr.frame({"completion": TEXTS, "score": [float(i) for i in range(6)]})


@pytest.fixture(autouse=True, scope="module")
def session() -> Iterator[None]:
    with dr.Session(None):
        yield


def longest(completions: list[str]) -> list[float]:
    return [float(len(c)) for c in completions]


def seen_rows(seen: Any) -> dict[str, float]:
    return {"rows": len(seen.label_ids)}


def plain_sgd(parameters: Any, learning_rate: float) -> Any:
    import torch

    return torch.optim.SGD(parameters, lr=learning_rate)


def stop_at_once() -> Any:
    from transformers import TrainerCallback

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = True

    return Stop()


def broken(seen: Any) -> dict[str, float]:
    return {"x": 1 / 0}


def trained(rows: Any, trainer: Any, **more: Any) -> tuple[dr.Model, dict[str, Any]]:
    model = rows.train(trainer, **more)
    return model, model.summary()


def asked(model: Any, rows: Any = THREE, column: str = "text") -> pl.DataFrame:
    return rows.classify(model, None, column, into="y").select("y", "y_score").collect()


@pytest.mark.parametrize("peft", [None, {"r": 2}], ids=["whole", "adapter"])
def test_a_head_of_another_size_starts_anew_and_is_asked_as_it_was_trained(peft: Any, tmp_path: Path) -> None:
    model, summary = trained(THREE, dr.Classifier(str(micro_classifier()), peft=peft, **FEW))
    assert summary["notes"] == [
        "Classifier: the head of the base has 2 outputs ('negative', 'positive'), and 3 are needed: it starts anew; all other weights are kept."
    ]
    answers = asked(model.classifier(threads=1))
    assert set(answers["y"]) <= {"a", "b", "c"}
    assert asked(dr.HFClassifier(str(model.export(tmp_path / "own")), threads=1)).equals(answers)


def test_a_label_more_than_ones_own_classifier_knows_is_learnt() -> None:
    two = THREE.filter(pl.col("label") != "c").train(dr.Classifier(str(micro_classifier()), peft={"r": 2}, **FEW))
    model, summary = trained(THREE, dr.Classifier(two, **FEW))
    assert model.path.joinpath("config.json").read_text().count('"c"') == 2
    assert len(summary["notes"]) == 1


def test_a_reward_over_a_classifiers_adapter_has_one_output() -> None:
    two = THREE.train(dr.Classifier(str(micro_classifier()), peft={"r": 2}, **FEW))
    model, summary = trained(SCORED, dr.Reward(two, **FEW))
    assert "has 3 outputs ('a', 'b', 'c'), and 1 are needed" in summary["notes"][0]
    assert asked(model.reward(threads=1), SCORED, "completion")["y_score"].is_finite().all()


@pytest.mark.parametrize("role", ["score", "label"])
def test_a_cross_encoder_with_another_head_is_asked_about_pairs_as_its_library_does(role: str) -> None:
    from sentence_transformers import CrossEncoder

    given = [i / 6 for i in range(6)] if role == "score" else ["a", "b", "c"] * 2
    rows = dr.frame({"sentence1": TEXTS, "sentence2": TEXTS[::-1], role: given})
    model, summary = trained(rows, dr.CrossEncoderTrainer(str(micro_classifier()), **FEW))
    assert "it starts anew" in summary["notes"][0]
    answers = asked(model.classifier(threads=1), rows.with_columns(pl.concat_list("sentence1", "sentence2").alias("pair")), "pair")
    scores = CrossEncoder(str(model.path)).predict(list(zip(TEXTS, TEXTS[::-1], strict=True)), apply_softmax=role == "label", show_progress_bar=False)
    assert answers["y_score"].to_list() == pytest.approx(list(scores if role == "score" else scores.max(1)), abs=1e-5)
    with pytest.raises(RowsFailedError, match="reads pairs of texts"):
        asked(model.classifier(threads=1), rows, "sentence1")


@pytest.mark.parametrize(
    ("trainer", "rows", "base"),
    [
        (dr.SFT, CHAT, micro_causal),
        (dr.Classifier, THREE, micro_encoder),
        (dr.SentenceTransformerTrainer, dr.frame({"anchor": TEXTS, "positive": TEXTS}), micro_encoder),
    ],
    ids=["sft", "classifier", "sentences"],
)
def test_more_tokens_than_embeddings_are_told_by_both_numbers(trainer: Any, rows: Any, base: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    folder = shutil.copytree(base(), tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(["<x>", "<y>"])
    tokenizer.save_pretrained(folder)
    with pytest.raises(TrainingError, match=f"{trainer.__name__}: the tokenizer of the base has 287 tokens, and the model has embeddings for 285"):
        rows.train(trainer(str(folder), **FEW)).fit()


def test_the_best_weights_are_kept_whenever_there_is_validation() -> None:
    other = dr.frame({"prompt": TEXTS, "completion": TEXTS[::-1]})
    hot = {**FEW, "steps": 6, "learning_rate": 3e-1, "eval_every": 1}  # a rate at which the validation loss gets worse again
    model, summary = trained(CHAT, dr.SFT(str(micro_causal()), **hot), validation=other)
    log = model.metrics().select("step", "eval_loss").drop_nulls()
    best = log.sort("eval_loss").row(0, named=True)
    assert best["step"] < 6
    assert (summary["best_step"], summary["metrics"]["eval_loss"]) == (best["step"], best["eval_loss"])
    left_alone, last = trained(CHAT, dr.SFT(str(micro_causal()), args={"load_best_model_at_end": False}, **hot), validation=other)
    assert last["best_step"] is None
    assert last["metrics"]["eval_loss"] == log.sort("step").row(-1, named=True)["eval_loss"]
    assert weights(model) != weights(left_alone)


def weights(model: dr.Model) -> bytes:
    return (model.path / "model.safetensors").read_bytes()


def test_an_adapter_over_an_adapter_is_merged_said_and_counted() -> None:
    first = CHAT.train(dr.SFT(str(micro_causal()), peft={"r": 2}, **FEW))
    rows = dr.frame({"prompt": TEXTS, "chosen": TEXTS, "rejected": TEXTS[::-1]})
    model, summary = trained(rows, dr.DPO(first, peft={"r": 2}, **FEW))
    assert not (model.path / "adapter_config.json").exists()
    assert summary["notes"] == ["DPO: the base is an adapter; it was laid into its weights, and what is kept is whole weights with both adapters in them."]
    assert summary["n_trained_parameters"] == first.summary()["n_trained_parameters"] == 2048  # over every linear layer


def test_adalora_shares_out_its_ranks_step_by_step() -> None:
    from peft import AdaLoraConfig

    config = AdaLoraConfig(total_step=6, tinit=1, tfinal=1, init_r=4, target_r=2, target_modules=["q_proj"])
    model, summary = trained(CHAT, dr.SFT(str(micro_causal()), peft=config, **{**FEW, "steps": 6}))
    ranks = json.loads((model.path / "adapter_config.json").read_text())["rank_pattern"]
    assert sum(sum(kept) for kept in ranks.values()) == 4  # of 8
    assert summary["notes"] == []
    assert trained(CHAT, dr.SFT(str(micro_causal()), peft=config, **FEW))[1]["notes"] == [
        "SFT: peft=ADALORA plans for total_step=6 steps, and the training has 2."
    ]


def test_a_learnt_prompt_is_exported_as_it_is_or_not_at_all(tmp_path: Path) -> None:
    model, _ = trained(CHAT, dr.SFT(str(micro_causal()), peft={"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2, "task_type": "CAUSAL_LM"}, **FEW))
    with pytest.raises(SettingError, match=r"PROMPT_TUNING: it stands before the text and not in the weights.*export\(merge=False\)"):
        model.export(tmp_path / "merged")
    assert (model.export(tmp_path / "kept", merge=False) / "adapter_config.json").exists()


@pytest.mark.parametrize("device", ["cuda:63", "xpu"])
def test_a_device_that_is_not_there_is_refused(device: str) -> None:
    import torch

    from dreamframe.trainers import loading

    if device == "xpu" and torch.xpu.is_available():
        pytest.skip("there is one here")
    sentences = dr.frame({"anchor": TEXTS, "positive": TEXTS})
    for trainer in (dr.SFT(str(micro_causal()), device=device), dr.SentenceTransformerTrainer(str(micro_encoder()), device=device)):
        with pytest.raises(SettingError, match=f"device='{device}', but .* Leave out device="):
            loading.need_device(trainer)
    with pytest.raises(SettingError, match="SentenceTransformerTrainer: device='xpu'"):
        sentences.train(dr.SentenceTransformerTrainer(str(micro_encoder()), device="xpu")).fit()


def test_functions_of_the_users_are_called_and_are_part_of_the_key() -> None:
    base = str(micro_encoder())
    model, summary = trained(THREE, dr.Classifier(base, compute_metrics=seen_rows, optimizer=plain_sgd, **FEW), validation=THREE)
    assert summary["metrics"]["eval_rows"] == 6.0
    assert "eval_accuracy" in summary["metrics"]  # our own numbers stay
    usual, _ = trained(THREE, dr.Classifier(base, **FEW), validation=THREE)
    assert weights(model) != weights(usual)  # another optimizer
    _, stopped = trained(CHAT, dr.SFT(str(micro_causal()), callbacks=stop_at_once, compute_metrics=seen_rows, **FEW), validation=CHAT)
    assert (stopped["steps"], stopped["metrics"]["eval_rows"]) == (1, 6.0)
    with pytest.raises(TrainingError, match="Classifier: compute_metrics=broken failed: ZeroDivisionError"):
        THREE.train(dr.Classifier(base, compute_metrics=broken, **FEW), validation=THREE).fit()


def test_distances_of_triplets_go_by_name() -> None:
    rows = dr.frame({"anchor": TEXTS, "positive": [t.upper() for t in TEXTS], "negative": TEXTS[::-1]})

    def loss(**args: Any) -> float:
        made = dr.SentenceTransformerTrainer(str(micro_encoder()), loss="TripletLoss", loss_args={"margin": 0.5, **args}, **{**FEW, "steps": 1})
        return float(trained(rows, made)[1]["losses"][0])

    assert len({loss(), loss(distance_metric="cosine"), loss(distance_metric="manhattan")}) == 3  # the first is the library's own: euclidean


def test_ppo_ends_once_it_has_moved_too_far() -> None:
    trainer = dr.PPO(str(micro_causal()), rewards=longest, max_kl=0.01, max_new_tokens=4, **{**FEW, "steps": 9})
    _, summary = trained(dr.frame({"prompt": TEXTS}), trainer)
    assert summary["steps"] < 9
    assert summary["notes"][0].startswith(f"PPO: ended at step {summary['steps']} of 9: the KL to the model as it was is")


@pytest.mark.models
def test_a_config_of_bitsandbytes_is_taken_as_it_is() -> None:
    import torch
    from transformers import BitsAndBytesConfig

    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.bfloat16)
    trainer = dr.SFT(str(micro_causal(width=64)), peft={"r": 2}, quantization=config, **FEW)
    assert trainer.quantization == '{"bnb_4bit_compute_dtype":"bfloat16","bnb_4bit_use_double_quant":true,"load_in_4bit":true}'
    assert trainer == dr.SFT(trainer.base, peft={"r": 2}, quantization=json.loads(trainer.quantization), **FEW)
    assert trained(CHAT, trainer)[1]["n_trained_parameters"] == 4096


def test_a_validation_of_one_scored_row_tells_its_loss_alone() -> None:
    rows = dr.frame({"sentence1": TEXTS, "sentence2": TEXTS[::-1], "score": [i / 6 for i in range(6)]})
    made = dr.SentenceTransformerTrainer(str(micro_encoder()), **{**FEW, "steps": 1})
    assert trained(rows, made, validation=rows.head(1))[1]["metrics"]["eval_loss"] >= 0


def test_that_the_best_weights_are_not_looked_for_is_said() -> None:
    made = dr.SFT(str(micro_causal()), args={"save_strategy": "epoch"}, **{**FEW, "steps": 1})
    _, summary = trained(CHAT, made, validation=CHAT)
    assert summary["best_step"] is None
    assert "the last weights are kept and not those of the best validation" in summary["notes"][0]
