"""Strengths of a frame of comparisons: what a winner may be called, types, errors, and what is told of it."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

import dreamframe as dr

A, B = ["x", "x", "y", "z"], ["y", "y", "z", "x"]


def games(winner: list[Any], **columns: Any) -> dr.Frame:
    return dr.frame({"one": A, "two": B, "winner": winner, **columns})


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


@pytest.mark.parametrize(
    "winner",
    [["a", "tie", "b", "a"], ["one", "tie (bothbad)", "two", "one"], ["x", "tie", "z", "z"],
     pl.Series(["a", "tie", "b", "a"], dtype=pl.Enum(["a", "b", "tie"]))],
    ids=["verdicts", "columns", "items", "an enum"],
)
def test_a_winner_is_a_verdict_the_name_of_its_column_or_the_item_itself(winner: Any):
    made = games(winner).bradley_terry("one", "two", draws=0)
    assert made.collect().select("item", "wins", "losses", "ties").rows() == [("z", 2, 0, 0), ("x", 1, 1, 1), ("y", 0, 2, 1)]
    assert made.collect()["elo"].mean() == pytest.approx(1000)
    assert made.schema == made.collect().schema


def test_rows_that_say_nothing_are_left_out():
    rows = dr.frame({"one": ["x", None, "x", "x"], "two": ["y", "y", "x", "y"], "winner": ["a", "a", "a", None]})
    assert rows.bradley_terry("one", "two").collect()["wins"].to_list() == [1, 0]
    assert rows.filter(False).bradley_terry("one", "two").collect().is_empty()


def test_items_may_be_numbers_and_intervals_hold_the_strength():
    made = dr.frame({"one": [1, 1, 2] * 9, "two": [2, 3, 3] * 9, "who": [1, 1, 2] * 8 + [2, 3, 3]}).bradley_terry("one", "two", "who", draws=100).collect()
    assert made["item"].to_list() == [1, 2, 3]
    assert made.select((pl.col("elo_low") <= pl.col("elo")) & (pl.col("elo") <= pl.col("elo_high"))).to_series().all()


def test_verdicts_of_a_judge_rank_the_models_that_wrote_the_answers():
    llm = dr.testing.Scripted(lambda asked: "Response A" if asked.index("good") < asked.index("Response B") else "Response B")
    answers = dr.frame({"q": ["1", "2"], "x": ["good", "bad"], "y": ["bad", "good"], "model_x": ["m", "n"], "model_y": ["n", "m"]})
    table = answers.judge(llm, "x", "y", prompt="q").bradley_terry("model_x", "model_y").collect()
    assert table["item"].to_list() == ["m", "n"]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: games(["a"] * 4).bradley_terry("one", "tow"), "tow.*Did you mean 'two'"),
        (lambda: games(["a"] * 4).bradley_terry("one", "one"), "a and b are both 'one'"),
        (lambda: games(["a"] * 4, n=[1] * 4).bradley_terry("one", "n"), "'one' is String and 'n' is Int64; cast one"),
        (lambda: games(["a"] * 4).bradley_terry("one", "two", prior=-1), "prior=-1.0; give a number of wins"),
        (lambda: games(["a"] * 4).bradley_terry("one", "two", confidence=95), "confidence=95; give a share between 0 and 1"),
        (lambda: games(["a"] * 4).bradley_terry("one", "two", draws=1.5), "draws=1.5; give a number of resamples"),
        (lambda: games(["a"] * 4).bradley_terry(pl.col("one"), "two"), "a= is .*give the name of a column"),
    ],
)
def test_what_cannot_be_is_an_error_when_the_plan_is_built(make: Any, error: str):
    with pytest.raises(dr.errors.PlanError, match=error):
        make()


def test_a_winner_that_is_nobody_or_may_be_either_is_an_error_that_says_where():
    with pytest.raises(dr.errors.SchemaError, match=r"bradley_terry: 'winner' is 'w' where 'one' is 'x' and 'two' is 'y'; it must be 'a', 'b', 'tie'"):
        games(["w"] * 4).bradley_terry("one", "two").collect()
    either = dr.frame({"one": ["b"], "two": ["a"], "winner": ["a"]})
    with pytest.raises(dr.errors.SchemaError, match="which can be either"):
        either.bradley_terry("one", "two").collect()


def test_explain_says_what_is_compared():
    assert "BRADLEY TERRY ← one or two by winner, 95% intervals of 1,000 resamples" in games(["a"] * 4).bradley_terry("one", "two").explain()
