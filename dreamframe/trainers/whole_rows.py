"""Rows that can be learnt from: those that lack a value, or hold one that is not a value, are found and told apart by the reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

NULL, NOT_A_NUMBER, NO_MESSAGES, NO_CONTENT, NO_WORDS = (
    "hold a null", "hold NaN or infinity", "hold a chat without messages", "hold a message without role or content", "hold no words",
)  # fmt: skip


def lacking(rows: pl.DataFrame, columns: Sequence[str]) -> dict[str, list[int]]:
    """Reason → positions of the rows that cannot be learnt from for it; each row counts once.

    A null counts wherever it lies: in a column, in a list of labels or words, in a chat. A message may lack its content where it calls tools.

    >>> lacking(pl.DataFrame({"text": ["a", None, "c"], "score": [1.0, 2.0, float("nan")]}), ["text", "score"])
    {'hold a null': [1], 'hold NaN or infinity': [2]}
    """
    tests: dict[str, list[pl.Expr]] = {NULL: [], NOT_A_NUMBER: [], NO_MESSAGES: [], NO_CONTENT: [], NO_WORDS: []}
    for name in columns:
        dtype, column = rows.schema[name], pl.col(name)
        tests[NULL].append(column.is_null())
        if dtype.is_float():
            tests[NOT_A_NUMBER].append(~column.is_finite())
        if isinstance(dtype, pl.List):
            tests[NULL].append(column.list.eval(pl.element().is_null()).list.any())
            if name == "tokens":
                tests[NO_WORDS].append(column.list.len() == 0)
            if isinstance(dtype.inner, pl.Struct):
                tests[NO_MESSAGES].append(column.list.len() == 0)
                tests[NO_CONTENT].append(column.list.eval(_empty_message(dtype.inner)).list.any())
    found: dict[str, list[int]] = {}
    seen: set[int] = set()
    for reason, each in tests.items():
        if each:
            hit = rows.select(pl.any_horizontal(each).fill_null(value=False).arg_true()).to_series().to_list()
            if new := [i for i in hit if i not in seen]:
                found[reason] = new
                seen.update(new)
    return found


def _empty_message(message: pl.Struct) -> pl.Expr:
    """Whether a message says nothing: no role, or neither content nor a call of a tool."""
    fields = {f.name: f.dtype for f in message.fields}
    silent = pl.element().struct.field("content").is_null()
    if "tool_calls" in fields:
        calls = pl.element().struct.field("tool_calls")
        silent &= calls.list.len().fill_null(0) == 0 if isinstance(fields["tool_calls"], pl.List) else calls.is_null()
    return pl.element().struct.field("role").is_null() | silent


def told(found: Mapping[str, Sequence[int]]) -> str:
    """The reasons and how many rows each of them has: `2 hold a null, 1 hold NaN or infinity`."""
    return ", ".join(f"{len(rows)} {reason}" for reason, rows in found.items())
