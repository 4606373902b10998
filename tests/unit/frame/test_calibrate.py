"""df.calibrate: probabilities that say how often their answers are right, by the rows that have a label."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, DuplicateColumnError, SchemaError, SettingError, TooFewRowsError


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def sure(asked: str) -> dict[Any, float]:
    """Says yes to everything, a little more surely where it is one."""
    return {True: 0.97, False: 0.03} if "good" in asked else {True: 0.9, False: 0.1}


def rows(n: int = 200, *, labelled: int = 100) -> pl.DataFrame:
    draw = Random(5)
    kinds = [draw.random() < 0.5 for _ in range(n)]
    gold = [(draw.random() < (0.8 if kind else 0.1)) if i < labelled else None for i, kind in enumerate(kinds)]
    return pl.DataFrame({"t": [f"{'good' if k else 'poor'} {i}" for i, k in enumerate(kinds)], "gold": gold}, schema={"t": pl.String, "gold": pl.Boolean})


def asked(frame: dr.Frame, llm: Any) -> dr.Frame:
    return frame.prompt(llm, "Well? {t}", "yes", schema=bool, probability="p")


def test_ten_lines_a_user_would_write() -> None:
    llm = dr.testing.Scripted(sure)
    made = asked(dr.frame(rows()), llm).calibrate("p", "gold").collect()
    good = made["t"].str.starts_with("good")
    assert made.filter(good)["p"].unique().to_list() == [pytest.approx(0.8, abs=0.1)]
    assert made.filter(~good)["p"].unique().to_list() == [pytest.approx(0.15, abs=0.1)], "its yes is less likely than not"
    assert made["yes"].all()
    assert llm.calls == 200


def test_labels_of_another_frame_are_asked_the_same_and_kept_apart() -> None:
    llm = dr.testing.Scripted(sure)
    labelled, others = asked(dr.frame(rows()), llm), asked(dr.frame(rows().tail(50).select("t")), llm)
    made = others.calibrate("p", "gold", labelled=labelled, into="q").collect()
    assert made.columns == ["t", "yes", "p", "q"]
    assert made["q"].to_list() == asked(dr.frame(rows()), llm).calibrate("p", "gold").tail(50).collect()["p"].to_list()
    assert llm.calls == 200


def test_another_label_makes_them_anew_and_asks_nothing(tmp_path: Path) -> None:
    llm = dr.testing.Scripted(sure)
    with dr.Session(tmp_path):
        first = asked(dr.frame(rows()), llm).calibrate("p", "gold")
        before = first.collect()["p"]
        changed = asked(dr.frame(rows(labelled=60)), llm).calibrate("p", "gold")
        assert changed.step.key({}) != first.step.key({})
        after = changed.collect(offline=True)["p"]
    assert before.to_list() != after.to_list()
    assert llm.calls == 200


def test_the_order_of_the_rows_changes_nothing() -> None:
    llm = dr.testing.Scripted(sure)
    made = asked(dr.frame(rows()), llm).calibrate("p", "gold").sort("t").collect()
    assert made.equals(asked(dr.frame(rows().reverse()), llm).calibrate("p", "gold").sort("t").collect())


def test_a_label_among_several_is_right_or_not() -> None:
    llm = dr.testing.Scripted(lambda text: {"a": 0.6, "b": 0.4} if int(text.split()[-1]) % 2 else {"b": 0.9})
    gold = ["a" if i % 2 and i % 4 != 1 else "b" for i in range(80)]
    frame = dr.frame({"t": [f"x {i}" for i in range(80)], "gold": gold}).classify(llm, ["a", "b", "c"], "t", into="kind", probability="p")
    made = frame.calibrate("p", "gold", method="isotonic").collect()
    assert made.filter(pl.col("kind") == "a")["p"].unique().to_list() == [pytest.approx(0.5, abs=0.01)]
    assert made.filter(pl.col("kind") == "b")["p"].unique().to_list() == [1.0]


def test_rows_without_answer_have_no_probability_and_those_of_task_models_can_be_calibrated() -> None:
    frame = dr.frame({"t": ["a good day", None] * 30, "gold": (["good", None] * 20 + ["bad", None] * 10)})
    made = frame.classify(dr.testing.NamingClassifier(), ["bad", "good"], "t").calibrate("label_score", "gold", answer="label").collect()
    assert made["label_score"].null_count() == 30
    assert made["label_score"].drop_nulls().unique().to_list() == [pytest.approx(2 / 3, abs=0.03)]


def test_what_cannot_be_calibrated_says_so_when_the_plan_is_built() -> None:
    frame = asked(dr.frame(rows()), dr.testing.Scripted(sure))
    for make, error, words in (
        (lambda: frame.calibrate("q", "gold"), SettingError, "Say answer="),
        (lambda: frame.calibrate("p", "golden"), ColumnNotFoundError, "golden"),
        (lambda: frame.calibrate("p", "t"), SchemaError, "'yes' is Boolean and 't' is String"),
        (lambda: frame.calibrate("t", "gold", answer="yes"), SchemaError, "'t' is String"),
        (lambda: frame.calibrate("p", "gold", method="plat"), SettingError, "Did you mean 'platt'"),
        (lambda: frame.calibrate("p", "gold", into="t"), DuplicateColumnError, "'t'"),
        (lambda: frame.calibrate("p", "gold", labelled=rows()), SettingError, "give the frame of the labelled rows"),
        (lambda: frame.calibrate("p", "gold", labelled=dr.frame(rows())), ColumnNotFoundError, "'p'"),
    ):
        with pytest.raises(error, match=words):
            make()


def test_too_few_labels_and_labels_that_are_none_say_so_when_it_runs() -> None:
    with pytest.raises(TooFewRowsError, match=r"calibrate: 19 rows have an answer, its probability and a label in 'gold'; 20 are the least"):
        asked(dr.frame(rows(labelled=19)), dr.testing.Scripted(sure)).calibrate("p", "gold").collect()
    frame = dr.frame({"t": ["x"] * 30, "gold": ["godo"] * 30}).classify(dr.testing.Scripted(lambda _: "good"), ["good", "bad"], "t", probability="p")
    with pytest.raises(SettingError, match="'godo' in 'gold' is not one of the labels good, bad"):
        frame.calibrate("p", "gold").collect()


def test_the_plan_says_what_is_fitted_to_what() -> None:
    plan = asked(dr.frame(rows()), dr.testing.Scripted(sure)).calibrate("p", "gold", into="q")
    assert plan.explain().splitlines()[0].startswith("CALIBRATE p of yes as q by gold (platt)")
