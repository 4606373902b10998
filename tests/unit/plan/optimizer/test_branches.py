"""`when/then`: only the rows whose branch is taken are asked about."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.hidden import ONLY
from dreamframe.plan.optimizer.rules import optimise
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

LATE = pl.col("i") > 6  # three of ten rows


def rows() -> dr.Frame:
    return dr.frame({"i": range(10), "t": ["tea", "jam"] * 5, "gap": [None, 1] * 5})


def chosen(asked: pl.Expr, otherwise: object = None) -> Callable[[], dr.Frame]:
    return lambda: rows().with_columns(x=pl.when(LATE).then(asked).otherwise(otherwise))


@pytest.mark.parametrize(
    ("asked", "n"),
    [
        (dr.prompt(Ordinal(), "Say {t}"), 3),
        (dr.prompt(Ordinal(temperature=0), "Say {t}"), 2),
        (dr.prompt(Ordinal(), "Say {u}", u=pl.col("t") + "!"), 3),
        (dr.prompt(Ordinal(), "Say {t}", n=3), 9),
        (dr.prompt(Ordinal(), dr.Chat([("system", "As {t}."), ("user", "Say {i}")])), 3),
        (dr.prompt(Ordinal(), dr.Jinja("{% if t %}{{ t }}{% endif %} {{ gap }}")), 2),
        (dr.prompt(Ordinal(), "Say {t}").str.len_chars() + 1, 3),
    ],
    ids=["sampled", "greedy", "expression", "samples", "chat", "jinja", "computed"],
)
def test_the_rows_of_other_branches_are_not_asked_about(asked: pl.Expr, n: int) -> None:
    assert calls(chosen(asked))[1] == n


def test_a_null_condition_takes_the_other_branch() -> None:
    plan = lambda: rows().with_columns(x=pl.when(pl.col("gap") == 1).then(pl.lit("-")).otherwise(dr.prompt(Ordinal(), "Say {t}")))  # noqa: E731
    assert calls(plan) == (10, 5)


def test_a_column_that_is_looked_at_in_every_row_is_asked_for() -> None:
    said = dr.prompt(Ordinal(), "Say {t}")
    assert calls(chosen(said, said.str.to_uppercase())) == (10, 10)
    assert calls(lambda: rows().with_columns(x=pl.when(said != "").then(said))) == (10, 10)
    assert calls(lambda: rows().with_columns(pl.when(LATE).then(said).alias("x"), said.alias("y"))) == (10, 10)


def test_rows_that_fail_in_no_branch_that_is_taken_are_left_out_all_the_same() -> None:
    refusing = Ordinal(refuses=lambda prompt: prompt.endswith("3"))
    assert calls(chosen(dr.prompt(refusing, "Say {i}", on_error="drop"))) == (9, 9)
    assert calls(chosen(dr.prompt(refusing, "Say {i}", on_error="null"))) == (9, 3)


def test_the_columns_that_a_prompt_is_put_over_have_the_types_that_polars_gives_them() -> None:
    """No rule asks polars for them."""
    values = {"s": ["a"], "i": [1], "l": [["a"]], "d": [date(2026, 1, 1)], "x": [{"a": 1}]}
    rows = dr.frame(pl.DataFrame(values).with_columns(e=pl.lit("a").cast(pl.Enum(["a", "b"])), c=pl.lit("a").cast(pl.Categorical)))
    asked = dr.prompt(Ordinal(), " ".join(f"{{{c}}}" for c in rows.columns))
    (plan,) = optimise([rows.with_columns(pl.when(pl.col("i") > 1).then(asked).alias("said")).step]).plans
    assert any(column.startswith(ONLY) for step in plan.walk() for column in step.schema)
    for step in plan.walk():
        assert list(step.schema.items()) == list(step.output_schema().items()), step.describe()
