"""Plans are as deep as a loop makes them: every walk over a plan is iterative."""

from __future__ import annotations

import polars as pl

import dreamframe as dr


def test_a_plan_of_a_thousand_steps_is_built_keyed_explained_and_collected() -> None:
    df = dr.frame({"x": [1, 2]})
    for _ in range(1_000):
        df = df.with_columns(x=pl.col("x") + 1)
    with dr.Session(None):
        assert df.explain().count("\n") == 1_000
        assert df.head(1).explain().count("\n") == 1_001
        assert len(df.step.key({})) == 32
        assert df.collect()["x"].to_list() == [1_001, 1_002]
    assert df.show_graph().count("->") == 1_000


def test_a_plan_of_nine_hundred_steps_that_run_functions_is_collected() -> None:
    df = dr.frame({"x": [1]})
    for _ in range(450):
        df = df.map(add, schema={"y": pl.Int64}).drop("x").rename({"y": "x"})
    with dr.Session(None):
        assert df.collect()["x"].to_list() == [451]


def add(row: dict[str, int]) -> dict[str, int]:
    return {"y": row["x"] + 1}
