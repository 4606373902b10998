"""Samples that are asked for until one is right: how many, which, what is kept, and what fails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import ColumnNotFoundError, SettingError
from dreamframe.models.request import Completion, Request
from dreamframe.testing import Fake

RIGHT = dr.verify.number("answer", "gold")


class Tries(Fake):
    """Says the number of the sample, so that a row is right from the sample on that its gold names."""

    def reply(self, request: Request) -> Completion:
        if "refuse" in request.prompt and request.sample == 1:
            return Completion(None, finish="content_filter", model="tries")
        return Completion(f"<think>try {request.sample}</think>{request.sample}", n_in=1, n_out=1, model="tries")


def tries() -> Any:
    return Tries(model="tries", temperature=1.0)


def rows(**columns: list[Any]) -> dr.Frame:
    return dr.frame({"q": ["a", "b", "c", "d"], "gold": ["2", "0", "9", None], **columns})


def test_a_row_is_asked_until_an_answer_is_right_and_no_further() -> None:
    llm = tries()
    with dr.Session(None) as session:
        df = rows().prompt(llm, "{q}", n=4, until=RIGHT)
        assert df.schema["answer"] == pl.List(pl.String)
        assert df.collect()["answer"].to_list() == [["0", "1", "2"], ["0"], ["0", "1", "2", "3"], ["0"]]
        assert session.usage()["calls"] == 3 + 1 + 4 + 1


def test_the_samples_are_those_that_all_of_them_would_begin_with(tmp_path: Path) -> None:
    df = rows(q=["a", "a", "b", "b"], gold=["2", "2", "5", "9"])
    with dr.Session(tmp_path):
        every = df.prompt(tries(), "{q}", n=4).collect()["answer"].to_list()
    with dr.Session(tmp_path, offline=True):
        some = df.prompt(tries(), "{q}", n=4, until=RIGHT).collect()["answer"].to_list()
    assert [len(a) for a in some] == [3, 4, 4, 4]
    assert all(given == whole[: len(given)] for given, whole in zip(some, every, strict=True))


def test_a_second_run_asks_nothing_and_why_tells_every_try(tmp_path: Path) -> None:
    df = rows().prompt(tries(), "{q}", n=4, until=RIGHT, reasoning="thoughts", keep=["prompt", "answer"])
    with dr.Session(tmp_path):
        first = df.collect()
    with dr.Session(tmp_path, offline=True):
        assert df.filter(pl.col("q") != "z").collect().equals(first)
        assert str(df.why(0)).count("try ") >= 3
    assert first.row(0, named=True) == {
        "q": "a", "gold": "2", "answer": ["0", "1", "2"], "thoughts": ["try 0", "try 1", "try 2"], "answer_prompt": "a", "answer_answer": ["0", "1", "2"],
    }  # fmt: skip


def test_pass_rates_and_pairs_are_made_of_the_tries() -> None:
    with dr.Session(None):
        tried = rows().prompt(tries(), "{q}", n=4, until=RIGHT).explode("answer").verify(RIGHT)
        rates = tried.with_columns(rate=pl.col("ok").mean().over("q")).unique("q").collect()["rate"].to_list()
        assert rates == [pytest.approx(1 / 3), 1.0, 0.0, None]
        assert tried.best_worst("answer", by="ok", prompt="q").collect().rows() == [("a", "2", "0", 1.0, 0.0)]


def test_a_row_whose_next_answer_fails_is_a_failed_row_and_asks_no_more() -> None:
    with dr.Session(None):
        df = rows(q=["refuse", "b", "c", "d"]).prompt(tries(), "{q}", n=4, until=RIGHT, on_error="null")
        assert df.collect()["answer"].to_list() == [None, ["0"], ["0", "1", "2", "3"], ["0"]]
        assert df.failures()["error"].to_list() == ["RefusedError"]


def test_answers_of_a_type_are_verified_and_a_null_prompt_is_null() -> None:
    with dr.Session(None):
        df = rows(q=["a", None, "c", "d"]).prompt(tries(), "{q}", n=3, until=RIGHT, schema=int)
        assert df.collect()["answer"].to_list() == [[0, 1, 2], None, [0, 1, 2], [0]]


def test_what_cannot_be_asked_so_is_said_when_the_plan_is_built() -> None:
    with pytest.raises(SettingError, match=r"until= asks for further answers where one is wrong, and n=1"):
        rows().prompt(tries(), "{q}", until=RIGHT)
    with pytest.raises(SettingError, match=r"looks at 'said', and the answers are 'answer'"):
        rows().prompt(tries(), "{q}", n=2, until=dr.verify.number("said", "gold"))
    with pytest.raises(ColumnNotFoundError, match="'truth'"):
        rows().prompt(tries(), "{q}", n=2, until=dr.verify.number("answer", "truth"))
    with pytest.raises(SettingError, match=r"is not one of dr\.verify"):
        rows().prompt(tries(), "{q}", n=2, until=len)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="until= reads columns beside the answer"):
        dr.prompt(tries(), "{q}", n=2, until=RIGHT)
