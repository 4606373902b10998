"""A filter below a model's column, and below what stands between: other names, joins, sorts, rows below one another, numbers of rows."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.optimizer.rules import optimise
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

GREEDY, SAMPLED = Ordinal(temperature=0), Ordinal()
Verb = Callable[[dr.Frame], dr.Frame]
G = pl.col("g")


def rows(n: int = 20) -> dr.Frame:
    return dr.frame({"i": range(n), "g": [i % 5 for i in range(n)], "t": [f"text {i % 7}" for i in range(n)]})


def said() -> dr.Frame:
    return rows().prompt(SAMPLED, "Say {t}", into="said")


def meta() -> dr.Frame:
    return dr.frame({"i": [1, 3, 5, 7, 40], "category": ["x", "y", "x", "y", "x"], "g": [9, 8, 9, 8, 9]})


PASSES: dict[str, tuple[Verb, int]] = {
    "rename": (lambda df: df.rename({"g": "h"}).filter(pl.col("h") == 3), 4),
    "another name in a select": (lambda df: df.select("said", "i", h="g").filter(pl.col("h") == 3), 4),
    "a column computed in a select": (lambda df: df.select("said", "t", h=G * 2).filter(pl.col("h") == 6), 4),
    "two names after each other": (lambda df: df.rename({"g": "h"}).select("said", k="h").filter(pl.col("k") == 3), 4),
    "rename, below samples": (lambda df: df.rename({"g": "h"}).prompt(SAMPLED, "More of {t}", into="more").filter(pl.col("h") == 3).drop("said"), 4),
    "with_row_index": (lambda df: df.with_row_index("n").filter(G == 3), 4),
    "the index itself": (lambda df: df.with_row_index("n").filter(pl.col("n") > 16), 3),
    "the index, over a second prompt": (lambda df: df.with_row_index("n").prompt(SAMPLED, "{n} {t}", into="b").filter(pl.col("n") > 16).drop("said"), 3),
    "head of an index": (lambda df: df.with_row_index("n").head(2), 2),
    "unique over an index": (lambda df: df.with_row_index("n").unique("g"), 5),
    "explode": (lambda df: df.with_columns(w=pl.col("said").str.split(" ")).explode("w").filter(G == 3), 4),
    "fill_null": (lambda df: df.fill_null("-").filter(G == 3), 4),
    "cast": (lambda df: df.cast({"i": pl.Int32}).filter(G == 3), 4),
    "sort": (lambda df: df.sort("t", descending=True).filter(G == 3), 4),
    "sort by the answer": (lambda df: df.sort("said").filter(G == 3), 4),
    "reverse": (lambda df: df.reverse().filter(G == 3), 4),
    "drop_nulls": (lambda df: df.drop_nulls("said").filter(G == 3), 4),
    "concat": (lambda df: dr.concat([df, rows(3).with_columns(said=pl.lit("a"))]).filter(G == 1), 4),
    "concat of two that ask": (lambda df: dr.concat([df, rows(10).prompt(SAMPLED, "A {t}", into="said")]).filter(G == 1), 6),
    "concat, a column in one": (lambda df: dr.concat([df, rows(3)], how="diagonal").filter(G == 1), 4),
    "inner join, left": (lambda df: df.join(rows(), on="i").filter(G == 3), 4),
    "inner join, right": (lambda df: df.join(meta(), on="i").filter(pl.col("category") == "x"), 2),
    "inner join, right, another name": (lambda df: df.join(meta(), on="i").filter(pl.col("g_right") == 9), 2),
    "inner join, its key": (lambda df: meta().join(df, on="i").filter(pl.col("i") > 4), 2),
    "inner join, then head": (lambda df: df.join(meta(), on="i").filter(pl.col("category") == "x").head(1), 1),
    "left join": (lambda df: df.join(meta(), on="i", how="left").filter(G == 3), 4),
    "left join, the right side asks": (lambda df: meta().join(df, on="i", how="left").filter(pl.col("category") == "x"), 2),
    "right join": (lambda df: meta().join(df, on="i", how="right").filter(pl.col("g_right") == 3), 4),
    "cross join, left": (lambda df: df.join(meta(), how="cross").filter(G == 3), 4),
    "cross join, right": (lambda df: meta().join(df, how="cross").filter(pl.col("g_right") == 3), 4),
    "semi-join": (lambda df: df.join(rows(8), on="t", how="semi").filter(G == 3), 4),
    "joins one above the other": (lambda df: df.join(meta(), on="i").join(rows(), on="i", how="left", suffix="_2").filter(pl.col("category") == "x"), 2),
    "a sort above a join": (lambda df: df.join(meta(), on="i").sort("category").filter(pl.col("category") == "x"), 2),
}
STAYS: dict[str, tuple[Verb, int]] = {
    "left join, its right column": (lambda df: df.join(meta(), on="i", how="left").filter(pl.col("category") == "x"), 20),
    "full join": (lambda df: df.join(meta(), on="i", how="full").filter(G == 3), 20),
    "checked join": (lambda df: df.join(meta(), on="i", validate="1:1").filter(G == 3), 20),
    "both sides in one condition": (lambda df: df.join(rows(), on="i").filter(pl.col("g_right") < G), 20),
    "a filled column": (lambda df: df.fill_null(0).filter(G == 3), 20),
    "filled from rows above": (lambda df: df.fill_null(strategy="forward").filter(G == 3), 20),
    "the column that comes apart": (lambda df: df.with_columns(w=pl.concat_list("g", "i")).prompt(SAMPLED, "{i}").explode("w").filter(pl.col("w") > 9), 40),
    "other types in one column": (lambda df: dr.concat([df, rows(3).with_columns(G.cast(pl.Float64))], how="diagonal_relaxed").filter(G == 1), 20),
    "which rows, of all that are joined": (lambda df: df.join(rows(), on="i").unique("g"), 20),
    "a name that is taken below": (lambda df: df.select("said", i="g").filter(pl.col("i") == 3), 20),
    "a condition that may fail on a row without a partner": (lambda df: df.join(meta(), on="i").filter(G.cast(pl.UInt8) == 3), 4),
}


@pytest.mark.parametrize("name", PASSES)
def test_a_filter_of_source_columns_goes_below(name: str) -> None:
    verb, n = PASSES[name]
    most, asked = calls(lambda: verb(said()))
    assert most >= 20
    assert asked == n


@pytest.mark.parametrize("name", STAYS)
def test_a_filter_stays_where_rows_would_change(name: str) -> None:
    verb, n = STAYS[name]
    assert calls(lambda: verb(said()))[1] == n


def test_a_column_made_for_a_filter_takes_no_other_ones_place() -> None:
    """The lower prompt reads a column of the name that the filter's has above."""
    plan = dr.frame({"h": [1, 2, 3], "g": [3, 2, 1]}).prompt(GREEDY, "Say {h}", into="said").drop("h").prompt(GREEDY, "And {g}", into="b")
    most, asked = calls(lambda: plan.with_columns(h=pl.col("g") * 10).filter(pl.col("h") > 20))
    assert (most, asked) == (6, 4), "one of the second, three of the first"
    assert calls(lambda: plan.rename({"g": "h"}).filter(pl.col("h") > 2)) == (6, 4)


def test_a_join_whose_side_others_want_whole_is_no_way_down() -> None:
    shared = said()
    plans = [shared.join(meta(), on="i").filter(pl.col("category") == "x"), shared]
    with dr.Session(None) as session:
        first, _ = dr.collect_all(plans)
        assert session.usage()["calls"] == 20
    assert first.height == 2


def test_conditions_above_many_joins_and_concats_come_to_an_end() -> None:
    plan = said()
    for n in range(20):
        joined = plan.join(rows(), on="i", how="left", suffix=f"_{n}").select(*plan.columns)
        plan = dr.concat([joined, rows(2).with_columns(said=pl.lit("a"))])
    made = optimise([plan.filter(G == 3).step])
    assert sum(used.rule == "choices_down" for used in made.trace) < 200
    lowest = next(step for step in made.plans[0].walk() if "PROMPT" in step.describe())
    assert "FILTER" in " ".join(step.describe() for step in lowest.walk())
