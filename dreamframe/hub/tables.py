"""What other libraries call a table, as rows of polars: dicts, lists of dicts, polars, pandas, Arrow, data sets of Hugging Face."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from dreamframe.errors import PlanError
from dreamframe.hub.labels import named_labels
from dreamframe.identity.owned import own_rows

KINDS = "Pass a dict of columns, a list of dicts, a polars, pandas or Arrow table, or a datasets.Dataset."


def rows_of(data: Any, schema: Any = None) -> pl.DataFrame:
    """The rows of a table, in memory that no other holder can change. Raises PlanError for what is not a table.

    >>> rows_of([{"a": 1}, {"a": 2}]).to_dicts()
    [{'a': 1}, {'a': 2}]
    """
    return own_rows(_as_polars(data, schema))


def _as_polars(data: Any, schema: Any) -> pl.DataFrame:
    kind = f"{type(data).__module__.split('.')[0]}.{type(data).__name__}"
    makers = {c.__module__.split(".")[0] for c in type(data).__mro__}  # also of what is made of theirs, like a GeoDataFrame
    if isinstance(data, pl.LazyFrame):
        data = data.collect()
    if isinstance(data, pl.DataFrame):
        return data.cast(schema) if schema is not None else data
    if "datasets" in makers:
        return _of_hugging_face(data, kind, schema)
    if "pandas" in makers:
        return _of_pandas(data, kind, schema)
    if isinstance(data, Mapping):
        return pl.DataFrame(dict(data), schema=schema, strict=True)
    if hasattr(data, "__arrow_c_stream__") or "pyarrow" in makers:
        return arrow_rows(data, schema)
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        rows = list(data)
        if all(isinstance(r, Mapping) for r in rows):
            return pl.from_dicts([dict(r) for r in rows], schema=schema, infer_schema_length=None) if rows or schema else pl.DataFrame()
    raise PlanError(f"frame: cannot make rows of a {kind}. {KINDS}")


def arrow_rows(table: Any, schema: Any = None) -> pl.DataFrame:
    """The rows of an Arrow table, also of a part of one whose lists of fixed size have nulls, which polars 2.1 does not take as they lie."""
    try:
        made = pl.from_arrow(table, schema_overrides=schema)
    except pl.exceptions.ComputeError:
        import pyarrow as pa

        if not isinstance(table, pa.Table | pa.RecordBatch):
            raise
        written = io.BytesIO()
        with pa.ipc.new_stream(written, table.schema) as stream:  # writes what belongs to the part alone
            stream.write(table)
        made = pl.read_ipc_stream(written.getvalue())
        made = made if schema is None else made.cast(dict(schema))
    return made if isinstance(made, pl.DataFrame) else made.to_frame()


def _of_hugging_face(data: Any, kind: str, schema: Any) -> pl.DataFrame:
    """A data set with its labels by their names; one that is a stream is read to its end."""
    if isinstance(data, Mapping):
        raise PlanError(f"frame: a {kind} is several tables; pass one split, e.g. data[{next(iter(data), 'train')!r}].")
    is_stream = not hasattr(data, "num_rows")
    if not is_stream and data.format.get("type") == "custom":
        raise PlanError(f"frame: the {kind} has a transform, which may give other rows each time. Take it off (.with_format(None)), or use .map(…) before.")
    rows = _as_polars(iter(data), None) if is_stream else arrow_rows(data.with_format("arrow")[:], None)  # not .data.table, which ignores shuffles
    rows = named_labels(rows, getattr(data, "features", None) or {}, door="frame")
    return rows.cast(dict(schema)) if schema is not None else rows


def _of_pandas(data: Any, kind: str, schema: Any) -> pl.DataFrame:
    """A pandas frame or series. An index that says something is kept as columns: one with a name, or of anything but numbers."""
    if hasattr(data, "to_frame") and hasattr(data, "index"):  # a series
        data = data.to_frame("value" if data.name is None else data.name)
    if not hasattr(data, "reset_index") or not hasattr(data, "columns"):
        raise PlanError(f"frame: cannot make rows of a {kind}. {KINDS}")
    if _says_something(data.index):
        try:
            data = data.reset_index()
        except ValueError as exc:
            raise PlanError(f"frame: the index of the pandas frame has the name of a column ({exc}). Rename it, or drop it: .reset_index(drop=True).") from exc
    try:
        return pl.from_pandas(data, schema_overrides=schema)
    except (TypeError, ValueError, pl.exceptions.PolarsError) as exc:  # pyarrow's errors are ValueErrors and TypeErrors
        way_out = " Make its values of one type first, e.g. .astype(str)." if (column := _first_bad(data)) else ""
        raise PlanError(f"frame: {column}{' '.join(str(exc).split())[:200]}.{way_out}") from exc


def _says_something(index: Any) -> bool:
    """Whether an index is more than the numbers of rows, as they are made or as a filter left them."""
    if any(name is not None for name in index.names):
        return True
    return len(index) > 0 and getattr(index.dtype, "kind", "O") not in "iu"


def _first_bad(data: Any) -> str:
    """The first column that polars cannot take, for an error."""
    for place, name in enumerate(data.columns):
        try:
            pl.from_pandas(data.iloc[:, [place]])
        except (TypeError, ValueError, pl.exceptions.PolarsError):
            return f"column {str(name)!r}: "
    return ""
