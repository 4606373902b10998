"""Joins that a model decides: which pairs are asked about, which are kept, in which order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr

CVS = {"cv": ["cook", "baker", "pilot", "cook"], "town": ["Bern", "Basel", "Bern", "Basel"]}
JOBS = {"job": ["kitchen", "airline", "bakery"], "town": ["Bern", "Bern", "Basel"]}
FITS = {("cook", "kitchen"), ("baker", "bakery"), ("pilot", "airline"), ("baker", "kitchen")}


def fitting() -> dr.testing.Scripted:
    pairs = {f"Does {cv} fit {job}?": "Yes." if (cv, job) in FITS else "No." for cv in CVS["cv"] for job in JOBS["job"]}
    return dr.testing.Scripted(pairs, temperature=0)


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def joined(llm: dr.testing.Scripted, **settings: Any) -> dr.Frame:
    return dr.frame(CVS).join_by(dr.frame(JOBS), llm, "Does {cv} fit {job}?", **settings)


def test_pairs_answered_yes_are_joined_in_the_order_of_left_then_right():
    llm = fitting()
    rows = joined(llm)
    assert rows.columns == ["cv", "town", "job", "town_right"]
    assert rows.collect().select("cv", "job").rows() == [
        ("cook", "kitchen"), ("baker", "kitchen"), ("baker", "bakery"), ("pilot", "airline"), ("cook", "kitchen"),
    ]  # fmt: skip
    assert llm.calls == 9  # 12 pairs, of which 3 are asked again at temperature 0


BLOCKS: dict[str, tuple[Any, int]] = {
    "a column": ("town", 6),
    "columns": (["town"], 6),
    "an expression": (pl.col("town") == pl.col("town_right"), 6),
    "an inequality": (pl.col("town") < pl.col("town_right"), 4),
    "a function": (lambda pairs: pairs.filter(pl.col("town") == pl.col("town_right")).head(4), 4),
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_a_block_cuts_the_pairs_before_anything_is_asked(kind: str):
    block, n_pairs = BLOCKS[kind]
    llm = dr.testing.Scripted(lambda asked: "yes" if asked in fitting().script and fitting().script[asked] == "Yes." else "no")
    got = joined(llm, block=block).select("cv", "job").collect()
    assert llm.calls == n_pairs
    every = joined(fitting()).filter(pl.col("town") == pl.col("town_right")).select("cv", "job").collect()
    if n_pairs == 6:
        assert got.equals(every)


@pytest.mark.parametrize("kind", ["an expression", "an inequality"])
def test_a_block_keeps_the_order_of_many_pairs(kind: str):
    """Polars turns a filter over a cross join into another join: the order is a promise all the same."""
    left, right = pl.DataFrame({"i": range(200)}), pl.DataFrame({"j": range(60)})
    block = (pl.col("i") % 7 == pl.col("j") % 7) if kind == "an expression" else pl.col("i") < pl.col("j")
    llm = dr.testing.Scripted(lambda asked: "yes")
    got = dr.frame(left).join_by(dr.frame(right), llm, "{i} {j}", block=block).collect()
    assert got.rows() == sorted(left.join(right, how="cross").filter(block).rows())


def test_a_block_may_ask_a_cheaper_model_first():
    cheap = dr.testing.Scripted(lambda asked: "yes" if "cook" in asked else "no")
    dear = fitting()
    rows = joined(dear, block=dr.prompt(cheap, "Is {cv} near {job}?", schema=bool))
    assert rows.collect().select("cv", "job").rows() == [("cook", "kitchen"), ("cook", "kitchen")]
    assert dear.calls == 3


def test_columns_of_both_sides_get_a_suffix():
    same = dr.frame({"t": ["a", "b"]})
    llm = dr.testing.Scripted(lambda asked: "yes" if asked == "a and b?" else "no")
    assert same.join_by(same, llm, "{t} and {t_2}?", suffix="_2").to_dicts() == [{"t": "a", "t_2": "b"}]


def test_an_answer_that_is_neither_yes_nor_no_is_a_failed_row_and_no_match():
    llm = dr.testing.Scripted(lambda asked: "perhaps" if "pilot" in asked else "no")
    rows = joined(llm, on_error="null", repairs=0)
    assert rows.collect().height == 0
    assert rows.failures().height == 3
    with pytest.raises(dr.errors.RowsFailedError, match="neither a yes nor a no"):
        joined(llm, repairs=0).collect()


def test_a_second_run_and_a_longer_right_side_ask_for_new_pairs_only(tmp_path: Path):
    llm = dr.testing.Scripted(lambda asked: "no")
    with dr.Session(tmp_path):
        joined(llm).collect()
        joined(llm).collect()
        assert llm.calls == 12
        more = {"job": [*JOBS["job"], "school"], "town": [*JOBS["town"], "Bern"]}
        dr.frame(CVS).join_by(dr.frame(more), llm, "Does {cv} fit {job}?").collect()
    assert llm.calls == 16


WRONG: dict[str, tuple[Callable[[], dr.Frame], type[Exception], str]] = {
    "a column": (lambda: dr.frame(CVS).join_by(dr.frame(JOBS), fitting(), "{cv} {jobb}"), dr.errors.ColumnNotFoundError, "join_by: no column 'jobb'"),
    "the other side": (lambda: dr.frame(CVS).join_by(JOBS, fitting(), "{cv} {job}"), dr.errors.SettingError, "the other side is the dict"),
    "no block": (lambda: joined(fitting(), block=[]), dr.errors.SettingError, "names no column"),
    "a block of a wrong kind": (lambda: joined(fitting(), block=3), dr.errors.SettingError, "block= is a int"),
    "a block's column": (lambda: joined(fitting(), block="twon"), dr.errors.ColumnNotFoundError, "Did you mean 'town'"),
    "a block's expression": (lambda: joined(fitting(), block=pl.col("twon") == 1), dr.errors.ColumnNotFoundError, "Did you mean 'town"),
    "a block that gives no frame": (lambda: joined(fitting(), block=lambda pairs: 3), dr.errors.PlanError, "block= gave a int"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_plan_is_checked_on_its_line(case: str):
    make, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        make()


TEXTS = dr.frame({"t": ["tea", "rain", "tea", "jam"]})


@pytest.mark.parametrize("temperature", [0, 1.0], ids=["greedy", "sampled"])
def test_a_symmetric_question_is_asked_once_for_both_orders_and_for_equal_texts(temperature: float):
    def same_length(asked: str) -> str:
        a, b = asked.removesuffix("?").split(" = ")
        return "yes" if len(a) == len(b) else "no"

    llm = dr.testing.Scripted(same_length, temperature=temperature)
    found = TEXTS.join_by(TEXTS, llm, "{t} = {t_right}?", symmetric=True).collect()
    plain = dr.testing.Scripted(same_length, temperature=temperature)
    with dr.Session(None):
        assert found.equals(TEXTS.join_by(TEXTS, plain, "{t} = {t_right}?").collect())
    assert (llm.calls, plain.calls) == (6, 16 if temperature else 9), "3 texts: 3 pairs of two, 3 of one with itself"


def test_of_both_orders_the_prompt_that_sorts_first_is_asked():
    asked: list[str] = []

    def noted(prompt: str) -> str:
        asked.append(prompt)
        return "yes"

    TEXTS.head(2).join_by(TEXTS.head(2), dr.testing.Scripted(noted), "{t} = {t_right}?", symmetric=True).collect()
    assert sorted(asked) == ["rain = rain?", "rain = tea?", "tea = tea?"]


def test_a_symmetric_question_may_read_what_both_sides_are_blocked_by():
    rows = dr.frame({"t": ["tea", "rain", "jam"], "town": ["Bern", "Bern", "Basel"]})
    llm = dr.testing.Scripted(lambda _: "yes")
    assert rows.join_by(rows, llm, "In {town}: {t} = {t_right}?", block="town", symmetric=True).collect().height == 5
    assert llm.calls == 4


def test_a_symmetric_question_needs_the_same_columns_on_both_sides():
    with pytest.raises(dr.errors.SettingError, match=r"join_by: symmetric=True, and the prompt reads 'cv', which one side alone has\. Give both"):
        joined(fitting(), symmetric=True)


def test_a_symmetric_join_is_read_from_json():
    plan = TEXTS.join_by(TEXTS, dr.testing.Echo(), "yes {t} {t_right}", symmetric=True)
    again = dr.from_json(plan.to_json())
    assert again.step.key({}) == plan.step.key({})
    assert "'yes {t} {t_right}', either way round" in plan.explain()
    assert again.collect().equals(plan.collect())


def test_a_question_that_is_not_symmetric_keeps_its_key():
    plan = lambda **settings: TEXTS.join_by(TEXTS, dr.testing.Echo(), "yes {t} {t_right}", **settings)  # noqa: E731
    assert plan().step.key({}) == plan(symmetric=False).step.key({}) != plan(symmetric=True).step.key({})
