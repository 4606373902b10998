"""What is said of rows that failed: alike ones once, a function's rows as what it was given, a verb's own rule by its name; and when nobody knows yet."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from tests.loopback.faults import FAULTS
from tests.loopback.server import Loopback

ROWS = dr.frame({"t": ["a", "b", "c", "d", "e"], "n": [1, 2, 3, 4, 5]})


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def said(plan: dr.Frame) -> str:
    with pytest.raises(dr.errors.RowsFailedError) as caught:
        plan.collect()
    return str(caught.value)


def test_rows_that_failed_alike_are_said_once():
    text = said(ROWS.prompt(dr.testing.Failing(), "Ask {t}"))
    assert text.splitlines() == [
        "answer: 5 of 5 rows failed (5 × BadRequestError).",
        "  rows 0, 1, 2 and 2 more of answer: BadRequestError: refused by the testing model",
        "    first asked: Ask a",
        "Every other answer is kept. Running again asks only these.",
    ]


def test_a_model_that_is_not_there_is_said_once_for_thousands_of_rows():
    with Loopback(fault=lambda call: FAULTS["no such model"]) as server:
        rows = dr.frame({"t": [str(i) for i in range(300)]})
        text = said(rows.prompt(dr.OpenAI("gpt-5o", base_url=server.url), "{t}"))
    assert text.count("The model `x` does not exist") == 1
    assert "rows 0, 1, 2 and 297 more of answer" in text
    assert len(text.splitlines()) == 4


def test_answers_that_differ_are_shown_each():
    text = said(ROWS.prompt(dr.testing.Echo(), "{t}", schema=int, repairs=0))
    assert text.count("answered: ") == 3
    assert "… and 2 more" in text


def test_a_function_was_given_its_row_and_asked_nothing():
    text = said(ROWS.head(1).map(lambda row: {"x": row["nn"]}, schema={"x": pl.Int64}))
    assert "    given: {'t': 'a', 'n': 1}" in text
    assert "asked:" not in text


def test_a_verb_names_its_own_rule_and_not_parse():
    llm = dr.testing.Echo()
    pair = ROWS.with_columns(o=pl.lit("x"))
    for plan, rule in (
        (ROWS.filter_by(llm, "{t}"), "filter_by wants a yes or a no: "),
        (ROWS.rank_by(llm, "{t}"), "rank_by wants a number: "),
        (ROWS.top_k_by(llm, "{t}", 2, name="best"), "best wants a number: "),
        (ROWS.join_by(ROWS.select(o="t"), llm, "{t} {o}"), "join_by wants a yes or a no: "),
        (pair.judge(llm, a="t", b="o", instruction="Say."), "judge wants a verdict about two texts: "),
    ):
        text = said(plan)
        assert f"ParseError: {rule}" in text
        assert "parse= refused" not in text
    assert "parse= refused the answer: ValueError" in said(ROWS.prompt(llm, "{t}", parse=float, schema=float))


def test_before_a_run_nobody_knows_what_failed():
    plan = ROWS.prompt(dr.testing.Failing(), "{t}", on_error="null")
    with pytest.raises(dr.errors.SettingError, match=r"failures: this plan has not run in Session\(in memory\) so far"):
        plan.failures()
    plan.collect()
    assert plan.failures().height == 5
    assert ROWS.prompt(dr.testing.Failing(), "{t}", on_error="null").failures().height == 5  # the same plan, written again
    whole = ROWS.prompt(dr.testing.Echo(), "{t}")
    whole.collect()
    assert whole.failures().is_empty()


@pytest.mark.parametrize("wrong", [pl.col("t") > 1, pl.col("n") == "a", pl.col("t").is_between(1, 2), pl.col("n").str.len_chars() > 1], ids=str)
def test_types_that_do_not_fit_fail_on_the_line_that_compares_them(wrong: pl.Expr):
    asked = ROWS.prompt(dr.testing.Failing(), "{t}")
    for verb, write in (("filter", asked.filter), ("with_columns", lambda e: asked.with_columns(x=e)), ("select", lambda e: asked.select(x=e))):
        with pytest.raises(dr.errors.PlanError, match=rf"^{verb}: \w+Error: (cannot compare|invalid series dtype)"):
            write(wrong)


def test_what_is_right_on_some_rows_is_not_tried_on_none():
    called: list[str] = []

    def once(value: str) -> str:
        called.append(value)
        return value

    ROWS.select(pl.col("t").get(0), pl.col("n").map_elements(once, return_dtype=pl.String))
    ROWS.filter(pl.col("t").str.to_date() > pl.col("t").str.to_date().get(0))
    ROWS.with_columns(pl.col("t").map_batches(lambda s: s.sample(2), return_dtype=pl.String).alias("x"))
    assert called == []


def test_what_polars_refuses_names_the_steps():
    plan = ROWS.with_columns(m=pl.col("t").cast(pl.Int64)).filter(pl.col("m") > 1)
    with pytest.raises(pl.exceptions.PolarsError) as caught:
        plan.collect()
    assert caught.value.__notes__ == ["dreamframe: while the rows of these steps were made: filter, with_columns"]


def test_an_error_at_the_top_is_found_in_errors():
    with pytest.raises(AttributeError, match=r"errors are in dr\.errors\. Write dr\.errors\.RowsFailedError"):
        dr.RowsFailedError  # noqa: B018


def test_failures_have_the_columns_that_the_frame_had():
    rows = dr.frame({"t": ["tea", "jam", "rye", "jam roll"], "row": ["a", "b", "c", "d"], "n": [3, 1, 2, 4]})
    failing = dr.testing.Failing(when=lambda prompt: "jam" in prompt)
    plan = rows.prompt(dr.testing.Echo(), "Ask {t}", into="said").prompt(failing, "So {said}", into="so", on_error="null").filter(pl.col("n") > 2)
    plan.collect()
    assert plan.failures().columns == ["step", "row", "column", "error", "message", "request", "attempts", "answer", "t", "row_right", "n", "said"]
    assert plan.failures().select("request", "t", "row_right", "said").rows() == [("So Ask jam roll", "jam roll", "d", "Ask jam roll")]
    mapped = rows.map(lambda row: {"x": 1 // (row["n"] - 1)}, schema={"x": pl.Int64}, on_error="drop").prompt(failing, "{t}", on_error="null")
    mapped.collect()
    assert mapped.failures().select("step", "t", "n", "x").rows() == [("map", "jam", 1, None), ("answer", "jam roll", 4, 0)]
    hidden = rows.with_columns(said=dr.prompt(failing, "{t}!", on_error="null").str.to_uppercase()).sort("n").unique("t")
    hidden.collect()
    assert hidden.failures().columns[8:] == ["t", "row_right", "n"]
    assert hidden.failures()["t"].to_list() == ["jam", "jam roll"]


def test_what_a_model_said_is_the_answer_and_rows_that_cannot_be_had_are_left_out(tmp_path: Path):
    pl.DataFrame({"t": ["a", "b"]}).write_csv(tmp_path / "rows.csv")
    plan = dr.scan_csv(tmp_path / "rows.csv").prompt(dr.testing.Echo(), "{t}", schema=int, repairs=0, on_error="null")
    plan.collect()
    assert plan.failures().select("answer", "t").rows() == [("a", "a"), ("b", "b")]
    (tmp_path / "rows.csv").unlink()
    assert plan.failures().select("answer", "row").rows() == [("a", 0), ("b", 1)]
