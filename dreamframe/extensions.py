"""What a program added to the classes of polars and pandas: methods and namespaces, which functions reach through a row's table by name alone."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import Any

import polars as pl

from dreamframe import whose_code

TABLES = (pl.DataFrame, pl.LazyFrame, pl.Series, pl.Expr)
OF_PANDAS = ("DataFrame", "Series", "Index")


def read_by(names: Iterable[str]) -> Iterator[tuple[str, object]]:
    """(where, what) for each of these names that the user's own code stands behind."""
    pandas = sys.modules.get("pandas")
    kinds = [*TABLES, *(kind for name in OF_PANDAS if (kind := getattr(pandas, name, None)) is not None)]
    for name in sorted(names):
        for kind in kinds:
            held = vars(kind).get(name)
            if held is not None and whose_code.is_users(added := _added(held)):
                yield f"{kind.__name__}.{name}", added


def _added(held: Any) -> Any:
    """What a namespace of polars, an accessor of pandas, or a property leads to."""
    for inside in ("_ns", "_accessor", "fget", "__func__"):
        if (found := getattr(held, inside, None)) is not None:
            return found
    return held
