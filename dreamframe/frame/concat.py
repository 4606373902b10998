"""Which frames can be put together: what does not fit is named column by column, before polars is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import polars as pl

from dreamframe.errors import DuplicateColumnError, SchemaError, listed

ConcatHow = Literal[
    "vertical", "horizontal", "diagonal", "vertical_relaxed", "diagonal_relaxed", "horizontal_extend",
    "align", "align_full", "align_inner", "align_left", "align_right",
]  # fmt: skip


def need_alike(schemas: Sequence[pl.Schema], how: str) -> None:
    """Raise SchemaError for the first frame whose columns do not go below those of the first, DuplicateColumnError for names that stand side by side twice."""
    first = schemas[0]
    for number, other in enumerate(schemas[1:], start=2):
        if how.startswith("horizontal"):
            before = {name for schema in schemas[: number - 1] for name in schema}
            if twice := [name for name in other if name in before]:
                raise DuplicateColumnError(f"concat: frame {number} has {listed(twice)}, which a frame before it has, too. Leave it out (.drop) or .rename it.")
        elif how in ("vertical", "vertical_relaxed"):
            _need_names(first, other, number)
        if how in ("vertical", "diagonal") and (unlike := [n for n in other if n in first and first[n] != other[n]]):
            name = unlike[0]
            raise SchemaError(
                f"concat: column {name!r} is {first[name]} in frame 1 and {other[name]} in frame {number}. "
                f"Cast one of them, e.g. .cast({{{name!r}: pl.{first[name].base_type()}}}), or let numbers widen: how={how + '_relaxed'!r}."
            )


def _need_names(first: pl.Schema, other: pl.Schema, number: int) -> None:
    lacks, has = [n for n in first if n not in other], [n for n in other if n not in first]
    if lacks or has:
        told = [f"lacks {listed(lacks)}"] * bool(lacks) + [f"has {listed(has)}, which frame 1 lacks"] * bool(has)
        raise SchemaError(f"concat: frame {number} {' and '.join(told)}. With nulls in what is missing: how='diagonal'. Or use .select, .rename, .drop.")
    if list(first) != list(other):
        raise SchemaError(f"concat: frame {number} has the columns of frame 1 in another order. Write .select({', '.join(map(repr, first))}).")
