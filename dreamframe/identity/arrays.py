"""Values of numpy, pandas and pyarrow as canonical bytes, without importing any of them."""

from __future__ import annotations

from typing import Any

import polars as pl

from dreamframe.identity.classes import of_object
from dreamframe.identity.tables import frame_digest
from dreamframe.identity.tagged import tagged
from dreamframe.identity.walk import Walk, by_name


def is_foreign(value: object) -> bool:
    return type(value).__module__.split(".")[0] in ("numpy", "pandas", "pyarrow")


def of_foreign(value: Any, walk: Walk) -> bytes:
    """An array, scalar or ufunc of numpy; a frame, series, index or array of pandas. Anything else by what it says it is made of."""
    name = type(value).__name__
    if type(value).__module__.startswith("pyarrow"):
        return _arrow(value, walk)
    if type(value).__module__.startswith("pandas"):
        return _pandas(value, walk) if hasattr(value, "to_numpy") else of_object(value, walk)
    if name == "ufunc":
        return _ufunc(value, walk)
    if hasattr(value, "tobytes") and (name == "ndarray" or not hasattr(value, "__array_finalize__")):  # an array's subclass may hold more, e.g. a mask
        return _array(value, walk)
    return of_object(value, walk)


def _ufunc(value: Any, walk: Walk) -> bytes:
    """By name if it is numpy's own; one of np.frompyfunc hides its function."""
    import numpy as np

    name = str(value.__name__)
    if getattr(np, name, None) is not value:
        raise walk.refuse(value, "the function that it calls cannot be seen; use np.vectorize")
    return by_name("ufunc", name, "numpy", walk)


def _array(value: Any, walk: Walk) -> bytes:
    kind = str(value.dtype.descr if value.dtype.names else value.dtype.str)
    held = walk.inside("objects", value.tolist()) if value.dtype.hasobject else value.tobytes()  # in C order, whatever the memory's
    return tagged(f"numpy {type(value).__name__}", kind.encode(), str(value.shape).encode(), held)


def _pandas(value: Any, walk: Walk) -> bytes:
    if not walk.is_lasting and (attributes := getattr(value, "attrs", None)):  # what a program wrote onto a frame
        return tagged("with attributes", walk.inside("attrs", attributes), _pandas_values(value, walk))
    return _pandas_values(value, walk)


def _pandas_values(value: Any, walk: Walk) -> bytes:
    name = type(value).__name__
    if hasattr(value, "columns"):
        columns = [value.iloc[:, i].array for i in range(value.shape[1])]
        return tagged(name, *(walk.inside(name, v) for v in (value.columns, value.index, *columns)))
    if hasattr(value, "index"):
        return tagged(name, *(walk.inside(name, v) for v in (value.name, value.index, value.array)))
    if hasattr(value, "names"):  # an index: how it is stored does not count
        return tagged("index", walk.inside("names", list(value.names)), _values(value, walk))
    return _values(value, walk)


def _values(value: Any, walk: Walk) -> bytes:
    kind = str(value.dtype)
    if kind == "category":
        return tagged("category", walk.inside("categories", value.categories), str(value.ordered).encode(), walk.inside("codes", value.codes))
    plain = value.to_numpy()
    return tagged("values", kind.encode(), walk.inside("values", value.tolist() if plain.dtype.hasobject else plain))


def _arrow(value: Any, walk: Walk) -> bytes:
    import pyarrow as pa

    match value:
        case pa.Table() | pa.RecordBatch() | pa.Array() | pa.ChunkedArray():
            rows, kind = (pa.table({"": value}), "array") if isinstance(value, pa.Array | pa.ChunkedArray) else (value, "table")
            try:
                digest = frame_digest(pl.DataFrame(rows))
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException, NotImplementedError, ValueError) as exc:
                raise walk.refuse(value) from exc
            return tagged(kind, str(rows.schema.remove_metadata()).encode(), digest.encode(), *_arrow_notes(rows.schema, walk))
        case pa.Schema():
            return tagged("arrow type", str(value).encode(), *_arrow_notes(value, walk))
        case pa.DataType() | pa.Field():
            return tagged("arrow type", str(value).encode(), *_arrow_notes([value] if isinstance(value, pa.Field) else [], walk))
        case _:
            raise walk.refuse(value)


def _arrow_notes(schema: Any, walk: Walk) -> list[bytes]:
    """What a program wrote onto an Arrow schema and its fields."""
    notes = {"": getattr(schema, "metadata", None), **{f.name: f.metadata for f in schema}}
    if walk.is_lasting or not (held := {name: dict(note) for name, note in notes.items() if note}):
        return []
    return [walk.inside("metadata", held)]
