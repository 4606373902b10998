"""Polars' columns as Arrow has them: their types, and their memory."""

from __future__ import annotations

import functools
from typing import Any

import polars as pl

from dreamframe.errors import FingerprintError

MAP: Any = getattr(pl, "Map", ())  # polars 2.0 has none
NAMES: dict[Any, str] = {  # Arrow's names of types, which a digest is made of
    pl.Boolean: "bool",
    pl.String: "large_string",
    pl.Binary: "large_binary",
    pl.Categorical: "dictionary<large_string>",
    pl.Date: "date32[day]",
    pl.Time: "time64[ns]",
    pl.Null: "null",
    pl.Float16: "halffloat",
    pl.Float32: "float",
    pl.Float64: "double",
} | {kind: kind.__name__.lower() for kind in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)}


def in_arrow(dtype: Any, column: str, *, plain: bool = False, enums: bool = True) -> pl.DataType:
    """The type that Arrow has for the values of a polars type: texts for an Enum and for integers of 128 bits; `plain`: for a Categorical, too.
    Without `enums`, an Enum stays one.

    Raises FingerprintError for objects.

    >>> in_arrow(pl.List(pl.Enum(["a"])), "labels")
    List(String)
    """
    if isinstance(dtype, pl.List):
        return pl.List(in_arrow(dtype.inner, column, plain=plain, enums=enums))
    if isinstance(dtype, MAP):
        mapped: pl.DataType = MAP(in_arrow(dtype.key, column, plain=plain, enums=enums), in_arrow(dtype.value, column, plain=plain, enums=enums))
        return mapped
    if isinstance(dtype, pl.Array):
        return pl.Array(in_arrow(dtype.inner, column, plain=plain, enums=enums), dtype.size)
    if isinstance(dtype, pl.Struct):
        return pl.Struct({f.name: in_arrow(f.dtype, column, plain=plain, enums=enums) for f in dtype.fields})
    if dtype == pl.Object:
        raise FingerprintError(f"column {column!r} holds Python objects, which have no identity; write them as text, numbers or structs.")
    if dtype in (pl.Int128, pl.UInt128) or (enums and isinstance(dtype, pl.Enum)) or (plain and dtype == pl.Categorical):
        return pl.String()
    return dtype if isinstance(dtype, pl.DataType) else dtype()


def as_arrow(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in types that Arrow has.

    >>> as_arrow(pl.DataFrame({"a": [2**100]}, schema={"a": pl.Int128})).to_dicts()
    [{'a': '1267650600228229401496703205376'}]
    """
    others = _others(tuple(rows.schema.items()))
    return rows.cast(others) if others else rows


def shared(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in types that other libraries of Arrow know: integers of 128 bits as texts, all else as it is.

    >>> shared(pl.DataFrame({"a": [2**100], "b": [1]}, schema={"a": pl.Int128, "b": pl.Int8})).schema
    Schema([('a', String), ('b', Int8)])
    """
    wide = [name for name, dtype in rows.schema.items() if dtype.is_nested() or dtype in (pl.Int128, pl.UInt128)]
    return rows.cast({name: in_arrow(rows.schema[name], name, enums=False) for name in wide})


@functools.lru_cache(maxsize=256)
def _others(columns: tuple[tuple[str, pl.DataType], ...]) -> dict[Any, pl.DataType]:
    """The types to change, by column."""
    return {name: kind for name, dtype in columns if (kind := in_arrow(dtype, name)) != dtype}


def type_name(kind: Any) -> str:
    """Arrow's name of a type, but one for all layouts of lists, texts and categories. Raises FingerprintError for a type that is not known here.

    >>> type_name(pl.List(pl.Datetime("us", "UTC")))
    'list<timestamp[us, tz=UTC]>'
    """
    if isinstance(kind, pl.List):
        return f"list<{type_name(kind.inner)}>"
    if isinstance(kind, MAP):
        return f"map<{type_name(kind.key)}, {type_name(kind.value)}>"
    if isinstance(kind, pl.Array):
        return f"array<{type_name(kind.inner)}, {kind.size}>"
    if isinstance(kind, pl.Struct):
        return "struct<" + ", ".join(f"{f.name!r}: {type_name(f.dtype)}" for f in kind.fields) + ">"
    if isinstance(kind, pl.Datetime | pl.Duration):
        zone = getattr(kind, "time_zone", None)
        return f"{'duration' if isinstance(kind, pl.Duration) else 'timestamp'}[{kind.time_unit}{f', tz={zone}' if zone else ''}]"
    if isinstance(kind, pl.Decimal):
        return f"decimal128({kind.precision}, {kind.scale})"
    if isinstance(kind, pl.BaseExtension):
        return f"extension<{kind.ext_name()}>({type_name(kind.ext_storage())})"
    try:
        return NAMES[type(kind)]
    except KeyError as exc:
        raise FingerprintError(f"a column of type {kind} cannot be fingerprinted; cast it to another type first.") from exc


def memory(values: pl.Series) -> memoryview:
    """The bytes of a column of fixed width without nulls; not copied, unless the column lies in several pieces.

    >>> memory(pl.Series([1, 2], dtype=pl.UInt16)).hex()
    '01000200'
    """
    if not len(values):
        return memoryview(b"")
    from nanoarrow import c_array_stream  # pyarrow would do, and takes 45 MB and 0.1 s

    array = c_array_stream(values.alias("").rechunk()).get_next()  # a name with a NUL would end the process
    view = memoryview(array.view().buffer(1)).cast("B")
    width = view.nbytes // (array.offset + len(array))
    return view[array.offset * width :]
