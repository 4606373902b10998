"""Settings that would train something else than was meant: refused where they are written, or when the plan is built."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.trainers import distributed
from dreamframe.trainers.adapters import kinds

TEXTS = ["tea", "bread"]
CHAT = dr.frame({"prompt": TEXTS, "completion": TEXTS})
TRIPLES = dr.frame({"anchor": TEXTS, "positive": TEXTS, "negative": TEXTS})
LABELLED = dr.frame({"text": TEXTS, "label": ["a", "b"]})


def longest(completions: list[str]) -> list[float]:
    return [float(len(c)) for c in completions]


def accuracy(seen: Any) -> dict[str, float]:
    return {"n": float(len(seen.label_ids))}


def by_momentum(parameters: Any, momentum: float) -> Any:
    return parameters, momentum


def base(tmp_path: Path, architecture: str, **config: Any) -> str:
    """A folder that says what it is, and holds no weights: nothing of it is loaded."""
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture], **config}))
    return str(tmp_path)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "fsdp": (lambda: dr.SFT("x", fsdp=True), r'SFT: fsdp= is not a setting here: strategy="fsdp" parts the weights'),
    "nodes": (lambda: dr.DPO("x", nodes=2), r"DPO: nodes= is not a setting here: ranks, nodes and addresses come from .*: torchrun or srun"),
    "rank": (lambda: dr.Classifier("x", rank=0), r"Classifier: rank= is not a setting here"),
    "fsdp in args": (lambda: CHAT.train(dr.SFT("x", args={"fsdp": "full_shard"})), r"args=\{'fsdp': …\} is refused: strategy=.fsdp. parts the weights"),
    "deepspeed in args": (lambda: CHAT.train(dr.SFT("x", args={"deepspeed": {"stage": 3}})), r"args=\{'deepspeed': …\} is refused"),
    "trainer class": (lambda: dr.SFT("x", trainer_cls=object), "an own trainer: a subclass of LocalTrainer"),
    "collator": (lambda: dr.Classifier("x", data_collator=len), "how rows become batches follows from the columns"),
    "TRL's name": (lambda: dr.SFT("x", peft_config={"r": 2}), r"SFT: peft_config= is not a setting here: peft=\."),
    "typo": (lambda: dr.SFT("x", learning_rat=1e-3), r"SFT: no setting 'learning_rat'\. Did you mean 'learning_rate'\?"),
    "PPO's sampling": (lambda: dr.PPO("x", rewards=longest, top_p=0.9), "PPO: top_p= is not a setting here: completions are drawn from all tokens"),
    "PPO's controller": (lambda: dr.PPO("x", rewards=longest, adap_kl_ctrl=True), "beta= is fixed; max_kl= ends the training"),
    "PPO's max_kl": (lambda: dr.PPO("x", rewards=longest, max_kl=0.0), "max_kl=0.0 must be more than 0"),
    "PPO's hooks": (lambda: dr.PPO("x", rewards=longest, optimizer=longest), "PPO: its loop is its own, so optimizer= is not possible"),
    "an API": (lambda: dr.SFT(dr.OpenAI("gpt-4o")), r"SFT: base=OpenAI\('gpt-4o'\) is behind an API, and SFT trains weights on this machine"),
    "an API's embedder": (lambda: dr.SentenceTransformerTrainer(dr.OpenAIEmbedder("text-embedding-3-small")), r"base=OpenAIEmbedder\(.*\) is behind an API"),
    "a teacher behind an API": (lambda: dr.Distill("x", teacher=dr.OpenAI("m")), r"Distill: teacher=OpenAI\('m'\) is behind an API"),
    "a model that a provider keeps": (lambda: dr.SFT(CHAT.train(dr.OpenAIFineTune("m"))), "a model of OpenAIFineTune, which stays with its provider"),
    "a model of tests": (lambda: dr.SFT(dr.testing.Echo()), r"base=Echo\('echo'\) has no weights to train"),
    "a class": (lambda: dr.SFT(dr.Transformers), r"base=Transformers is not a model to start from; Transformers is a class: give Transformers\(…\)"),
    "nothing": (lambda: dr.SFT(None), "base=NoneType is not a model to start from"),
    "a classifier of the plan": (lambda: dr.SFT(LABELLED.train(dr.Classifier("x"))), "a model of dr.Classifier, which makes: classifier"),
    "kto_pair": (lambda: dr.DPO("x", loss="kto_pair"), r"DPO: loss='kto_pair' is not one of its losses; use dr\.KTO"),
    "simpo": (lambda: dr.DPO("x", loss=["sigmoid", "simpo"]), r"use dr\.CPO\(loss='simpo'"),
    "orpo": (lambda: dr.CPO("x", loss="orpo"), r"CPO: loss='orpo' is not one of its losses; use dr\.ORPO"),
    "a field of LoRA": (
        lambda: CHAT.train(dr.SFT("x", peft={"target_module": ["q"]})),
        r"SFT peft=LORA: no setting 'target_module'\. Did you mean",
    ),
    "a field of another adapter": (lambda: CHAT.train(dr.SFT("x", peft={"peft_type": "IA3", "r": 2})), "SFT peft=IA3: no setting 'r'"),
    "an adapter": (lambda: CHAT.train(dr.SFT("x", peft={"peft_type": "LORRA"})), r"SFT peft: no setting 'LORRA'\. Did you mean 'LORA'"),
    "AdaLoRA": (lambda: CHAT.train(dr.SFT("x", peft={"peft_type": "adalora"})), "must know how many steps that has: total_step="),
    "a prompt in an embedder": (
        lambda: TRIPLES.train(dr.SentenceTransformerTrainer("x", peft={"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 2})),
        "peft=PROMPT_TUNING stands before the text and not in the weights",
    ),
    "a prompt over an adapter": (
        lambda: CHAT.train(dr.SFT(CHAT.train(dr.SFT("x", peft={"r": 2})), peft={"peft_type": "PREFIX_TUNING", "num_virtual_tokens": 2})),
        "peft=PREFIX_TUNING stands before the text",
    ),
    "an object in an adapter": (lambda: dr.SFT("x", peft={"r": object()}), "peft=LORA holds what is not text, a number"),
    "dtype auto": (lambda: dr.SFT("x", dtype="auto"), "dtype='auto' would train in what the files happen to be in"),
    "dtype": (lambda: dr.SFT("x", dtype="float99"), "dtype='float99' is not one of"),
    "GPTQ": (lambda: dr.SFT("x", peft={"r": 2}, quantization={"quant_method": "gptq", "bits": 4}), "it is a scheme for weights that are asked, not trained"),
    "a config that quantises nothing": (lambda: dr.SFT("x", peft={"r": 2}, quantization={"bnb_4bit_quant_type": "nf4"}), "quantises nothing"),
    "an instance": (lambda: CHAT.train(dr.SFT("x", callbacks=[object()])), "callbacks= holds a object, which may hold anything"),
    "metrics that are none": (lambda: LABELLED.train(dr.Classifier("x", compute_metrics="f1")), "compute_metrics= is a str; give a function"),
    "metrics of what is not shown": (lambda: TRIPLES.train(dr.SentenceTransformerTrainer("x", compute_metrics=accuracy)), "shows no predictions"),
    "what an optimizer reads": (lambda: CHAT.train(dr.SFT("x", optimizer=by_momentum)), "optimizer=by_momentum reads 'momentum'; it can be given 'parameters'"),
    "the best of nothing": (lambda: CHAT.train(dr.SFT("x", args={"load_best_model_at_end": True})), r"compares validations; give train\(validation=…\)"),
    "a rate of 0": (lambda: dr.SFT("x", learning_rate=0.0), "learning_rate=0.0 must be more than 0"),
    "no rate": (lambda: dr.DPO("x", learning_rate=float("nan")), "learning_rate=nan; give a number"),
    "steps as text": (lambda: dr.SFT("x", steps="2"), "SFT: steps='2', of type str; give a whole number"),
    "parts of a step": (lambda: dr.SFT("x", steps=1e3), "steps=1000.0; give a whole number: 1000"),
    "true steps": (lambda: dr.SFT("x", steps=True), "steps=True, of type bool"),
    "a weight as text": (lambda: dr.DPO("x", beta="0.1"), "DPO: beta='0.1', of type str; give a number"),
    "epochs of an API": (lambda: dr.OpenAIFineTune("gpt", epochs=1.5), "OpenAIFineTune: epochs=1.5; give a whole number"),
    "the opposite of pairs": (lambda: dr.DPO("x", beta=-0.1), "DPO: beta=-0.1 must not be less than 0"),
    "pairs that are mostly wrong": (lambda: dr.DPO("x", label_smoothing=2.0), "label_smoothing=2.0 must not be less than 0 or more than 0.5"),
    "the opposite of what is liked": (lambda: dr.KTO("x", desirable_weight=-1.0), "desirable_weight=-1.0 must not be less than 0"),
    "more than all of the future": (lambda: dr.PPO("x", rewards=longest, gamma=7.0), "gamma=7.0 must not be less than 0 or more than 1"),
    "frozen words": (lambda: dr.Distill("x", teacher="y", temperature=0.0), "temperature=0.0 must be more than 0"),
    "no target": (lambda: dr.Seq2Seq("x", max_target_length=0), "max_target_length=0 must be more than 0"),
    "rewards without weight": (lambda: dr.GRPO("x", rewards=longest, reward_weights=[0.0]), "one for each reward and not all of them 0"),
    "rewards of text": (lambda: dr.GRPO("x", rewards=longest, reward_weights="1"), "reward_weights='1'; give a list of numbers"),
    "dimensions as text": (lambda: dr.SentenceTransformerTrainer("x", matryoshka="64"), "give numbers of dimensions, such as"),
    "a head of labels under an embedder": (
        lambda: dr.SentenceTransformerTrainer(LABELLED.train(dr.SetFit("x"))),
        "a model of dr.SetFit, whose last layer tells labels; start from the embedder under it",
    ),
    "two lengths": (lambda: dr.SFT("x", steps=5, epochs=2), "steps=5 and epochs=2 both say how long it trains"),
    "a seed below 0": (lambda: dr.SFT("x", seed=-1), "seed=-1 must not be less than 0 or more than 4294967295"),
    "a patience of nothing": (lambda: dr.SFT("x", early_stopping_threshold=0.1), "early_stopping_threshold=0.1 has no use without early_stopping="),
    "a device without a number": (lambda: dr.SFT("x", device="cuda:x"), "device='cuda:x' is not one of cpu, cuda"),
    "args that are text": (lambda: dr.SFT("x", args="adam"), "SFT args='adam' is text, and not the JSON of a dict"),
    "an adapter that is text": (lambda: dr.SFT("x", peft="lora"), "SFT: peft='lora' is text, and not the JSON of a dict"),
    "no accumulation": (lambda: CHAT.train(dr.SFT("x", args={"gradient_accumulation_steps": 0})), "must be a whole number of 1 or more"),
    "validating nothing": (lambda: CHAT.train(dr.SFT("x", eval_every=5)), r"eval_every= says how often it validates; give train\(validation=…\) a frame"),
    "metrics of nothing": (lambda: CHAT.train(dr.SFT("x", compute_metrics=accuracy)), r"compute_metrics= looks at each validation; give train"),
    "a strategy of nothing": (lambda: CHAT.train(dr.SFT("x", args={"eval_strategy": "epoch"})), "says how often it validates; give train"),
    "labels as text": (lambda: dr.Classifier("x", labels="ham,spam"), "labels= is a str; give a list, in the order of the model's outputs"),
    "labels without an order": (lambda: dr.Classifier("x", labels={"ham", "spam"}), "labels= is a set; give a list"),
    "no label": (lambda: dr.Classifier("x", labels=["ham", None]), "holds None, which is no label"),
    "not the best": (
        lambda: CHAT.train(dr.SFT("x", early_stopping=2, args={"load_best_model_at_end": False}), validation=CHAT),
        "early_stopping= keeps the best weights of all validations",
    ),
    "a distance": (
        lambda: TRIPLES.train(dr.SentenceTransformerTrainer("x", loss="TripletLoss", loss_args={"distance_metric": "cosin"})),
        r"distance_metric': 'cosin'\} of TripletLoss is not one of 'cosine', 'euclidean', 'manhattan'\. Did you mean 'cosine'",
    ),
    "an argument of a loss": (lambda: TRIPLES.train(dr.SentenceTransformerTrainer("x", loss_args={"scal": 2.0})), r"no setting 'scal'\. Did you mean 'scale'"),
    "a model among frames": (lambda: dr.collect_all([CHAT.train(dr.SFT("x"))]), r"number 0 is a model, which has no rows: model\.fit\(\) trains it"),
    "sparse vectors": (lambda: TRIPLES.train(dr.SparseEncoderTrainer("x")).embedder(), r"SparseEncoder\(str\(model\.path\)\)\.encode"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_train_something_else_is_refused(name: str) -> None:
    make, said = REFUSED[name]
    with pytest.raises(SettingError, match=said):
        make()


@pytest.mark.parametrize(
    ("train", "architecture", "config", "said"),
    [
        (lambda b: CHAT.train(dr.SFT(b)), "T5ForConditionalGeneration", {"model_type": "t5"}, r"encoder-decoder model .*; dr\.Seq2Seq trains it"),
        (lambda b: CHAT.train(dr.GRPO(b, rewards=longest)), "BartModel", {"is_encoder_decoder": True}, r"GRPO: .* dr\.Seq2Seq trains it"),
        (lambda b: CHAT.train(dr.SFT(b, init="scratch")), "T5ForConditionalGeneration", {"model_type": "t5"}, r"dr\.Seq2Seq trains it"),
        (lambda b: CHAT.train(dr.Seq2Seq(b)), "LlamaForCausalLM", {"model_type": "llama"}, r"not an encoder-decoder model .*; dr\.SFT trains it"),
        (lambda b: CHAT.train(dr.Seq2Seq(b)), "BertModel", {"model_type": "bert"}, r"dr\.Classifier or dr\.SentenceTransformerTrainer trains it"),
        (lambda b: CHAT.train(dr.SFT(b)), "BertForMaskedLM", {"model_type": "bert"}, r"an encoder \(BertForMaskedLM\), which does not write"),
        (lambda b: CHAT.train(dr.SFT(b)), "LlamaForSequenceClassification", {"model_type": "llama"}, "it has no head that writes words"),
        (lambda b: TRIPLES.train(dr.CrossEncoderTrainer(b)), "LlamaForCausalLM", {}, r"this one writes text .* dr\.Reward"),
        (lambda b: TRIPLES.train(dr.SparseEncoderTrainer(b)), "BertModel", {}, "must be a sparse encoder or a masked language model"),
    ],
    ids=["t5", "bart", "t5 from scratch", "llama", "bert", "masked", "head", "cross-encoder", "sparse"],
)
def test_the_right_trainer_for_an_architecture_is_named_when_the_plan_is_built(
    train: Any, architecture: str, config: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingError, match=said):
        train(base(tmp_path, architecture, **config))


@pytest.mark.parametrize(
    ("architecture", "config"),
    [("GemmaForCausalLM", {}), ("Gemma3ForConditionalGeneration", {"model_type": "gemma3"}), ("BertLMHeadModel", {"model_type": "bert", "is_decoder": True})],
)
def test_what_writes_is_trained_to_write(architecture: str, config: dict[str, Any], tmp_path: Path) -> None:
    assert CHAT.train(dr.SFT(base(tmp_path, architecture, **config))).step.trainer.label == "SFT"


def test_lora_lies_over_every_linear_layer_unless_it_says_where() -> None:
    def held(**peft: Any) -> Any:
        return json.loads(str(dr.SFT("x", peft=peft).peft)).get("target_modules")

    assert held(r=8) == "all-linear"
    assert held(target_modules=["q_proj"]) == ["q_proj"]
    assert held(layers_to_transform=[0]) is None  # peft takes layers with names of modules only
    assert held(peft_type="IA3") is None


def test_fields_of_every_adapter_are_read_from_its_source() -> None:
    known = kinds()
    assert {"LORA", "ADALORA", "IA3", "VERA", "PROMPT_TUNING", "PREFIX_TUNING"} <= set(known)
    CHAT.train(dr.SFT("x", peft={"peft_type": "ADALORA", "total_step": 9, "lora_alpha": 4}))  # of a class in another package, and of its base


def test_validation_that_decides_which_weights_are_kept_has_a_key_of_its_own() -> None:
    def content(trainer: Any) -> str | None:
        found: str | None = CHAT.train(trainer, validation=CHAT).step.content({})
        return found

    assert content(dr.SFT("org/name")) is not None
    assert CHAT.train(dr.SFT("org/name")).step.content({}) is None
    for as_before in (
        dr.SFT("org/name", early_stopping=2),
        dr.SFT("org/name", args={"load_best_model_at_end": False}),
        dr.PPO("org/name", rewards=longest),
    ):
        assert content(as_before) is None


def test_settings_that_came_later_are_no_part_of_a_key_while_they_are_none() -> None:
    later = {"early_stopping_threshold", "callbacks", "compute_metrics", "optimizer"}
    assert not later & set(dr.SFT("x").key_fields())
    assert later <= set(dr.SFT("x", early_stopping=1, early_stopping_threshold=0.1, callbacks=dict, compute_metrics=accuracy, optimizer=longest).key_fields())
    assert "max_kl" not in dr.PPO("x", rewards=longest).key_fields()


@pytest.mark.parametrize(
    ("device", "visible", "seen"),
    [
        ("cuda:1", None, "1"),
        ("cuda:1", "4,7", "7"),
        (["cuda:1", "cuda:0"], "4,7", "7,4"),
        (["cuda:2", "cuda:3"], None, "2,3"),
        ("cpu", "4", "4"),
    ],
    ids=["one", "one of those seen", "several of those seen", "several", "none"],
)
def test_a_process_sees_the_gpus_that_were_asked_for_and_no_other(device: Any, visible: str | None, seen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert distributed._environment(dr.SFT("x", device=device)).get("CUDA_VISIBLE_DEVICES") == seen


def test_a_gpu_that_is_not_the_first_is_left_to_a_process_of_its_own() -> None:
    assert [distributed.is_elsewhere(d) for d in (None, "cpu", "cuda", "cuda:0", "cuda:1")] == [False, False, False, False, True]
    with pytest.raises(SettingError, match="an LLM's reward is asked by the run's own process"):
        dr.GRPO("x", rewards=dr.LLMReward(dr.testing.Echo(), "{completion}"), device="cuda:1")
