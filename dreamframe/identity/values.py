"""Canonical bytes of every kind of value: written here for Python's own, for polars' and for records; else by the file that knows the kind."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import re
import struct
import sys
import types
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from dreamframe.identity import arrays, classes, expressions, functions
from dreamframe.identity.files import content_of
from dreamframe.identity.tables import frame_digest
from dreamframe.identity.tagged import tagged
from dreamframe.identity.versioned import Versioned
from dreamframe.identity.walk import Walk, encode, version_of
from dreamframe.identity.whose_code import is_library, recorded
from dreamframe.redaction.secret import Secret


@encode.register(object)
def _other(value: Any, walk: Walk) -> bytes:
    """The bytes of a value of any other type: records, types, functions, libraries' values, objects of users' classes."""
    if isinstance(value, type):
        return classes.of_class(value, walk)
    if dataclasses.is_dataclass(value):
        return walk.nested(value, lambda: _record(value, walk))
    if classes.is_type_form(value):
        return classes.of_type_form(value, walk)
    if functions.is_function_like(value):
        return functions.of_callable(value, walk)
    if arrays.is_foreign(value):
        return arrays.of_foreign(value, walk)
    if (fractions := sys.modules.get("fractions")) is not None and isinstance(value, fractions.Fraction):  # importing it is not for everyone
        return _plain(fractions.Fraction, "fraction", str)(value, walk)
    return walk.once(value, lambda: classes.of_object(value, walk))


def _whole(value: Any, kind: type, made: bytes, walk: Walk) -> bytes:
    """The bytes of a value of a built-in kind. What is of a subclass is more than that."""
    cls = type(value)
    if cls is kind or kind in BY_TEXT:
        return made
    if isinstance(value, enum.Enum):
        return _member(value, walk)
    if is_library(cls):
        return walk.nested(value, lambda: tagged("sub", made, classes.parts_of_library_object(value, walk)))
    return walk.once(value, lambda: tagged("own", made, classes.of_object(value, walk)))


def _plain(kind: type, tag: str, text: Callable[[Any], str | bytes]) -> Callable[[Any, Walk], bytes]:
    """The encoder of a type whose values are one text."""

    def encoder(value: Any, walk: Walk) -> bytes:
        made = text(value)
        whole = tagged(tag, made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made)
        return whole if type(value) is kind else _whole(value, kind, whole, walk)

    return encoder


encode.register(Secret, lambda v, _: tagged("str", str(v).encode("utf-8", "surrogatepass")))  # what it is, whoever may see it
BY_TEXT = (pl.DataType,)  # whose subclasses are told apart by their text
for _kind, _tag, _text in (
    (type(None), "none", lambda _: ""),
    (bool, "bool", str),
    (int, "int", hex),  # of any length
    (float, "float", lambda v: struct.pack(">d", v)),
    (complex, "complex", lambda v: struct.pack(">dd", v.real, v.imag)),
    (str, "str", lambda v: v),
    (bytes, "bytes", lambda v: v),
    (bytearray, "bytearray", bytes),
    (type(Ellipsis), "ellipsis", lambda _: ""),
    (type(NotImplemented), "notimplemented", lambda _: ""),
    (range, "range", lambda v: f"{v.start} {v.stop} {v.step}"),
    (datetime.date, "date", lambda v: v.isoformat()),
    (datetime.timedelta, "timedelta", lambda v: f"{v.days} {v.seconds} {v.microseconds}"),
    (datetime.timezone, "timezone", repr),
    (decimal.Decimal, "decimal", lambda v: str(v.as_tuple())),
    (uuid.UUID, "uuid", str),
    (re.Pattern, "pattern", lambda v: f"{v.flags} {v.pattern!r}"),
    (pl.DataType, "dtype", str),
):
    encode.register(_kind, _plain(_kind, _tag, _text))


@encode.register(pathlib.PurePath)
def _path(value: pathlib.PurePath, walk: Walk) -> bytes:
    """By its text; in `depends` by the content of what it leads to, wherever that is."""
    if walk.reads_paths and isinstance(value, pathlib.Path):
        return tagged("content", content_of(value).encode())
    return tagged("path", f"{type(value).__name__} {value}".encode("utf-8", "surrogatepass"))


@encode.register(datetime.datetime)
@encode.register(datetime.time)
def _instant(value: Any, walk: Walk) -> bytes:
    kind = datetime.datetime if isinstance(value, datetime.datetime) else datetime.time
    made = tagged(kind.__name__, f"{value.isoformat()} {value.fold}".encode(), walk.inside("time zone", value.tzinfo))
    return _whole(value, kind, made, walk)


@encode.register(tuple)
@encode.register(list)
@encode.register(frozenset)
@encode.register(set)
def _sequence(value: Any, walk: Walk) -> bytes:
    kind = next(t for t in (tuple, list, frozenset, set) if isinstance(value, t))

    def make() -> bytes:
        if kind in (set, frozenset):  # each by itself: the order of a set is not its own
            return tagged("set" if kind is frozenset else "mutable set", *sorted(encode(v, Walk(walk)) for v in value))
        return tagged(kind.__name__, *(walk.inside(f"[{i}]", v) for i, v in enumerate(value)))

    return _whole(value, kind, walk.nested(value, make), walk)


@encode.register(dict)
@encode.register(types.MappingProxyType)
def _mapping(value: Any, walk: Walk) -> bytes:
    """In its own order: a program may depend on it."""

    def make() -> bytes:
        return tagged("dict", *(piece for k, v in value.items() for piece in (encode(k, walk), walk.inside(f"[{k!r}]"[:60], v))))

    return _whole(value, dict if isinstance(value, dict) else types.MappingProxyType, walk.nested(value, make), walk)


@encode.register(slice)
def _slice(value: slice, walk: Walk) -> bytes:
    return tagged("slice", *(encode(v, walk) for v in (value.start, value.stop, value.step)))


@encode.register(enum.Enum)
def _member(value: enum.Enum, walk: Walk) -> bytes:
    return tagged("member", classes.of_class(type(value), walk), str(value.name).encode(), walk.inside(str(value.name), value.value))


@encode.register(pl.Schema)
def _schema(value: pl.Schema, walk: Walk) -> bytes:
    return tagged("schema", *(encode(v, walk) for item in value.items() for v in item))


@encode.register(pl.DataFrame)
@encode.register(pl.Series)
def _frame(value: pl.DataFrame | pl.Series, walk: Walk) -> bytes:  # noqa: ARG001
    frame = value if isinstance(value, pl.DataFrame) else pl.DataFrame({value.name: value})
    return tagged("frame" if frame is value else "series", frame_digest(frame).encode())


@encode.register(pl.Expr)
def _expr(value: pl.Expr, walk: Walk) -> bytes:
    """Polars' own serialised form; Python functions inside it by their code."""
    serialised, held = expressions.serialised(value, walk)
    return tagged("expr", serialised, *(walk.inside("function in a polars expression", f) for f in held))


@encode.register(Versioned)
def _versioned(value: Versioned[Any, Any], walk: Walk) -> bytes:
    """What it depends on is the user's word: nothing of that code is refused for what it reads."""
    if walk.is_lasting:  # as it always was, whatever a path leads to
        name = getattr(value.function, "__qualname__", type(value.function).__qualname__)
        return tagged("versioned", name.encode(), encode(value.version, walk), walk.inside("depends", value.depends))
    reads_files = walk.seen.reads_files
    with walk.where(is_lenient=True):
        told = [p for k, v in value.told.items() for p in (k.encode(), walk.inside(f"{k} of {value.name}", v))]
        with walk.where(reads_paths=True):
            depends = walk.inside("depends", value.depends)
    walk.seen.reads_files = reads_files
    return tagged("versioned", value.name.encode(), encode(value.version, walk), depends, *told)


@encode.register(types.CodeType)
def _code(value: types.CodeType, walk: Walk) -> bytes:
    return functions.of_code(value, functions.Names({}, {}), walk)


def _record(value: Any, walk: Walk) -> bytes:
    """A record: its class and its fields but for the runtime ones. Of a user's own class the code counts too, and what an object keeps beside its fields."""
    cls = type(value)
    is_of_library = is_library(cls)
    library = version_of(cls.__module__, walk) if is_of_library else []
    name = tagged("class", recorded(cls).__qualname__.encode(), str(getattr(cls, "version", 1)).encode(), *library)
    identity = name if is_of_library else name + classes.of_class(cls, walk)
    held = record_fields(value)
    if not is_of_library and not hasattr(cls, "key_fields"):
        own = {f.name for f in dataclasses.fields(value)}
        held = {**held, **{k: v for k, v in classes.state_of(value) if k.rpartition(".")[2] not in own}}
    return tagged("record", identity, *(piece for k, v in held.items() for piece in (k.encode(), walk.inside(f"{cls.__name__}.{k}", v))))


def record_fields(record: Any) -> Mapping[str, object]:
    """What identifies a record: `key_fields()` if it has it, else every field that is not declared runtime."""
    if hasattr(type(record), "key_fields"):
        return dict(record.key_fields())
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if not f.metadata.get("runtime")}
