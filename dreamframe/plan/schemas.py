"""Schemas that are made of one another: those of a long plan over a wide frame cost a copy each, and no look at each column."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from itertools import compress
from operator import is_not
from typing import Any

import polars as pl

from dreamframe.errors import PlanError
from dreamframe.redaction.visible import HALF

RENAME = "Give it another name where the rows come from, e.g. rename({...}) of a polars frame, or new_columns= of scan_csv."


class _Copied(pl.Schema):
    """A schema in the making, of columns that a schema had before: polars' own looks at each type again, which takes twenty times as long."""

    __init__ = OrderedDict.__init__
    __setitem__ = OrderedDict.__setitem__  # type: ignore[assignment]


def with_columns(have: pl.Schema, new: Mapping[str, Any]) -> pl.Schema:
    """A schema, and these columns, which replace those of their names; the schema itself where they are those that it has.

    >>> have = pl.Schema({"a": pl.Int64, "b": pl.String})
    >>> with_columns(have, {"a": pl.Date(), "c": pl.Boolean()}), with_columns(have, {"b": pl.String()}) is have
    (Schema([('a', Date), ('b', String), ('c', Boolean)]), True)
    """
    added = {name: dtype for name, dtype in pl.Schema(new).items() if (known := have.get(name)) is None or not known.is_(dtype)}
    if not added:
        return have
    made: pl.Schema = _Copied(have)
    made.update(added)
    made.__class__ = pl.Schema
    return made


def without_columns(have: pl.Schema, gone: Iterable[str]) -> pl.Schema:
    """A schema without some of its columns.

    >>> without_columns(pl.Schema({"a": pl.Int64, "b": pl.String}), ["a"])
    Schema([('b', String)])
    """
    return changed(have, gone, {})


def changed(have: pl.Schema, gone: Iterable[str], new: Mapping[str, Any]) -> pl.Schema:
    """A schema without some of its columns, and with some of no name that it has, after the others.

    >>> changed(pl.Schema({"a": pl.Int64, "b": pl.String}), ["a"], {"c": pl.Date()})
    Schema([('b', String), ('c', Date)])
    """
    made: pl.Schema = _Copied(have)
    for name in set(gone):
        del made[name]
    made.update(new)
    made.__class__ = pl.Schema
    return made


def are_same(a: pl.Schema, b: pl.Schema) -> bool:
    """Whether two schemas have the same columns in the same order."""
    return a is b or (len(a) == len(b) and all(x is y or x.is_(y) for x, y in zip(a.values(), b.values(), strict=True)) and list(a) == list(b))


def check_names(schema: pl.Schema, *, of: Mapping[str, pl.DataType], step: str) -> None:
    """Raise PlanError for names that no column can have: a NUL ends the process where Arrow takes names over, and patterns are many columns to polars.

    Columns that are the same object in `of`, the input's schema, were looked at there.
    """
    if schema is of:
        return
    is_new = map(is_not, schema.values(), map(of.get, schema))
    for name, dtype in compress(schema.items(), is_new):
        if ("\0" in name or dtype.is_nested()) and (found := _with_nul(name, dtype)):
            raise PlanError(f"{step}: the name {found!r} holds a NUL character, which no column or field can be called. {RENAME}")
        if HALF.search(name):
            raise PlanError(f"{step}: the name {name!r} holds half of a surrogate pair, which no column can be called. {RENAME}")
        if name == "*" or (name.startswith("^") and name.endswith("$") and len(name) > 1):
            raise PlanError(f"{step}: a column is called {name!r}, which polars reads as a pattern for many columns. {RENAME}")


def _with_nul(name: str, dtype: Any) -> str:
    """The first name with a NUL: a column's own, or that of a field inside it; empty where there is none."""
    if "\0" in name:
        return name
    if isinstance(dtype, pl.Struct):
        return next((found for f in dtype.fields if (found := _with_nul(f.name, f.dtype))), "")
    inner = [getattr(dtype, part) for part in ("inner", "key", "value") if hasattr(dtype, part)]
    return next((found for i in inner if (found := _with_nul("", i))), "")
