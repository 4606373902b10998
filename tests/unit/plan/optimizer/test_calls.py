"""What plans ask: of 2,000 rows, only those that somebody reads. The same with a model that samples, and with the rows of the plan as it is written."""

from __future__ import annotations

import random
from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.plan.optimizer.rules import RULES
from tests.laws.cases import Ordinal

ROWS = 2_000
NAMES = [rule.__name__ for rule in RULES]
Plan = Callable[[dr.Frame, dr.Frame, Ordinal], dr.Frame]


def table() -> dr.Frame:
    """Prompts of which every fourth is asked four times."""
    draw = random.Random(0)
    return dr.frame({"i": range(ROWS), "g": [i % 10 for i in range(ROWS)], "t": [f"text {draw.randrange(ROWS)}" for _ in range(ROWS)]})


def even(model: Ordinal, text: str = "Is it even? {t}") -> pl.Expr:
    """A condition of the model's own, true for about every second row."""
    return dr.prompt(model, text).str.len_chars() % 2 == 0


# name → (plan over the rows and over a prompt of each, the most that it asks)
PLANS: dict[str, tuple[Plan, int]] = {
    "filter of a source column": (lambda rows, said, m: said.filter(pl.col("g") == 3), 200),
    "that filter, then head": (lambda rows, said, m: said.filter(pl.col("g") == 3).head(10), 10),
    "filter of a column made of source columns": (lambda rows, said, m: said.with_columns(h=pl.col("g") * 2).filter(pl.col("h") == 6), 200),
    "filter by a mean": (lambda rows, said, m: said.filter(pl.col("i") > pl.col("i").mean() + 900), 100),
    "select without the answer": (lambda rows, said, m: said.select("i", "t"), 0),
    "drop of the answer": (lambda rows, said, m: said.with_columns(h=pl.col("g") * 2).drop("said"), 0),
    "number of rows": (lambda rows, said, m: said.select(pl.len()), 0),
    "groups of source columns": (lambda rows, said, m: said.group_by("g").agg(pl.len(), pl.col("i").sum().alias("n")), 0),
    "head over the model's own filter": (lambda rows, said, m: rows.filter(even(m)).head(10), 10 * 2 + 128),
    "cheap condition beside the model's": (lambda rows, said, m: rows.filter(even(m) & (pl.col("g") == 3)), 200),
    "when, then": (lambda rows, said, m: rows.with_columns(x=pl.when(pl.col("g") == 3).then(dr.prompt(m, "Say {t}")).otherwise(pl.lit("-"))), 200),
    "when, then, otherwise": (
        lambda rows, said, m: rows.select("i", x=pl.when(pl.col("g") == 3).then(dr.prompt(m, "A {t}")).when(pl.col("g") == 4).then(dr.prompt(m, "B {t}"))),
        400,
    ),
    "sort, head": (lambda rows, said, m: said.sort("t", descending=True).head(10), 10),
    "join that keeps three": (lambda rows, said, m: said.join(dr.frame({"i": [5, 7, 9, 5_000]}), on="i"), 3),
    "join of the answers to three": (lambda rows, said, m: dr.frame({"i": [5, 7, 9, 5_000]}).join(said, on="i", how="left"), 3),
    "semi-join": (lambda rows, said, m: said.join(dr.frame({"i": [5, 7, 9]}), on="i", how="semi"), 3),
    "sample": (lambda rows, said, m: said.sample(10), 10),
    "unique": (lambda rows, said, m: said.unique("g").filter(pl.col("g") < 2), 2),
    "tail": (lambda rows, said, m: said.tail(3), 3),
    "gather": (lambda rows, said, m: said.gather([7, 1]), 2),
    "slice": (lambda rows, said, m: said.slice(1_000, 4), 4),
    "head above rows of a list": (lambda rows, said, m: said.with_columns(pl.col("said").str.split(" ")).explode("said").head(9), 9),
    "two prompts, the second read": (lambda rows, said, m: said.prompt(m, "More of {t}", into="more").filter(pl.col("g") == 3).drop("said"), 200),
    "head over pairs": (lambda rows, said, m: rows.head(60).join_by(rows.head(60), m, "Yes {t} {t_right}").head(5), 5),
}


@pytest.mark.parametrize("temperature", [0, None], ids=["greedy", "sampled"])
@pytest.mark.parametrize("name", PLANS)
def test_a_plan_asks_about_the_rows_that_somebody_reads(name: str, temperature: float | None) -> None:
    made, most = PLANS[name]
    model = Ordinal(temperature=temperature)
    plan = made(table(), table().prompt(model, "Say {t}", into="said"), model)
    with dr.Session(None) as session:
        found = plan.collect()
        assert session.usage()["calls"] <= most
    assert found.schema == plan.schema
    with dr.Session(None):
        assert found.equals(plan.collect(optimize=False))


def test_a_rule_that_is_off_is_not_used() -> None:
    plan = table().prompt(Ordinal(), "Say {t}", into="said").filter(pl.col("g") == 3)
    with dr.Session(None) as session:
        assert plan.collect(optimize={"choices_down": False}).height == 200
        assert session.usage()["calls"] == ROWS
    with pytest.raises(SettingError, match=r"optimize={'choice': False} is not .* the rules are"):
        plan.collect(optimize={"choice": False})


def test_explain_tells_which_rule_did_what() -> None:
    plan = table().prompt(Ordinal(), "Say {t}", into="said").filter(pl.col("g") == 3).head(2)
    with dr.Session(None):
        told = plan.explain(rules=True)
        assert "choices_down: FILTER" in told
        assert "rules: none was used" in table().explain(rules=True)


def test_a_function_of_the_users_is_called_though_nobody_reads_its_column() -> None:
    called: list[int] = []

    def noted(row: dict[str, int]) -> dict[str, int]:
        called.append(row["i"])
        return {"n": 1}

    with dr.Session(None):
        dr.frame({"i": [1, 2]}).map(dr.versioned(noted, version=1), schema={"n": pl.Int64}).select("i").collect()
    assert called == [1, 2]


def test_rows_that_are_not_read_do_not_fail() -> None:
    refusing = Ordinal(refuses=lambda prompt: prompt.endswith("3"))
    plan = dr.frame({"i": range(10)}).prompt(refusing, "Say {i}", into="said")
    with dr.Session(None):
        assert plan.filter(pl.col("i") < 3).collect().height == 3
        with pytest.raises(dr.errors.RowsFailedError):
            plan.filter(pl.col("i") < 4).collect()
