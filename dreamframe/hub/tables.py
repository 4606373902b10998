"""What other libraries call a table, as rows of polars: dicts, lists of dicts, polars, pandas, Arrow, data sets of Hugging Face."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from dreamframe.errors import PlanError
from dreamframe.hub.labels import named_labels
from dreamframe.identity.owned import own_rows

KINDS = "Pass a dict of columns, a list of dicts or records, a polars, pandas or Arrow table, or a datasets.Dataset."


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
    if isinstance(data, pl.Series | Mapping):
        return _built(lambda: pl.DataFrame(data if isinstance(data, pl.Series) else dict(data), schema=schema))
    if "numpy" in makers:
        return _of_numpy(data, kind, schema)
    if hasattr(data, "__arrow_c_stream__") or "pyarrow" in makers:
        return arrow_rows(data, schema)
    if isinstance(data, Iterable) and not isinstance(data, (str, bytes)):
        rows = list(data)
        if all(isinstance(r, Mapping) for r in rows):
            return _built(lambda: pl.from_dicts([dict(r) for r in rows], schema=schema, infer_schema_length=None)) if rows or schema else pl.DataFrame()
        return _of_records(rows, kind, schema)
    hint = " Of a function that gives rows, pass what it gives: dr.frame(function())." if callable(data) and not isinstance(data, type) else ""
    raise PlanError(f"frame: cannot make rows of a {kind}. {KINDS}{hint}")


def _built(make: Callable[[], pl.DataFrame]) -> pl.DataFrame:
    """What polars makes of values; its error as ours, which names the column."""
    try:
        return make()
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as exc:
        column = re.search(r"constructing Series '(.*)'", str(exc))
        told = " ".join(str(exc).strip().split("\n\n", 1)[0].split())[:300]
        raise PlanError(f"frame: {f'column {column[1]!r}: ' if column else ''}{told}. Make the values of one type first, or give schema=.") from exc


def _of_records(rows: list[Any], kind: str, schema: Any) -> pl.DataFrame:
    """Rows that are no dicts: records that name their fields, or sequences whose names `schema` has."""
    if all(_has_names(r) for r in rows):
        return _built(lambda: pl.DataFrame(rows, schema=schema, infer_schema_length=None))
    if schema is not None and all(isinstance(r, (list, tuple)) for r in rows):
        return _built(lambda: pl.DataFrame(rows, schema=schema, orient="row", infer_schema_length=None))
    first = next(r for r in rows if not isinstance(r, Mapping))
    names = " Or pass schema=[…] with the names of the columns." if isinstance(first, (list, tuple)) else ""
    raise PlanError(f"frame: cannot make rows of a {kind} that holds a {type(first).__name__}. {KINDS}{names}")


def _has_names(row: Any) -> bool:
    """Whether a row is a record whose fields polars knows: a dataclass, a named tuple, a pydantic model."""
    return not isinstance(row, type) and (dataclasses.is_dataclass(row) or hasattr(row, "_fields") or hasattr(type(row), "model_fields"))


def _of_numpy(data: Any, kind: str, schema: Any) -> pl.DataFrame:
    """An array of rows: its columns are named by `schema`, or by its own fields."""
    if not hasattr(data, "ndim") or data.ndim not in (1, 2) or (schema is None and data.dtype.names is None):
        raise PlanError(f"frame: the columns of a {kind} have no names. Give them: dr.frame(data, schema=['a', 'b']), with two dimensions at most.")
    return _built(lambda: pl.DataFrame(data, schema=schema, orient="row") if data.ndim == 2 else pl.DataFrame(data, schema=schema))


def as_pandas(rows: pl.DataFrame, **options: Any) -> Any:
    """A pandas frame. Whole numbers and truth values of which some are null are of pandas' own types that have nulls: as floats, large ones would change."""
    made = rows.to_pandas(**options)
    if not options.get("use_pyarrow_extension_array"):
        import pandas as pd

        for column in rows.iter_columns():
            if column.null_count() and (column.dtype.is_integer() or column.dtype == pl.Boolean):
                is_null = column.is_null().to_numpy(writable=True)
                if column.dtype == pl.Boolean:
                    made[column.name] = pd.arrays.BooleanArray(column.fill_null(value=False).to_numpy(writable=True), is_null)
                else:
                    made[column.name] = pd.arrays.IntegerArray(column.fill_null(0).to_numpy(writable=True), is_null)
    return made


IMAGE = pl.Struct({"bytes": pl.Binary, "path": pl.String})  # how the datasets library holds an image, and sounds as well
BEGINS = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"BM", b"II*\x00", b"MM\x00*")  # PNG, JPEG, GIF, WebP, BMP, TIFF


def holds_images(column: pl.Series) -> bool:
    """Whether a column holds what the datasets library calls images: bytes that begin as images do, each with a path or none."""
    if column.dtype != IMAGE:
        return False
    held = column.drop_nulls().struct.field("bytes").drop_nulls()
    starts = [value[:12] for value in held.to_list()]
    return bool(starts) and all(s.startswith(BEGINS) and (s[:4] != b"RIFF" or s[8:] == b"WEBP") for s in starts)


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
    rows = _of_stream(data) if is_stream else arrow_rows(data.with_format("arrow")[:], None)  # not .data.table, which ignores shuffles
    rows = named_labels(rows, getattr(data, "features", None) or {}, door="frame")
    return rows.cast(dict(schema)) if schema is not None else rows


def _of_stream(data: Any) -> pl.DataFrame:
    """An `IterableDataset`, read to its end: by Arrow where it can, so that images and types stay what they are."""
    if not hasattr(data, "with_format") or getattr(data, "features", None) is None:
        return _as_polars(iter(data), None)
    parts = [arrow_rows(part) for part in data.with_format("arrow").iter(batch_size=1000)]
    return pl.concat(parts) if parts else arrow_rows(data.features.arrow_schema.empty_table())


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
