"""Every trainer of this machine, four steps on a micro model: weights move, the underlying library alone loads what is left, nothing is trained twice."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from tests.micro import micro_causal, micro_encoder, micro_masked, micro_seq2seq

pytestmark = pytest.mark.models

os.environ.setdefault("OMP_NUM_THREADS", "1")
N = 12
STEPS: dict[str, Any] = {"steps": 4, "batch_size": 4, "learning_rate": 1e-2, "device": "cpu"}
WORDS = ["tea", "bread", "lamp", "kettle", "coffee", "line"]
TEXTS = [f"tell me about {w} {i}" for i, w in enumerate(WORDS * 2)]
ANSWERS = [f"the {w} is warm" for w in WORDS * 2]
WORSE = [f"no {w}" for w in WORDS * 2]


def count_e(completions: list[str]) -> list[int]:
    return [c.count("e") for c in completions]


@dataclass(frozen=True)
class Case:
    """A trainer without its base, rows, and how the underlying library alone loads what it leaves."""

    trainer: Callable[..., Any]
    base: Callable[[], Path]
    rows: dict[str, list[Any]]
    load: Callable[[Path], Any]
    settings: dict[str, Any] | None = None

    def make(self, **settings: Any) -> Any:
        own = {k: str(v()) if k == "teacher" else v for k, v in (self.settings or {}).items()}
        return self.trainer(str(self.base()), **{**STEPS, **own, **settings})


def causal(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder)


def sequence_classifier(folder: Path) -> Any:
    from transformers import AutoModelForSequenceClassification

    return AutoModelForSequenceClassification.from_pretrained(folder)


def token_classifier(folder: Path) -> Any:
    from transformers import AutoModelForTokenClassification

    return AutoModelForTokenClassification.from_pretrained(folder)


def seq2seq(folder: Path) -> Any:
    from transformers import AutoModelForSeq2SeqLM

    return AutoModelForSeq2SeqLM.from_pretrained(folder)


def embedder(folder: Path) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), local_files_only=True)


def cross_encoder(folder: Path) -> Any:
    from sentence_transformers import CrossEncoder

    return CrossEncoder(str(folder), local_files_only=True)


def sparse_encoder(folder: Path) -> Any:
    from sentence_transformers import SparseEncoder

    return SparseEncoder(str(folder), local_files_only=True)


PAIRS = {"prompt": TEXTS, "chosen": ANSWERS, "rejected": WORSE}
ANCHORS = {"anchor": TEXTS, "positive": ANSWERS}
SCORED = {"sentence1": TEXTS, "sentence2": ANSWERS, "score": [i / N for i in range(N)]}
CASES = {
    "sft": Case(dr.SFT, micro_causal, {"prompt": TEXTS, "completion": ANSWERS}, causal),
    "sft messages": Case(
        dr.SFT,
        micro_causal,
        {"messages": [[{"role": "user", "content": t}, {"role": "assistant", "content": a}] for t, a in zip(TEXTS, ANSWERS, strict=True)]},
        causal,
    ),
    "sft text from scratch, packed": Case(dr.SFT, micro_causal, {"text": TEXTS}, causal, {"init": "scratch", "packing": True, "max_length": 64}),
    "seq2seq": Case(dr.Seq2Seq, micro_seq2seq, {"prompt": TEXTS, "completion": ANSWERS}, seq2seq),
    "classifier": Case(dr.Classifier, micro_encoder, {"text": TEXTS, "label": WORDS * 2}, sequence_classifier),
    "classifier of sets": Case(
        dr.Classifier, micro_encoder, {"text": TEXTS, "label": [[w, "warm"] if w < "k" else [] for w in WORDS * 2]}, sequence_classifier
    ),
    "classifier of words": Case(
        dr.Classifier, micro_encoder, {"tokens": [t.split() for t in TEXTS], "tags": [["O", "O", "O", "B", "N"]] * N}, token_classifier
    ),
    "dpo": Case(dr.DPO, micro_causal, PAIRS, causal),
    "kto": Case(dr.KTO, micro_causal, {"prompt": TEXTS, "completion": ANSWERS, "label": [True, False] * 6}, causal),
    "orpo": Case(dr.ORPO, micro_causal, PAIRS, causal),
    "cpo": Case(dr.CPO, micro_causal, PAIRS, causal),
    "simpo": Case(dr.CPO, micro_causal, PAIRS, causal, {"loss": "simpo", "cpo_alpha": 0.0}),
    "reward of pairs": Case(dr.Reward, micro_causal, PAIRS, sequence_classifier),
    "reward of margins": Case(dr.Reward, micro_causal, {**PAIRS, "margin": [0.5] * N}, sequence_classifier),
    "reward of scores": Case(dr.Reward, micro_causal, {"completion": ANSWERS, "score": [i % 3 for i in range(N)]}, sequence_classifier),
    "grpo": Case(dr.GRPO, micro_causal, {"prompt": TEXTS}, causal, {"rewards": count_e, "generations": 4, "max_new_tokens": 8}),
    "rloo": Case(dr.RLOO, micro_causal, {"prompt": TEXTS}, causal, {"rewards": count_e, "generations": 2, "max_new_tokens": 8}),
    "ppo": Case(dr.PPO, micro_causal, {"prompt": TEXTS}, causal, {"rewards": count_e, "max_new_tokens": 8}),
    "distill": Case(dr.Distill, micro_causal, {"prompt": TEXTS}, causal, {"max_new_tokens": 8, "teacher": lambda: micro_causal(width=64)}),
    "embedder of pairs": Case(dr.SentenceTransformerTrainer, micro_encoder, ANCHORS, embedder),
    "embedder of triplets": Case(dr.SentenceTransformerTrainer, micro_encoder, {**ANCHORS, "negative": WORSE}, embedder, {"matryoshka": (32, 8)}),
    "embedder of scores": Case(dr.SentenceTransformerTrainer, micro_encoder, SCORED, embedder),
    "embedder of labels": Case(dr.SentenceTransformerTrainer, micro_encoder, {"text": TEXTS, "label": ["a", "b"] * 6}, embedder),
    "cross-encoder of scores": Case(dr.CrossEncoderTrainer, micro_encoder, SCORED, cross_encoder),
    "cross-encoder of pairs": Case(dr.CrossEncoderTrainer, micro_encoder, ANCHORS, cross_encoder),
    "setfit": Case(dr.SetFit, micro_encoder, {"text": TEXTS, "label": WORDS * 2}, embedder, {"iterations": 1}),
    "setfit of sets": Case(dr.SetFit, micro_encoder, {"text": TEXTS, "label": [["a", "b"], ["b"], []] * 4}, embedder),
    "sparse encoder": Case(dr.SparseEncoderTrainer, micro_masked, ANCHORS, sparse_encoder),
}
each = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
ADAPTED = ("sft", "seq2seq", "classifier", "dpo", "kto", "orpo", "reward of pairs", "grpo", "ppo", "embedder of pairs", "cross-encoder of pairs")
with_adapters = pytest.mark.parametrize("case", [CASES[n] for n in ADAPTED], ids=ADAPTED)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Micro models are faster on one core, and this machine is shared."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return {k.removeprefix("bert."): v for f in sorted(folder.rglob("*.safetensors")) for k, v in load_file(f).items()}


def moved(trained: dict[str, Any], base: dict[str, Any]) -> bool:
    """Whether weights of the base are others now; of an adapter whether those are that are drawn as zeros."""
    drawn = {k: 0 * v for k, v in trained.items() if "lora_B" in k}
    before = drawn or {k: v for k, v in base.items() if k in trained and trained[k].shape == v.shape}
    assert before
    return any((trained[k] - v).abs().max() > 1e-4 for k, v in before.items())


@each
def test_four_steps_move_the_weights_once_and_the_library_alone_loads_them(case: Case, tmp_path: Path) -> None:
    rows = dr.frame(case.rows)
    with dr.Session(tmp_path / "s") as session:
        model = rows.train(case.make(), validation=rows.head(4))
        trained = weights(model.path)
        record = model.summary()
        assert record["steps"] == 4
        assert record["n_rows"] == N
        assert case.make().best[0] in record["metrics"]
        loaded = case.load(model.path)
        assert sum(p.numel() for p in loaded.parameters()) > 10_000
        again = rows.train(case.make(), validation=rows.head(4))
        assert again.path == model.path
        assert session.usage()["trained"] == 1
        from_scratch = (case.settings or {}).get("init") == "scratch"  # such weights are compared with what they were drawn as
        assert moved(trained, weights(rows.train(case.make(learning_rate=1e-9, steps=1)).path if from_scratch else case.base()))
    left = {p.name for p in model.path.rglob("*")}
    assert not {n for n in left if n.endswith((".bin", ".pt", ".pkl"))}


@with_adapters
def test_an_adapter_moves_alone_or_is_merged(case: Case, tmp_path: Path) -> None:
    peft = {"r": 2, "target_modules": ["query", "value"] if case.base is micro_encoder else ["q", "v"] if case.base is micro_seq2seq else ["q_proj", "v_proj"]}
    rows = dr.frame(case.rows)
    with dr.Session(tmp_path / "s"):
        trainer = case.make(peft=peft)
        folder = rows.train(trainer).path
    assert trainer.is_adapter == (folder / "adapter_config.json").exists()
    assert moved(weights(folder), weights(case.base()))
    assert str(case.base()) not in "".join(f.read_text() for f in folder.rglob("*.json") if f.name != "training.json")


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
@pytest.mark.parametrize("case", [CASES[n] for n in ("sft", "dpo", "reward of pairs", "classifier")], ids=["sft", "dpo", "reward", "classifier"])
def test_an_adapter_learns_over_a_quantised_base(case: Case, bits: str, tmp_path: Path) -> None:
    peft = {"r": 2, "target_modules": ["query", "value"] if case.base is micro_encoder else ["q_proj", "v_proj"]}
    with dr.Session(tmp_path / "s"):
        model = dr.frame(case.rows).train(case.make(peft=peft, quantization=bits))
        adapter, record = weights(model.path), model.summary()
    assert record["n_trained_parameters"] < record["n_parameters"] / 4
    assert all(v.is_floating_point() for v in adapter.values())
    assert moved(adapter, {})
