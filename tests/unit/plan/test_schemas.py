"""Schemas that are made of one another are polars' own, and as polars makes them."""

from __future__ import annotations

import copy

import polars as pl
import pytest

from dreamframe.errors import PlanError
from dreamframe.plan.schemas import are_same, check_names, with_columns, without_columns

HAVE = pl.Schema({"a": pl.Int64, "b": pl.List(pl.String), "c": pl.Datetime("us")})


def test_what_is_made_is_a_schema_of_polars_in_the_order_of_with_columns() -> None:
    made = with_columns(HAVE, {"b": pl.String, "d": pl.Boolean()})
    assert type(made) is pl.Schema
    assert list(made.items()) == [("a", pl.Int64()), ("b", pl.String()), ("c", pl.Datetime("us")), ("d", pl.Boolean())]
    assert type(copy.deepcopy(made)) is pl.Schema
    assert list(HAVE) == ["a", "b", "c"]
    made["e"] = int
    assert made["e"] == pl.Int64()


def test_another_type_of_a_kind_is_another_column() -> None:
    assert with_columns(HAVE, {"c": pl.Datetime("us")}) is HAVE
    assert with_columns(HAVE, {"c": pl.Datetime("ms")})["c"] == pl.Datetime("ms")


def test_columns_are_taken_out() -> None:
    assert without_columns(HAVE, ["b", "b"]) == pl.Schema({"a": pl.Int64, "c": pl.Datetime("us")})


def test_schemas_are_the_same_where_names_types_and_order_are() -> None:
    assert are_same(HAVE, pl.Schema(dict(HAVE)))
    assert not are_same(HAVE, pl.Schema(dict(reversed(HAVE.items()))))
    assert not are_same(HAVE, with_columns(HAVE, {"c": pl.Datetime("ms")}))
    assert not are_same(pl.Schema({"a": pl.Int64}), pl.Schema({"b": pl.Int64}))


@pytest.mark.parametrize("new", [{"*": pl.Int64()}, {"x\0": pl.Int64()}, {"b": pl.Struct({"x\0": pl.Int64})}], ids=["pattern", "NUL", "NUL in a field"])
def test_names_that_are_new_are_looked_at(new: dict[str, pl.DataType]) -> None:
    with pytest.raises(PlanError, match=r"NUL|pattern"):
        check_names(with_columns(HAVE, new), of=HAVE, step="test")
