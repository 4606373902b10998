"""Preference pairs of scored answers."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, SchemaError

NAMES = ["prompt", "chosen", "rejected", "score_chosen", "score_rejected"]


def pairs(df: dr.Frame, **columns: str) -> list[tuple[Any, ...]]:
    with dr.Session(None):
        made = df.best_worst("a", by="s", prompt="q", **columns).collect()
    assert made.columns == NAMES
    return made.rows()


def test_the_best_and_the_worst_answer_to_each_question_make_a_pair_wherever_its_rows_stand() -> None:
    rows = {"q": ["x", "y", "x", "x", "y"], "a": ["1", "2", "3", "4", "5"], "s": [2, 7, 9, 1, 8], "more": [0] * 5}
    assert pairs(dr.frame(rows)) == [("x", "3", "4", 9.0, 1.0), ("y", "5", "2", 8.0, 7.0)]


@pytest.mark.parametrize(
    ("answers", "scores"),
    [
        (["1"], [1.0]),
        (["1", "2"], [3.0, 3.0]),
        (["1", "1"], [1.0, 2.0]),
        (["1", None], [1.0, 2.0]),
        (["1", "2"], [1.0, None]),
        (["1", "2"], [1.0, float("nan")]),
    ],
    ids=["one answer", "one score", "one text", "no answer", "no score", "NaN"],
)
def test_what_prefers_nothing_makes_no_pair(answers: list[Any], scores: list[Any]) -> None:
    assert pairs(dr.frame({"q": ["x"] * len(answers), "a": answers, "s": scores})) == []


def test_of_equal_scores_the_first_row_counts() -> None:
    assert pairs(dr.frame({"q": ["x"] * 4, "a": ["1", "2", "3", "4"], "s": [True, False, True, False]})) == [("x", "1", "2", 1.0, 0.0)]


def test_samples_in_lists_are_taken_as_they_are_and_train_a_preference() -> None:
    llm = dr.testing.Scripted(["no", "yes", "maybe"])
    with dr.Session(None):
        df = dr.frame({"q": ["x"]}).prompt(llm, "{q}", into="a", n=3).with_columns(s=pl.lit([1, 3, 2]))
        assert df.best_worst("a", by="s", prompt="q").collect().rows() == [("x", "yes", "no", 3.0, 1.0)]
        model = df.best_worst("a", by="s", prompt="q").train(dr.DPO("base", steps=1))
    assert dict(model.step.columns) == {"prompt": "prompt", "chosen": "chosen", "rejected": "rejected"}


def test_answers_may_be_chats() -> None:
    no, yes = ([{"role": "assistant", "content": said}] for said in ("no", "yes"))
    assert pairs(dr.frame({"q": ["x", "x"], "a": [no, yes], "s": [1, 2]})) == [("x", yes, no, 2.0, 1.0)]


def test_what_is_not_a_score_is_refused_when_the_plan_is_built() -> None:
    df = dr.frame({"q": ["x"], "a": [["1", "2"]], "s": ["good"], "n": [1]})
    with pytest.raises(SchemaError, match=r"^best_worst: by='s' has type String.*numbers, or true and false.*explode\('a'\)"):
        df.best_worst("a", by="s", prompt="q")
    with pytest.raises(SchemaError, match=r"explode\('a'\)"):
        df.best_worst("a", by="n", prompt="q")
    with pytest.raises(ColumnNotFoundError, match="best_worst: no column 'score'"):
        df.best_worst("a", by="score", prompt="q")
