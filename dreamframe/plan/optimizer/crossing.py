"""Where a choice of rows may go below a step: into which input, and what the columns that it reads are called there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dreamframe.plan.optimizer.demand import join_keys, subset
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import OF_THE_LEFT, Concat, Join, Refill, RowVerb, Sort
from dreamframe.plan.steps.relational import Relational

Names = Mapping[str, str]  # column above → the column of the input whose values it has
STACKED = ("vertical", "vertical_relaxed", "diagonal", "diagonal_relaxed")


def is_gate(step: Step) -> bool:
    """Whether a step that is not streamed may have a choice pass from above to below it."""
    return isinstance(step, (Join, Concat, Sort)) or (isinstance(step, Relational) and step.verb in ("reverse", "with_row_index"))


def index_of(step: Step) -> str | None:
    """The column of numbers that a `with_row_index` puts first; None for every other step."""
    if not isinstance(step, Relational) or step.verb != "with_row_index":
        return None
    return next(iter(step.schema))


def ways_below(step: Step) -> Sequence[tuple[int, Names]]:
    """The inputs that a choice of single rows may go to, with the names of columns there; none where rows are put together otherwise."""
    match step:
        case Join():
            return _sides(step)
        case Sort() | Relational(verb="reverse"):
            return [(0, {c: c for c in step.schema})]
        case RowVerb(verb="drop_nulls"):
            return [(0, {c: c for c in step.schema})]
        case RowVerb(verb="explode"):
            apart = subset(step)
            return [] if apart is None else [(0, {c: c for c in step.schema if c not in apart})]
        case Refill():
            return [(0, _not_filled(step))]
    return [] if step.rows == "other" else [(0, step.passes())]


def _sides(join: Join) -> Sequence[tuple[int, Names]]:
    """Of a join. Its columns are those of the left input and then those of the right, each without the keys that it puts into one."""
    options = dict(join.options)
    if options.get("validate", "m:m") != "m:m" or options.get("maintain_order") in (None, "none") or join.inputs[0] is join.inputs[1]:
        return []
    left, right = (list(i.schema) for i in join.inputs)
    both = join_keys(options)
    if join.how in OF_THE_LEFT:
        of_left = {c: c for c in left}
        if join.how not in ("inner", "cross"):
            return [(0, of_left)]
        above, keys = list(join.schema)[len(left) :], both[1] if both else ()
        below = right if len(above) == len(right) else [c for c in right if c not in keys]
        if len(above) != len(below):
            return [(0, of_left)]
        of_right = dict(zip(above, below, strict=True))
        if both and join.how == "inner":  # a pair has one key: what is said of that of the left is said of the right's
            of_right = {a: b for a, b in zip(*both, strict=True) if join.inputs[1].schema[b] == join.schema[a] and _is_exact(join.schema[a])} | of_right
        return [(0, of_left), (1, of_right)]
    return [(1, dict(zip(list(join.schema)[-len(right) :], right, strict=True)))] if join.how == "right" and right else []


def _is_exact(dtype: pl.DataType) -> bool:
    """Whether values that are equal are the same: -0.0 is 0.0."""
    return dtype.is_integer() or isinstance(dtype, (pl.String, pl.Boolean, pl.Date))


def _not_filled(step: Refill) -> Names:
    """The columns that a `fill_null` or `fill_nan` leaves as they are, which shows on a row of nulls, or of numbers that are none."""
    options, have = dict(step.options), step.inputs[0].schema
    value: Any = step.args[0] if step.args else options.get("value")
    if not step.is_streamed or value is None or isinstance(value, pl.Expr):
        return {}
    if step.verb == "fill_nan":
        return {c: c for c, dtype in have.items() if not dtype.is_float() and step.schema[c] == dtype}
    filled: pl.DataFrame = step.apply(pl.DataFrame({c: [None] for c in have}, schema=have).lazy()).collect()
    return {c: c for c, dtype in have.items() if step.schema[c] == dtype and filled[c].null_count()}


def branches_of(step: Step, reads: frozenset[str]) -> bool:
    """Whether a step puts rows of several inputs below one another, in each of which these columns are what they are above."""
    if not isinstance(step, Concat) or dict(step.options).get("how") not in STACKED:
        return False
    return all(i.schema.get(c) == step.schema[c] for i in step.inputs for c in reads)
