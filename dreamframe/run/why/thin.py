"""Rows with what is known of them without looking up what models answered: often enough to tell which rows a row was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import polars as pl

from dreamframe.plan.parents import one_by_one, places
from dreamframe.plan.step import PolarsStep, RowStep, Step
from dreamframe.plan.steps.algebra import Aggregate, Concat, Filter, Join, Limit, Sort, flat, reading
from dreamframe.plan.steps.group import Dedup
from dreamframe.plan.steps.relational import Pick, Relational
from dreamframe.run.why.kept_rows import KeptRows


class Thin(NamedTuple):
    """All rows of a step, each with all columns; those that are not known are null."""

    rows: pl.DataFrame
    known: frozenset[str]

    def knows(self, columns: frozenset[str] | None) -> bool:
        return columns is not None and columns & frozenset(self.rows.columns) <= self.known


def whole(rows: pl.DataFrame) -> Thin:
    """Rows of which all is known."""
    return Thin(rows, frozenset(rows.columns))


def deciding(step: Step) -> list[frozenset[str] | None]:
    """For each input the columns that `plan.parents` looks at; None: any."""
    match step:
        case Limit() | Concat():
            return [frozenset()] * len(step.inputs)
        case Aggregate():
            return [reading([pl.col(key) if isinstance(key, str) else key for key in flat([step.args[0]])])]
        case Filter() | Sort() | Pick() | Dedup():
            return [step.reads()]
        case Join() if step.how == "cross":
            return [frozenset(), frozenset()]
        case Join():
            return [_keys(dict(step.options), side) for side in ("left_on", "right_on")]
    if isinstance(step, PolarsStep) and step.rows == "same" and len(step.inputs) == 1:
        return [frozenset()]
    return [None] * len(step.inputs)


def _keys(options: Mapping[str, object], side: str) -> frozenset[str] | None:
    given = options.get("on") or options.get(side)
    names = [given] if isinstance(given, str) else given
    return frozenset(names) if isinstance(names, list | tuple) and names and all(isinstance(n, str) for n in names) else None


def asked(step: RowStep, below: Thin) -> Thin | None:
    """The rows of a step that asks, or runs a function, for each row of another; what it writes is not known."""
    if step.rows != "same":
        return None
    return _known(step, below, below.rows)


def over(step: Step, below: Thin) -> tuple[Thin, pl.Series] | None:
    """The rows of a step over one input, and which row of the input each of them is; None where that takes more than is known."""
    if len(step.inputs) != 1 or not below.knows(deciding(step)[0]):
        return None
    if isinstance(step, Pick):
        picked = places(step, below.rows)
        return _known(step, below, below.rows[picked]), picked
    if not isinstance(step, PolarsStep) or not (step.rows == "same" or isinstance(step, Filter | Sort | Limit)):
        return None
    try:
        made, found = one_by_one(step, below.rows)
    except pl.exceptions.PolarsError:  # nulls where it wants values
        return None
    if found is None:
        return None
    passed, reads = step.passes(), step.reads()
    is_known = reads is not None and reads <= below.known
    known = frozenset(c for c in made.columns if (passed[c] in below.known if c in passed else is_known))
    return Thin(made, known), found


def is_pick(step: Step) -> bool:
    """Whether each row that a step gives is one of its input, as it was."""
    return isinstance(step, Filter | Sort | Limit | Pick) or (isinstance(step, Relational) and step.verb == "unique")


def picked_of(step: Step, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series] | None:
    """The rows that such a step gives, and which of its input each of them is; None where nobody can tell."""
    if isinstance(step, Pick):
        picked = places(step, rows)
        return rows[picked], picked
    try:
        made, found = one_by_one(step, rows)
    except (pl.exceptions.PolarsError, TypeError, ValueError):  # a verb that cannot do with a further column
        return None
    return None if found is None else (made, found)


def by_values(step: Step, out: KeptRows, below: Thin, rows: Sequence[int]) -> set[int] | None:
    """Which rows of its input some rows are that a step has picked; None where the values of one of them are those of several."""
    names = [c for c in step.schema if c in out.schema and c in below.known and not is_intricate(out.schema[c])]
    found = set[int]()
    for row in rows if names else ():
        held = out.slice(row, 1)
        are_equal = [pl.col(c).eq_missing(pl.lit(held[0, c], dtype=out.schema[c])) for c in names]
        alike = below.rows.select(pl.arg_where(pl.all_horizontal(are_equal))).to_series()
        if len(alike) != 1:
            return None
        found.add(int(alike[0]))
    return found or None


def is_intricate(dtype: pl.DataType) -> bool:
    """Whether values of a type are not compared: floats may be NaN, and nested ones may hold some."""
    return dtype.is_nested() or dtype.is_float() or dtype == pl.Object


def _known(step: Step, below: Thin, rows: pl.DataFrame) -> Thin:
    passed = step.passes()
    made = rows.select(pl.col(passed[c]).alias(c) if c in passed else pl.repeat(None, rows.height, dtype=dtype).alias(c) for c, dtype in step.schema.items())
    return Thin(made, frozenset(c for c in made.columns if c in passed and passed[c] in below.known))


def through(steps: Sequence[Step], source: pl.DataFrame) -> tuple[Thin, pl.Series] | None:
    """The rows that leave streamed steps, and which row of the source each of them is."""
    thin, at = whole(source), pl.int_range(source.height, dtype=pl.UInt32, eager=True)
    for step in steps:
        if isinstance(step, RowStep):
            if (made := asked(step, thin)) is None:
                return None
            thin = made
        else:
            if (applied := over(step, thin)) is None:
                return None
            thin, places = applied
            at = at.gather(places) if step.rows != "same" else at
    return thin, at
