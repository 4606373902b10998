"""Python functions inside polars expressions: taken out, so that they are fingerprinted like any other function."""

from __future__ import annotations

import functools
import importlib
import os
import re
import threading
from typing import Any

import polars as pl

from dreamframe.errors import FingerprintError
from dreamframe.identity.files import file_digest
from dreamframe.identity.walk import Walk

_swap = threading.Lock()
MARKS = (b"PLPYFN", b"\x80\x04\x95", b"\x80\x05\x95", b"\xcc\x80\x04\xcc\x95", b"\xcc\x80\x05\xcc\x95")  # how serialised Python functions begin
# How a compiled plugin is named: MessagePack's "lib", the length of a text, the text, "symbol".
PLUGIN = re.compile(rb"(\xa3lib(?:[\xa0-\xbf]|\xd9.|\xda..))([^\x00]+?)\xa6symbol", re.DOTALL)


def serialised(expr: pl.Expr, walk: Walk) -> tuple[bytes, list[object]]:
    """A polars expression as bytes without its Python functions, and these functions."""
    try:
        plain, met = taken_apart(expr)
    except pl.exceptions.PolarsError as exc:
        raise walk.refuse(expr, str(exc)) from exc
    if any(mark in plain for mark in MARKS) and not _is_complete():
        raise FingerprintError(f"a Python function inside the polars expression {expr} cannot be seen in this version of polars. Use df.map(...) instead.")
    return (plain if walk.is_lasting else _with_plugins(plain)), met


def _with_plugins(plain: bytes) -> bytes:
    """Compiled plugins of polars by what their files hold, wherever these lie."""
    for start, path in PLUGIN.findall(plain):
        try:
            told = file_digest(os.fsdecode(path)).encode()
        except OSError:
            told = b"nowhere"
        plain = plain.replace(start + path, b"\xa3lib " + told)
    return plain


def taken_apart(expr: pl.Expr) -> tuple[bytes, list[object]]:
    """Polars hands each function to a serialiser whose bytes hold paths and line numbers; ours takes the function and gives back its number."""
    serialiser: Any = importlib.import_module("pickle")  # nothing is written or read with it here
    met: list[object] = []
    caller = threading.get_ident()
    with _swap:
        original = serialiser.dumps

        def take(value: object, *args: Any, **kwargs: Any) -> bytes:
            if threading.get_ident() != caller:
                return bytes(original(value, *args, **kwargs))
            met.append(value)
            return b"function %d" % len(met)

        serialiser.dumps = take
        try:
            return bytes(expr.meta.serialize()), met
        finally:
            serialiser.dumps = original


@functools.cache
def _is_complete() -> bool:
    """Whether this version of polars hands out every function that way, tried on one of each kind."""
    kinds = (
        pl.col("a").map_elements(_probe, return_dtype=pl.Int64),
        pl.col("a").map_batches(_probe),
        pl.col("a").rolling_map(_probe, window_size=2),
        pl.col("a").name.map(_probe),
        pl.fold(pl.lit(0), _probe, pl.all()),
        pl.map_groups(["a"], _probe, return_dtype=pl.Int64, returns_scalar=True),
    )
    found = [taken_apart(kind) for kind in kinds]
    return all(met and b"_probe" not in plain and not any(m in plain for m in MARKS[1:]) for plain, met in found)


def _probe(*values: Any) -> Any:
    return values[0]
