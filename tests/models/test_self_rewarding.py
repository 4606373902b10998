"""Self-rewarding training as one lazy plan: each round's adapter writes, judges and is trained on in the next round."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import dreamframe as dr
from tests.micro import micro_causal

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROUNDS = 3
LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
QUESTIONS = [f"what is {w}" for w in ("tea", "bread", "a lamp", "a kettle", "coffee", "a line", "two", "warm", "a review", "one", "yes", "no")]


def by_its_letters(text: str) -> str:
    """A micro model cannot say which is better, but it answers something else to other texts."""
    return "a" if sum(map(ord, text)) % 2 else "b"


def loop(*, last_beta: float = 0.1) -> tuple[dr.Model, list[dr.Frame]]:
    """The last round's model, and the preferences of each round."""
    base = str(micro_causal())
    llm = dr.Transformers(base, max_tokens=6, temperature=1.0)
    questions, rounds = dr.frame({"question": QUESTIONS}), []
    for r in range(ROUNDS):
        answered = questions.shard(ROUNDS, r).prompt(llm, "{question}", into="a", seed=0).prompt(llm, "{question}", into="b", seed=1)
        preferences = answered.judge(llm, prompt="question", a="a", b="b", swap="never", parse=by_its_letters, seed=2).to_preferences()
        beta = last_beta if r == ROUNDS - 1 else 0.1
        model = preferences.train(dr.DPO(base, peft=LORA, beta=beta, steps=4, batch_size=2, learning_rate=1e-2, device="cpu"))
        llm = dr.Transformers(base, adapter=model, max_tokens=6, temperature=1.0)
        rounds.append(preferences)
    return model, rounds


def test_three_rounds_are_one_lazy_plan_and_an_edit_of_the_last_re_runs_it_alone(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "s") as session:
        model, rounds = loop()
        assert session.usage() == dict.fromkeys(session.usage(), 0)
        model.fit()
        first = session.usage()
        assert first["trained"] == ROUNDS
        assert first["calls"] == 3 * len(QUESTIONS)
        assert [r.collect().height > 0 for r in rounds] == [True] * ROUNDS

        loop()[0].fit()
        assert (session.usage()["trained"], session.usage()["calls"]) == (ROUNDS, first["calls"])

        edited = loop(last_beta=0.3)[0]
        assert edited.path != model.path
        assert (session.usage()["trained"], session.usage()["calls"]) == (ROUNDS + 1, first["calls"])
    assert model.explain().count("TRAIN DPO") == ROUNDS
