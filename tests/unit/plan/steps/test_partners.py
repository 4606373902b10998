"""A join whose left rows come a few at a time."""

from __future__ import annotations

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.optimizer.rules import optimise
from dreamframe.plan.steps.partners import JoinRows


def joined(how: str) -> dr.Frame:
    left = dr.frame({"i": range(300)}).prompt(dr.testing.Echo(), "{i}", into="said").filter(pl.col("said") != "7")
    return left.join(dr.frame({"i": [5, 5, 7, 8, 250], "w": range(5)}), on="i", how=how).head(3)  # type: ignore[arg-type]


@pytest.mark.parametrize("how", ["inner", "left", "semi", "anti"])
def test_left_rows_a_few_at_a_time_give_the_rows_of_the_join(how: str) -> None:
    with dr.Session(None):
        plan = joined(how)
        assert plan.collect().equals(plan.collect(optimize=False))


def test_it_says_of_itself_what_the_join_says() -> None:
    made = next(s for s in optimise([joined("left").step]).plans[0].walk() if isinstance(s, JoinRows))
    assert (made.label, made.rows, made.models(), made.is_expensive) == ("join", "other", (), False)
    assert made.schema == made.join.schema
    assert made.passes() == {"i": "i", "said": "said"}
    assert made.describe() == f"{made.join.describe()}, a few rows at a time"
