"""What a training refuses when it meets its rows and its base, and what it does with rows that are too long or not whole."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError, TrainingError
from tests.micro import micro_causal, micro_encoder, micro_masked

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
FEW: dict[str, Any] = {"steps": 1, "batch_size": 2, "device": "cpu"}
TEXTS = [f"tell me {i}" for i in range(6)]
LONG = "the kettle is warm and the lamp is warm " * 60  # more than the 256 tokens of a micro model


def bad_reward(completions: list[str]) -> list[float]:
    return [1 / 0 for _ in completions]


def too_few(completions: list[str]) -> list[float]:
    return [0.0]


def infinite(completions: list[str]) -> list[float]:
    return [float("inf")] * len(completions)


def no_opinion(completions: list[str]) -> list[float | None]:
    return [None if i % 2 else 1.0 for i, _ in enumerate(completions)]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Any:
    with dr.Session(tmp_path / "s"):
        yield


def sft(rows: dict[str, list[Any]], **settings: Any) -> dr.Model:
    return dr.frame(rows).train(dr.SFT(str(micro_causal()), **{**FEW, **settings}))


def test_an_empty_frame_is_refused() -> None:
    rows = dr.frame({"prompt": ["a"], "completion": ["b"]}).head(0)
    with pytest.raises(TrainingError, match="there are no rows to train on"):
        rows.train(dr.SFT(str(micro_causal()), **FEW)).fit()


def test_rows_with_a_null_are_left_out_and_counted() -> None:
    model = sft({"prompt": TEXTS, "completion": ["a", None, "b", "c", None, "d"]})
    assert model.summary()["n_rows"] == 4
    assert model.summary()["notes"] == ["SFT: 2 of 6 rows hold a null and were left out (rows 1, 4)."]
    nothing = dr.frame(pl.DataFrame({"prompt": TEXTS, "completion": [None] * 6}, schema_overrides={"completion": pl.String}))
    with pytest.raises(TrainingError, match="all 6 hold a null"):
        nothing.train(dr.SFT(str(micro_causal()), **FEW)).fit()


@pytest.mark.parametrize(("policy", "n_rows"), [("truncate", 6), ("drop", 5)])
def test_a_row_longer_than_the_context_is_named_with_what_became_of_it(policy: str, n_rows: int) -> None:
    model = sft({"prompt": TEXTS, "completion": [*TEXTS[:5], LONG]}, too_long=policy)
    (note,) = model.summary()["notes"]
    assert note.startswith("SFT: 1 of 6 rows are longer than 256 tokens (rows 5; the longest has")
    assert note.endswith("were cut to 256." if policy == "truncate" else "were left out.")
    assert model.summary()["n_rows"] == n_rows


def test_a_row_longer_than_the_context_can_be_an_error() -> None:
    with pytest.raises(TrainingError, match="1 of 6 rows are longer than 256 tokens"):
        sft({"prompt": TEXTS, "completion": [*TEXTS[:5], LONG]}, too_long="error").fit()


def test_a_limit_beyond_the_context_is_refused() -> None:
    with pytest.raises(TrainingError, match="max_length=300 is more than the 256 tokens that the base can read"):
        sft({"prompt": TEXTS, "completion": TEXTS}, max_length=300).fit()


def test_rows_whose_prompt_fills_the_context_are_left_out_and_counted() -> None:
    notes = sft({"prompt": [*TEXTS[:5], LONG], "completion": TEXTS}).summary()["notes"]
    assert notes[1] == "SFT: 1 of 6 rows had nothing left to learn from when they were cut, and were left out (rows 5)."


def test_assistants_turns_that_the_template_does_not_mark_are_refused() -> None:
    chats = [[{"role": "user", "content": t}, {"role": "assistant", "content": t}] for t in TEXTS]
    with pytest.raises(TrainingError, match="needs a chat template that marks the assistant's turns"):
        sft({"messages": chats}, loss_on="assistant").fit()
    sft({"messages": chats}, loss_on="assistant", chat_template="### {{prompt}}\n### ").fit()


def test_prompts_that_fill_the_context_are_refused() -> None:
    with pytest.raises(TrainingError, match="in every row the prompt alone fills the 256 tokens"):
        sft({"prompt": [LONG] * 6, "completion": TEXTS}).fit()


@pytest.mark.parametrize(
    ("trainer", "rows"),
    [
        (dr.DPO, {"prompt": TEXTS, "chosen": [*TEXTS[:5], LONG], "rejected": TEXTS[::-1]}),
        (dr.KTO, {"prompt": TEXTS, "completion": [*TEXTS[:5], LONG], "label": [True, False] * 3}),
        (dr.ORPO, {"prompt": TEXTS, "chosen": [*TEXTS[:5], LONG], "rejected": TEXTS[::-1]}),
        (dr.Reward, {"prompt": TEXTS, "chosen": [*TEXTS[:5], LONG], "rejected": TEXTS[::-1]}),
    ],
    ids=["dpo", "kto", "orpo", "reward"],
)
def test_what_is_said_to_be_cut_is_trained_on(trainer: Any, rows: dict[str, list[Any]]) -> None:
    """The libraries drop or cut in their own ways; a batch of all rows shows that none of them is lost."""
    summary = dr.frame(rows).train(trainer(str(micro_causal()), steps=1, batch_size=6, device="cpu")).summary()
    assert summary["n_rows"] == 6
    assert len(summary["notes"]) == 1
    assert "were cut to 256" in summary["notes"][0]


def test_prompts_without_room_for_an_answer_are_left_out() -> None:
    trainer = dr.GRPO(str(micro_causal()), rewards=no_opinion, generations=2, max_new_tokens=8, **FEW)
    notes = dr.frame({"prompt": [*TEXTS, LONG]}).train(trainer).summary()["notes"]
    assert "1 of 7 rows are longer than 248 tokens" in notes[0]
    assert notes[0].endswith("were left out.")


def test_a_base_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingError, match="empty"):
        dr.frame({"prompt": TEXTS, "completion": TEXTS}).train(dr.SFT(str(tmp_path / "empty"), **FEW)).fit()


def test_an_adapter_as_the_base_is_refused_with_the_way_to_give_it() -> None:
    folder = sft({"prompt": TEXTS, "completion": TEXTS}, peft={"r": 2, "target_modules": ["q_proj"]}).path
    with pytest.raises(SettingError, match=r"holds an adapter, not a model; give dr\.Transformers\(base, adapter=…\)"):
        dr.frame({"prompt": TEXTS, "completion": TEXTS}).train(dr.SFT(str(folder), **FEW)).fit()


def test_a_label_outside_the_set_is_named() -> None:
    rows = dr.frame({"text": TEXTS, "label": ["x", "y", "z"] * 2})
    with pytest.raises(TrainingError, match=r"have labels outside the set: 'z'\. The labels are 'x', 'y'"):
        rows.train(dr.Classifier(str(micro_encoder()), labels=["x", "y"], **FEW)).fit()
    with pytest.raises(TrainingError, match="the validation rows have labels outside the set: 'z'"):
        rows.head(2).train(dr.Classifier(str(micro_encoder()), **FEW), validation=rows).fit()


def test_one_label_alone_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"only one label \('x'\); a classifier needs two or more"):
        dr.frame({"text": TEXTS, "label": ["x"] * 6}).train(dr.Classifier(str(micro_encoder()), **FEW)).fit()


def test_words_and_tags_of_other_lengths_are_named() -> None:
    rows = {"tokens": [["a", "b"], ["c"]] * 3, "tags": [["O", "N"], ["O", "N"]] * 3}
    with pytest.raises(TrainingError, match="they are not in rows 1, 3, 5"):
        dr.frame(rows).train(dr.Classifier(str(micro_encoder()), **FEW)).fit()


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (bad_reward, "the reward bad_reward failed: ZeroDivisionError"),
        (too_few, "the reward too_few gave 1 numbers for 2 completions"),
        (infinite, "the reward infinite gave inf; rewards are finite numbers"),
    ],
    ids=["raises", "too few", "infinite"],
)
def test_a_reward_that_fails_is_named(reward: Any, said: str) -> None:
    trainer = dr.GRPO(str(micro_causal()), rewards=reward, generations=2, max_new_tokens=4, **FEW)
    with pytest.raises(TrainingError, match=said):
        dr.frame({"prompt": TEXTS}).train(trainer).fit()


def test_a_judge_that_never_gives_a_number_stops_the_training_and_one_that_sometimes_does_is_counted() -> None:
    rows = dr.frame({"prompt": TEXTS})
    few = {**FEW, "generations": 2, "max_new_tokens": 4, "steps": 2, "batch_size": 4}
    silent = dr.LLMReward(dr.testing.Scripted(lambda asked: "well"), "Rate {completion}")
    with pytest.raises(TrainingError, match="none holds a number from 1 to 10; it said 'well'"):
        rows.train(dr.GRPO(str(micro_causal()), rewards=silent, **few)).fit()
    judge = dr.testing.Scripted(lambda asked: '{"answer": 5}' if len(asked) % 2 else '{"answer": 50}')
    summary = rows.train(dr.GRPO(str(micro_causal()), rewards=dr.LLMReward(judge, "Rate {completion}"), **few)).summary()
    assert 0 < judge.calls <= 8
    assert any("held no number from 1 to 10; they count as average" in note for note in summary["notes"])


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        (dr.CrossEncoderTrainer, "the base must be an encoder or a cross-encoder"),
        (dr.SparseEncoderTrainer, "must be a sparse encoder or a masked language model"),
    ],
    ids=["cross-encoder", "sparse encoder"],
)
def test_a_base_of_another_kind_is_refused(trainer: Any, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        dr.frame({"anchor": TEXTS, "positive": TEXTS}).train(trainer(str(micro_causal()), **FEW))


def test_matryoshka_beyond_the_vectors_is_refused() -> None:
    with pytest.raises(TrainingError, match="the model's vectors have 32 dimensions"):
        dr.frame({"anchor": TEXTS, "positive": TEXTS}).train(dr.SentenceTransformerTrainer(str(micro_masked()), matryoshka=(64, 8), **FEW)).fit()


def test_a_students_teacher_must_share_its_tokens(tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    other = LlamaForCausalLM(LlamaConfig(vocab_size=300, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2))
    other.save_pretrained(tmp_path / "teacher")
    with pytest.raises(TrainingError, match="the teacher knows 300 tokens and the student 285"):
        dr.frame({"prompt": TEXTS}).train(dr.Distill(str(micro_causal()), teacher=str(tmp_path / "teacher"), max_new_tokens=4, **FEW)).fit()
