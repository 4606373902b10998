"""Whether a value that a text gave is of the type that a record declares: a record is made of what its code may rely on, or not at all."""

from __future__ import annotations

import collections.abc
import dataclasses
import types
import typing
from functools import cache
from typing import Any


@cache
def declared(cls: type) -> dict[str, Any]:
    """The types of a record's fields; none for a user's own class whose names are known to type checkers alone."""
    try:
        hints = typing.get_type_hints(cls)
    except NameError:
        return {}
    return {f.name: hints[f.name] for f in dataclasses.fields(cls)}


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of a declared type, as far down as tuples go.

    >>> from dreamframe.plan.json.field_types import fits
    >>> fits(("a", 1), tuple[str, int]), fits(("a", "b"), tuple[str, int]), fits(True, int), fits(1, float | None)
    (True, False, False, True)
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is typing.Literal:
        return value in args
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        return all(fits(v, args[0]) for v in value) if args[-1:] == (...,) else len(value) == len(args) and all(map(fits, value, args))
    if origin is collections.abc.Callable:
        return callable(value)
    if hint in (int, float):
        return type(value) is int or (hint is float and type(value) is float)
    try:
        return isinstance(value, origin or hint)
    except TypeError:
        return True  # Any, a type variable, a protocol that cannot be asked
