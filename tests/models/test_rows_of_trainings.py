"""Whatever the rows: a training ends with finite weights that moved and true counts, or it notes that it taught nothing, or it fails in our own words."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import DreamframeError
from tests.micro import micro_causal, micro_encoder, micro_masked, micro_seq2seq

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
LONG = "the kettle is warm " * 60  # more than the 256 tokens of a micro model
TEXTS = ["tea", "the lamp is warm", "", " ", "a", "é𝔘🙂 \u202e שלום", "<|im_end|>", "<s>x", "{{ x }} {y}", LONG, None, "tea"]
NUMBERS = [0.0, 1.0, 0.5, None, float("nan"), float("inf"), 0.25]
MESSAGES = [
    [("user", "tea"), ("assistant", "warm")], [("user", "a"), ("assistant", "")], [("user", "b"), ("assistant", None)], [], [None], None,
    [("system", "s"), ("user", LONG), ("assistant", "c")], [(None, "x")], [("user", "alone")], [("other", "é"), ("assistant", "ok")],
]  # fmt: skip
CHATS = [None if chat is None else [m and {"role": m[0], "content": m[1]} for m in chat] for chat in MESSAGES]
LABELS, SETS, WORDS = ["x", "y", None, "é", "x"], [["x"], [], ["x", "y"], None, ["y", None]], [["tea", "warm"], ["a", ""], [None, "b"], None, ["é", "🙂"]]
POOLS: dict[str, list[Any]] = {
    "score": NUMBERS, "margin": NUMBERS, "label": LABELS, "messages": CHATS, "liked": [True, False, None], "set": SETS, "tokens": WORDS,
    "tags": [["O", "N"], ["N", "O"], None],
}  # fmt: skip
TYPES: dict[str, Any] = {
    "score": pl.Float64, "margin": pl.Float64, "label": pl.String, "messages": pl.List(pl.Struct({"role": pl.String, "content": pl.String})),
    "liked": pl.Boolean, "set": pl.List(pl.String), "tokens": pl.List(pl.String), "tags": pl.List(pl.String),
}  # fmt: skip


def count_e(completions: list[str]) -> list[int]:
    return [c.count("e") for c in completions]


RL = {"rewards": count_e, "generations": 2, "max_new_tokens": 2}
CASES: dict[str, tuple[Callable[..., Any], Callable[[], Path], list[str], dict[str, Any]]] = {
    "sft": (dr.SFT, micro_causal, ["prompt", "completion"], {}),
    "sft raw": (dr.SFT, micro_causal, ["prompt", "completion"], {"chat_template": False}),
    "sft text": (dr.SFT, micro_causal, ["text"], {}),
    "sft messages": (dr.SFT, micro_causal, ["messages"], {}),
    "sft turns": (dr.SFT, micro_causal, ["messages"], {"loss_on": "assistant", "chat_template": "### {{prompt}}\n### "}),
    "dpo": (dr.DPO, micro_causal, ["prompt", "chosen", "rejected"], {}),
    "kto": (dr.KTO, micro_causal, ["prompt", "completion", "liked"], {}),
    "orpo": (dr.ORPO, micro_causal, ["prompt", "chosen", "rejected"], {}),
    "orpo raw": (dr.ORPO, micro_causal, ["prompt", "chosen", "rejected"], {"chat_template": False}),
    "cpo": (dr.CPO, micro_causal, ["prompt", "chosen", "rejected"], {}),
    "simpo": (dr.CPO, micro_causal, ["prompt", "chosen", "rejected"], {"loss": "simpo", "cpo_alpha": 0.0}),
    "reward": (dr.Reward, micro_causal, ["prompt", "chosen", "rejected", "margin"], {}),
    "reward of scores": (dr.Reward, micro_causal, ["completion", "score"], {}),
    "grpo": (dr.GRPO, micro_causal, ["prompt"], RL),
    "rloo": (dr.RLOO, micro_causal, ["prompt"], RL),
    "ppo": (dr.PPO, micro_causal, ["prompt"], {"rewards": count_e, "max_new_tokens": 2, "passes": 1}),
    "distill": (dr.Distill, micro_causal, ["prompt"], {"teacher": lambda: micro_causal(width=64), "max_new_tokens": 2}),
    "seq2seq": (dr.Seq2Seq, micro_seq2seq, ["prompt", "completion"], {}),
    "classifier": (dr.Classifier, micro_encoder, ["text", "label"], {}),
    "classifier of sets": (dr.Classifier, micro_encoder, ["text", "set"], {}),
    "classifier of words": (dr.Classifier, micro_encoder, ["tokens", "tags"], {}),
    "setfit": (dr.SetFit, micro_encoder, ["text", "label"], {"iterations": 1}),
    "embedder of pairs": (dr.SentenceTransformerTrainer, micro_encoder, ["anchor", "positive"], {}),
    "embedder of triplets": (dr.SentenceTransformerTrainer, micro_encoder, ["anchor", "positive", "negative"], {}),
    "embedder of scores": (dr.SentenceTransformerTrainer, micro_encoder, ["sentence1", "sentence2", "score"], {}),
    "embedder of sides": (dr.SentenceTransformerTrainer, micro_encoder, ["sentence1", "sentence2", "liked"], {}),
    "embedder of labels": (dr.SentenceTransformerTrainer, micro_encoder, ["text", "label"], {}),
    "cross-encoder of scores": (dr.CrossEncoderTrainer, micro_encoder, ["sentence1", "sentence2", "score"], {}),
    "cross-encoder of labels": (dr.CrossEncoderTrainer, micro_encoder, ["sentence1", "sentence2", "label"], {}),
    "cross-encoder of pairs": (dr.CrossEncoderTrainer, micro_encoder, ["anchor", "positive"], {}),
    "sparse encoder": (dr.SparseEncoderTrainer, micro_masked, ["anchor", "positive"], {}),
}
ROLES = {"liked": "label", "set": "label"}
KINDS = ("drawn", "one", "equal", "nulls", "long")
LIBRARY = re.compile(r"\b[A-Z]\w*Error: |Tensor|dataloader|NoneType")  # words of a library's own error
NOTHING = ("taught nothing", "no weight moved")


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rows_of(columns: list[str], kind: str, seed: str) -> pl.DataFrame:
    """Rows of a kind: drawn from all that is odd, one good row, equal rows, nulls, texts that are all too long."""
    draw = random.Random(f"{seed} {kind}")
    usual = {"score": 0.5, "margin": 0.5, "label": "x", "messages": CHATS[0], "liked": True, "set": ["x"], "tokens": ["tea"], "tags": ["O"]}
    made: dict[str, pl.Series] = {}
    for i, name in enumerate(columns):
        pool = POOLS.get(name, TEXTS)
        plain = usual.get(name, f"tea {i}" if kind == "one" else "tea")
        values = {
            "drawn": [draw.choice(pool) for _ in range(24)], "one": [plain], "equal": [plain] * 4, "nulls": [None] * 3,
            "long": [LONG if name not in POOLS else [{**m, "content": LONG} for m in CHATS[0] or []] if name == "messages" else plain] * 3,
        }[kind]  # fmt: skip
        made[name] = pl.Series(ROLES.get(name, name), values, dtype=TYPES.get(name, pl.String))
    return pl.DataFrame(list(made.values()))


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {k.removeprefix("bert."): v for f in sorted(folder.rglob("*.safetensors")) for k, v in load_file(f).items()}


def left_out(notes: list[str]) -> int:
    """Rows that the notes say were left out."""
    return sum(int(found[1]) for note in notes if "left out" in note and (found := re.search(r": (\d+) of \d+ rows", note)))


@pytest.mark.parametrize("name", CASES)
def test_a_training_ends_with_moved_weights_and_true_counts_or_says_why_not(name: str, tmp_path: Path) -> None:
    trainer, base, columns, settings = CASES[name]
    own = {k: str(v()) if k == "teacher" else v for k, v in settings.items()}
    with dr.Session(tmp_path / "s"):
        for kind in KINDS:
            rows = rows_of(columns, kind, name)
            made = trainer(str(base()), **{"steps": 1, "batch_size": 4, "learning_rate": 1e-3, "device": "cpu", **own})
            error = None
            try:
                model = dr.frame(rows).train(made)
                told = model.summary()
            except DreamframeError as exc:
                error = str(exc)
            if error is not None:
                assert made.label in error, kind
                assert not LIBRARY.search(error), (kind, error)
                continue
            before, after = weights(base()), weights(model.path)
            assert all(bool(v.isfinite().all()) for v in after.values() if v.is_floating_point()), kind
            common = [k for k in after if k in before and after[k].shape == before[k].shape]
            assert common, kind
            moved = any(bool((after[k] != before[k]).any()) for k in common)
            assert moved or any(word in note for note in told["notes"] for word in NOTHING), (kind, told)
            assert told["steps"] == 1, kind
            assert told["n_rows"] == rows.height - left_out(told["notes"]) > 0, (kind, told)
