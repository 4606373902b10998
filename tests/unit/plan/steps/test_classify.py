"""Classifying texts by language models and by models made for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, ClassVar, Literal

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.request import Completion, Request

ROWS = {"text": ["a good day", "bad tea", None, "rain"]}


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


@pytest.mark.parametrize("labels", [["good", "bad"], ("good", "bad"), Literal["good", "bad"], Mood], ids=["list", "tuple", "Literal", "Enum"])
def test_a_language_model_is_held_to_the_labels(labels: Any):
    llm = dr.testing.Scripted(lambda asked: "good" if "a good day" in asked else '{"answer": "bad"}')
    rows = dr.frame(ROWS).classify(llm, labels, "text", into="mood")
    assert rows.schema["mood"] == pl.Enum(["good", "bad"])
    assert rows.collect()["mood"].to_list() == ["good", "bad", None, "bad"]
    assert llm.prompts[0] == "Which label fits the text: good, bad? Answer with the label alone.\n\nText: a good day"


def test_an_answer_that_is_no_label_is_a_failed_row_and_no_default():
    llm = dr.testing.Scripted(lambda asked: "good" if "a good day" in asked else "hard to say")
    rows = dr.frame(ROWS).classify(llm, ["good", "bad"], "text", on_error="null")
    assert rows.collect()["label"].to_list() == ["good", None, None, None]
    assert rows.failures()["step"].to_list() == ["classify", "classify"]


def test_a_task_model_tells_label_and_score():
    model = dr.testing.NamingClassifier()
    rows = dr.frame(ROWS).classify(model, ["good", "bad"], "text", into="mood")
    assert rows.schema == {"text": pl.String, "mood": pl.Enum(["good", "bad"]), "mood_score": pl.Float64}
    assert rows.collect().rows() == [("a good day", "good", 1.0), ("bad tea", "bad", 1.0), (None, None, None), ("rain", "good", 0.5)]
    assert model.calls == 3


def test_a_task_model_has_labels_of_its_own():
    rows = dr.frame({"text": ["yes please"]}).classify(dr.testing.NamingClassifier(), None, "text")
    assert rows.schema["label"] == pl.String
    assert rows.collect().rows() == [("yes please", "yes", 1.0)]


def test_a_second_run_asks_a_task_model_nothing(tmp_path: Path):
    model = dr.testing.NamingClassifier()
    with dr.Session(tmp_path):
        dr.frame(ROWS).classify(model, ["good", "bad"], "text").collect()
        dr.frame(ROWS).reverse().classify(model, ["good", "bad"], "text", into="mood").collect()
    assert model.calls == 3


@dataclass(frozen=True)
class Rude(dr.testing.NamingClassifier):
    """Answers with what it was not asked for."""

    answer: str = "{}"
    provider: ClassVar[str] = "rude"

    def reply(self, request: Request) -> Completion:
        return Completion(self.answer)


@pytest.mark.parametrize("answer", ['{"label": "meh", "score": 1}', '{"label": "good"}', '{"label": "good", "score": "high"}', "good", "[]"], ids=repr)
def test_a_prediction_that_is_none_is_a_failed_row(answer: str):
    rows = dr.frame({"text": ["tea", None]}).classify(Rude(answer=answer), ["good", "bad"], "text", on_error="null")
    assert rows.collect()["label"].to_list() == [None, None]
    assert rows.failures()["error"].to_list() == ["ParseError"]
    with pytest.raises(dr.errors.RowsFailedError, match="1 of 2 rows failed"):
        dr.frame({"text": ["tea", None]}).classify(Rude(answer=answer), ["good", "bad"], "text").collect()


WRONG = {
    "no labels": (dr.testing.Echo(), None, "text", {}, dr.errors.SchemaError, "labels=None are not labels"),
    "a type": (dr.testing.Echo(), int, "text", {}, dr.errors.SchemaError, "are not labels"),
    "a column": (dr.testing.Echo(), ["a", "b"], "txt", {}, dr.errors.ColumnNotFoundError, "classify: no column 'txt'"),
    "a task model's column": (dr.testing.NamingClassifier(), ["a", "b"], "txt", {}, dr.errors.ColumnNotFoundError, "classify: no column 'txt'"),
    "a column that exists": (dr.testing.NamingClassifier(), ["a", "b"], "text", {"into": "text"}, dr.errors.DuplicateColumnError, "'text' exists already"),
    "numbers for a task model": (dr.testing.NamingClassifier(), [1, 2], "text", {}, dr.errors.SchemaError, "are not texts"),
    "a prompt for a task model": (dr.testing.NamingClassifier(), ["a"], "text", {"prompt": "?"}, dr.errors.SettingError, "is not a language model"),
    "on_error": (dr.testing.NamingClassifier(), ["a"], "text", {"on_error": "skip"}, dr.errors.SettingError, "on_error='skip'"),
    "a setting": (dr.testing.NamingClassifier(), ["a"], "text", {"temperature": 0}, dr.errors.SettingError, "no setting 'temperature'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_plan_is_checked_on_its_line(case: str):
    llm, labels, column, settings, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        dr.frame(ROWS).classify(llm, labels, column, **settings)


def test_the_scores_of_all_labels_are_a_column_where_they_are_asked_for():
    model = dr.testing.NamingClassifier()
    plain = dr.frame(ROWS).classify(model, ["good", "bad"], "text", into="mood")
    rows = dr.frame(ROWS).classify(model, ["good", "bad"], "text", into="mood", scores=True)
    assert rows.schema["mood_scores"] == pl.List(pl.Struct({"label": pl.Enum(["good", "bad"]), "score": pl.Float64}))
    out = rows.collect()
    assert out["mood_scores"].to_list() == [
        [{"label": "good", "score": 1.0}, {"label": "bad", "score": 0.0}],
        [{"label": "bad", "score": 1.0}, {"label": "good", "score": 0.0}],
        None,
        [{"label": "good", "score": 0.5}, {"label": "bad", "score": 0.5}],
    ]
    assert out.drop("mood_scores").equals(plain.collect())
    own = dr.frame({"text": ["yes please"]}).classify(model, None, "text", scores=True)
    assert own.collect()["label_scores"].to_list() == [[{"label": "yes", "score": 1.0}, {"label": "no", "score": 0.0}]]


def test_scores_are_refused_on_their_line_where_nobody_tells_them():
    with pytest.raises(dr.errors.SettingError, match=r"classify: scores= is told by task models such as dr\.HFClassifier; echo is a language model"):
        dr.frame(ROWS).classify(dr.testing.Echo(), ["good", "bad"], "text", scores=True)
    with pytest.raises(dr.errors.SettingError, match="mood: scores=True needs a model that tells the scores of all labels, and judge does not"):
        dr.frame(ROWS).classify(dr.RewardModel("me/judge"), None, "text", scores=True, name="mood")
