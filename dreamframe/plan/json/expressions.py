"""Polars expressions and types as JSON, and the check that a stranger's hold nothing but data.

Polars keeps Python functions in an expression as pickles, plugins as paths of shared libraries, and tables as Arrow bytes, which are not memory-safe
when they are bad. None of the first two goes in or out, since only nodes that are known to hold data are read; the third is validated by pyarrow before
polars sees it.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterator
from typing import Any

import polars as pl

from dreamframe.errors import PlanFormatError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.plan.json.polars_nodes import PLAIN_NODES
from dreamframe.store.ipc import damage, most_unfolded, read_table

TABLES = ("Series", "List", "Array", "Struct", "Enum", "strings", "categories")  # nodes that hold Arrow bytes where they hold a list of numbers
SHORT = 32  # numbers that may stand in a list without being a table: window sizes, quantiles, categories
PICKLED = list(b"PLPY")  # the first bytes of what polars would unpickle
TEXTS = ("Column", "String")  # nodes whose texts are the user's
CALLED = ("callback", "python", "plugin", "lambda", "pickle")  # parts of the names of fields that hold code
WAY_OUT = "Do it in df.map(...) or df.map_batches(...) instead, whose function is named and handed over when the plan is read."


def written(expr: pl.Expr) -> Any:
    """The expression as JSON. Raises PlanFormatError where polars cannot read it again as it was, or where it holds a Python function or a plugin."""
    try:
        tree = json.loads(expr.meta.serialize(format="json"))
        check(tree)
    except PlanFormatError as exc:
        raise PlanFormatError(f"the expression {expr}: {exc}. {WAY_OUT}") from exc
    except (pl.exceptions.PolarsError, ValueError, RecursionError) as exc:
        raise PlanFormatError(f"polars cannot write the expression {expr} as JSON: {type(exc).__name__}. If it calls a function: {WAY_OUT}") from exc
    with contextlib.suppress(PlanFormatError):
        if fingerprint(read(tree)) == fingerprint(expr):
            return tree
    raise PlanFormatError(f"polars does not read the expression {str(expr)[:200]} again as it was (NaN, or very many operations one in another)")


def read(tree: Any) -> pl.Expr:
    """The expression that `written` gave, or a stranger. Raises PlanFormatError for what is not an expression, or holds more than data."""
    check(tree)
    try:
        return pl.Expr.deserialize(io.StringIO(json.dumps(tree)), format="json")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError, RecursionError) as exc:
        raise PlanFormatError(f"polars {pl.__version__} reads no expression in {json.dumps(tree)[:80]}: {type(exc).__name__}") from exc


def type_written(dtype: pl.DataType) -> Any:
    """A polars type as JSON: that of a cast."""
    return written(pl.lit(None).cast(dtype))


def type_read(tree: Any) -> pl.DataType:
    """The type that `type_written` gave. Raises PlanFormatError."""
    try:
        return next(iter(pl.LazyFrame().select(read(tree)).collect_schema().values()))
    except (pl.exceptions.PolarsError, StopIteration) as exc:
        raise PlanFormatError(f"no polars type: {type(exc).__name__}") from exc


def check(tree: Any) -> None:
    """Raise PlanFormatError for a tree of nodes that may hold more than data."""
    try:
        for name, held in _nodes(tree):
            if _may_be_code(name, held):
                raise PlanFormatError(f"it holds code, or what dreamframe does not know to hold none ({name})")
            is_name = isinstance(held, str) and held.isidentifier() and len(held) < SHORT  # of a type, which may stand there too
            if isinstance(held, str) and ((name in TABLES and not is_name) or ("\0" in held and name not in TEXTS)):
                raise PlanFormatError(f"it holds a table that is a text ({name})")
            if name != "Binary" and _is_numbers(held) and (name in TABLES or len(held) > SHORT):
                _check_table(held)
    except RecursionError as exc:
        raise PlanFormatError("it is nested too deeply") from exc


def _may_be_code(name: str, held: Any) -> bool:
    """Whether a node is not one of those that hold data alone, or a field holds code; a node without content holds none, but that of Python's objects."""
    if held is None:
        return name == "Object"
    if name[:1].isupper() and name not in PLAIN_NODES:
        return True
    if name == "Map" and (isinstance(held, str) or _is_numbers(held)):  # a pickle; else the type of this name
        return True
    if any(part in name.lower() for part in CALLED):
        return True
    return name != "Binary" and _is_numbers(held) and held[: len(PICKLED)] == PICKLED


def _nodes(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value with the name it stands under; a node without fields is its name, and so are the texts of users, which hold nothing."""
    yield name, tree
    if isinstance(tree, dict):
        for key, held in tree.items():
            yield from _nodes(held, str(key))
    elif isinstance(tree, list) and not _is_numbers(tree):
        for held in tree:
            yield from _nodes(held, name)
    elif isinstance(tree, str) and name not in TEXTS:
        yield tree, None


def _is_numbers(held: Any) -> bool:
    return isinstance(held, list) and bool(held) and all(type(v) is int for v in held)


def _check_table(numbers: list[int]) -> None:
    try:
        data = bytes(numbers)
        read_table(data, most=most_unfolded(data))
    except damage() as exc:
        raise PlanFormatError(f"it holds bytes that are no table: {type(exc).__name__}") from exc
