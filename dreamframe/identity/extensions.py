"""What a program added to the classes of libraries: methods and namespaces, which functions reach through a table or an object by name alone."""

from __future__ import annotations

import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from dreamframe.identity import whose_code

TABLES = (pl.DataFrame, pl.LazyFrame, pl.Series, pl.Expr)
OF_PANDAS = ("DataFrame", "Series", "Index")


def read_by(names: Iterable[str], scope: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """(where, what) for each of these names that the user's own code stands behind: in polars and pandas, and in the classes that the names stand for."""
    names = sorted(set(names))
    pandas = sys.modules.get("pandas")
    kinds = [*TABLES, *(kind for name in OF_PANDAS if (kind := getattr(pandas, name, None)) is not None), *_classes(names, scope)]
    for name in names:
        for kind in kinds:
            held = vars(kind).get(name)
            if held is not None and whose_code.is_users(added := _added(held)):
                yield f"{kind.__name__}.{name}", added


def _classes(names: list[str], scope: Mapping[str, object]) -> list[type]:
    """Libraries' classes among the values of names, and among the attributes of modules that names stand for."""
    values = [v for name in names if (v := scope.get(name)) is not None]
    within = [held for v in values if isinstance(v, types.ModuleType) for name in names if isinstance(held := vars(v).get(name), type)]
    found = {v for v in (*values, *within) if isinstance(v, type)} - set(TABLES)
    return sorted((c for c in found if whose_code.is_library(c)), key=lambda c: (str(c.__module__), c.__qualname__))


def _added(held: Any) -> Any:
    """What a namespace of polars, an accessor of pandas, or a property leads to."""
    for inside in ("_ns", "_accessor", "fget", "__func__"):
        if (found := getattr(held, inside, None)) is not None:
            return found
    return held
