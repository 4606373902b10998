"""Which polars expressions may run batch by batch: those for which no row depends on another, in any part of the expression."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.steps.relational import is_separable

A, B, T = pl.col("a"), pl.col("b"), pl.col("t")
ALONE = {
    "arithmetic": (A + 1) * 2 - B.abs(),
    "text": T.str.to_uppercase().str.contains("X"),
    "condition": pl.when(A > 1).then(B).otherwise(0),
    "struct": pl.struct("a", "b").struct.field("a"),
    "across columns": pl.max_horizontal("a", "b"),
    "membership": A.is_in([1, 2]),
    "cast and name": A.cast(pl.String).alias("z"),
    "concatenation": pl.concat_str(["t", "a"]),
}
TOGETHER = {
    "a mean inside": pl.col("a").mean() < A,
    "a sum compared": A.sum() > 3,
    "a cumulation and one": A.cum_sum() + 1,
    "a shift": A.shift() > 1,
    "a rank": A.rank() > 1,
    "a window": A.max().over("b") == A,
    "a count": pl.len() > A,
    "a condition on a maximum": pl.when(A.max() > 1).then(A).otherwise(B),
    "a filled mean": A.fill_null(A.mean()),
    "a clip": A.clip(0, B.max() - 1),
    "the first": A.first() == A,
    "duplicates": A.is_duplicated() & (B > 0),
    "all columns": pl.all() + 1,
    "a function of one's own": A.map_elements(lambda x: x, return_dtype=pl.Int64),
    "fields of a struct": pl.col("s").struct.unnest(),
}


@pytest.mark.parametrize("name", ALONE)
def test_rows_that_stand_alone_run_batch_by_batch(name: str):
    assert is_separable(ALONE[name])


@pytest.mark.parametrize("name", TOGETHER)
def test_rows_that_look_at_others_do_not(name: str):
    assert not is_separable(TOGETHER[name])


ROWS = pl.DataFrame({"t": list("abcdefghij"), "a": [3, 1, 4, 1, 5, 9, 2, 6, 5, 3], "b": [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]})
VERBS: dict[str, Callable[[dr.Frame | pl.DataFrame, pl.Expr], dr.Frame | pl.DataFrame]] = {
    "filter": lambda df, expr: df.filter(expr.cast(pl.Boolean)),
    "with_columns": lambda df, expr: df.with_columns(x=expr),
    "select": lambda df, expr: df.select("t", x=expr),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("name", [n for n in {**ALONE, **TOGETHER} if n not in ("all columns", "text", "cast and name", "concatenation", "fields of a struct")])
def test_batches_over_a_model_column_give_polars_rows(name: str, verb: str):
    expr = {**ALONE, **TOGETHER}[name]
    expected = VERBS[verb](ROWS, expr)
    with dr.Session(None, batch_rows=3):
        asked = dr.frame(ROWS).prompt(dr.testing.Echo(), "{t}", into="said")
        got = VERBS[verb](asked, expr).collect()
    assert got.drop("said", strict=False).equals(expected)
