"""Variables that a function names in a text: SQL of polars and duckdb, queries and sums of pandas find tables and values by their names."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping

LOOKING_UP = frozenset({"sql", "sql_expr", "SQLContext", "query", "eval", "evaluate"})
WORD = re.compile(r"[^\W\d]\w*")


def named_in_texts(code: types.CodeType, scope: Mapping[str, object]) -> list[str]:
    """Globals whose names stand in the texts of a code object that calls what looks names up, in its own texts or in those of globals that it reads."""
    if LOOKING_UP.isdisjoint(code.co_names):
        return []
    texts = [*_texts(code.co_consts), *(v for n in code.co_names if isinstance(v := scope.get(n), str))]
    words = {word for text in texts for word in WORD.findall(text)} - set(code.co_names)
    return sorted(w for w in words if w in scope and not isinstance(scope[w], types.ModuleType))


def _texts(constants: tuple[object, ...]) -> Iterator[str]:
    for value in constants:
        if isinstance(value, str):
            yield value
        elif isinstance(value, tuple):
            yield from _texts(value)
