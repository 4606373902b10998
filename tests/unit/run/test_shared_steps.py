"""What several steps read runs once, and is counted once; a limit neither renumbers samples nor makes a shared step run twice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.steps.until import Until

counts = {"calls": 0}


def counted(row: dict[str, Any]) -> dict[str, Any]:
    counts["calls"] += 1
    return {"y": row["i"] * 10}


def mapped() -> dr.Frame:
    counts["calls"] = 0
    return dr.frame({"i": list(range(6))}).map(dr.versioned(counted, version=1), schema={"y": pl.Int64})


READERS: dict[str, Callable[[dr.Frame], list[dr.Frame]]] = {
    "two branches": lambda m: [m.with_columns(a=pl.col("y") + 1).join(m.with_columns(b=pl.col("y") + 2), on="i")],
    "a step over a step": lambda m: [dr.concat([m.prompt(dr.testing.Echo(), "{y}", into="a"), m.prompt(dr.testing.Echo(), "{y}!", into="a")])],
    "two plans": lambda m: [m, m.filter(pl.col("y") > 20)],
    "a plan and its first rows": lambda m: [m, m.head(2)],
    "a join with itself": lambda m: [m.join(m, on="i")],
}


@pytest.mark.parametrize("kept", [True, False], ids=["in a folder", "in memory"])
@pytest.mark.parametrize("readers", READERS)
def test_a_function_that_several_steps_read_is_called_once_a_row(readers: str, kept: bool) -> None:
    with dr.Session("kept" if kept else None) as session:
        rows = dr.collect_all(READERS[readers](mapped()))
        stats = [s for run in session.runs() for s in run.steps if s.label == "map"]
    assert counts["calls"] == 6
    assert [s.rows for s in stats] == [6], "and is one line of progress and log"
    assert all(r.height for r in rows)


def test_the_first_rows_alone_are_made_of_a_step_that_only_limits_read() -> None:
    over = mapped()
    with dr.Session(None):
        dr.collect_all([over.head(2), over.head(3).with_columns(z=1)])
    assert counts["calls"] <= 5, "nobody pays for rows that nobody reads"


def test_a_failure_of_a_shared_step_is_told_once_and_the_other_rows_go_on() -> None:
    llm = dr.testing.Failing(when=lambda p: p == "1")
    echo = dr.testing.Echo()
    asked = dr.frame({"i": [0, 1, 2]}).prompt(llm, "{i}", into="a")
    plans = [asked.prompt(echo, "{a}?", into="b"), asked.prompt(echo, "{a}!", into="c")]
    with dr.Session(None) as session:
        with pytest.raises(dr.errors.RowsFailedError, match="1 of 3 rows failed"):
            dr.collect_all(plans)
        assert plans[0].failures().height == 1
        assert session.usage()["failed"] == 1
    assert sorted(echo.prompts) == ["0!", "0?", "2!", "2?"], "every other row was finished"


LIMITS = {
    "head": lambda df: df.head(3),
    "slice from the first": lambda df: df.slice(0, 2),
    "slice from the second": lambda df: df.slice(1, 2),
    "slice from the end": lambda df: df.slice(-2, 2),
    "tail": lambda df: df.tail(2),
}


@pytest.mark.parametrize("limit", LIMITS)
def test_a_limit_over_samples_keeps_the_rows_of_the_whole_run(limit: str) -> None:
    class Numbered(dr.testing.Echo):
        def reply(self, request: Any) -> Any:
            return dr.testing.Completion(f"{request.prompt}#{request.sample}")

    whole = dr.frame({"t": ["a", "a", "b", "a"]}).prompt(Numbered(temperature=1.0), "{t}", into="s")
    with dr.Session(None):
        expected = LIMITS[limit](whole.collect().lazy()).collect()  # type: ignore[operator]
    with dr.Session(None):
        assert LIMITS[limit](whole).collect()["s"].to_list() == expected["s"].to_list()  # type: ignore[operator]


@pytest.mark.parametrize("first", [0, 1], ids=["the rows first", "its reader first"])
def test_nothing_is_made_of_what_is_left_of_an_equal_step_of_another_plan(first: int, tmp_path: Any) -> None:
    """Steps that were built apart and are equal run once: what failed in one failed in both."""
    llm = dr.testing.Failing(when=lambda p: p == "1")

    def asked() -> dr.Frame:
        return dr.frame({"i": [0, 1, 2]}).prompt(llm, "{i}", into="a")

    trained: list[int] = []

    def train(table: pl.DataFrame) -> pl.DataFrame:
        trained.append(table.height)
        return table

    whole = asked().map_batches(dr.versioned(train, version=1))
    plans = [asked(), whole] if first == 0 else [whole, asked()]
    with dr.Session(tmp_path), pytest.raises(dr.errors.RowsFailedError, match="1 of 3 rows failed"):
        dr.collect_all(plans)
    assert trained == []


def test_a_failure_is_told_once_of_a_step_that_is_taken_in_rounds_and_whole() -> None:
    llm = dr.testing.Failing(when=lambda p: p in ("1", "4"))
    asked = dr.frame({"i": range(12)}).prompt(llm, "{i}", into="a", on_error="null")
    some = asked.filter(pl.col("a").is_not_null())
    plans = [some, dr.Frame(Until(inputs=(some.step,), n=3, max_candidates=12)), dr.Frame(Until(inputs=(some.step,), n=5, max_candidates=12))]
    with dr.Session(None, batch_rows=2) as session:
        rows = dr.collect_all(plans)
        assert session.usage()["failed"] == 2
        assert plans[1].failures()["row"].to_list() == [1, 4]
    assert [r.height for r in rows] == [10, 3, 5]
    assert all(r.equals(rows[0].head(r.height)) for r in rows)


def test_failures_are_those_of_the_plan_they_are_asked_of() -> None:
    llm = dr.testing.Failing(when=lambda p: p == "1")
    bad = dr.frame({"i": [0, 1, 2]}).prompt(llm, "{i}", into="a", on_error="null")
    good = dr.frame({"i": [0, 1, 2]}).prompt(dr.testing.Echo(), "{i}?", into="b")
    with dr.Session(None):
        dr.collect_all([bad.head(2), good, bad.join(good, on="i")])
        assert [f.failures().height for f in (bad.head(2), good, bad.join(good, on="i"))] == [1, 0, 1]


def slowly(row: dict[str, Any]) -> dict[str, Any]:
    time.sleep(0.05)
    return counted(row)


def test_a_plan_is_kept_whatever_fails_in_the_plan_beside_it() -> None:
    counts["calls"] = 0
    bad = dr.frame({"i": [0, 1, 2]}).prompt(dr.testing.Failing(when=lambda p: p == "1"), "{i}", into="a")
    good = dr.frame({"i": [0, 1, 2]}).map(dr.versioned(slowly, version=1), schema={"y": pl.Int64})
    with dr.Session("kept"):
        for _ in range(2):
            with pytest.raises(dr.errors.RowsFailedError):
                dr.collect_all([bad, good])
    assert counts["calls"] == 3


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_refreshed_step_is_asked_anew_also_where_an_equal_one_of_another_name_runs(name: str) -> None:
    llm = dr.testing.Echo()
    plans = [dr.frame({"i": [0, 1, 2]}).prompt(llm, "{i}", into="a", name=n).step for n in ("x", "y")]
    with dr.Session(None) as session:
        session.collect_all(plans)
        session.collect_all(plans, refresh=[name])
    assert llm.calls == 6


def test_a_polars_step_that_two_read_runs_once_however_often_that_comes() -> None:
    seen: list[int] = []
    df = dr.frame({"x": [1]}).with_columns(pl.col("x").map_elements(lambda x: seen.append(x) or x, return_dtype=pl.Int64))
    for _ in range(30):  # 2 ** 30 looks at the source
        df = dr.concat([df.head(1), df.with_columns(pl.col("x") + 1)]).head(2)
    with dr.Session(None):
        assert df.collect()["x"].to_list() == [1, 2]
    assert seen == [1]
