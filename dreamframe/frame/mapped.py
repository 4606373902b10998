"""What a user's function makes: the names and types of its columns, as `schema=`, `into=` and the function itself tell them."""

from __future__ import annotations

import numbers
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.models.habits import described

AWAITED = 64  # rows for which an async function is awaited at a time
WAYS = (
    "Say what the function makes: map(function, schema={'c': int}) where it gives {'c': 1}, or map(function, into='c', schema=int) where it gives 1 "
    "(without schema=, if it is declared with -> int)."
)
Columns = tuple[tuple[str, Any], ...]


def new_columns(function: Callable[..., Any], schema: Any, into: str | None, where: str) -> Columns:
    """Name and type of each column that a function makes of a row. Raises SettingError where that is not said."""
    if into is None:
        if not isinstance(schema, Mapping):
            told = "" if schema is None else f"schema={_shown(schema)} does not name a column. "
            raise SettingError(f"{where}: {told}{WAYS}")
        return typed_columns(schema, where)
    if not isinstance(into, str):
        raise SettingError(f"{where}: into={into!r} is not a name; give the new column's, e.g. into='summary'.")
    if isinstance(schema, Mapping):
        raise SettingError(f"{where}: into= names one column, and schema= is its type, not a dict. {WAYS}")
    return typed_columns({into: schema if schema is not None else _declared(function, where)}, where)


def typed_columns(schema: Any, where: str) -> Columns:
    """The columns of a schema, with types of polars."""
    if not isinstance(schema, Mapping):
        raise SettingError(f"{where}: schema= is {described(schema)}, not a dict of names and types such as {{'c': int}}.")
    try:
        return tuple(pl.Schema({name: _without_none(dtype) for name, dtype in schema.items()}).items())
    except (TypeError, ValueError, pl.exceptions.PolarsError) as exc:
        told = " ".join(str(exc).split())[:200]
        raise SettingError(f"{where}: schema={schema!r}: {told}. A type is int, float, str, bool, list[str], or one of polars.") from exc


def need_function(function: object, where: str) -> None:
    """Raise SettingError for what cannot be called."""
    if not callable(function):
        raise SettingError(f"{where}: {described(function)} is not a function; give one of a row, e.g. lambda row: row['a'] + 1.")


def need_steering(timeout: Any, workers: Any, where: str) -> None:
    """Raise SettingError for what is not a number of seconds, or of workers."""
    if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, numbers.Real) or not float(timeout) > 0):
        raise SettingError(f"{where}: timeout={timeout!r} is not a number of seconds above 0.")
    if workers is not None and (isinstance(workers, bool) or not isinstance(workers, numbers.Integral) or int(workers) < 1):
        raise SettingError(f"{where}: workers={workers!r} is not a whole number of 1 or more.")


def _declared(function: Callable[..., Any], where: str) -> Any:
    try:
        found = typing.get_type_hints(getattr(function, "function", function)).get("return", Any)
    except (TypeError, NameError):  # a callable object, or names that are not there
        found = Any
    if found is Any or found is None or found is type(None):
        raise SettingError(f"{where}: the type of the new column is not known. {WAYS}")
    return found


def _without_none(dtype: Any) -> Any:
    """`int | None` is a column of int: nulls are in every column."""
    if typing.get_origin(dtype) in (types.UnionType, typing.Union) and len(given := [a for a in typing.get_args(dtype) if a is not type(None)]) == 1:
        return given[0]
    return dtype


def _shown(schema: Any) -> str:
    return schema.__name__ if isinstance(schema, type) else repr(schema)
