"""Who reads whom, and which expressions may fail, as rules ask it."""

from __future__ import annotations

import re

import polars as pl

from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.step import Step

# What polars raises an error for on some values. A name in a text literal counts too: then a rule leaves alone what it might have moved.
FAILING = re.compile(r"strict|strptime|to_integer|to_decimal|to_date|to_time|decode|get\(|gather|json|map_|python|list\.|arr\.|slice|repeat|range|replace")


def may_fail(expr: pl.Expr) -> bool:
    """Whether an expression may raise an error on a row that another condition has left out: such a condition stays above the other.

    >>> may_fail(pl.col("t").cast(pl.Int64) > 3), may_fail(pl.col("v") > 3)
    (True, False)
    """
    return FAILING.search(str(expr)) is not None


def is_read_by(above: Step, step: Step, facts: Facts, *, at: int = 0) -> bool:
    """Whether one step alone reads another, as one of its inputs alone: the first, if nothing else is said."""
    readers = facts.readers(step)
    name = facts.name(facts.place.get(id(above), above))
    others = (i for n, i in enumerate(above.inputs) if n != at)
    return readers is not None and all(r is not None and (r is above or facts.name(r) == name) for r in readers) and all(i is not step for i in others)
