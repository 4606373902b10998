"""Code of users beside the loop: a function may run plans of its own, and whatever it raises ends nothing but its row or its run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from pydantic import BaseModel, field_validator

import dreamframe as dr

MANY = 40  # more batches than a pool of asyncio's has threads
ENDINGS = [SystemExit(3), KeyboardInterrupt(), StopIteration(), GeneratorExit()]


def _ask(given: object) -> str:
    return str(dr.frame({"z": [str(given)]}).prompt(dr.testing.Echo(), "{z}", into="y").collect()["y"][0])


def of_row(row: dict[str, Any]) -> dict[str, Any]:
    return {"y": _ask(row["x"])}


def of_two(row: dict[str, Any]) -> dict[str, Any]:
    return {"y": dr.frame({"x": [row["x"], -row["x"]]}).map(of_row, schema={"y": pl.String}).collect()["y"].to_list()[0]}


def of_table(table: pl.DataFrame) -> pl.DataFrame:
    _ask(table["x"][0])
    return table


@pytest.mark.parametrize("function", [of_row, of_two], ids=["a plan", "a plan whose function runs a plan"])
def test_functions_of_rows_may_run_plans(function: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    with dr.Session(None, batch_rows=1, progress=False):
        made = dr.frame({"x": list(range(MANY))}).map(function, schema={"y": pl.String}).collect()
    assert made["y"].to_list() == [str(i) for i in range(MANY)]


def test_functions_of_tables_may_run_plans() -> None:
    with dr.Session(None, progress=False):
        made = dr.collect_all([dr.frame({"x": [i]}).map_batches(of_table) for i in range(MANY)])
    assert [table["x"][0] for table in made] == list(range(MANY))


@pytest.mark.parametrize("error", ENDINGS, ids=lambda error: type(error).__name__)
def test_a_function_that_would_end_the_program_fails_its_rows(error: BaseException) -> None:
    def ends(row: dict[str, Any]) -> dict[str, Any]:
        if row["x"] == 1:
            raise error
        return {"y": row["x"]}

    with dr.Session(None, progress=False):
        df = dr.frame({"x": [0, 1, 2]}).map(dr.versioned(ends, version=1), schema={"y": int}, on_error="null")
        assert df.collect()["y"].to_list() == [0, None, 2]
        assert type(error).__name__ in df.failures()["message"][0]


def test_an_error_says_that_the_function_is_called_for_every_row_again() -> None:
    calls = []

    def picky(row: dict[str, Any]) -> dict[str, Any]:
        calls.append(row["x"])
        return {"y": 1 // row["x"]}

    with dr.Session(None, progress=False):
        df = dr.frame({"x": [0, 1, 2]}).map(dr.versioned(picky, version=1), schema={"y": int})
        for _ in range(2):
            with pytest.raises(dr.errors.RowsFailedError, match="Running again calls your function for every row again"):
                df.collect()
    assert calls == [0, 1, 2] * 2


@pytest.mark.parametrize("error", ENDINGS, ids=lambda error: type(error).__name__)
def test_a_function_of_a_table_that_would_end_the_program_ends_its_run(error: BaseException) -> None:
    def ends(table: pl.DataFrame) -> pl.DataFrame:
        raise error

    with dr.Session(None, progress=False):
        with pytest.raises(RuntimeError, match=type(error).__name__):
            dr.frame({"x": [1]}).map_batches(dr.versioned(ends, version=1)).collect()
        assert _ask("after") == "after"


@pytest.mark.parametrize("error", ENDINGS, ids=lambda error: type(error).__name__)
def test_a_parse_that_would_end_the_program_fails_its_row(error: BaseException) -> None:
    def ends(text: str) -> str:
        raise error

    with dr.Session(None, progress=False):
        df = dr.frame({"x": ["a"]}).prompt(dr.testing.Echo(), "{x}", parse=dr.versioned(ends, version=1), on_error="null")
        df.collect()
        assert df.failures()["error"].to_list() == ["ParseError"]


class Ends(BaseModel):
    a: int

    @field_validator("a")
    @classmethod
    def ends(cls, value: int) -> int:
        raise ENDINGS[value]


@pytest.mark.parametrize("nth", range(len(ENDINGS)), ids=lambda nth: type(ENDINGS[nth]).__name__)
def test_a_validator_that_would_end_the_program_fails_its_row(nth: int) -> None:
    llm = dr.testing.Scripted({"x": f'{{"a": {nth}}}'})
    with dr.Session(None, progress=False):
        df = dr.frame({"x": ["x"]}).prompt(llm, "{x}", schema=Ends, repairs=0, on_error="null")
        df.collect()
        assert df.failures()["error"].to_list() == ["ParseError"]
