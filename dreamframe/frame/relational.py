"""Polars' verbs with polars' arguments. Expressions may hold model columns; row order is always defined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, get_args

import polars as pl

from dreamframe.errors import SettingError, one_of
from dreamframe.frame.base import Verbs, whole
from dreamframe.frame.groups import GroupBy
from dreamframe.models.habits import described
from dreamframe.plan.model_columns import PLACEHOLDERS, as_condition, bare, into_exprs, need_columns

Keep = Literal["first", "last", "any", "none"]
KEEP = get_args(Keep)
P = ParamSpec("P")
T = TypeVar("T")


V = TypeVar("V", bound="RelationalVerbs")  # Self, as jedi understands it too


class RelationalVerbs(Verbs):
    """select, with_columns, filter, …"""

    __slots__ = ()

    def select(self: V, *exprs: Any, **named: Any) -> V:
        """Keep, compute and order columns.

        >>> dr.frame({"a": [1, 2], "b": ["x", "y"]}).select("b", twice=pl.col("a") * 2).to_dicts()
        [{'b': 'x', 'twice': 2}, {'b': 'y', 'twice': 4}]
        """
        frame, given, _ = self._hoisted("select", into_exprs(exprs, named, verb="select"))
        return frame._relational("select", given)

    def with_columns(self: V, *exprs: Any, **named: Any) -> V:
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

    def filter(self: V, *predicates: Any, **constraints: Any) -> V:
        """Keep the rows for which all predicates are true; null counts as false.

        A predicate is a polars expression, one of `dr.verify`, a question to a model (`dr.prompt`), or a list of booleans, one a row; `a=3` stands for
        `pl.col("a") == 3`. A `dr.prompt` that is a predicate by itself, and has no `schema=`, is asked for a yes or no; a model is asked only
        about rows that pass the predicates beside it.

        Raises ColumnNotFoundError, and PlanError for a predicate that is not true or false, when the plan is built.

        >>> df = dr.frame({"a": [1, 2, 3], "text": ["rain", "tea", "tea"]})
        >>> df.filter(pl.col("a") > 1, a=3).to_dicts()
        [{'a': 3, 'text': 'tea'}]
        >>> llm = dr.testing.Scripted(lambda asked: "yes" if "tea" in asked else "no")
        >>> df.filter(pl.col("a") < 3, dr.prompt(llm, "Is it a drink? {text}")).to_dicts(), llm.calls
        ([{'a': 2, 'text': 'tea'}], 2)
        """
        return self._kept([as_condition(e) for e in _predicates(predicates, constraints, verb="filter")])

    def _kept(self, predicates: list[pl.Expr], *, named: str | None = None) -> Self:
        """The rows for which all predicates are true, for a verb of that name."""
        frame, given, added = self._hoisted(named or "filter", predicates)
        return frame._relational("filter", given, named=named)._dropping(added, named=named or "filter")

    def remove(self: V, *predicates: Any, **constraints: Any) -> V:
        """Leave out the rows for which all predicates are true: those that `filter` keeps. Null counts as false.

        >>> dr.frame({"a": [1, 2, None]}).remove(pl.col("a") > 1).to_dicts()
        [{'a': 1}, {'a': None}]
        """
        given = _predicates(predicates, constraints, verb="remove")
        return self._kept([~pl.all_horizontal(given).fill_null(value=False)] if given else [], named="remove")

    def drop(self: V, *columns: Any, strict: bool = True) -> V:
        """Leave columns out.

        >>> dr.frame({"a": [1], "b": [2]}).drop("b").columns
        ['a']
        """
        return self._relational("drop", *columns, strict=strict)

    def rename(self: V, mapping: Mapping[str, str] | Callable[[str], str], *, strict: bool = True) -> V:
        """Give columns other names, by a dict or by a function of the name. With `strict=False` a dict may name columns that are not there.

        >>> dr.frame({"a": [1]}).rename({"a": "b"}).columns
        ['b']
        """
        if not callable(mapping) and not isinstance(mapping, Mapping):
            raise SettingError(f"rename: {described(mapping)} is not a dict of names; write df.rename({{'old': 'new'}}).")
        names = {name: str(mapping(name)) for name in self.step.schema} if callable(mapping) else dict(mapping)
        return self._relational("rename", names, **_given(strict=None if strict else False))

    def cast(self: V, dtypes: Any, *, strict: bool = True) -> V:
        """Change types, by column or all to one.

        >>> dr.frame({"a": [1]}).cast({"a": pl.String}).to_dicts()
        [{'a': '1'}]
        """
        return self._relational("cast", dict(dtypes) if isinstance(dtypes, Mapping) else dtypes, strict=strict)

    def sort(
        self: V,
        by: Any,
        *more_by: Any,
        descending: bool | Sequence[bool] = False,
        nulls_last: bool | Sequence[bool] = False,
        maintain_order: bool = True,  # noqa: ARG002  polars' own, which it need not be asked for here
    ) -> V:
        """Order the rows; equal ones keep their order, whatever `maintain_order` says.

        >>> dr.frame({"a": [2, 1]}).sort("a").to_dicts()
        [{'a': 1}, {'a': 2}]
        """
        frame, given, added = self._hoisted("sort", into_exprs([by, *more_by], {}, verb="sort"))
        return frame._relational("sort", given, descending=descending, nulls_last=nulls_last, maintain_order=True)._dropping(added, named="sort")

    def head(self: V, n: int = 5) -> V:
        """Keep the first n rows. Over a prompt this also saves the calls for all other rows.

        >>> dr.frame({"a": [1, 2, 3]}).head(2).to_dicts()
        [{'a': 1}, {'a': 2}]
        """
        return self._relational("head", whole(n, "n", verb="head"))

    def limit(self: V, n: int = 5) -> V:
        """Keep the first n rows: another name for head.

        >>> dr.frame({"a": [1, 2, 3]}).limit(1).to_dicts()
        [{'a': 1}]
        """
        return self._relational("head", whole(n, "n", verb="limit"), named="limit")

    def tail(self: V, n: int = 5) -> V:
        """Keep the last n rows.

        >>> dr.frame({"a": [1, 2, 3]}).tail(1).to_dicts()
        [{'a': 3}]
        """
        return self._relational("tail", whole(n, "n", verb="tail"))

    def slice(self: V, offset: int, length: int | None = None) -> V:
        """Keep `length` rows from an offset on; a negative offset counts from the end.

        >>> dr.frame({"a": [1, 2, 3]}).slice(1, 1).to_dicts()
        [{'a': 2}]
        """
        offset = whole(offset, "offset", verb="slice", least=None)
        return self._relational("slice", offset, None if length is None else whole(length, "length", verb="slice"))

    def reverse(self: V) -> V:
        """Turn the rows round, last to first.

        >>> dr.frame({"a": [1, 2]}).reverse().to_dicts()
        [{'a': 2}, {'a': 1}]
        """
        return self._relational("reverse")

    def unique(self: V, subset: Any = None, *, keep: Keep = "first", maintain_order: bool = True) -> V:  # noqa: ARG002  polars' own; always kept here
        """Keep one row of each kind, in order of first appearance. `keep` is "first", "last", "none" or "any" (which is the first here).

        >>> dr.frame({"a": [2, 1, 2]}).unique().to_dicts()
        [{'a': 2}, {'a': 1}]
        """
        one_of(keep, KEEP, "keep", where="unique")
        return self._relational("unique", subset, keep="first" if keep == "any" else keep, maintain_order=True)

    def drop_nulls(self: V, subset: Any = None) -> V:
        """Leave out the rows with a null, in any column or in some.

        >>> dr.frame({"a": [1, None]}).drop_nulls().to_dicts()
        [{'a': 1}]
        """
        return self._relational("drop_nulls", subset)

    def group_by(self: V, *by: Any, maintain_order: bool = True, **named: Any) -> GroupBy[V]:  # noqa: ARG002  polars' own; always kept here
        """Group rows; `.agg(...)`, `.len()` or `.reduce_by(...)` make one row of each group, in order of first appearance.

        >>> dr.frame({"k": ["a", "b", "a"], "v": [1, 2, 3]}).group_by("k").agg(pl.col("v").sum()).to_dicts()
        [{'k': 'a', 'v': 4}, {'k': 'b', 'v': 2}]
        """
        keys = into_exprs(by, named, verb="group_by")
        if not keys:
            raise SettingError("group_by: name the columns that rows of a group have in common. One row of all rows: df.select(pl.col('a').sum()).")
        need_columns(keys, self.step.schema, step="group_by")
        return GroupBy(self, keys)

    def explode(self: V, columns: Any, *more: Any, empty_as_null: bool = False, keep_nulls: bool = True) -> V:
        """Make a row of each element of list columns. An empty list makes none, or a null with `empty_as_null`; a null makes one if `keep_nulls`.

        >>> dr.frame({"a": [[1, 2], []]}).explode("a").to_dicts()
        [{'a': 1}, {'a': 2}]
        """
        other = _given(empty_as_null=empty_as_null or None, keep_nulls=None if keep_nulls else False)
        return self._relational("explode", columns, *more, **other)

    def unnest(self: V, columns: Any = None, *more: Any, separator: str | None = None) -> V:
        """Make a column of each field of struct columns (of all, if none is named); with `separator`, called by the column's name and the field's.

        >>> dr.frame({"s": [{"a": 1, "b": 2}]}).unnest("s").to_dicts()
        [{'a': 1, 'b': 2}]
        """
        return self._relational("unnest", columns, *more, **_given(separator=separator))

    def pivot(
        self: V,
        on: Any,
        on_columns: Sequence[Any] | pl.Series | pl.DataFrame | None = None,
        *,
        index: Any = None,
        values: Any = None,
        aggregate_function: str | pl.Expr | None = None,
        separator: str = "_",
        column_naming: str = "auto",
        maintain_order: bool = True,  # noqa: ARG002  polars' own, which it need not be asked for here
    ) -> V:
        """Turn long to wide: a column for each value of `on`, a row for each of `index`, in order of first appearance.

        A plan knows its columns, so the values of `on` that become columns are named by `on_columns`, as in polars' lazy pivot.

        >>> df = dr.frame({"who": ["a", "a", "b"], "what": ["x", "y", "x"], "n": [1, 2, 3]})
        >>> df.pivot("what", ["x", "y"], index="who", values="n").to_dicts()
        [{'who': 'a', 'x': 1, 'y': 2}, {'who': 'b', 'x': 3, 'y': None}]
        """
        if on_columns is None:
            said = "which columns it makes depends on rows that are not there yet"
            raise SettingError(f"pivot: {said}. Name the values of {on!r} that become columns: pivot({on!r}, on_columns=[…]).")
        options = _given(index=index, values=values, aggregate_function=aggregate_function, separator=separator, column_naming=column_naming)
        return self._relational("pivot", on, on_columns, maintain_order=True, **options)

    def unpivot(self: V, on: Any = None, *, index: Any = None, variable_name: str | None = None, value_name: str | None = None) -> V:
        """Turn wide to long: a row for each of the columns `on`.

        >>> dr.frame({"id": [1], "a": [2], "b": [3]}).unpivot(["a", "b"], index="id").to_dicts()
        [{'id': 1, 'variable': 'a', 'value': 2}, {'id': 1, 'variable': 'b', 'value': 3}]
        """
        return self._relational("unpivot", on, index=index, variable_name=variable_name, value_name=value_name)

    def with_row_index(self: V, name: str = "index", offset: int = 0) -> V:
        """Number the rows in a first column.

        >>> dr.frame({"a": ["x"]}).with_row_index().to_dicts()
        [{'index': 0, 'a': 'x'}]
        """
        return self._relational("with_row_index", name, offset)

    def gather(self: V, indices: int | Sequence[int] | pl.Series, *, null_on_oob: bool = False) -> V:
        """Keep the rows at these positions, in this order; a negative one counts from the end. Rows are chosen by true and false with filter.

        A position that no row has is an error of the run, or a row of nulls with `null_on_oob`.

        >>> dr.frame({"a": [1, 2, 3]}).gather([2, 0]).to_dicts()
        [{'a': 3}, {'a': 1}]
        """
        odd: Any = indices
        if isinstance(odd, str):
            raise SettingError(f"gather: {described(indices)} is not a list of positions; write df.gather([0, 2]).")
        places = indices if isinstance(indices, Iterable) else [indices]
        places = [whole(i, "index", verb="gather", least=None) for i in places]
        return self._relational("gather", places, **_given(null_on_oob=null_on_oob or None))

    def gather_every(self: V, n: int, offset: int = 0) -> V:
        """Keep every n-th row from an offset on.

        >>> dr.frame({"a": [1, 2, 3]}).gather_every(2).to_dicts()
        [{'a': 1}, {'a': 3}]
        """
        if whole(n, "n", verb="gather_every") < 1:
            raise SettingError(f"gather_every: n={n} takes no row; 1 takes every one.")
        return self._relational("gather_every", n, whole(offset, "offset", verb="gather_every"))

    def pipe(self, function: Callable[Concatenate[Self, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function(frame, *args, **kwargs)`, so that own verbs chain.

        >>> dr.frame({"a": [1, 2]}).pipe(lambda df, n: df.head(n), 1).to_dicts()
        [{'a': 1}]
        """
        return function(self, *args, **kwargs)


def _given(**options: Any) -> dict[str, Any]:
    """Options that differ from polars' own: one that is not given is no part of a step, whose key it would change."""
    return {name: value for name, value in options.items() if value is not None}


def _predicates(given: Sequence[Any], constraints: Mapping[str, Any], *, verb: str) -> list[pl.Expr]:
    """The arguments of `filter` as expressions: a list of truth values is a value for each row."""
    masks = [pl.Series(p, dtype=pl.Boolean) if isinstance(p, (list, tuple)) and p and all(isinstance(v, bool) for v in p) else p for p in given]
    return into_exprs([*masks, *(pl.col(k) == v for k, v in constraints.items())], {}, verb=verb)
