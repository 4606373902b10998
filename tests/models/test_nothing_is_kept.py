"""Trainings that would once have been kept though they trained nothing, or something else: they are refused, or keep what can be learnt from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import TrainingError
from tests.micro import micro_causal, micro_encoder

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
TEXTS = [f"tell me {i}" for i in range(6)]
LONG = "the kettle is warm " * 60  # more than the 256 tokens of a micro model
PAIRS = {"prompt": [*TEXTS[:5], LONG], "chosen": TEXTS, "rejected": TEXTS[::-1]}
FEW: dict[str, Any] = {"steps": 3, "batch_size": 2, "device": "cpu"}


def lengths(completions: list[str]) -> list[float]:
    return [float(len(c)) for c in completions]


GROUPS = {"rewards": lengths, "generations": 2, "max_new_tokens": 4, "batch_size": 8}


@pytest.fixture(autouse=True)
def session(tmp_path: Path) -> Any:
    import torch

    torch.set_num_threads(1)
    with dr.Session(tmp_path / "s") as opened:
        yield opened


@pytest.mark.parametrize("trainer", [dr.ORPO, dr.CPO, dr.DPO, dr.Reward])
def test_a_pair_whose_answers_are_cut_away_is_left_out_and_the_weights_stay_numbers(trainer: Any) -> None:
    from safetensors.torch import load_file

    model = dr.frame(PAIRS).train(trainer(str(micro_causal()), **FEW))
    told = model.summary()
    assert told["n_rows"] == 5
    assert told["notes"][1] == f"{trainer.__name__}: 1 of 6 rows had nothing left to learn from when they were cut, and were left out (rows 5)."
    assert all(bool(v.isfinite().all()) for f in model.path.glob("*.safetensors") for v in load_file(f).values())


@pytest.mark.parametrize(
    ("trainer", "rows", "settings", "said"),
    [
        (dr.DPO, {**PAIRS, "prompt": [LONG] * 6}, {}, "DPO: in every row the prompt alone fills the 256 tokens"),
        (dr.ORPO, {**PAIRS, "prompt": [LONG] * 6}, {}, "ORPO: in every row the prompt alone fills the 256 tokens"),
        (dr.GRPO, {"prompt": TEXTS[:3]}, GROUPS, "GRPO: a step of batch_size=8 needs 4 prompts of 2 completions each, and there are 3"),
        (dr.RLOO, {"prompt": TEXTS[:3]}, GROUPS, "RLOO: a step of batch_size=8 needs 4 prompts"),
        (dr.Distill, {"prompt": TEXTS[:3]}, {"batch_size": 8, "steps": None, "epochs": 2}, "Distill: a step of batch_size=8 needs 8 prompts, and there are 3"),
        (dr.SFT, {"prompt": TEXTS, "completion": TEXTS}, {"args": {"dataloader_drop_last": True}, "batch_size": 8}, "it made no step: its 6 rows do not fill"),
        (dr.PPO, {"prompt": TEXTS}, {"rewards": lengths, "max_new_tokens": 4, "learning_rate": 1e30}, "PPO: the training diverged"),
        (dr.Reward, {"completion": TEXTS, "score": [float("nan")] * 6}, {}, "no rows to train on; all 6 hold NaN or infinity"),
        (dr.SFT, {"text": [""] * 6}, {}, "6 of 6 rows hold no two tokens, of which the second could be learnt: none is left"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_would_train_nothing_is_refused(trainer: Any, rows: dict[str, list[Any]], settings: dict[str, Any], said: str) -> None:
    teacher = {"teacher": str(micro_causal()), "max_new_tokens": 4} if trainer is dr.Distill else {}
    with pytest.raises(TrainingError, match=said):
        dr.frame(rows).train(trainer(str(micro_causal()), **{**FEW, **teacher, **settings})).fit()


@pytest.mark.parametrize("args", [None, {"logging_nan_inf_filter": True}], ids=["seen in the loss", "hidden by the library's filter"])
def test_a_training_that_diverges_is_not_kept(session: dr.Session, args: Any) -> None:
    model = dr.frame({"prompt": TEXTS, "completion": TEXTS}).train(dr.SFT(str(micro_causal()), learning_rate=1e30, args=args, **FEW))
    for _ in range(2):
        with pytest.raises(TrainingError, match=r"SFT: the training diverged: .* Nothing was kept\. Give a learning_rate smaller than 1e\+30"):
            model.fit()
    assert not session.models()


def test_a_base_of_nan_is_told_from_a_rate_that_is_too_high(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    broken = AutoModelForCausalLM.from_pretrained(micro_causal())
    broken.model.norm.weight.data.fill_(float("nan"))
    broken.save_pretrained(tmp_path / "base")
    AutoTokenizer.from_pretrained(micro_causal()).save_pretrained(tmp_path / "base")
    with pytest.raises(TrainingError, match=r"its loss was nan at step 1\..* look at the rows and at the weights of the base"):
        dr.frame({"prompt": TEXTS, "completion": TEXTS}).train(dr.SFT(str(tmp_path / "base"), **FEW)).fit()


def test_label_sets_without_a_label_and_nulls_in_them_are_told() -> None:
    import polars as pl

    def train(sets: list[list[str | None]]) -> None:
        rows = pl.DataFrame({"text": TEXTS, "label": pl.Series(sets, dtype=pl.List(pl.String))})
        dr.frame(rows).train(dr.Classifier(str(micro_encoder()), **FEW)).fit()

    with pytest.raises(TrainingError, match="the rows have no label at all"):
        train([[]] * 6)
    with pytest.raises(TrainingError, match=r"only one label \('b'\)(.|\n)*3 of 6 rows hold a null and were left out \(rows 0, 2, 4\)"):
        train([["a", None], ["b"]] * 3)


def test_equal_pairs_and_rewards_are_noted() -> None:
    told = dr.frame({**PAIRS, "prompt": TEXTS, "rejected": TEXTS}).train(dr.DPO(str(micro_causal()), **FEW)).summary()
    assert told["notes"][0] == "DPO: 6 of 6 rows have the same chosen and rejected: they teach nothing (rows 0, 1, 2, 3, 4 and 1 more)."
    same = {**GROUPS, "rewards": equal, "batch_size": 4}
    told = dr.frame({"prompt": TEXTS[:5]}).train(dr.GRPO(str(micro_causal()), **{**FEW, **same})).summary()
    assert told["notes"] == [
        "GRPO: 1 of 5 prompts are left over in each epoch, other ones each time: a step takes 2 of them.",
        "GRPO: the rows taught nothing: the gradient was 0 at each of the 3 steps (the loss was 0).",
    ]


def equal(completions: list[str]) -> list[float]:
    return [1.0] * len(completions)
