"""Copies of what a user hands over: a plan keeps the rows and the arguments of the moment it was built, whatever becomes of the user's own."""

from __future__ import annotations

import io
import json
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.identity.expressions import taken_apart

NO_SEED = b"\xa4seed\xc0"  # a seed that is not given, in a serialised expression
ARROW = b"\xff\xff\xff\xff"  # how a table inside a serialised expression begins


def own_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows in memory of their own. What polars calls a clone shares its memory with NumPy arrays, Arrow tables and mapped files.

    >>> import numpy
    >>> numbers = numpy.array([1.0, 2.0])
    >>> shared = pl.DataFrame({"a": numbers})
    >>> rows = own_rows(shared)
    >>> numbers[0] = 9.0
    >>> shared["a"].to_list(), rows["a"].to_list()
    ([9.0, 2.0], [1.0, 2.0])
    """
    if not rows.height:
        return rows.clear()
    if not rows.width:
        return rows.clone()
    if (made := _through_arrow(rows)) is not None:
        return made
    columns = (column.to_frame() for column in rows.iter_columns())
    made = pl.DataFrame([_by_value(c) if (copied := _through_arrow(c)) is None else copied.to_series() for c in columns])
    assert made.schema == rows.schema
    return made


def own(value: Any) -> Any:
    """The same value: containers of Python's own kinds, polars' columns and tables as copies, what can be gone through once as a list, anything else itself."""
    value = in_order(value)
    if type(value) in (list, tuple, set):
        return type(value)(own(v) for v in value)
    if type(value) in (dict, pl.Schema):
        return type(value)({k: own(v) for k, v in value.items()})
    if isinstance(value, pl.DataFrame):
        return own_rows(value)
    if isinstance(value, pl.Series):
        return own_rows(value.to_frame()).to_series()
    return value


def in_order(value: Any) -> Any:
    """A list of what an iterator or a view of a dict gives, and of names in a set, whose own order is another in every process; any other value itself."""
    if isinstance(value, Iterator | KeysView | ValuesView | ItemsView):
        return list(value)
    return sorted(value) if isinstance(value, set | frozenset) and all(isinstance(v, str) for v in value) else value


def own_expr(expr: pl.Expr) -> pl.Expr:
    """The same expression, whose columns of values (`pl.lit(series)`, `is_in(array)`) are copies. What polars cannot write is left as it is: Python
    functions and objects, arrays of no elements.

    Raises SettingError for one that draws at random without a seed: it would be of other rows whenever it is asked for.
    """
    try:
        written, functions = taken_apart(expr)
        if NO_SEED in written and not functions and _is_unseeded(json.loads(expr.meta.serialize(format="json"))):
            raise SettingError(f"{str(expr)[:200]} draws at random without a seed, and would give other rows in every run: give it seed=.")
        return expr if functions or ARROW not in written else pl.Expr.deserialize(io.BytesIO(written))
    except pl.exceptions.PolarsError:
        return expr


def _is_unseeded(tree: Any) -> bool:
    """Whether an expression holds a draw whose seed is null. Ranks have a seed, too, and need it only where ties are broken at random."""
    if isinstance(tree, list):
        return any(map(_is_unseeded, tree))
    if not isinstance(tree, dict):
        return False
    for kind in ("Random", "Sample", "Rank"):
        held = tree.get(kind)
        if isinstance(held, dict) and held.get("seed", 0) is None and (kind != "Rank" or "Random" in str(held)):
            return True
    return any(map(_is_unseeded, tree.values()))


def _through_arrow(rows: pl.DataFrame) -> pl.DataFrame | None:
    """A copy by way of an Arrow stream; None for types that it has not, which are Python objects and arrays of no elements."""
    if any(_is_of_python(dtype) for dtype in rows.dtypes):
        return None
    written = io.BytesIO()
    rows.write_ipc_stream(written, compat_level=pl.CompatLevel.newest())
    written.seek(0)
    made = pl.read_ipc_stream(written)
    return made if made.schema == rows.schema else None


def _is_of_python(dtype: Any) -> bool:
    if isinstance(dtype, pl.Array) and not dtype.size:
        return True
    if isinstance(dtype, pl.Struct):
        return any(_is_of_python(f.dtype) for f in dtype.fields)
    return bool(dtype == pl.Object or (isinstance(dtype, pl.List | pl.Array) and _is_of_python(dtype.inner)))


def _by_value(column: pl.DataFrame) -> pl.Series:
    values = column.to_series()
    return pl.Series(values.name, values.to_list(), dtype=values.dtype)
