"""What a trainer refuses before anything runs."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, SchemaError, SettingError

CHAT = dr.frame({"prompt": ["a", "b"], "completion": ["c", "d"]})
LOCAL = [
    dr.SFT, dr.Seq2Seq, dr.Classifier, dr.DPO, dr.KTO, dr.ORPO, dr.CPO, dr.Reward, dr.SentenceTransformerTrainer, dr.CrossEncoderTrainer,
    dr.SparseEncoderTrainer, dr.SetFit,
]  # fmt: skip
each = pytest.mark.parametrize("trainer", LOCAL, ids=lambda t: t.__name__)


def short(completions: list[str]) -> list[int]:
    return [-len(c) for c in completions]


def by_answer(completions: list[str], answer: list[str]) -> list[bool]:
    return [c == a for c, a in zip(completions, answer, strict=True)]


def test_a_column_that_is_not_there_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ColumnNotFoundError, match=r"SFT: no column 'anwser'; the frame has 'q', 'answer'\. Did you mean 'answer'\?"):
        dr.frame({"q": ["a"], "answer": ["b"]}).train(dr.SFT("base"), prompt="q", completion="anwser")


def test_a_role_that_nothing_serves_is_named_with_what_would() -> None:
    with pytest.raises(SettingError, match=r"DPO: it learns from .* rejected= or chosen=, rejected=\. No column was given for 'chosen'"):
        dr.frame({"prompt": ["a"], "rejekted": ["b"]}).train(dr.DPO("base"))


def test_a_role_that_the_trainer_does_not_know_is_refused() -> None:
    with pytest.raises(SettingError, match=r"no setting 'chossen'\. Did you mean 'chosen'"):
        CHAT.train(dr.DPO("base"), chossen="completion")


@pytest.mark.parametrize(
    ("trainer", "rows", "said"),
    [
        (dr.SFT, {"prompt": [1], "completion": ["a"]}, r"prompt='prompt' has type Int64; it must be text or a list of messages"),
        (dr.Classifier, {"text": ["a"], "label": [0.5]}, r"label='label' has type Float64; it must be a label or a list of labels"),
        (dr.Classifier, {"tokens": ["a b"], "tags": [["O"]]}, r"tokens='tokens' has type String; it must be a list of words"),
        (dr.KTO, {"prompt": ["a"], "completion": ["b"], "label": ["yes"]}, r"label='label' has type String; it must be true or false"),
        (dr.Reward, {"completion": ["a"], "score": ["1"]}, r"score='score' has type String; it must be a number"),
        (dr.CrossEncoderTrainer, {"sentence1": ["a"], "sentence2": ["b"], "score": [["1"]]}, r"must be a number"),
    ],
    ids=["sft", "classifier", "tokens", "kto", "reward", "cross-encoder"],
)
def test_a_column_of_another_type_is_refused(trainer: Any, rows: dict[str, list[Any]], said: str) -> None:
    with pytest.raises(SchemaError, match=said):
        dr.frame(rows).train(trainer("base"))


def test_validation_must_have_the_same_columns_and_types() -> None:
    with pytest.raises(ColumnNotFoundError, match="SFT validation=: no column 'completion'"):
        CHAT.train(dr.SFT("base"), validation=CHAT.drop("completion"))
    with pytest.raises(SchemaError, match="'completion' is String in the training rows and List"):
        CHAT.train(dr.SFT("base"), validation=CHAT.with_columns(pl.concat_list("completion").alias("completion")))


@each
def test_an_unknown_argument_is_refused_with_the_nearest_one(trainer: Any) -> None:
    with pytest.raises(SettingError, match=rf"{trainer.__name__} args: no setting 'warmup_step'. Did you mean 'warmup_steps'"):
        trainer("base", args={"warmup_step": 3}).check({}, schema_of(trainer))


@each
def test_an_argument_that_is_a_setting_is_sent_there(trainer: Any) -> None:
    with pytest.raises(SettingError, match=rf"{trainer.__name__}: args={{'max_steps': …}} is given as steps="):
        trainer("base", args={"max_steps": 3}).check({}, schema_of(trainer))


@each
def test_early_stopping_needs_validation_rows(trainer: Any) -> None:
    with pytest.raises(SettingError, match=r"early_stopping= watches the validation loss; give train\(validation=…\) a frame"):
        trainer("base", early_stopping=2).check({}, schema_of(trainer), has_validation=False)


def schema_of(trainer: Any) -> pl.Schema:
    """A schema that the trainer's first way of giving rows accepts."""
    types = {"chat": pl.String, "text": pl.String, "bool": pl.Boolean, "number": pl.Float64, "label": pl.String, "labels": pl.String}
    return pl.Schema({role: types[kind] for role, kind in trainer.ways[0].kinds.items()})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"quantization": "3bit", "peft": {"r": 2}}, "quantization='3bit' is not '8bit' or '4bit'"),
        ({"quantization": "4bit"}, "quantised weights cannot be trained themselves; add an adapter"),
        ({"init": "zero"}, "init='zero' is not possible"),
        ({"init": "scratch", "peft": {"r": 2}}, "leave out peft="),
        ({"too_long": "cut"}, "too_long='cut' is not 'truncate', 'drop' or 'error'"),
        ({"device": "gpu"}, "device='gpu' is not one of cpu, cuda, mps, xpu"),
        ({"device": ["cuda:0", "cuda:1"], "processes": 3}, "2 devices need processes=2, not 3"),
        ({"batch_size": 3, "processes": 2}, "2 processes cannot share it evenly"),
        ({"steps": 0}, "steps=0 must be more than 0"),
        ({"peft": 3}, "peft=int is not one of peft's configs"),
        ({"args": {"optim": object()}}, "every value must be plain"),
        ({"loss_on": "everything"}, "loss_on='everything'"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else "",
)
def test_impossible_settings_are_refused_where_they_are_written(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingError, match=f"SFT.*{said}"):
        dr.SFT("base", **settings)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: dr.GRPO("base", rewards=()), "rewards= is missing"),
        (lambda: dr.GRPO("base", rewards=dr.testing.Echo()), r"say what echo is to judge: dr\.LLMReward"),
        (lambda: dr.GRPO("base", rewards=short, batch_size=6, generations=4), "batch_size=6 counts completions"),
        (lambda: dr.GRPO("base", rewards=short, generations=1), "2 or more"),
        (lambda: dr.RLOO("base", rewards=[short, short], reward_weights=[1]), "2 rewards need 2 reward_weights, not 1"),
        (lambda: dr.GRPO("base", rewards=short, init="scratch"), "a model that cannot write yet"),
        (lambda: dr.PPO("base", rewards=short, early_stopping=2), "early_stopping= is not possible"),
        (lambda: dr.GRPO("base", rewards=dr.LLMReward(dr.testing.Echo(), "{completion}"), processes=2, batch_size=16), "train with processes=1"),
        (lambda: dr.LLMReward(dr.testing.Echo(), "Rate {prompt}"), "must show the judge the {completion}"),
        (lambda: dr.LLMReward(dr.testing.Echo(), "{completion}", scale=(3, 1)), "must go up"),
        (lambda: dr.Distill("base"), "teacher= is missing"),
        (lambda: dr.Distill("base", teacher="x", beta=2), "between 0"),
        (lambda: dr.DPO("base", init="scratch"), "train a model with dr.SFT first"),
        (lambda: dr.KTO("base", batch_size=1), "less than 2 rows"),
        (lambda: dr.Classifier("base", labels=["a"]), "needs two or more"),
        (lambda: dr.Classifier("base", labels=["a", "a"]), "names one twice"),
        (lambda: dr.SetFit("base", sampling="all"), "is not one of"),
        (lambda: dr.SentenceTransformerTrainer("base", matryoshka=()), "dimensions of 1 and more"),
        (lambda: dr.SentenceTransformerTrainer("base", init="scratch"), "pre-train the encoder first"),
        (lambda: dr.MistralFineTune("base"), "give epochs= or steps="),
    ],
    ids=range(20),
)
def test_settings_of_one_trainer_are_refused_where_they_are_written(make: Any, said: str) -> None:
    with pytest.raises(SettingError, match=said):
        make()


def test_a_reward_that_reads_a_missing_column_is_refused() -> None:
    with pytest.raises(SettingError, match=r"the reward by_answer reads 'answer', and the frame has 'prompt', 'anwer'\. Did you mean 'anwer'\?"):
        dr.frame({"prompt": ["a"], "anwer": ["b"]}).train(dr.GRPO("base", rewards=by_answer))
    with pytest.raises(SettingError, match="LLMReward reads 'topic'"):
        CHAT.train(dr.GRPO("base", rewards=dr.LLMReward(dr.testing.Echo(), "{topic}: {completion}")))


def test_a_reward_takes_the_columns_it_names() -> None:
    rows = dr.frame({"prompt": ["a"], "answer": ["b"], "other": ["c"]})
    assert dict(rows.train(dr.GRPO("base", rewards=by_answer)).step.columns) == {"prompt": "prompt", "answer": "answer"}
    assert dict(rows.train(dr.GRPO("base", rewards=by_answer), answer="other").step.columns) == {"prompt": "prompt", "answer": "other"}


def test_labels_of_an_enum_outside_the_set_are_refused() -> None:
    rows = dr.frame({"text": ["a"], "label": ["x"]}).cast({"label": pl.Enum(["x", "y"])})
    with pytest.raises(SettingError, match=r"the Enum's categories have labels outside the set: 'y'. The labels are 'x', 'z'"):
        rows.train(dr.Classifier("base", labels=["x", "z"]))


