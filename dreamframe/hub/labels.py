"""Labels of data sets by their names: a `ClassLabel` of the datasets library is a number and the list of names that it points into."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from dreamframe.errors import PlanError

NONE = -1  # how data sets write that a row has no label


def named_labels(rows: pl.DataFrame, features: Mapping[str, Any], *, door: str) -> pl.DataFrame:
    """The rows with names for the numbers of labels, also in lists and structs; null for -1.

    Raises PlanError, naming the column, for a number that has no name.
    """
    for name, feature in features.items():
        if name in rows.columns and (expr := _named(pl.col("label"), feature, rows.schema[name])) is not None:
            try:
                named = rows.get_column(name).alias("label").to_frame().select(expr.alias("label"))
            except pl.exceptions.InvalidOperationError as exc:
                raise PlanError(f"{door}: column {name!r} holds a label that has no name; the names are {_names(feature)}.") from exc
            rows = rows.with_columns(named.to_series().alias(name))
    return rows


def _named(at: pl.Expr, feature: Any, dtype: Any) -> pl.Expr | None:
    """The part of a feature that names its labels; None where it names none."""
    kind = type(feature).__name__
    if kind == "ClassLabel":
        return None if dtype == pl.String else at.replace_strict({NONE: None} | dict(enumerate(feature.names)), return_dtype=pl.String)
    if isinstance(feature, Mapping) and isinstance(dtype, pl.Struct):
        types = {f.name: f.dtype for f in dtype.fields}
        fields = {n: _named(pl.field(n), f, types[n]) for n, f in feature.items() if n in types}
        named = [expr.alias(n) for n, expr in fields.items() if expr is not None]
        return at.struct.with_fields(*named) if named else None
    inner = feature[0] if isinstance(feature, list) else getattr(feature, "feature", None)
    if inner is None or not isinstance(dtype, pl.List | pl.Array):
        return None
    each = _named(pl.element(), inner, dtype.inner)
    if each is None:
        return None
    return at.list.eval(each) if isinstance(dtype, pl.List) else at.arr.eval(each)


def _names(feature: Any) -> str:
    """The names of the first labels in a feature, for an error."""
    if type(feature).__name__ == "ClassLabel":
        return ", ".join(map(repr, feature.names[:10]))
    inner = list(feature.values()) if isinstance(feature, Mapping) else feature if isinstance(feature, list) else [getattr(feature, "feature", None)]
    return next((found for f in inner if f is not None and (found := _names(f))), "")
