"""Verbs that fill what is missing, choose the greatest rows, or sum all rows up; as polars has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self, TypeVar

import polars as pl

from dreamframe.frame.base import Verbs, whole
from dreamframe.plan.model_columns import into_exprs

V = TypeVar("V", bound="SummaryVerbs")  # Self, as jedi understands it too


class SummaryVerbs(Verbs):
    """fill_null, fill_nan, drop_nans, interpolate, shift, top_k, bottom_k, count, sum, …"""

    __slots__ = ()

    def fill_null(self: V, value: Any = None, strategy: str | None = None, limit: int | None = None, *, matches_supertype: bool = True) -> V:
        """Put a value, an expression, or what a strategy finds ("forward", "backward", "min", "max", "mean", "zero", "one") in the place of nulls.

        A value fills the columns of its own type and of those that it fits into, as in polars.

        >>> dr.frame({"a": [1, None]}).fill_null(0).to_dicts()
        [{'a': 1}, {'a': 0}]
        """
        given = {"strategy": strategy, "limit": limit, "matches_supertype": None if matches_supertype else False}
        return self._filled("fill_null", value, {k: v for k, v in given.items() if v is not None})

    def _filled(self, verb: str, value: Any, options: dict[str, Any]) -> Self:
        frame, exprs, added = self._hoisted(verb, [value] if isinstance(value, pl.Expr) else [])
        return frame._relational(verb, exprs[0] if exprs else value, **options)._dropping(added, named=verb)

    def fill_nan(self: V, value: float | pl.Expr | None) -> V:
        """Put a value in the place of NaN; None makes them nulls.

        >>> dr.frame({"a": [1.0, float("nan")]}).fill_nan(None).to_dicts()
        [{'a': 1.0}, {'a': None}]
        """
        return self._filled("fill_nan", value, {})

    def drop_nans(self: V, subset: Any = None) -> V:
        """Leave out the rows with a NaN, in any column or in some.

        >>> dr.frame({"a": [1.0, float("nan")]}).drop_nans().to_dicts()
        [{'a': 1.0}]
        """
        return self._relational("drop_nans", subset)

    def interpolate(self: V) -> V:
        """Put what lies on the line between its neighbours in the place of each null in a column of numbers.

        >>> dr.frame({"a": [1.0, None, 3.0]}).interpolate().to_dicts()
        [{'a': 1.0}, {'a': 2.0}, {'a': 3.0}]
        """
        return self._relational("interpolate")

    def shift(self: V, n: int = 1, *, fill_value: Any = None) -> V:
        """Move all values n rows down (up, if negative); what becomes free is null, or `fill_value`.

        >>> dr.frame({"a": [1, 2]}).shift().to_dicts()
        [{'a': None}, {'a': 1}]
        """
        return self._relational("shift", whole(n, "n", verb="shift", least=None), **({} if fill_value is None else {"fill_value": fill_value}))

    def top_k(self: V, k: int, *, by: Any, reverse: bool | Sequence[bool] = False) -> V:
        """Keep the k rows with the greatest values, greatest first; equal ones keep their order, nulls come last. `reverse` takes the least.

        >>> dr.frame({"a": [1, 3, 2]}).top_k(2, by="a").to_dicts()
        [{'a': 3}, {'a': 2}]
        """
        return self._first_by("top_k", k, by, reverse, descending=True)

    def bottom_k(self: V, k: int, *, by: Any, reverse: bool | Sequence[bool] = False) -> V:
        """Keep the k rows with the least values, least first; equal ones keep their order, nulls come last. `reverse` takes the greatest.

        >>> dr.frame({"a": [1, 3, 2]}).bottom_k(2, by="a").to_dicts()
        [{'a': 1}, {'a': 2}]
        """
        return self._first_by("bottom_k", k, by, reverse, descending=False)

    def _first_by(self, verb: str, k: int, by: Any, reverse: bool | Sequence[bool], *, descending: bool) -> Self:
        k = whole(k, "k", verb=verb)
        frame, given, added = self._hoisted(verb, into_exprs([by], {}, verb=verb))
        order = descending != reverse if isinstance(reverse, bool) else [descending != r for r in reverse]
        ordered = frame._relational("sort", given, descending=order, nulls_last=True, maintain_order=True, named=verb)
        return ordered._relational("head", k, named=verb)._dropping(added, named=verb)

    # One row of all

    def count(self: V) -> V:
        """Count the values of each column that are not null: one row.

        >>> dr.frame({"a": [1, None]}).count().to_dicts()
        [{'a': 1}]
        """
        return self._relational("count")

    def null_count(self: V) -> V:
        """Count the nulls of each column: one row.

        >>> dr.frame({"a": [1, None]}).null_count().to_dicts()
        [{'a': 1}]
        """
        return self._relational("null_count")

    def min(self: V) -> V:
        """Take the least value of each column: one row.

        >>> dr.frame({"a": [1, 3]}).min().to_dicts()
        [{'a': 1}]
        """
        return self._relational("min")

    def max(self: V) -> V:
        """Take the greatest value of each column: one row.

        >>> dr.frame({"a": [1, 3]}).max().to_dicts()
        [{'a': 3}]
        """
        return self._relational("max")

    def sum(self: V) -> V:
        """Add up each column: one row. A column that cannot be added up is null.

        >>> dr.frame({"a": [1, 3]}).sum().to_dicts()
        [{'a': 4}]
        """
        return self._relational("sum")

    def mean(self: V) -> V:
        """Take the mean of each column: one row. A column that has none is null.

        >>> dr.frame({"a": [1, 3]}).mean().to_dicts()
        [{'a': 2.0}]
        """
        return self._relational("mean")

    def median(self: V) -> V:
        """Take the median of each column: one row. A column that has none is null.

        >>> dr.frame({"a": [1, 3]}).median().to_dicts()
        [{'a': 2.0}]
        """
        return self._relational("median")

    def std(self: V, ddof: int = 1) -> V:
        """Take the standard deviation of each column: one row. `ddof` is taken from the number of rows that is divided by.

        >>> dr.frame({"a": [1.0, 3.0]}).std(ddof=0).to_dicts()
        [{'a': 1.0}]
        """
        return self._relational("std", ddof)

    def var(self: V, ddof: int = 1) -> V:
        """Take the variance of each column: one row. `ddof` is taken from the number of rows that is divided by.

        >>> dr.frame({"a": [1.0, 3.0]}).var(ddof=0).to_dicts()
        [{'a': 1.0}]
        """
        return self._relational("var", ddof)

    def quantile(self: V, quantile: float, interpolation: str = "nearest") -> V:
        """Take the value of each column that so large a part of the values is below of: one row.

        >>> dr.frame({"a": [1, 2, 3]}).quantile(0.5).to_dicts()
        [{'a': 2.0}]
        """
        return self._relational("quantile", quantile, interpolation)
