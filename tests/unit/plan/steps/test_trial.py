"""Mistakes that polars finds only when it computes are told when the plan is built, before a model is asked for what is below."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import PlanError

SAID = pl.col("said")
WRONG: dict[str, tuple[Callable[[dr.Frame], Any], str]] = {
    "with_columns": (lambda d: d.with_columns(SAID.cum_sum()), "cum_sum"),
    "filter": (lambda d: d.filter(SAID.shift(1) > 1), "cannot compare string"),
    "remove": (lambda d: d.remove(SAID.shift(1) > 1), "cannot compare string"),
    "group_by": (lambda d: d.group_by("v").agg(SAID.cum_sum()), "cum_sum"),
    "drop_nans": (lambda d: d.drop_nans("said"), "is_nan"),
    "quantile": (lambda d: d.quantile(2), "between 0.0 and 1.0"),
    "pivot": (lambda d: d.pivot("v", ["a"], index="t", values="said"), "cannot compare string"),
    "unpivot": (lambda d: d.unpivot(["v", "l"]), "supertype of i64 and list"),
    "join_asof": (lambda d: d.join_asof(dr.frame({"v": [1]}), on="v", tolerance="1h"), "timedelta"),
}


@pytest.fixture
def asked() -> dr.Frame:
    return dr.frame({"t": ["tea"], "v": [1], "l": [[1]]}).prompt(dr.testing.Failing(), "{t}", into="said")


@pytest.mark.parametrize("verb", WRONG)
def test_a_mistake_of_types_is_told_before_anything_is_asked(asked: dr.Frame, verb: str) -> None:
    make, told = WRONG[verb]
    with pytest.raises(PlanError, match=f"^{verb}: .*{told}"):
        make(asked)


@pytest.mark.parametrize(
    "expr",
    [pl.col("v").get(1), pl.col("v").sample(2, seed=0), pl.Series("s", [1, 2]), pl.col("t").filter(pl.col("v") > 1).item()],
    ids=["get", "sample", "series", "item"],
)
def test_what_one_row_of_nulls_cannot_do_is_no_mistake(expr: Any) -> None:
    with dr.Session(None):
        assert dr.frame({"t": ["a", "b"], "v": [1, 2]}).with_columns(expr).collect().height == 2


def test_no_function_of_the_user_is_called_while_a_plan_is_built() -> None:
    called: list[int] = []  # polars would hide what a function raises, and a trial would take that for no mistake

    def noted(values: pl.Series) -> pl.Series:
        called.append(len(values))
        return values

    dr.frame({"v": [1]}).with_columns(pl.col("v").map_batches(noted, return_dtype=pl.Int64).shift(1))
    assert called == []


def test_join_asof_names_the_column_that_is_missing() -> None:
    df = dr.frame({"v": [1]})
    with pytest.raises(dr.errors.ColumnNotFoundError, match="join_asof: no column 'zz'"):
        df.join_asof(df, on="v", by="zz")


@pytest.mark.parametrize(("options", "told"), [({"percentiles": [2.0]}, "range"), ({"interpolation": "near"}, "interpolation")])
def test_describe_says_what_it_cannot_take_before_anything_is_asked(asked: dr.Frame, options: dict[str, Any], told: str) -> None:
    with dr.Session(None), pytest.raises(dr.errors.SettingError, match=f"^describe: .*{told}"):
        asked.describe(**options)


def test_describe_of_no_columns_says_so() -> None:
    with dr.Session(None), pytest.raises(dr.errors.SettingError, match=r"describe: .*no columns"):
        dr.frame({}).describe()
