"""Verifiers: one object as a column, a condition, a reward and a metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, SettingError
from dreamframe.prompts.verifier import Verifier
from dreamframe.trainers.rewards import _called, _reads

ROWS = {"answer": ["It is 4.", "5", None, "6"], "gold": ["4", "6", "1", None]}
NUMBER = dr.verify.number("answer", "gold")
INC = "Here:\n```python\ndef inc(x):\n    return x + 1\n```"
JUDGED: list[tuple[Verifier, str | None, dict[str, Any], bool | None]] = [
    (NUMBER, "4", {"gold": 4}, True),
    (NUMBER, "4", {"gold": 4.5}, False),
    (NUMBER, r"\boxed{4}", {"gold": "#### 4"}, True),
    (NUMBER, "4", {"gold": None}, None),
    (NUMBER, None, {"gold": 4}, False),
    (dr.verify.exact("answer", "gold"), " tea", {"gold": ["rain", "tea"]}, True),
    (dr.verify.exact("answer", "gold", normalize="none"), " tea", {"gold": "tea"}, False),
    (dr.verify.exact("answer", "gold", normalize="squad"), "The Nile.", {"gold": "nile"}, True),
    (dr.verify.choice("answer", "gold"), r"A? No: \boxed{\text{B}}", {"gold": "B"}, True),
    (dr.verify.choice("answer", "gold"), "The answer is **C**. A and B are wrong.", {"gold": "(C)"}, True),
    (dr.verify.choice("answer", "gold"), "b", {"gold": "B"}, True),
    (dr.verify.choice("answer", "gold"), "None of them", {"gold": "B"}, False),
    (dr.verify.choice("answer", "gold"), "nothing", {"gold": "nothing"}, False),
    (dr.verify.regex("answer", r"^\d+$"), "42", {}, True),
    (dr.verify.regex("answer", r"^\d+$"), "x42", {}, False),
    (dr.verify.json("answer"), '```json\n{"a": 1}\n```', {}, True),
    (dr.verify.json("answer"), "{a: 1}", {}, False),
    (dr.verify.json("answer", {"a": int}), '{"a": 1}', {}, True),
    (dr.verify.json("answer", {"a": int}), '{"a": "one"}', {}, False),
    (dr.verify.code("answer", "tests"), INC, {"tests": ["assert inc(1) == 2"]}, True),
    (dr.verify.code("answer", "tests"), INC, {"tests": ["assert inc(1) == 3"]}, False),
    (dr.verify.code("answer"), "1 / 0", {}, False),
    (dr.verify.sql("answer"), "```sql\nSELECT a, count(*) FROM t GROUP BY a;\n```", {}, True),
    (dr.verify.sql("answer"), "SELEC a FROM t", {}, False),
    (dr.verify.sql("answer"), "SELECT (1", {}, False),
    (dr.verify.sql("answer"), "SELECT 1; DROP TABLE t", {}, False),
    (dr.verify.sql("answer"), "", {}, False),
    (dr.verify.sql("answer"), "SELECT '\0'", {}, False),
]


@pytest.mark.parametrize(("verifier", "answer", "beside", "right"), JUDGED)
def test_an_answer_is_right_wrong_or_not_known(verifier: Verifier, answer: str | None, beside: dict[str, Any], right: bool | None):
    assert verifier.right([answer], *([v] for v in beside.values())) == [right]


def test_it_is_a_column_by_a_verb_and_in_an_expression():
    rows = dr.frame(ROWS)
    assert rows.verify(NUMBER).collect()["ok"].to_list() == [True, False, False, None]
    assert rows.with_columns(right=NUMBER).collect()["right"].to_list() == [True, False, False, None]
    assert rows.select("gold", NUMBER).columns == ["gold", "ok"]


def test_it_is_a_condition_of_filter_and_until():
    rows = dr.frame(ROWS)
    assert rows.filter(NUMBER).collect().to_dict(as_series=False) == {"answer": ["It is 4."], "gold": ["4"]}
    assert rows.until(1, where=NUMBER, max_candidates=4).collect()["gold"].to_list() == ["4"]
    assert rows.filter(NUMBER, pl.col("gold") == "1").collect().height == 0


def test_it_is_a_metric(tmp_path: Path):
    with dr.Session(tmp_path):
        report = dr.frame(ROWS).evaluate(NUMBER, found=dr.verify.regex("answer", r"\d"))
    assert report["number"].value == pytest.approx(1 / 3)
    assert (report["number"].n, report["number"].n_unknown) == (3, 1)
    assert report["found"].value == 0.75


def test_it_is_a_reward_that_reads_the_columns_it_names():
    assert _reads(NUMBER) == {"gold": True}
    rows = pl.DataFrame({"prompt": ["?"] * 3, "completion": ["4", "5", "6"], "gold": ["4", "4", None]})
    assert _called(NUMBER, "number", rows, "GRPO") == [1.0, 0.0, None]
    assert NUMBER([[{"role": "assistant", "content": "4"}]], gold=["4"], prompts=["?"]) == [1.0]  # as TRL hands over chats
    with pytest.raises(ColumnNotFoundError, match="gold"):
        NUMBER(["4"])


def test_equal_verifiers_are_one_and_go_through_json():
    assert dr.verify.number("answer", "gold") == NUMBER
    assert dr.verify.number("answer", "gold", tolerance=0) != NUMBER
    for verifier in (NUMBER, dr.verify.json("answer", {"a": int}), dr.verify.sql("answer")):
        frame = dr.frame(ROWS).verify(verifier).run_code("answer", into="ran")
        again = dr.from_json(frame.to_json())
        assert again.step.key({}) == frame.step.key({})


@pytest.mark.parametrize(
    "make",
    [
        lambda: dr.verify.number("a", "b", tolerance=-1), lambda: dr.verify.regex("a", "("), lambda: dr.verify.choice("a", "b", choices="A"),
        lambda: dr.verify.code("a", memory="much"), lambda: dr.verify.code("a", timeout=0), lambda: dr.verify.code("a", memory="1MB"),
        lambda: dr.verify.exact("a", "b", normalize="x"), lambda: dr.verify.sql(pl.col("a")), lambda: dr.frame(ROWS).verify(len),  # type: ignore[arg-type]
        lambda: dr.frame(ROWS).run_code("answer", language="cobol"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_at_once(make: Any):
    with pytest.raises(SettingError):
        make()


def test_columns_that_are_not_there_are_named():
    with pytest.raises(ColumnNotFoundError, match="golden"):
        dr.frame(ROWS).verify(dr.verify.number("answer", "golden"))
    with pytest.raises(ColumnNotFoundError, match="golden"):
        dr.frame(ROWS).evaluate(dr.verify.number("answer", "golden"))
