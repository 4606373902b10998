"""Identity: any value of a plan as canonical bytes, and their digest. The only place that says what is the same.

A value is a type tag, a count and length-prefixed parts, so that no two values share their bytes by accident. Records are their class and their
fields; functions their code and what it reads (function_code.py); tables and files their content (content.py). A value of an unknown type raises
FingerprintError, naming where it was found and the way out: never `id`, `repr` or a serialised object.

Digests are xxh3_128: fast and stable, but not tamper-proof. Journal keys of answers use sha256 instead.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import pathlib
import re
import struct
import types
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar

import polars as pl
import xxhash

from dreamframe import function_code
from dreamframe.errors import FingerprintError
from dreamframe.file_content import FileMemo, file_digest

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["FileMemo", "answer_keys", "canonical", "file_digest", "fingerprint", "parts", "table_digest", "versioned"]

P = ParamSpec("P")
R = TypeVar("R")
WAY_OUT = "Wrap the function: dr.versioned(function, version=1, depends=[...]), and raise the version when its meaning changes."


def fingerprint(value: object) -> str:
    """32 hex characters that are equal for equal values, in any process.

    Raises FingerprintError for a value that another process could not find again (a lock, an open file, a generator…).

    >>> fingerprint({"a": (1, 2.5)}) == fingerprint({"a": (1, 2.5)}), fingerprint(1) == fingerprint(True)
    (True, False)
    """
    return str(xxhash.xxh3_128_hexdigest(canonical(value)))


def canonical(value: object) -> bytes:
    """The bytes that a fingerprint hashes."""
    return Walk().bytes_of(value)


def parts(record: Any) -> dict[str, str]:
    """Field → 12 hex characters: what went into a record's fingerprint, to see which part of two differs."""
    shown = {"class": (type(record).__name__, getattr(record, "version", 1)), **record_fields(record)}
    return {name: fingerprint(value)[:12] for name, value in shown.items()}


def table_digest(table: pa.Table) -> str:
    """32 hex characters for a table's logical values: content.py, which is imported when data is first looked at."""
    from dreamframe import content

    return content.table_digest(table)


def answer_keys(prefix: bytes, prompts: pl.Series | Iterable[str | None], samples: Sequence[int]) -> pa.Array:
    """The journal keys of a batch of prompts: content.py."""
    from dreamframe import content

    return content.answer_keys(prefix, prompts, samples)


class Versioned(Generic[P, R]):
    """A function whose identity is its name, a version and what it depends on, instead of its code."""

    def __init__(self, function: Callable[P, R], version: int | str, depends: tuple[object, ...]) -> None:
        functools.update_wrapper(self, function)
        self.function, self.version, self.depends = function, version, depends

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


def versioned(function: Callable[P, R], *, version: int | str, depends: Iterable[object] = ()) -> Versioned[P, R]:
    """Say yourself when a function changed: its identity is its name, `version` and the content of `depends`, not its code.

    The way out for functions that hold what has no identity (a connection, a lock, a library's object).

    >>> f = dr.versioned(lambda row: {"b": row["a"]}, version=1)
    >>> f({"a": 3})
    {'b': 3}
    """
    return Versioned(function, version, tuple(depends))


class Walk:
    """One walk over a value: remembers objects that were met, so that cycles end and shared ones are written once."""

    def __init__(self) -> None:
        self._met: dict[int, int] = {}
        self._kept: list[object] = []  # keeps what was met alive, so that its id is not given to another
        self.path: list[str] = []

    def bytes_of(self, value: object) -> bytes:
        return encode(value, self)

    def inside(self, name: str, value: object) -> bytes:
        """The bytes of a part; `name` says where it was found, for errors."""
        self.path.append(name)
        try:
            return encode(value, self)
        finally:
            self.path.pop()

    def once(self, value: object, make: Callable[[], bytes]) -> bytes:
        """Bytes of an object that may hold itself: in full at first, by number when it is met again."""
        if id(value) in self._met:
            return tagged("met", str(self._met[id(value)]).encode())
        self._met[id(value)] = len(self._met)
        self._kept.append(value)
        return make()

    def refuse(self, value: object, why: str = "") -> FingerprintError:
        kind = type(value)
        where = f" (found at {' → '.join(self.path)})" if self.path else ""
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return FingerprintError(f"a {name}{where} has no identity that another run could find again{why and ': ' + why}. {WAY_OUT}")


def tagged(tag: str, *pieces: bytes) -> bytes:
    """A type tag, the count of pieces, and each piece after its length."""
    return b"".join([tag.encode(), b"(%d" % len(pieces), *(b" %d:" % len(p) + p for p in pieces), b")"])


@functools.singledispatch
def encode(value: Any, walk: Walk) -> bytes:
    """The bytes of a value of any other type: records, enum members, libraries' values, objects of users' classes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return walk.once(value, lambda: _record(value, walk))
    if isinstance(value, type):
        return function_code.of_class(value, walk)
    library = type(value).__module__.split(".")[0]
    if library in ("numpy", "pandas", "pyarrow", "datasets"):
        return _of_library(value, library, walk)
    if function_code.is_function_like(value):
        return function_code.of_callable(value, walk)
    return walk.once(value, lambda: function_code.of_object(value, walk))


def _plain(tag: str, text: Callable[[Any], str | bytes]) -> Callable[[Any, Walk], bytes]:
    """The encoder of a type whose values are one text. A user's subclass of the type is an object of a class of its own."""

    def encoder(value: Any, walk: Walk) -> bytes:
        made = text(value)
        whole = tagged(tag, made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made)
        return whole if function_code.is_library(type(value)) else tagged("own", whole, function_code.of_object(value, walk))

    return encoder


for _kind, _tag, _text in (
    (type(None), "none", lambda v: ""),
    (bool, "bool", str),
    (int, "int", str),
    (float, "float", lambda v: struct.pack(">d", v)),
    (complex, "complex", lambda v: struct.pack(">dd", v.real, v.imag)),
    (str, "str", lambda v: v),
    (bytes, "bytes", lambda v: v),
    (bytearray, "bytearray", bytes),
    (type(Ellipsis), "ellipsis", lambda v: ""),
    (type(NotImplemented), "notimplemented", lambda v: ""),
    (range, "range", lambda v: f"{v.start} {v.stop} {v.step}"),
    (datetime.datetime, "datetime", lambda v: f"{v.isoformat()} {v.fold} {v.tzinfo}"),
    (datetime.date, "date", lambda v: v.isoformat()),
    (datetime.time, "time", lambda v: f"{v.isoformat()} {v.fold}"),
    (datetime.timedelta, "timedelta", lambda v: f"{v.days} {v.seconds} {v.microseconds}"),
    (datetime.timezone, "timezone", str),
    (decimal.Decimal, "decimal", lambda v: str(v.as_tuple())),
    (fractions.Fraction, "fraction", str),
    (uuid.UUID, "uuid", str),
    (pathlib.PurePath, "path", str),
    (re.Pattern, "pattern", lambda v: f"{v.flags} {v.pattern!r}"),
    (pl.DataType, "dtype", str),
    (pl.DataFrame, "frame", lambda v: table_digest(v.to_arrow())),
    (pl.Series, "series", lambda v: table_digest(pl.DataFrame({v.name: v}).to_arrow())),
):
    encode.register(_kind, _plain(_tag, _text))


@encode.register(tuple)
@encode.register(list)
@encode.register(frozenset)
@encode.register(set)
def _sequence(value: Any, walk: Walk) -> bytes:
    kind = next(t for t in (tuple, list, frozenset, set) if isinstance(value, t))
    pieces = [walk.inside(f"[{i}]", v) for i, v in enumerate(value)]
    if kind in (set, frozenset):
        pieces = sorted(encode(v, Walk()) for v in value)  # each by itself: the order of a set is not its own
    whole = tagged("set" if kind is frozenset else kind.__name__, *pieces)
    return whole if function_code.is_library(type(value)) else tagged("own", whole, function_code.of_object(value, walk))


@encode.register(dict)
@encode.register(types.MappingProxyType)
def _mapping(value: Any, walk: Walk) -> bytes:
    """In its own order: a program may depend on it."""
    pieces = [piece for k, v in value.items() for piece in (encode(k, walk), walk.inside(f"[{k!r}]"[:60], v))]
    whole = tagged("dict", *pieces)
    return whole if function_code.is_library(type(value)) else tagged("own", whole, function_code.of_object(value, walk))


@encode.register(slice)
def _slice(value: slice, walk: Walk) -> bytes:
    return tagged("slice", *(encode(v, walk) for v in (value.start, value.stop, value.step)))


@encode.register(enum.Enum)
def _member(value: enum.Enum, walk: Walk) -> bytes:
    return tagged("member", type(value).__qualname__.encode(), value.name.encode(), walk.inside(value.name, value.value))


@encode.register(pl.Schema)
def _schema(value: pl.Schema, walk: Walk) -> bytes:
    return tagged("schema", *(encode(v, walk) for item in value.items() for v in item))


@encode.register(pl.Expr)
def _expr(value: pl.Expr, walk: Walk) -> bytes:
    """Polars' own serialised form; Python functions inside it by their code."""
    serialised, functions = function_code.serialised(value, walk)
    return tagged("expr", serialised, *(walk.inside("function in a polars expression", f) for f in functions))


@encode.register(Versioned)
def _versioned(value: Versioned[Any, Any], walk: Walk) -> bytes:
    name = getattr(value.function, "__qualname__", type(value.function).__qualname__)
    return tagged("versioned", name.encode(), encode(value.version, walk), walk.inside("depends", value.depends))


@encode.register(types.CodeType)
def _code(value: types.CodeType, walk: Walk) -> bytes:
    return function_code.of_code(value, {}, {}, walk)


def _record(value: Any, walk: Walk) -> bytes:
    """A record: its class and its fields but for the runtime ones. Of a user's own class the code counts too."""
    cls = type(value)
    name = tagged("class", cls.__qualname__.encode(), str(getattr(cls, "version", 1)).encode())
    identity = name if function_code.is_library(cls) else name + function_code.of_class(cls, walk)
    fields = [piece for k, v in record_fields(value).items() for piece in (k.encode(), walk.inside(f"{cls.__name__}.{k}", v))]
    return tagged("record", identity, *fields)


def record_fields(record: Any) -> Mapping[str, object]:
    """What identifies a record: `key_fields()` if it has it, else every field that is not declared runtime."""
    if hasattr(record, "key_fields"):
        return dict(record.key_fields())
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if not f.metadata.get("runtime")}


def _of_library(value: Any, library: str, walk: Walk) -> bytes:
    """Values of libraries that are not imported here."""
    if library == "pandas" and hasattr(value, "to_numpy"):
        held = pl.from_pandas(value)
        return tagged("pandas", encode(held, walk))
    if library == "pyarrow":
        return _of_arrow(value, walk)
    if library == "numpy" and hasattr(value, "dtype") and hasattr(value, "tobytes"):
        if value.dtype.hasobject:
            return tagged("objects", str(value.shape).encode(), encode(value.tolist(), walk))
        return tagged("numpy", str(value.dtype.str).encode(), str(value.shape).encode(), value.tobytes())
    if library == "numpy" and type(value).__name__ == "ufunc":
        return tagged("ufunc", value.__name__.encode())
    if function_code.is_function_like(value):
        return function_code.of_callable(value, walk)
    raise walk.refuse(value)


def _of_arrow(value: Any, walk: Walk) -> bytes:
    import pyarrow

    if isinstance(value, pyarrow.Table):
        return tagged("table", table_digest(value).encode())
    if isinstance(value, pyarrow.DataType):
        return tagged("arrow type", str(value).encode())
    raise walk.refuse(value)
