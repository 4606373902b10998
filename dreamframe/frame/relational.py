"""Polars' verbs with polars' arguments. Expressions may hold model columns; row order is always defined."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, get_args

import polars as pl

from dreamframe.errors import SettingError, one_of
from dreamframe.frame.base import Verbs, whole
from dreamframe.frame.groups import GroupBy
from dreamframe.identity.owned import own
from dreamframe.models.habits import described
from dreamframe.plan.model_columns import PLACEHOLDERS, bare, into_exprs, need_columns
from dreamframe.plan.steps.algebra import JOIN_ORDER, relational

JoinHow = Literal["inner", "left", "right", "full", "semi", "anti", "cross"]
JoinValidate = Literal["m:m", "m:1", "1:m", "1:1"]
Keep = Literal["first", "last", "any", "none"]
JOINS, VALIDATE, KEEP = get_args(JoinHow), get_args(JoinValidate), get_args(Keep)
P = ParamSpec("P")
T = TypeVar("T")


class RelationalVerbs(Verbs):
    """select, with_columns, filter, …"""

    __slots__ = ()

    def select(self, *exprs: Any, **named: Any) -> Self:
        """Keep, compute and order columns.

        >>> dr.frame({"a": [1, 2], "b": ["x", "y"]}).select("b", twice=pl.col("a") * 2).to_dicts()
        [{'b': 'x', 'twice': 2}, {'b': 'y', 'twice': 4}]
        """
        frame, given, _ = self._hoisted("select", into_exprs(exprs, named, verb="select"))
        return frame._relational("select", given)

    def with_columns(self, *exprs: Any, **named: Any) -> Self:
        """Add columns, or replace those of the same name. Model calls may stand anywhere in an expression.

        >>> llm = dr.testing.Echo()
        >>> df = dr.frame({"t": ["tea"]}).with_columns(dr.prompt(llm, "I like {t}", into="said").str.to_uppercase())
        >>> df.to_dicts()
        [{'t': 'tea', 'said': 'I LIKE TEA'}]
        """
        given = into_exprs(exprs, named, verb="with_columns")
        if (direct := self._directly(given)) is not None:
            return direct
        frame, given, added = self._hoisted("with_columns", given)
        return frame._relational("with_columns", given)._dropping(added, named="with_columns")

    def _directly(self, exprs: list[pl.Expr]) -> Self | None:
        """A lone model column under a new name is its own step: the same plan as df.prompt(...)."""
        column = bare(exprs[0]) if len(exprs) == 1 else None
        name = exprs[0].meta.output_name() if column else ""
        if column is None or column.columns or name in self.step.schema or name in PLACEHOLDERS:
            return None
        return self._over(column.over(self.step, name))

    def filter(self, *predicates: Any, **constraints: Any) -> Self:
        """Keep the rows for which all predicates are true; null counts as false.

        >>> dr.frame({"a": [1, 2, 3]}).filter(pl.col("a") > 1, a=3).to_dicts()
        [{'a': 3}]
        """
        masked = [pl.Series(p, dtype=pl.Boolean) if isinstance(p, list) and p and all(isinstance(v, bool) for v in p) else p for p in predicates]
        return self._kept(into_exprs([*masked, *(pl.col(k) == v for k, v in constraints.items())], {}, verb="filter"))

    def _kept(self, predicates: list[pl.Expr], *, named: str | None = None) -> Self:
        """The rows for which all predicates are true, for a verb of that name."""
        frame, given, added = self._hoisted(named or "filter", predicates)
        return frame._relational("filter", given, named=named)._dropping(added, named=named or "filter")

    def drop(self, *columns: Any, strict: bool = True) -> Self:
        """Leave columns out.

        >>> dr.frame({"a": [1], "b": [2]}).drop("b").columns
        ['a']
        """
        return self._relational("drop", *columns, strict=strict)

    def rename(self, mapping: Mapping[str, str]) -> Self:
        """Give columns other names.

        >>> dr.frame({"a": [1]}).rename({"a": "b"}).columns
        ['b']
        """
        if not isinstance(mapping, Mapping):
            raise SettingError(f"rename: {described(mapping)} is not a dict of names; write df.rename({{'old': 'new'}}).")
        return self._relational("rename", dict(mapping))

    def cast(self, dtypes: Any, *, strict: bool = True) -> Self:
        """Change types, by column or all to one.

        >>> dr.frame({"a": [1]}).cast({"a": pl.String}).to_dicts()
        [{'a': '1'}]
        """
        return self._relational("cast", dict(dtypes) if isinstance(dtypes, Mapping) else dtypes, strict=strict)

    def sort(self, by: Any, *more_by: Any, descending: bool | Sequence[bool] = False, nulls_last: bool | Sequence[bool] = False) -> Self:
        """Order the rows; equal ones keep their order.

        >>> dr.frame({"a": [2, 1]}).sort("a").to_dicts()
        [{'a': 1}, {'a': 2}]
        """
        frame, given, added = self._hoisted("sort", into_exprs([by, *more_by], {}, verb="sort"))
        return frame._relational("sort", given, descending=descending, nulls_last=nulls_last, maintain_order=True)._dropping(added, named="sort")

    def head(self, n: int = 5) -> Self:
        """Keep the first n rows. Over a prompt this also saves the calls for all other rows.

        >>> dr.frame({"a": [1, 2, 3]}).head(2).to_dicts()
        [{'a': 1}, {'a': 2}]
        """
        return self._relational("head", whole(n, "n", verb="head"))

    def limit(self, n: int = 5) -> Self:
        """Keep the first n rows: another name for head.

        >>> dr.frame({"a": [1, 2, 3]}).limit(1).to_dicts()
        [{'a': 1}]
        """
        return self._relational("head", whole(n, "n", verb="limit"), named="limit")

    def tail(self, n: int = 5) -> Self:
        """Keep the last n rows.

        >>> dr.frame({"a": [1, 2, 3]}).tail(1).to_dicts()
        [{'a': 3}]
        """
        return self._relational("tail", whole(n, "n", verb="tail"))

    def slice(self, offset: int, length: int | None = None) -> Self:
        """Keep `length` rows from an offset on; a negative offset counts from the end.

        >>> dr.frame({"a": [1, 2, 3]}).slice(1, 1).to_dicts()
        [{'a': 2}]
        """
        offset = whole(offset, "offset", verb="slice", least=None)
        return self._relational("slice", offset, None if length is None else whole(length, "length", verb="slice"))

    def reverse(self) -> Self:
        """Turn the rows round, last to first.

        >>> dr.frame({"a": [1, 2]}).reverse().to_dicts()
        [{'a': 2}, {'a': 1}]
        """
        return self._relational("reverse")

    def unique(self, subset: Any = None, *, keep: Keep = "first") -> Self:
        """Keep one row of each kind, in order of first appearance. `keep` is "first", "last", "none" or "any" (which is the first here).

        >>> dr.frame({"a": [2, 1, 2]}).unique().to_dicts()
        [{'a': 2}, {'a': 1}]
        """
        one_of(keep, KEEP, "keep", where="unique")
        return self._relational("unique", subset, keep="first" if keep == "any" else keep, maintain_order=True)

    def drop_nulls(self, subset: Any = None) -> Self:
        """Leave out the rows with a null, in any column or in some.

        >>> dr.frame({"a": [1, None]}).drop_nulls().to_dicts()
        [{'a': 1}]
        """
        return self._relational("drop_nulls", subset)

    def join(
        self,
        other: Verbs,
        on: Any = None,
        how: JoinHow = "inner",
        *,
        left_on: Any = None,
        right_on: Any = None,
        suffix: str = "_right",
        validate: JoinValidate = "m:m",
        nulls_equal: bool = False,
        coalesce: bool | None = None,
    ) -> Self:
        """Combine two frames as polars does. Rows keep the left order, then the right (for how="right": the right, then the left).

        >>> a, b = dr.frame({"k": [2, 1]}), dr.frame({"k": [1, 2], "v": ["x", "y"]})
        >>> a.join(b, on="k").to_dicts()
        [{'k': 2, 'v': 'y'}, {'k': 1, 'v': 'x'}]
        """
        one_of(how, JOINS, "how", where="join")
        one_of(validate, VALIDATE, "validate", where="join")
        if on is None and left_on is None and right_on is None and how != "cross":
            raise SettingError("join: name the columns that both frames have in common: on='key', or left_on= and right_on=; all with all: how='cross'.")
        if how == "cross" and not on is left_on is right_on is None:
            raise SettingError("join: how='cross' joins every row with every row, and takes no on=; leave it out, or choose another how=.")
        given = {"on": on, "left_on": left_on, "right_on": right_on, "coalesce": coalesce}
        options = {k: v for k, v in given.items() if v is not None} | {"how": how, "suffix": suffix, "validate": validate, "nulls_equal": nulls_equal}
        return self._joined(other, options)

    def _joined(self, other: Verbs, options: Mapping[str, Any], *, named: str | None = None) -> Self:
        """The join with these of polars' options, for a verb of that name."""
        if not isinstance(other, Verbs):
            raise SettingError(f"{named or 'join'}: the other side is {described(other)}; make it a frame first with dr.frame(...).")
        options = {**options, "maintain_order": JOIN_ORDER.get(options["how"], "left_right")}
        return self._over(relational("join", inputs=(self.step, other.step), options=own(tuple(sorted(options.items()))), name=named))

    def group_by(self, *by: Any, **named: Any) -> GroupBy[Self]:
        """Group rows; `.agg(...)`, `.len()` or `.reduce_by(...)` make one row of each group, in order of first appearance.

        >>> dr.frame({"k": ["a", "b", "a"], "v": [1, 2, 3]}).group_by("k").agg(pl.col("v").sum()).to_dicts()
        [{'k': 'a', 'v': 4}, {'k': 'b', 'v': 2}]
        """
        keys = into_exprs(by, named, verb="group_by")
        if not keys:
            raise SettingError("group_by: name the columns that rows of a group have in common. One row of all rows: df.select(pl.col('a').sum()).")
        need_columns(keys, self.step.schema, step="group_by")
        return GroupBy(self, keys)

    def explode(self, columns: Any, *more: Any) -> Self:
        """Make a row of each element of list columns.

        >>> dr.frame({"a": [[1, 2]]}).explode("a").to_dicts()
        [{'a': 1}, {'a': 2}]
        """
        return self._relational("explode", columns, *more)

    def unnest(self, columns: Any, *more: Any) -> Self:
        """Make a column of each field of struct columns.

        >>> dr.frame({"s": [{"a": 1, "b": 2}]}).unnest("s").to_dicts()
        [{'a': 1, 'b': 2}]
        """
        return self._relational("unnest", columns, *more)

    def unpivot(self, on: Any = None, *, index: Any = None, variable_name: str | None = None, value_name: str | None = None) -> Self:
        """Turn wide to long: a row for each of the columns `on`.

        >>> dr.frame({"id": [1], "a": [2], "b": [3]}).unpivot(["a", "b"], index="id").to_dicts()
        [{'id': 1, 'variable': 'a', 'value': 2}, {'id': 1, 'variable': 'b', 'value': 3}]
        """
        return self._relational("unpivot", on, index=index, variable_name=variable_name, value_name=value_name)

    def with_row_index(self, name: str = "index", offset: int = 0) -> Self:
        """Number the rows in a first column.

        >>> dr.frame({"a": ["x"]}).with_row_index().to_dicts()
        [{'index': 0, 'a': 'x'}]
        """
        return self._relational("with_row_index", name, offset)

    def gather(self, indices: Sequence[int] | pl.Series) -> Self:
        """Keep the rows at these positions, in this order; a negative one counts from the end. Rows are chosen by true and false with filter.

        >>> dr.frame({"a": [1, 2, 3]}).gather([2, 0]).to_dicts()
        [{'a': 3}, {'a': 1}]
        """
        if isinstance(indices, int | str):
            raise SettingError(f"gather: {described(indices)} is not a list of positions; write df.gather([0, 2]).")
        return self._relational("gather", [whole(i, "index", verb="gather", least=None) for i in indices])

    def pipe(self, function: Callable[Concatenate[Self, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function(frame, *args, **kwargs)`, so that own verbs chain.

        >>> dr.frame({"a": [1, 2]}).pipe(lambda df, n: df.head(n), 1).to_dicts()
        [{'a': 1}]
        """
        return function(self, *args, **kwargs)
