"""dr.HFClassifier on models that this test session builds: labels and scores, many labels, zero-shot, limits, trained models."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ContextLengthError, RowsFailedError, SettingError
from dreamframe.models.task_models.base import labels_of, predictions, read_prediction, read_predictions
from tests.asking import ask_all, texts
from tests.micro import micro_causal, micro_classifier

pytestmark = pytest.mark.slow  # torch and transformers are loaded

TEXTS = ["tea", "the lamp is warm", "bread and coffee " * 6, "no", "a kettle boils", "yes"]


@pytest.fixture(autouse=True)
def in_memory() -> Any:
    with dr.Session(None) as session:
        yield session


def classifier(**settings: Any) -> dr.HFClassifier:
    return dr.HFClassifier(micro_classifier(), **{"threads": 1, **settings})


def frame(texts: list[str | None] = TEXTS) -> Any:
    return dr.frame(pl.DataFrame({"text": texts}, schema={"text": pl.String}))


def by_hand(folder: Path) -> list[list[float]]:
    """The logits of each text alone."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        return [model(**tokenizer(t, return_tensors="pt")).logits[0].tolist() for t in TEXTS]


def softmax(values: list[float]) -> list[float]:
    import math

    powers = [math.exp(v - max(values)) for v in values]
    return [p / sum(powers) for p in powers]


def test_labels_and_scores_are_those_of_each_text_alone() -> None:
    rows = frame().classify(classifier(), None, "text", into="mood").collect()
    expected = [softmax(v) for v in by_hand(micro_classifier())]
    assert rows["mood"].to_list() == [("negative", "positive")[e.index(max(e))] for e in expected]
    assert rows["mood_score"].to_list() == pytest.approx([max(e) for e in expected], abs=1e-5)
    assert rows["mood"].n_unique() == 2


def test_named_labels_of_the_model_type_the_column() -> None:
    rows = frame([*TEXTS, None]).classify(classifier(), ["positive", "negative"], "text")
    assert rows.schema["label"] == pl.Enum(["positive", "negative"])
    made = rows.collect()
    assert made["label"][-1] is None
    assert made["label_score"][:-1].is_between(0.5, 1).all()


def test_some_of_the_models_labels_share_the_score_among_them() -> None:
    three = dr.HFClassifier(micro_classifier(labels=("a", "b", "c")), threads=1)
    logits = by_hand(micro_classifier(labels=("a", "b", "c")))
    rows = frame().classify(three, ["c", "a"], "text").collect()
    expected = [softmax([v[2], v[0]]) for v in logits]
    assert rows["label"].to_list() == [("c", "a")[e.index(max(e))] for e in expected]
    assert rows["label_score"].to_list() == pytest.approx([max(e) for e in expected], abs=1e-5)


def test_many_labels_are_each_scored_by_themselves() -> None:
    model = dr.HFClassifier(micro_classifier(labels=("a", "b", "c"), multi_label=True), multi_label=True, threshold=0.5, threads=1)
    rows = frame().classify(model, None, "text")
    assert rows.schema == {"text": pl.String, "label": pl.List(pl.String), "label_score": pl.List(pl.Float64)}
    made = rows.collect()
    logits = by_hand(micro_classifier(labels=("a", "b", "c"), multi_label=True))
    assert made["label"].to_list() == [[label for label, x in zip("abc", v, strict=True) if x >= 0] for v in logits]
    assert set(made["label"].list.len()) != {0}


def test_an_entailment_model_takes_any_labels() -> None:
    model = dr.HFClassifier(micro_classifier(labels=("contradiction", "neutral", "entailment")), threads=1, hypothesis="about {}")
    rows = frame().classify(model, ["drinks", "light", "food"], "text").collect()
    assert rows["label"].n_unique() > 1
    assert rows["label_score"].is_between(1 / 3, 1).all()
    (alone,) = ask_all(model, [TEXTS[2]], form="input", json_schema=model.question(["drinks", "light", "food"]).json_schema)
    label, score = read_prediction(alone.text, None)
    assert (label, score) == (rows["label"][2], pytest.approx(rows["label_score"][2], abs=1e-6))


def test_labels_that_a_model_does_not_know_are_refused() -> None:
    with pytest.raises(SettingError, match=r"it tells 'negative', 'positive', and was not trained on entailment, so it cannot tell 'drinks'"):
        frame().classify(classifier(), ["drinks"], "text").collect()


def test_a_text_over_the_limit_is_a_failed_row_unless_it_may_be_cut() -> None:
    long = "bread " * 300
    error, good = ask_all(classifier(), [long, "tea"], form="input")
    assert isinstance(error, ContextLengthError)
    assert "truncate=True" in str(error)
    assert good.n_in < 20
    with pytest.raises(RowsFailedError):
        frame([long]).classify(classifier(), None, "text").collect()
    (cut,) = ask_all(classifier(truncate=True), [long], form="input")
    assert cut.n_in == 256


def test_the_batch_does_not_change_the_label() -> None:
    together = texts(ask_all(classifier(batch_tokens=10_000), TEXTS, form="input"))
    alone = texts(ask_all(classifier(batch_tokens=1), TEXTS, form="input"))
    assert [t[:20] for t in together] == [t[:20] for t in alone]


def test_a_second_run_loads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame().classify(classifier(), None, "text")
    with dr.Session(tmp_path / "s"):
        first = rows.collect()
    monkeypatch.setattr(dr.HFClassifier, "open", lambda self: pytest.fail("loaded"))
    with dr.Session(tmp_path / "s") as session:
        assert rows.collect().equals(first)
        assert session.usage()["calls"] == 0


def test_identity_is_content_and_what_decides(tmp_path: Path) -> None:
    shutil.copytree(micro_classifier(), tmp_path / "other")
    assert dr.HFClassifier(tmp_path / "other").identity_fields() == dr.HFClassifier(micro_classifier()).identity_fields()
    assert classifier(threshold=0.3).identity_fields() != classifier().identity_fields()
    assert classifier(batch_tokens=5).identity_fields() == classifier().identity_fields()


@pytest.mark.parametrize("settings", [{"threshold": 2}, {"hypothesis": "about"}, {"dtype": "int1"}, {"concurrency": 0}], ids=lambda s: next(iter(s)))
def test_impossible_settings_are_refused_where_they_are_written(settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=next(iter(settings))):
        classifier(**settings)


def test_a_language_model_is_no_classifier() -> None:
    with pytest.raises(SettingError, match="is not a classifier: it has no weights for"):
        texts(ask_all(dr.HFClassifier(micro_causal(), threads=1), ["tea"], form="input"))


@pytest.mark.parametrize("peft", [False, True], ids=["whole", "adapter"])
def test_a_model_that_the_plan_trains_classifies_later_rows(peft: bool) -> None:
    from peft import LoraConfig

    rows = dr.frame({"text": ["tea tea", "bread bread"] * 8, "label": ["drink", "food"] * 8})
    tuning = {"peft": LoraConfig(r=8, target_modules="all-linear")} if peft else {}
    model = rows.train(dr.Classifier(micro_classifier(), steps=30, batch_size=8, learning_rate=1e-2, **tuning), text="text", label="label")
    asked = frame(["tea tea", "bread bread"]).classify(model.classifier(threads=1), ["drink", "food"], "text").collect()
    assert asked["label"].to_list() == ["drink", "food"]


def test_a_trained_language_model_is_no_classifier() -> None:
    model = dr.frame({"prompt": ["a"], "completion": ["b"]}).train(dr.SFT(micro_causal(), steps=1))
    with pytest.raises(SettingError, match=r"does not make a classifier \(it makes: llm\)"):
        model.classifier()


def test_many_labels_travel_as_text() -> None:
    assert read_predictions(predictions([("a", 0.5), ("b", 1)]), None) == (["a", "b"], [0.5, 1.0])
    assert read_predictions(predictions([]), ["a"]) == ([], [])
    assert labels_of(classifier().question(["x", "y"])) == ["x", "y"]


def test_all_scores_are_the_models_own_for_each_text_alone() -> None:
    rows = frame().classify(classifier(), None, "text", into="mood", scores=True).collect()
    expected = [dict(zip(("negative", "positive"), softmax(v), strict=True)) for v in by_hand(micro_classifier())]
    for told, real in zip(rows["mood_scores"].to_list(), expected, strict=True):
        assert {t["label"]: t["score"] for t in told} == pytest.approx(real, abs=1e-5)
        assert told[0]["score"] == max(t["score"] for t in told)
    assert [told[0]["label"] for told in rows["mood_scores"].to_list()] == rows["mood"].to_list()


def test_with_many_labels_each_has_a_score_of_its_own_whether_it_is_given_or_not() -> None:
    rows = frame().classify(classifier(multi_label=True, threshold=0.99), None, "text", into="mood", scores=True).collect()
    assert all(len(told) == 2 for told in rows["mood_scores"].to_list())
    assert rows["mood"].list.len().min() == 0
