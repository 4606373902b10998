"""A verb tried before there are rows: polars finds some mistakes only when it computes, and by then what is below was paid for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import polars as pl

from dreamframe.identity.expressions import taken_apart

TAKES_APART = frozenset({"explode", "unnest"})  # every mistake that they know of is one of types
COMPUTES = frozenset({"filter", "select", "with_columns"})
COMPUTES_FROM_MANY = COMPUTES | {"aggregate", "drop_nans", "pivot", "quantile"}
OF_TYPES = re.compile(r"operation not supported for dtype|cannot compare |should be between")  # what polars says whatever the rows hold


def trial(verb: str, apply: Callable[[pl.LazyFrame], pl.LazyFrame], schema: pl.Schema, exprs: Sequence[pl.Expr], *, looks_at_many: bool) -> None:
    """Raise what polars will say of the types of the columns. `looks_at_many`: whether expressions look at more than one row at a time.

    >>> trial("drop_nans", lambda rows: rows.drop_nans("a"), pl.Schema({"a": pl.String}), [], looks_at_many=False)
    Traceback (most recent call last):
    polars.exceptions.InvalidOperationError: `is_nan` operation not supported for dtype `str`...
    """
    if verb in TAKES_APART:
        apply(pl.DataFrame(schema=schema).clear(1).lazy()).collect(engine="in-memory")
    elif verb in COMPUTES and not looks_at_many:
        if not all(e.meta.is_column_selection(allow_aliasing=True) for e in exprs):
            apply(pl.LazyFrame(schema=schema)).collect(engine="in-memory")  # a third of the time that streams take to begin
    elif verb in COMPUTES_FROM_MANY and not any(taken_apart(e)[1] for e in exprs):  # no function of the user runs before the plan does
        try:
            apply(pl.DataFrame(schema=schema).clear(1).lazy()).collect(engine="in-memory")
        except pl.exceptions.PolarsError as exc:
            if OF_TYPES.search(str(exc).partition("\n")[0]):  # all else may hold of one row of nulls alone
                raise
