"""Refilling: candidates in rounds until enough rows pass, the same ones again, and never more asked than it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.request import Completion, Request
from dreamframe.plan.steps.until import Until
from dreamframe.testing import Fake

PASSES = pl.col("score") >= 4


class Writer(Fake):
    """Writes another text for each sample."""

    provider = "writer"

    def reply(self, request: Request) -> Completion:
        return Completion(f"text {request.sample}", model=self.model)


def judge(rate: float = 0.3) -> dr.testing.Scripted:
    """Gives 4 or 5 to this share of the texts, and less to the others."""

    def score(asked: str) -> str:
        draw = int.from_bytes(hashlib.sha256(asked.encode()).digest()[:4], "big") / 2**32
        return "5" if draw < rate else "2"

    return dr.testing.Scripted(score, temperature=0)


def texts(writer: Fake, by: Fake, *, n: int = 1, **until: Any) -> dr.Frame:
    written = dr.generate(writer, "Write a text.", n=n, into="text")
    return written.prompt(by, "Rate from 1 to 5: {text}", into="score", schema=int).until(**{"n": 100, "where": PASSES, **until})


def test_a_hundred_rows_pass_a_judge_that_lets_three_in_ten_through(tmp_path: Path):
    writer, by = Writer(), judge()
    with dr.Session(tmp_path):
        rows = texts(writer, by).collect()
    assert rows.height == 100
    assert rows["score"].min() == 5
    assert rows["text"].n_unique() == 100
    assert writer.calls == by.calls < 450  # 333 are expected


def test_a_second_run_takes_the_same_rows_and_asks_nothing(tmp_path: Path):
    with dr.Session(tmp_path):
        first = texts(Writer(), judge()).collect()
    writer, by = Writer(), judge()
    with dr.Session(tmp_path):
        assert texts(writer, by).collect().equals(first)
    with dr.Session(tmp_path):  # the stored rows are not asked for: other columns, the same answers
        again = texts(writer, by, name="other").with_columns(more=1).collect()
    assert again.drop("more").equals(first)
    assert writer.calls == by.calls == 0


def test_a_session_in_memory_takes_the_same_rows_again():
    writer, by = Writer(), judge()
    with dr.Session(None):
        first = texts(writer, by).collect()
        calls = by.calls
        assert texts(writer, by).collect().equals(first)
        assert by.calls == calls


@pytest.mark.parametrize("batch_rows", [1, 17, 128, 4096])
def test_the_rows_are_the_first_that_pass_whatever_the_batches(batch_rows: int):
    every = dr.generate(Writer(), "Write a text.", n=1000, into="text").prompt(judge(), "Rate from 1 to 5: {text}", into="score", schema=int)
    with dr.Session(None, batch_rows=batch_rows):
        assert texts(Writer(), judge()).collect().equals(every.filter(PASSES).head(100).collect())


def test_more_rows_later_keep_those_there_are_and_ask_for_new_candidates_only(tmp_path: Path):
    writer = Writer()
    with dr.Session(tmp_path):
        first = texts(writer, judge(), n=100).collect()
        asked = writer.calls
        more = dr.generate(writer, "Write a text.", n=5, into="text").prompt(judge(), "Rate from 1 to 5: {text}", into="score", schema=int)
        longer = more.until(150, where=PASSES).collect()
    assert longer.head(100).equals(first)
    assert asked < writer.calls < 650


def test_the_bound_is_told_with_what_to_do_and_everything_is_kept(tmp_path: Path):
    writer, by = Writer(), judge()
    with dr.Session(tmp_path):
        with pytest.raises(dr.errors.TooFewRowsError, match=r"until: \d+ of 100 rows passed among 200 candidates, and max_candidates=200 is reached. Raise it"):
            texts(writer, by, max_candidates=200).collect()
        assert writer.calls == by.calls == 200
        assert texts(writer, by, max_candidates=1000).collect().height == 100
    assert writer.calls == by.calls < 450


def test_a_judge_that_lets_nothing_through_is_bounded():
    writer, by = Writer(), judge(rate=0)
    with dr.Session(None), pytest.raises(dr.errors.TooFewRowsError, match="0 of 100 rows passed among 1000 candidates"):
        texts(writer, by).collect()
    assert by.calls == 1000


def test_a_judge_that_lets_everything_through_needs_no_more_than_n():
    writer, by = Writer(), judge(rate=1)
    with dr.Session(None):
        assert texts(writer, by).collect().height == 100
    assert writer.calls == by.calls == 100


def test_rows_of_a_table_are_taken_in_order_until_they_end(session: dr.Session):
    by = judge()
    table = dr.frame({"text": [f"row {i}" for i in range(200)]}).prompt(by, "Rate from 1 to 5: {text}", into="score", schema=int)
    rows = table.until(20, where=PASSES).collect()
    assert rows.equals(table.filter(PASSES).head(20).collect())
    with pytest.raises(dr.errors.TooFewRowsError, match="among 200 candidates, and there are no more"):
        table.until(150, where=PASSES).collect()


def test_a_grid_is_cycled_for_as_long_as_it_takes(session: dr.Session):
    writer = Writer()
    asked = dr.grid({"topic": ["tea", "rain", "wind"]}).repeat_to(3).prompt(writer, "Write about {topic}.", into="text")
    rows = asked.until(30, where=pl.col("text").str.contains("[13579]$"), max_candidates=500).collect()
    assert rows["text"].to_list()[:7] == ["text 1"] * 3 + ["text 3"] * 3 + ["text 5"]
    assert rows.height == 30
    assert writer.calls < 90


def test_the_condition_may_ask_a_model(session: dr.Session):
    yes = dr.testing.Scripted(lambda asked: "yes" if int(asked.split()[1]) % 3 == 0 else "no")
    written = dr.generate(Writer(), "Write.", n=1, into="text")
    rows = written.until(5, where=dr.prompt(yes, "{text}", schema=bool)).collect()
    assert rows.to_dicts() == [{"text": f"text {i}"} for i in (0, 3, 6, 9, 12)]
    assert yes.calls < 30


def test_what_needs_all_rows_stands_below_as_it_was_written(session: dr.Session):
    writer = Writer()
    best = dr.generate(writer, "Write.", n=40, into="text").sort("text", descending=True)
    rows = best.prompt(judge(1), "Rate from 1 to 5: {text}", into="score", schema=int).until(3, where=PASSES)
    assert rows.collect()["text"].to_list() == ["text 9", "text 8", "text 7"]
    assert writer.calls == 40


def test_frames_without_models_are_filtered(session: dr.Session):
    rows = dr.frame({"a": range(10)})
    assert rows.until(2, where=pl.col("a") > 5).to_dicts() == [{"a": 6}, {"a": 7}]
    with pytest.raises(dr.errors.TooFewRowsError, match="4 of 5 rows passed, and max_candidates=50"):
        rows.until(5, where=pl.col("a") > 5).collect()


def test_verbs_over_the_rows_go_on_from_them(session: dr.Session):
    by, writer = judge(), Writer()
    rows = texts(writer, by, n=10).prompt(dr.testing.Echo(), "Say {text}", into="said").head(3).collect()
    assert rows["said"].to_list() == [f"Say {t}" for t in rows["text"]]
    assert rows.height == 3


def test_a_failure_ends_the_rounds_and_a_run_after_it_goes_on(tmp_path: Path):
    def broken(asked: str) -> Any:
        return dr.errors.BadRequestError("refused", status=400) if asked.endswith("text 150") else judge().script(asked)

    bad, good = dr.testing.Scripted(broken, temperature=0), judge()
    with dr.Session(None):
        expected = texts(Writer(), judge()).collect()
    with dr.Session(tmp_path):
        with pytest.raises(dr.errors.RowsFailedError, match="1 of"):
            texts(Writer(), bad).collect()
        assert 151 <= bad.calls <= 200  # the round that it fell into was finished, and no other begun
        assert texts(Writer(), good).collect().equals(expected)


@pytest.mark.parametrize("on_error", ["null", "drop"])
def test_failed_candidates_are_made_up_for(on_error: str, session: dr.Session):
    refusing = dr.testing.Failing(when=lambda prompt: int(prompt.rpartition(" ")[2]) % 2 == 0)
    rows = dr.generate(Writer(), "Write.", n=1, into="text").prompt(refusing, "Say {text}", into="said", on_error=on_error)
    passed = rows.until(20, where=pl.col("said").is_not_null())
    assert passed.collect()["text"].to_list() == [f"text {i}" for i in range(1, 40, 2)]


@pytest.mark.parametrize(
    ("seen", "kept", "wanted"),
    [(0, 0, 100), (100, 30, 100), (100, 0, 100), (200, 60, 145), (340, 99, 8), (100, 100, 0), (995, 10, 5)],
    ids=["first", "at most as many as were seen", "none passed", "by the rate", "a few at least", "enough", "up to the bound"],
)
def test_a_round_is_as_large_as_the_rate_calls_for(seen: int, kept: int, wanted: int):
    assert step_of(dr.frame({"a": [1]}).until(100, where=pl.col("a") > 0)).next_round(seen, kept) == wanted


def step_of(df: dr.Frame) -> Until:
    assert isinstance(df.step, Until)
    return df.step


ROWS = dr.frame({"a": [1, 2]})
WRONG: dict[str, tuple[Callable[[], dr.Frame], type[Exception], str]] = {
    "n": (lambda: ROWS.until(0, where=pl.col("a") > 0), dr.errors.SettingError, "1 <= n <= max_candidates"),
    "bound": (lambda: ROWS.until(9, where=pl.col("a") > 0, max_candidates=8), dr.errors.SettingError, "1 <= n <= max_candidates"),
    "condition": (lambda: ROWS.until(1, where="a > 0"), dr.errors.SettingError, "where= is a str"),
    "column": (lambda: ROWS.until(1, where=pl.col("b") > 0), dr.errors.ColumnNotFoundError, "no column 'b'"),
    "whole column": (lambda: ROWS.until(1, where=pl.col("a") > pl.col("a").mean()), dr.errors.PlanError, "more than its own row"),
    "no condition": (lambda: ROWS.until(1, where=pl.col("a") + 1), dr.errors.PlanError, "until: a condition is true or false"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_plan_is_checked_on_its_line(case: str):
    make, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        make()
