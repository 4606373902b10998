"""Identity: any value of a plan as canonical bytes, and their digest. The only place that says what is the same.

A value is a type tag, a count and length-prefixed parts, so that no two values share their bytes by accident. Records are their class and their
fields; functions their code and what it reads (function_code.py); objects their class and state (object_code.py); tables and files their content
(content.py, file_content.py). A value of an unknown type raises FingerprintError, naming where it was found and the way out: never `id`, `repr` or
a serialised object.

Digests are xxh3_128: fast and stable, but not tamper-proof. Journal keys of answers use sha256 instead.
"""

from __future__ import annotations

import contextlib
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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

import polars as pl
import xxhash

from dreamframe.errors import FingerprintError
from dreamframe.identity import arrays as foreign_values
from dreamframe.identity import classes as object_code
from dreamframe.identity import expressions as polars_code
from dreamframe.identity import functions as function_code
from dreamframe.identity import hidden_code, whose_code
from dreamframe.identity.code_notes import CodeNotes
from dreamframe.identity.files import FileMemo, content_of, file_digest
from dreamframe.identity.versioned import Versioned, versioned
from dreamframe.identity.whose_code import tagged
from dreamframe.redaction.secret import Secret

__all__ = ["FileMemo", "answer_keys", "canonical", "file_digest", "fingerprint", "frame_digest", "parts", "tagged", "versioned"]

WAY_OUT = "Wrap the function: dr.versioned(function, version=1, depends=[...]), and raise the version when its meaning changes."


def fingerprint(value: object, *, is_lasting: bool = False) -> str:
    """32 hex characters that are equal for equal values, in any process.

    `is_lasting` is for what is kept for ever, whatever is upgraded: libraries count by name alone.
    Raises FingerprintError for a value that another process could not find again (a lock, an open file, a generator…).

    >>> fingerprint({"a": (1, 2.5)}) == fingerprint({"a": (1, 2.5)}), fingerprint(1) == fingerprint(True)
    (True, False)
    """
    return str(xxhash.xxh3_128_hexdigest(canonical(value, is_lasting=is_lasting)))


def canonical(value: object, *, is_lasting: bool = False) -> bytes:
    """The bytes that a fingerprint hashes."""
    return _walked(value, Walk(is_lasting=is_lasting))


def reads_files(value: object) -> bool:
    """Whether functions among a value are seen to read files: what they give is then not told by the value alone. False for what has no identity."""
    walk = Walk()
    try:
        _walked(value, walk)
    except FingerprintError:
        return False
    return walk.seen.reads_files


def _walked(value: object, walk: Walk) -> bytes:
    try:
        return walk.bytes_of(value) + (b"" if walk.is_lasting else walk.seen.told())
    except RecursionError as exc:
        raise FingerprintError(f"a {type(value).__qualname__} is nested too deeply to be fingerprinted. {WAY_OUT}") from exc


def parts(record: Any) -> dict[str, str]:
    """Field → 12 hex characters: what went into a record's fingerprint, to see which part of two differs."""
    shown = {"class": (whose_code.recorded(type(record)).__name__, getattr(record, "version", 1)), **record_fields(record)}
    return {name: fingerprint(value)[:12] for name, value in shown.items()}


def frame_digest(frame: pl.DataFrame) -> str:
    """32 hex characters for a frame's names, types and values: content.py, which is imported when data is first looked at."""
    from dreamframe.identity import tables as content

    return content.frame_digest(frame)


def answer_keys(prefix: bytes, prompts: pl.Series | Iterable[str | None], samples: Sequence[int]) -> list[bytes | None]:
    """The journal keys of a batch of prompts: content.py."""
    from dreamframe.identity import tables as content

    return content.answer_keys(prefix, prompts, samples)


class Walk:
    """One walk over a value: remembers functions, classes and objects that were met, so that they are written once and cycles end."""

    def __init__(self, around: Walk | None = None, *, is_lasting: bool = False) -> None:
        self._met: dict[int, int] = dict(around._met) if around else {}
        self._open: list[int] = around._open if around else []  # what the walk is inside of
        self._kept: list[object] = []  # keeps what was met alive, so that its id is not given to another
        self.path: list[str] = around.path if around else []
        self.seen: CodeNotes = around.seen if around else CodeNotes()
        self.is_lasting: bool = around.is_lasting if around else is_lasting  # libraries count by name alone, and no more is refused than ever
        self.is_lenient: bool = around.is_lenient if around else is_lasting  # in a model's class: it may find its key in the environment
        self.reads_paths: bool = around.reads_paths if around else False  # in `depends`: paths count by what they lead to

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
        """Bytes of what may hold itself and be held many times: in full at first, by number when it is met again."""
        if id(value) in self._met:
            return tagged("met", str(self._met[id(value)]).encode())
        self._met[id(value)] = len(self._met)
        self._kept.append(value)
        return make()

    def nested(self, value: object, make: Callable[[], bytes]) -> bytes:
        """Bytes of a container: the same for equal ones, shared or not. One that holds itself is written as its depth."""
        if id(value) in self._open:
            return tagged("within", str(self._open.index(id(value))).encode())
        self._open.append(id(value))
        try:
            return make()
        finally:
            self._open.pop()

    @contextlib.contextmanager
    def where(self, **ways: bool) -> Iterator[None]:
        """Other ways of walking, for a part."""
        before = {name: getattr(self, name) for name in ways}
        vars(self).update(ways)
        try:
            yield
        finally:
            vars(self).update(before)

    @contextlib.contextmanager
    def within(self, name: str) -> Iterator[None]:
        """In a function or a class of the user's: `name` says where, for errors. Paths in code are not what somebody declared to depend on."""
        self.path.append(name)
        try:
            with self.where(reads_paths=False):
                yield
        finally:
            self.path.pop()

    def check_name(self, name: str) -> None:
        """Raise FingerprintError for a library's name behind which code or values hide; notice one that reads files."""
        if name in hidden_code.FILES:
            self.seen.reads_files = True
        if (why := hidden_code.why_refused(name, is_lasting=self.is_lenient)) is not None:
            self.hide(name.removeprefix("builtins."), why)

    def hide(self, name: str, why: str) -> NoReturn:
        where = f" (in {' → '.join(self.path)})" if self.path else ""
        raise FingerprintError(f"{name}{where} {why}. {WAY_OUT}")

    def refuse(self, value: object, why: str = "") -> FingerprintError:
        kind = type(value)
        where = f" (found at {' → '.join(self.path)})" if self.path else ""
        name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return FingerprintError(f"a {name}{where} has no identity that another run could find again{why and ': ' + why}. {WAY_OUT}")


@functools.singledispatch
def encode(value: Any, walk: Walk) -> bytes:
    """The bytes of a value of any other type: records, types, functions, libraries' values, objects of users' classes."""
    if isinstance(value, type):
        return object_code.of_class(value, walk)
    if dataclasses.is_dataclass(value):
        return walk.nested(value, lambda: _record(value, walk))
    if object_code.is_type_form(value):
        return object_code.of_type_form(value, walk)
    if function_code.is_function_like(value):
        return function_code.of_callable(value, walk)
    if foreign_values.is_foreign(value):
        return foreign_values.of_foreign(value, walk)
    return walk.once(value, lambda: object_code.of_object(value, walk))


def _whole(value: Any, kind: type, made: bytes, walk: Walk) -> bytes:
    """The bytes of a value of a built-in kind. What is of a subclass is more than that."""
    cls = type(value)
    if cls is kind or kind in BY_TEXT:
        return made
    if isinstance(value, enum.Enum):
        return _member(value, walk)
    if whose_code.is_library(cls):
        return walk.nested(value, lambda: tagged("sub", made, object_code.parts_of_library_object(value, walk)))
    return walk.once(value, lambda: tagged("own", made, object_code.of_object(value, walk)))


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
    (fractions.Fraction, "fraction", str),
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
    return tagged("member", object_code.of_class(type(value), walk), str(value.name).encode(), walk.inside(str(value.name), value.value))


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
    serialised, functions = polars_code.serialised(value, walk)
    return tagged("expr", serialised, *(walk.inside("function in a polars expression", f) for f in functions))


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
    return function_code.of_code(value, function_code.Names({}, {}), walk)


def _record(value: Any, walk: Walk) -> bytes:
    """A record: its class and its fields but for the runtime ones. Of a user's own class the code counts too, and what an object keeps beside its fields."""
    cls = type(value)
    is_library = whose_code.is_library(cls)
    library = whose_code.version_of(cls.__module__, walk) if is_library else []
    name = tagged("class", whose_code.recorded(cls).__qualname__.encode(), str(getattr(cls, "version", 1)).encode(), *library)
    identity = name if is_library else name + object_code.of_class(cls, walk)
    held = record_fields(value)
    if not is_library and not hasattr(cls, "key_fields"):
        own = {f.name for f in dataclasses.fields(value)}
        held = {**held, **{k: v for k, v in object_code.state_of(value) if k.rpartition(".")[2] not in own}}
    return tagged("record", identity, *(piece for k, v in held.items() for piece in (k.encode(), walk.inside(f"{cls.__name__}.{k}", v))))


def record_fields(record: Any) -> Mapping[str, object]:
    """What identifies a record: `key_fields()` if it has it, else every field that is not declared runtime."""
    if hasattr(type(record), "key_fields"):
        return dict(record.key_fields())
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if not f.metadata.get("runtime")}
