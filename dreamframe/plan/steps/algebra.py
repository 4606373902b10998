"""The verbs of polars that rules match on, each a record of its own, and the one table of all verbs that a plan may hold.

A typed verb is a `Relational` with traits: in keys, records and plans as JSON it stands as one, so that giving a verb a type moves no key.
None adds a field, so that none needs `step`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, ClassVar

import polars as pl

from dreamframe.plan.schemas import are_same, with_columns, without_columns
from dreamframe.plan.step import Rows, Step, kept_columns
from dreamframe.plan.steps.relational import Relational, is_separable, root_names

# The order that each kind of join keeps: polars keeps none unless it is asked to.
JOIN_ORDER: Mapping[str, str] = {"right": "right_left", "semi": "left", "anti": "left"}
OF_THE_LEFT = ("inner", "left", "semi", "anti", "cross")  # joins whose first columns are those of the left input, whatever is in the right one


def reading(exprs: Sequence[Any]) -> frozenset[str] | None:
    """The columns that expressions read; None for wildcards, and for what is no expression."""
    if not all(isinstance(e, pl.Expr) and not e.meta.has_multiple_outputs() for e in exprs):
        return None
    return frozenset(name for e in exprs for name in root_names(e))


def copying(exprs: Sequence[Any]) -> dict[str, str] | None:
    """Output name → the column that it is a copy of, or "" where it is computed; None where the names are not known."""
    if reading(exprs) is None:
        return None
    try:
        return {e.meta.output_name(): root_names(e)[0] if e.meta.is_column_selection(allow_aliasing=True) else "" for e in exprs}
    except pl.exceptions.PolarsError:  # names that are made of names
        return None


def making(exprs: Sequence[Any]) -> dict[str, pl.Expr]:
    """Output name → the expression that makes it; empty where nobody can tell."""
    if not all(isinstance(e, pl.Expr) and not e.meta.has_multiple_outputs() for e in exprs):
        return {}
    names = [e.meta.output_name(raise_if_undetermined=False) for e in exprs]
    return {} if None in names or len(set(names)) < len(names) else dict(zip(map(str, names), exprs, strict=True))


def gives_a_row_for_each(exprs: Sequence[Any]) -> bool:
    """Whether each expression gives one value for each row, or one for all of them."""
    try:
        return reading(exprs) is not None and all(e.meta.is_length_preserving() or (not e.meta.root_names() and is_separable(e)) for e in exprs)
    except pl.exceptions.PolarsError:
        return False


def flat(args: Sequence[Any]) -> list[Any]:
    return [v for a in args for v in (flat(a) if isinstance(a, (list, tuple)) else [a])]


class RowVerb(Relational):
    """A verb that gives the same rows when run batch by batch, provided that its expressions look at one row at a time."""

    recorded_as: ClassVar[type] = Relational
    is_by_row: ClassVar[bool] = True
    stays: ClassVar[tuple[str, ...]] = ("exprs", "_read", "_copied", "made", "sources", "_together", "is_streamed")

    @cached_property
    def exprs(self) -> list[Any]:
        """Its arguments, one after the other."""
        return flat(self.args)

    @cached_property
    def _read(self) -> frozenset[str] | None:
        return reading(self.exprs)

    @cached_property
    def _copied(self) -> dict[str, str] | None:
        return copying(self.exprs)

    @cached_property
    def made(self) -> Mapping[str, pl.Expr]:
        """Output name → the expression that makes it; empty where nobody can tell."""
        return making(self.exprs)

    @cached_property
    def sources(self) -> Mapping[str, frozenset[str]]:
        """Output name → the columns that its expression reads; empty where nobody can tell."""
        return {name: frozenset(root_names(expr)) for name, expr in self.made.items()}


class AddsOrLeaves(RowVerb):
    """A verb that hands on every column as it is, except those that its own expressions make: a base, so that a wide frame costs no more than a narrow one."""

    def looked_at(self) -> pl.Schema:
        have = self.inputs[0].schema
        return have if (reads := self._read) is None or not reads else pl.Schema({c: have[c] for c in sorted(reads) if c in have})

    def schema_over(self, inputs: Sequence[Step]) -> pl.Schema | None:
        have, had = inputs[0].schema, self.inputs[0].schema
        if are_same(have, had):
            return self.schema
        if self._read is None or self._copied is None or not all(c in have and have[c] == had[c] for c in self._read):
            return None
        return with_columns(have, {c: self.schema[c] for c in self._copied}) if isinstance(self, WithColumns) else have


class Filter(AddsOrLeaves):
    """The rows for which all expressions are true."""

    def reads(self) -> frozenset[str] | None:
        return self._read

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.schema}

    @property
    def rows(self) -> Rows:
        return "fewer"


class Project(RowVerb):
    """These columns and no others."""

    def reads(self) -> frozenset[str] | None:
        return self._read

    def passes(self) -> Mapping[str, str]:
        return {new: old for new, old in (self._copied or {}).items() if old} if self.rows == "same" else {}

    @cached_property
    def rows(self) -> Rows:
        has_column = any(isinstance(e, pl.Expr) and root_names(e) for e in self.exprs)  # literals alone are one row
        return "same" if has_column and gives_a_row_for_each(self.exprs) else "other"


class WithColumns(AddsOrLeaves):
    """All columns, and these, which replace those of their names."""

    def reads(self) -> frozenset[str] | None:
        return None if self._copied is None else self._read

    def passes(self) -> Mapping[str, str]:
        if (made := self._copied) is None or self.rows != "same":
            return {}
        return {new: old for new, old in ({c: c for c in self.inputs[0].schema} | made).items() if old}

    @property
    def rows(self) -> Rows:
        return "same" if self.inputs[0].schema else "other"

    @cached_property
    def is_streamed(self) -> bool:  # one value of many rows that are left out would be the value of all of a batch
        return super().is_streamed and gives_a_row_for_each(self.exprs)


class Drop(RowVerb):
    """All columns but some."""

    def output_schema(self) -> pl.Schema:
        return without_columns(self.inputs[0].schema, self.exprs) if self._is_named else super().output_schema()

    @property
    def _is_named(self) -> bool:
        """Whether each column that it drops is given by its name."""
        have = self.inputs[0].schema
        return all(isinstance(c, str) and c in have and not c.startswith("^") for c in self.exprs)

    def reads(self) -> frozenset[str]:
        if self._is_named:
            return frozenset(self.exprs)
        return frozenset(self.inputs[0].schema) - frozenset(self.schema)

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.schema}

    @property
    def rows(self) -> Rows:
        return "same" if self.schema else "other"


class Rename(RowVerb):
    """Columns under other names."""

    def reads(self) -> frozenset[str]:
        return frozenset(old for new, old in self.passes().items() if new != old)

    def passes(self) -> Mapping[str, str]:
        return dict(zip(self.schema, self.inputs[0].schema, strict=True))

    @property
    def rows(self) -> Rows:
        return "same"


class Cast(RowVerb):
    """Columns as other types."""

    def reads(self) -> frozenset[str] | None:
        named = self.args[0]
        return frozenset(named) if isinstance(named, Mapping) and all(isinstance(c, str) for c in named) else None

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def rows(self) -> Rows:
        return "same"


class Limit(Relational):
    """Rows by their place: `head`, `limit`, `tail` and `slice`."""

    recorded_as: ClassVar[type] = Relational

    def reads(self) -> frozenset[str]:
        return frozenset()

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.schema}

    @property
    def rows(self) -> Rows:
        return "fewer"

    @property
    def place(self) -> tuple[int, int | None]:
        """Which rows: the place of the first, counted from the end if it is negative, and how many (None: all from there on)."""
        match self.verb, self.args:
            case "slice", (int(offset), *rest):
                return offset, rest[0] if rest else None
            case "tail", (int(n),):
                return -n, n
            case _, (int(n),):
                return 0, n
        return (-5, 5) if self.verb == "tail" else (0, 5)

    @property
    def is_prefix(self) -> bool:
        """Whether its rows are the first of the input."""
        return self.place[0] == 0 and self.verb != "tail"

    @property
    def n_first(self) -> int | None:
        """How many rows from the first on it looks at; None where it looks at all."""
        offset, length = self.place
        return None if offset < 0 or length is None or length < 0 or self.verb == "tail" else offset + length

    def n_out(self, *n_in: int | None) -> int | None:
        offset, length = self.place
        if n_in[0] is None or (length is not None and length < 0):
            return None
        if self.verb == "tail":
            return min(-offset, n_in[0])
        left = max(0, n_in[0] - offset) if offset >= 0 else None
        return left if left is None or length is None else min(left, length)


class Sort(Relational):
    """All rows in another order; equal ones keep theirs."""

    recorded_as: ClassVar[type] = Relational

    def reads(self) -> frozenset[str] | None:
        return reading(flat(self.args))

    def apply(self, *frames: pl.LazyFrame) -> pl.LazyFrame:
        return frames[0].sort([_typed(key, frames[0]) for key in flat(self.args)], **dict(self.options))

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.schema}

    def n_out(self, *n_in: int | None) -> int | None:
        return n_in[0]


def _typed(key: Any, rows: pl.LazyFrame) -> Any:
    """A key of rows, its type being said: polars' streams refuse one whose numbers have none yet, as in `when(a).then(2)`."""
    if not isinstance(key, pl.Expr) or key.meta.is_column() or key.meta.has_multiple_outputs():
        return key
    return key.cast(rows.select(key.alias("key")).collect_schema()["key"])


class Join(Relational):
    """Rows of two inputs side by side."""

    recorded_as: ClassVar[type] = Relational

    @property
    def how(self) -> str:
        """The kind of join: inner, left, right, full, semi, anti or cross."""
        return str(dict(self.options).get("how", "inner"))

    def reads(self) -> frozenset[str] | None:
        if self.how not in OF_THE_LEFT:
            return None
        options = dict(self.options)
        on = flat([options[name] for name in ("on", "left_on") if options.get(name) is not None])
        return frozenset(on) if all(isinstance(c, str) for c in on) else None

    def schema_over(self, inputs: Sequence[Step]) -> pl.Schema | None:
        """Also of one that only leaves rows out, over a left input that has more columns or fewer, if those that are compared are what they were."""
        have, had, reads = inputs[0].schema, self.inputs[0].schema, self.reads()
        if self.how not in ("semi", "anti") or reads is None or len(inputs) != 2 or not are_same(inputs[1].schema, self.inputs[1].schema):
            return super().schema_over(inputs)
        return have if all(c in have and have[c] == had[c] for c in reads) else None

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.inputs[0].schema} if self.how in OF_THE_LEFT else {}

    @property
    def rows(self) -> Rows:
        return "fewer" if self.how in ("semi", "anti") else "other"

    def n_out(self, *n_in: int | None) -> int | None:
        return n_in[0] * n_in[1] if self.how == "cross" and n_in[0] is not None and n_in[1] is not None else None


class JoinNearest(Relational):
    """Each row of the left input beside the nearest one of the right: polars' `join_asof`."""

    recorded_as: ClassVar[type] = Relational

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.inputs[0].schema}

    @property
    def rows(self) -> Rows:
        return "same"


class Refill(RowVerb):
    """All rows in their places, with other values in them: `fill_null`, `fill_nan`, `interpolate` and `shift`."""

    @property
    def rows(self) -> Rows:
        return "same"

    @cached_property
    def is_streamed(self) -> bool:  # what is filled by a strategy is filled from other rows
        options = dict(self.options)
        return self.verb in ("fill_null", "fill_nan") and options.get("strategy") is None and super().is_streamed


class Aggregate(Relational):
    """A row for each group, in order of first appearance. The arguments are the groups' keys, and their values."""

    recorded_as: ClassVar[type] = Relational
    stays: ClassVar[tuple[str, ...]] = ("made", "sources", "_together")

    def reads(self) -> frozenset[str] | None:
        return reading(flat(self.args))

    @cached_property
    def made(self) -> Mapping[str, pl.Expr]:
        """As of a RowVerb, of its values."""
        return making(list(self.args[1]))

    @cached_property
    def sources(self) -> Mapping[str, frozenset[str]]:
        """As of a RowVerb."""
        return {name: frozenset(root_names(expr)) for name, expr in self.made.items()}


class Concat(Relational):
    """The rows of all inputs below one another, or their columns side by side."""

    recorded_as: ClassVar[type] = Relational

    def n_out(self, *n_in: int | None) -> int | None:
        known = [n for n in n_in if n is not None]
        return sum(known) if len(known) == len(n_in) and dict(self.options).get("how") in ("vertical", "diagonal") else None


VERBS: Mapping[str, type[Relational]] = {
    "select": Project, "with_columns": WithColumns, "filter": Filter, "drop": Drop, "rename": Rename, "cast": Cast,
    **dict.fromkeys(("head", "limit", "tail", "slice"), Limit),
    "sort": Sort, "join": Join, "aggregate": Aggregate, "concat": Concat,
    **dict.fromkeys(("explode", "unnest", "drop_nulls"), RowVerb),
    **dict.fromkeys(("fill_null", "fill_nan", "interpolate", "shift"), Refill),
    "join_asof": JoinNearest,
    **dict.fromkeys(("drop_nans", "gather", "gather_every", "reverse", "unique", "unpivot", "with_row_index"), Relational),
    **dict.fromkeys(("pivot", "merge_sorted", "update", "count", "null_count", "min", "max", "sum", "mean", "median", "std", "var", "quantile"), Relational),
}


def relational(verb: str, *, schema: pl.Schema | None = None, **fields: Any) -> Relational:
    """The step of a verb of polars, of the type that the verb has. `schema`: what it gives, where that is known: then polars is not asked.

    >>> from dreamframe.plan.steps.source import Table
    >>> type(relational("head", inputs=(Table(data=pl.DataFrame({"a": [1]})),), args=(1,))).__name__
    'Limit'
    """
    kind = VERBS.get(verb, Relational)
    if schema is None:
        return kind(verb=verb, **fields)
    made = object.__new__(kind)
    vars(made)["schema"] = schema
    kind.__init__(made, verb=verb, **fields)
    return made
