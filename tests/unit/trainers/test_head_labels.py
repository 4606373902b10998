"""The order of a head's labels: a base that knows exactly the labels of the rows goes on from what it knows."""

from __future__ import annotations

import json
import shutil
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import TrainingError
from dreamframe.trainers.head_labels import in_heads_order, known_labels, order_of_head
from tests.micro import micro_causal, micro_classifier, micro_encoder

pytestmark = pytest.mark.slow  # torch and transformers are loaded

TEXTS = ["the kettle boils", "the lamp is warm", "bread in one line", "is tea good", "yes", "no coffee"]
STILL = {"steps": 1, "batch_size": 2, "device": "cpu", "learning_rate": 1e-12}  # a rate that changes nothing


@pytest.mark.parametrize(
    ("labels", "known", "order"),
    [
        pytest.param(["negative", "positive"], ["positive", "negative"], ["positive", "negative"], id="the head's"),
        pytest.param(["negative", "positive"], ["POSITIVE", "Negative "], ["positive", "negative"], id="whatever the case"),
        pytest.param(["a", "b"], ["positive", "negative"], ["a", "b"], id="others"),
        pytest.param(["negative", "positive"], ["positive", "neutral", "negative"], ["negative", "positive"], id="some of them"),
        pytest.param(["false", "true"], ["True", "False"], ["true", "false"], id="truth values"),
        pytest.param(["0", "1", "10", "2"], ["LABEL_0", "LABEL_1", "LABEL_2", "LABEL_10"], ["0", "1", "2", "10"], id="numbers of unnamed outputs"),
        pytest.param(["A", "a"], ["a", "A"], ["A", "a"], id="names that differ in case alone"),
        pytest.param(["a", "b"], [], ["a", "b"], id="no head"),
        pytest.param(["5", "1"], ["1", "5"], ["1", "5"], id="stars"),
    ],
)
def test_labels_are_put_into_the_order_of_a_head_that_knows_exactly_them(labels: list[str], known: list[str], order: list[str]) -> None:
    assert list(in_heads_order(labels, known)) == order


def answers(model: dr.Model | dr.HFClassifier, **settings: Any) -> list[Any]:
    classifier = model.classifier(threads=1, **settings) if isinstance(model, dr.Model) else model
    return dr.frame({"text": TEXTS}).classify(classifier, None, "text", into="y").collect()["y"].to_list()


@lru_cache
def answers_of_base(labels: tuple[str, ...]) -> list[Any]:
    """What the base with these labels says before any training; asked once."""
    return answers(dr.HFClassifier(str(micro_classifier(labels=labels)), threads=1))


LABELS = [
    pytest.param(["positive", "negative"] * 3, {}, id="text"),
    pytest.param(["positive", "negative"] * 3, {"labels": ["negative", "positive"]}, id="labels= in another order"),
    pytest.param(["positive", "negative"] * 3, {"peft": {"r": 2, "target_modules": ["query"]}}, id="an adapter"),
    pytest.param(pl.Series(["positive", "negative"] * 3, dtype=pl.Enum(["negative", "positive"])), {}, id="Enum"),
    pytest.param(["Positive", "Negative"] * 3, {}, id="another case"),
]


@pytest.mark.parametrize(("labels", "settings"), LABELS)
def test_a_training_that_changes_nothing_changes_no_answer(labels: Any, settings: dict[str, Any]) -> None:
    names = ("positive", "negative")
    base, before = micro_classifier(labels=names), answers_of_base(names)
    model = dr.frame({"text": TEXTS, "label": labels}).train(dr.Classifier(str(base), **STILL, **settings))
    with dr.Session(None, progress=False):
        assert [label.lower() for label in answers(model)] == before


def test_a_head_of_any_number_of_labels_keeps_their_order() -> None:
    base = micro_classifier(labels=("positive", "negative"), multi_label=True)
    before = answers(dr.HFClassifier(str(base), multi_label=True, threshold=0.5, threads=1))
    rows = dr.frame({"text": TEXTS, "label": [["positive"], ["negative"], ["positive", "negative"]] * 2})
    with dr.Session(None, progress=False):
        assert answers(rows.train(dr.Classifier(str(base), **STILL))) == before


@pytest.mark.parametrize("labels", [[0, 1] * 3, ["0", "1"] * 3, [False, True] * 3], ids=["ints", "digits", "bools"])
def test_labels_without_names_are_the_outputs_by_number(labels: Any) -> None:
    names = ("LABEL_0", "LABEL_1")
    base, before = micro_classifier(labels=names), [str(label)[-1] for label in answers_of_base(names)]
    with dr.Session(None, progress=False):
        seen = answers(dr.frame({"text": TEXTS, "label": labels}).train(dr.Classifier(str(base), **STILL)))
    assert [{"false": "0", "true": "1"}.get(label, label) for label in seen] == before


def test_one_that_was_trained_in_an_order_of_its_own_is_trained_on_in_it() -> None:
    rows = dr.frame({"text": TEXTS, "label": ["positive", "negative"] * 3})
    with dr.Session(None, progress=False):
        first = rows.train(dr.Classifier(str(micro_encoder()), labels=["positive", "negative"], **{**STILL, "learning_rate": 0.01}))
        before = answers(first)
        assert answers(rows.train(dr.Classifier(first, **STILL))) == before


def test_tags_are_put_into_the_order_of_a_head_of_tags_alone(tmp_path: Path) -> None:
    base = micro_classifier(labels=("positive", "negative"))
    assert known_labels(base, heads=("ForTokenClassification",)) == []
    assert known_labels(base) == ["positive", "negative"]
    assert known_labels(micro_encoder()) == []
    assert known_labels(micro_causal()) == []
    assert known_labels(tmp_path) == []


def test_a_key_moves_only_where_the_order_does(tmp_path: Path) -> None:
    kept = [micro_classifier(), micro_encoder(), micro_classifier(labels=("LABEL_0", "LABEL_1"))]
    assert [order_of_head(str(base), None) for base in kept] == [None] * 3
    base = str(micro_classifier(labels=("positive", "negative")))
    assert order_of_head(base, None) == ["positive", "negative"]
    assert order_of_head(base, ["positive", "negative"]) is None
    assert order_of_head(base, ["negative", "positive"]) == ["positive", "negative"]
    assert order_of_head(dr.HFClassifier(base), None) == ["positive", "negative"]
    assert order_of_head("nowhere/at/all", None) is None
    assert "head" not in dr.Classifier(str(micro_classifier())).identity_fields()
    assert dr.Classifier(base).identity_fields()["head"] == ["positive", "negative"]
    assert "head" not in dr.Classifier(base, init="scratch").identity_fields()
    shutil.copytree(base, tmp_path / "torn")
    (tmp_path / "torn" / "config.json").write_text("{")
    assert known_labels(tmp_path / "torn") == []


# Cross-encoders


def encoder_rows(labels: list[str], **more: Any) -> dr.Frame:
    return dr.frame({"sentence1": TEXTS[: len(labels)], "sentence2": TEXTS[: len(labels)][::-1], "label": labels, **more})


def test_a_cross_encoders_head_keeps_its_order_and_tells_it() -> None:
    names = ("entailment", "neutral", "contradiction")
    base = micro_classifier(labels=names)
    rows = encoder_rows(["contradiction", "entailment", "neutral"] * 2)
    with dr.Session(None, progress=False):
        model = rows.train(dr.CrossEncoderTrainer(str(base), **STILL))
        held = json.loads((model.path / "config.json").read_text())
    assert [held["id2label"][str(i)] for i in range(3)] == list(names)
    assert model.summary()["labels"] == list(names)


def test_validation_rows_that_lack_a_class_have_the_same_numbers() -> None:
    from dreamframe.trainers import cross_encoder

    labels = ["a", "b", "c"]
    marked = cross_encoder._numbered(pl.DataFrame({"label": ["c", "b"]}), labels, "x", is_named=True)
    assert marked is not None
    assert marked["label"].to_list() == [2, 1]
    with pytest.raises(TrainingError, match="labels outside the set: 'd'"):
        cross_encoder._numbered(pl.DataFrame({"label": ["d"]}), labels, "x", is_named=True)
