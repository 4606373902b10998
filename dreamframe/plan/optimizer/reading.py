"""Who reads whom, and which expressions may fail, as rules ask it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import polars as pl

from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.step import Step
from dreamframe.plan.steps.relational import root_names

# Functions of polars that raise no error on any value, as an expression is printed. What is not among them may: a strict cast, a pattern or a duration
# out of a column, a date of parts. A name in a text literal counts too: then a rule leaves alone what it might have moved.
SAFE = frozenset((
    "col", "alias", "cast", "when", "then", "otherwise", "as_struct", "coalesce", "fill_null", "fill_nan", "not", "negate", "abs", "sign", "round",
    "floor", "ceil", "clip", "sqrt", "exp", "log", "log1p", "hash", "eq_missing", "ne_missing", "is_null", "is_not_null", "is_nan", "is_not_nan",
    "is_finite", "is_infinite", "is_in", "is_between", "is_close",
    "all_horizontal", "any_horizontal", "concat_horizontal", "max_horizontal", "mean_horizontal", "min_horizontal", "sum_horizontal",
    "len_chars", "len_bytes", "length", "to_lowercase", "to_uppercase", "to_titlecase", "dt.year", "dt.quarter", "dt.month", "dt.week",
    "dt.weekday", "dt.day", "dt.ordinal_day", "dt.date", "dt.hour", "dt.minute", "dt.second", "dt.total_days", "dt.total_hours",
))  # fmt: skip
OF_A_TEXT = frozenset((  # of a pattern that is written: it was tried when the plan was made
    "contains", "count_matches", "ends_with", "extract", "find", "starts_with", "strip_chars", "strip_chars_end", "strip_chars_start", "strip_prefix",
    "strip_suffix",
))  # fmt: skip
CALLED = re.compile(r"((?:dt\.)?[a-z_0-9]+)\((?=(.{0,2}))")
ARITHMETIC = re.compile(r" (?:[-+*/%]|//) ")
PLAIN_TYPES = (pl.Boolean, pl.String, pl.Categorical, pl.Enum)


def may_fail(expr: pl.Expr, schema: Mapping[str, pl.DataType]) -> bool:
    """Whether an expression may raise an error on a row that another condition has left out: such a condition stays above the other.

    >>> have = {"t": pl.String(), "v": pl.Int64()}
    >>> [may_fail(e, have) for e in (pl.col("t").cast(pl.Int64) > 3, pl.col("v") > 3, pl.col("t").str.contains(pl.col("t")))]
    [True, False, True]
    """
    told = str(expr)
    for called, argument in CALLED.findall(told):
        if called not in SAFE and not (called in OF_A_TEXT and argument in ('["', "[n")):
            return True
    return ARITHMETIC.search(told) is not None and ("Decimal" in told or not all(_is_plain(schema.get(column)) for column in root_names(expr)))


def _is_plain(dtype: pl.DataType | None) -> bool:
    """Whether no arithmetic fails on values of a type: decimals overflow and are not divided by zero, dates end."""
    return dtype is not None and (dtype.is_integer() or dtype.is_float() or isinstance(dtype, PLAIN_TYPES))


def is_read_by(above: Step, step: Step, facts: Facts, *, at: int = 0) -> bool:
    """Whether one step alone reads another, as one of its inputs alone: the first, if nothing else is said."""
    readers = facts.readers(step)
    if readers is None or any(i is step for n, i in enumerate(above.inputs) if n != at):
        return False
    if all(r is above for r in readers):  # a name may be a key, which costs as much as all else here
        return True
    name = facts.name(facts.place.get(id(above), above))
    return all(r is not None and (r is above or facts.name(r) == name) for r in readers)
