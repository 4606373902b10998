"""Does it learn: small tasks that a micro model can learn, with fixed seeds, measured on rows that were held out."""

from __future__ import annotations

import os
import statistics
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from tests.micro import micro_causal, micro_encoder

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
CPU: dict[str, Any] = {"device": "cpu", "seed": 0}
WARM = ["tea", "coffee", "kettle", "bread"]
COLD = ["ice", "snow", "rain", "stone"]
PEOPLE = ["anna", "ben", "carl", "dora", "emil", "fay", "gus", "hana", "ivan", "jo", "karl", "lena"]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def held_out(rows: dict[str, list[Any]], n: int) -> tuple[dr.Frame, dr.Frame]:
    frame = dr.frame(pl.DataFrame(rows).sample(fraction=1.0, shuffle=True, seed=1))
    return frame.head(n), frame.slice(n)


def before_and_after(model: dr.Model, name: str) -> tuple[float, float]:
    seen = model.metrics()[name].drop_nulls()
    return float(seen[0]), float(seen[-1])


EVAL_FIRST = {"eval_on_start": True}


def test_sft_halves_the_loss_on_rows_it_has_not_seen(tmp_path: Path) -> None:
    asked = [(f"{who} holds {thing}", "warm" if thing in WARM else "cold") for who in PEOPLE for thing in WARM + COLD for _ in range(3)]
    train, validation = held_out({"prompt": [p for p, _ in asked], "completion": [c for _, c in asked]}, 200)
    trainer = dr.SFT(str(micro_causal()), steps=60, batch_size=16, learning_rate=3e-3, eval_every=30, args=EVAL_FIRST, **CPU)
    with dr.Session(tmp_path / "s"):
        before, after = before_and_after(train.train(trainer, validation=validation), "eval_loss")
    assert after <= before / 2


def test_a_classifier_tells_separable_texts_apart(tmp_path: Path) -> None:
    texts = [(f"{who} found the {thing} {word}", word) for who in PEOPLE for thing in WARM + COLD for word in ("great", "awful")]
    train, validation = held_out({"text": [t for t, _ in texts], "label": [c for _, c in texts]}, 128)
    trainer = dr.Classifier(str(micro_encoder()), steps=150, batch_size=16, learning_rate=1e-2, eval_every=150, **CPU)
    with dr.Session(tmp_path / "s"):
        metrics = train.train(trainer, validation=validation).summary()["metrics"]
    assert metrics["eval_accuracy"] >= 0.95


def test_setfit_tells_separable_texts_apart_from_a_dozen_rows(tmp_path: Path) -> None:
    texts = [(f"{word} {who}", word) for who in PEOPLE for word in ("great", "awful")]
    train, validation = held_out({"text": [t for t, _ in texts], "label": [c for _, c in texts]}, 12)
    trainer = dr.SetFit(str(micro_encoder()), steps=80, batch_size=16, learning_rate=5e-3, eval_every=80, **CPU)
    with dr.Session(tmp_path / "s"):
        metrics = train.train(trainer, validation=validation).summary()["metrics"]
    assert metrics["eval_accuracy"] >= 0.9


def preferences() -> tuple[dr.Frame, dr.Frame]:
    rows = [(f"what does {who} like", f"{good} for {who}", f"{bad} for {who}") for who in PEOPLE for good in WARM for bad in COLD]
    return held_out({"prompt": [r[0] for r in rows], "chosen": [r[1] for r in rows], "rejected": [r[2] for r in rows]}, 160)


def test_dpo_raises_the_margin_of_chosen_over_rejected(tmp_path: Path) -> None:
    train, validation = preferences()
    trainer = dr.DPO(str(micro_causal()), steps=40, batch_size=16, learning_rate=1e-3, eval_every=20, args=EVAL_FIRST, **CPU)
    with dr.Session(tmp_path / "s"):
        model = train.train(trainer, validation=validation)
        before, after = before_and_after(model, "eval_rewards/margins")
        accuracy = model.summary()["metrics"]["eval_rewards/accuracies"]
    assert before == pytest.approx(0.0, abs=1e-6)
    assert after > 0.5
    assert accuracy >= 0.9


def test_a_reward_model_ranks_pairs_it_has_not_seen(tmp_path: Path) -> None:
    train, validation = preferences()
    trainer = dr.Reward(str(micro_causal()), steps=40, batch_size=16, learning_rate=3e-3, eval_every=40, **CPU)
    with dr.Session(tmp_path / "s"):
        metrics = train.train(trainer, validation=validation).summary()["metrics"]
    assert metrics["eval_accuracy"] >= 0.9


def share_of_e(completions: list[str]) -> list[float]:
    """Ten times the share of the letter e."""
    return [10 * c.count("e") / max(1, len(c)) for c in completions]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("algorithm", "own"),
    [
        (dr.GRPO, {"generations": 8, "learning_rate": 3e-3}),
        (dr.RLOO, {"generations": 4, "learning_rate": 3e-3, "beta": 0.01}),
        (dr.PPO, {"learning_rate": 1e-3, "beta": 0.01}),
    ],
    ids=["grpo", "rloo", "ppo"],
)
def test_a_reward_is_raised(algorithm: Any, own: dict[str, Any], seed: int, tmp_path: Path) -> None:
    """The mean reward of the last ten steps lies more than four standard errors above that of the first ten."""
    prompts = dr.frame({"prompt": [f"tell me {i}" for i in range(16)]})
    settings = {**CPU, **own, "seed": seed, "steps": 30, "batch_size": 32, "max_new_tokens": 6, "rewards": share_of_e}
    with dr.Session(tmp_path / "s"):
        rewards = prompts.train(algorithm(str(micro_causal()), **settings)).metrics()["reward"].drop_nulls().to_list()
    first, last = rewards[:10], rewards[-10:]
    error = ((statistics.variance(first) + statistics.variance(last)) / 10) ** 0.5
    assert statistics.mean(last) - statistics.mean(first) > 4 * error


def test_an_embedder_learns_planted_synonyms(tmp_path: Path) -> None:
    synonyms = dict(zip(WARM + COLD, ["brew", "mocha", "boiler", "loaf", "frost", "flakes", "drizzle", "rock"], strict=True))
    pairs = [(f"{word} {i}", f"{other} {9 - i}") for i in range(10) for word, other in synonyms.items()]
    train, validation = held_out({"anchor": [p for p, _ in pairs], "positive": [s for _, s in pairs]}, 64)
    trainer = dr.SentenceTransformerTrainer(str(micro_encoder()), steps=200, batch_size=16, learning_rate=1e-2, eval_every=200, args=EVAL_FIRST, **CPU)
    with dr.Session(tmp_path / "s"):
        before, after = before_and_after(train.train(trainer, validation=validation), "eval_cosine_accuracy@1")
    assert after >= before + 0.4


def test_distillation_brings_the_student_near_its_teacher(tmp_path: Path) -> None:
    prompts = dr.frame({"prompt": [f"tell me {i}" for i in range(16)]})
    trainer = dr.Distill(
        str(micro_causal()), teacher=str(micro_causal(width=64)), steps=80, batch_size=16, learning_rate=1e-2, max_new_tokens=10, **CPU
    )
    with dr.Session(tmp_path / "s"):
        losses = prompts.train(trainer).metrics()["loss"].drop_nulls().to_list()
    assert statistics.mean(losses[-5:]) < 0.8 * statistics.mean(losses[:5])
