"""What is in the columns of an output: nulls, distinct values, the commonest of them, histograms of numbers and of the lengths of texts."""

from __future__ import annotations

from typing import Any

import polars as pl

from dreamframe.session.page.cells import cell, kind_of
from dreamframe.session.page.folder import Held

BINS, TOP = 20, 6
LABELS = 50  # distinct values up to which a column of texts is shown by its values, and else by the lengths of its texts
FEW = 12  # rows up to which values are shown even if no two are equal
LOOKED_AT = 200_000  # rows that a figure is made of, from the first on


def columns(held: Held, name: str, written: frozenset[str]) -> list[dict[str, Any]]:
    """One record a column, in their order. `written`: by a model."""
    table = held.rows(name)
    return held.once(("columns", name, held.version(name)), lambda: [_column(table.get_column(c), is_written=c in written) for c in table.columns])


def _column(values: pl.Series, *, is_written: bool) -> dict[str, Any]:
    kind = kind_of(values.dtype)
    made: dict[str, Any] = {"name": values.name, "type": str(values.dtype), "kind": kind, "is_written": is_written, "nulls": values.null_count()}
    values = values.head(LOOKED_AT).drop_nulls()
    if not len(values):
        return made
    if kind in ("text", "label", "bool"):
        distinct = values.n_unique()
        made["distinct"] = distinct
        if distinct <= LABELS and (2 * distinct <= len(values) or len(values) <= FEW or kind != "text"):
            top = values.cast(pl.String).value_counts(sort=True).head(TOP)
            made["top"] = [[cell(value), n] for value, n in top.iter_rows()]
        elif kind == "text":
            made |= {"of": "characters", **_histogram(values.str.len_chars())}
    elif kind == "number":
        made["distinct"] = values.n_unique()
        made |= _histogram(values)
    elif kind == "list" and isinstance(values.dtype, pl.List):
        made |= {"of": "items", **_histogram(values.list.len())}
    return made


def _histogram(values: pl.Series) -> dict[str, Any]:
    """How many values lie in each of BINS equal parts between the least and the greatest."""
    floats = values.cast(pl.Float64)
    floats = floats.filter(floats.is_finite())
    if not len(floats):
        return {}
    low, high = float(floats.min()), float(floats.max())  # type: ignore[arg-type]
    width = (high - low) / BINS
    if width == 0 or width in (float("inf"),):
        bins = [len(floats)]
    else:
        counted = ((floats - low) / width).floor().clip(0, BINS - 1).cast(pl.Int32).value_counts()
        found = dict(counted.iter_rows())
        bins = [found.get(i, 0) for i in range(BINS)]
    return {"low": cell(low), "high": cell(high), "mean": cell(floats.mean()), "bins": bins}
