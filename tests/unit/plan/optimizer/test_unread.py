"""Columns of models that nobody reads: nobody is asked, however long the way is to the step that leaves them out."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.optimizer.demand import Demand
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

Verb = Callable[[dr.Frame], dr.Frame]


def said(**settings: object) -> dr.Frame:
    rows = dr.frame({"i": range(10), "t": ["tea", "jam"] * 5, "l": [[1, 2]] * 10})
    return rows.prompt(Ordinal(), "Say {t}", into="said", **settings)  # type: ignore[arg-type]


def other() -> dr.Frame:
    return dr.frame({"i": [3, 4, 4, 11], "w": ["a", "b", "c", "d"]})


def with_derived(df: dr.Frame, n: int) -> dr.Frame:
    for k in range(n):
        df = df.with_columns((pl.col(f"d{k - 1}" if k else "said") + "!").alias(f"d{k}"))
    return df


UNREAD: dict[str, Verb] = {
    "select": lambda df: df.select("i"),
    "drop": lambda df: df.drop("said"),
    "number of rows": lambda df: df.select(pl.len()),
    "derived column": lambda df: df.with_columns(n=pl.col("said").str.len_chars()).select("i"),
    "forty derived columns": lambda df: with_derived(df, 40).select("i"),
    "computed in a select": lambda df: df.select("i", n=pl.col("said").str.len_chars()).select("i"),
    "over all rows": lambda df: df.with_columns(n=pl.col("said").count().over("t")).drop("said", "n"),
    "groups": lambda df: df.group_by("t").agg(pl.len(), pl.col("said").first()).select("t", "len"),
    "another prompt": lambda df: df.prompt(Ordinal(), "More of {said}", into="more").filter(pl.col("i") > 3).select("i"),
    "inner join": lambda df: df.join(other(), on="i").select("i", "w"),
    "right side of a join": lambda df: other().join(df, on="i", how="left").select("w"),
    "the right side's column of this name": lambda df: df.join(other().select("i", said="w"), on="i").select("i", "said_right"),
    "left side of a right join": lambda df: df.join(other(), on="i", how="right").select("w"),
    "full join": lambda df: df.join(other(), on="i", how="full").select("w", "i"),
    "semi-join": lambda df: other().join(df, on="i", how="semi"),
    "concat": lambda df: dr.concat([df, df.head(2)]).select("i"),
    "explode": lambda df: df.explode("l").select("i", "l"),
    "rename": lambda df: df.rename({"said": "told"}).select("i"),
    "sort": lambda df: df.sort("t").drop("said"),
    "unique": lambda df: df.unique("t").select("i"),
    "sample": lambda df: df.sample(5, seed=1).select("i"),
}


@pytest.mark.parametrize("name", UNREAD)
def test_what_nobody_reads_is_not_asked(name: str) -> None:
    most, asked = calls(lambda: UNREAD[name](said()))
    assert most >= 10
    assert asked == 0


READ: dict[str, Verb] = {
    "derived column": lambda df: df.with_columns(n=pl.col("said").str.len_chars()).select("n"),
    "filter": lambda df: df.filter(pl.col("said") != "").select("i"),
    "key of a join": lambda df: df.join(dr.frame({"said": ["x"]}), on="said", how="left").select("i"),
    "key of groups": lambda df: df.group_by("said").agg(pl.len()).select("len"),
    "order": lambda df: df.sort("said").select("i"),
    "whole rows": lambda df: df.unique().select("i"),
    "a window over it": lambda df: df.with_columns(n=pl.len().over("said")).select("i", "n"),
    "a list of it": lambda df: df.with_columns(pl.col("said").str.split(" ")).explode("said").select("i"),
}


@pytest.mark.parametrize("name", READ)
def test_what_decides_about_rows_is_asked(name: str) -> None:
    assert calls(lambda: READ[name](said())) == (10, 10)


def test_rows_that_a_failure_leaves_out_are_known_when_all_were_asked() -> None:
    assert calls(lambda: said(on_error="drop").select("i")) == (10, 10)


def test_a_function_of_the_users_is_called_with_the_answer_though_nobody_reads_what_it_gives() -> None:
    seen: list[str] = []

    def noted(text: str) -> str:
        seen.append(text)
        return text

    plan = said().with_columns(n=pl.col("said").map_elements(noted, return_dtype=pl.String)).select("i")
    with dr.Session(None):
        plan.collect()
    assert seen[0] == "Say tea #0"


def test_what_another_plan_of_the_run_reads_is_asked_once() -> None:
    shared = said()
    with dr.Session(None) as session:
        dr.collect_all([shared.select("i"), shared.select("said")])
        assert session.usage()["calls"] == 10


def test_every_step_is_looked_at_once() -> None:
    plan = said().select("i").step
    assert Demand([plan], lambda _: False).needed(plan.inputs[0]) == {"i"}
    assert Demand([plan], lambda _: False).needed(plan) == {"i"}
    assert Demand([said().step], lambda _: False).needed(plan) is None
