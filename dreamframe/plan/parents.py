"""Where the rows of a step come from: for each row that a step gives, the positions of the rows of its inputs that it was made of. Asks nothing.

Nothing is written down for it in a run: positions follow from the rows of the inputs, which a session has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dreamframe.plan.step import PolarsStep, RoundsStep, Step
from dreamframe.plan.steps.algebra import Aggregate, Concat, Filter, Join, JoinNearest, Limit, Sort
from dreamframe.plan.steps.comparison import Comparison
from dreamframe.plan.steps.group import Cluster, Dedup
from dreamframe.plan.steps.pair_ranks import PairRanks
from dreamframe.plan.steps.relational import Pick, Relational
from dreamframe.plan.steps.retrieve import SearchGraph

AT = "__at"  # the positions, as a column beside those of the rows
Places = pl.Series | None  # for each row given: a position, a list of them, or null for none; None: nobody can tell, and any row may have a part in it


def places(step: Pick, table: pl.DataFrame) -> pl.Series:
    """Which rows of a table a step picks, in which order."""
    return pl.Series(step.positions(table), dtype=pl.UInt32)


def parents(step: Step, tables: Sequence[pl.DataFrame]) -> list[Places]:
    """For each input, the positions of its rows that each row of the step was made of. `tables` are the rows of the inputs.

    >>> import dreamframe as dr
    >>> rows = dr.frame({"a": ["x", "y", "x"], "n": [3, 1, 2]})
    >>> table = rows.collect()
    >>> [s.to_list() for s in parents(rows.sort("n").step, [table])]
    [[1, 2, 0]]
    >>> [s.to_list() for s in parents(rows.group_by("a").agg(pl.col("n").sum()).step, [table])]
    [[[0, 2], [1]]]
    """
    if isinstance(step, Pick):
        return [places(step, tables[0])]
    if isinstance(step, (RoundsStep, Cluster, SearchGraph)) or (isinstance(step, Comparison) and step.rows == "same"):
        return [_same(tables[0])]
    if isinstance(step, PairRanks):
        at, n_right = _same(tables[0]), max(1, tables[2].height)
        return [at, at // n_right, at % n_right]
    if isinstance(step, Dedup):
        return [_kept(step, tables[0])]
    if not isinstance(step, PolarsStep):
        return [_same(tables[0]) if step.rows == "same" else None] + [None] * (len(tables) - 1)
    try:
        return _of_polars(step, tables)
    except (pl.exceptions.PolarsError, TypeError, ValueError):  # a verb that cannot do with a further column
        return [None] * len(tables)


def _of_polars(step: PolarsStep, tables: Sequence[pl.DataFrame]) -> list[Places]:
    if len(tables) == 1 and step.rows == "same":
        return [_same(tables[0])]
    match step:
        case Aggregate():
            return [_groups(step, tables[0])]
        case Concat():
            return _beside(step, tables)
        case Join() | JoinNearest():
            return _partners(step, tables)
        case Relational(verb="merge_sorted"):
            return _merged(step, tables)
        case Relational(verb="update"):
            return [_same(tables[0]), None]
    return [one_by_one(step, tables[0])[1], *[None] * (len(tables) - 1)]


def one_by_one(step: Step, rows: pl.DataFrame) -> tuple[pl.DataFrame, Places]:
    """The rows of a polars step over one input, and which of the input's rows each of them is; None where one is not of one."""
    assert isinstance(step, PolarsStep)
    if step.rows == "same" or (isinstance(step, Relational) and step.verb in ("unnest", "with_row_index", "reverse")):
        made = _applied(step, rows)
        return made, _same(rows).reverse() if getattr(step, "verb", "") == "reverse" else _same(rows)
    if isinstance(step, Filter):
        kept = _mask(step, rows)
        return rows.filter(kept), _same(rows).filter(kept)
    if isinstance(step, (Limit, Sort)):
        made = _applied(step, _numbered(rows))
        return made.drop(AT), made[AT]
    match step:
        case Relational(verb="unpivot"):
            made = _applied(step, rows)
            n = made.height // rows.height if rows.height else 0
            return made, pl.Series(list(range(rows.height)) * n, dtype=pl.UInt32)
        case Relational(verb="unique"):
            options = {**dict(step.options), "subset": step.args[0] if step.args else dict(step.options).get("subset") or rows.columns}
            made = _applied(step.but(args=(), options=tuple(sorted(options.items()))), _numbered(rows)) if rows.width else rows
            return made.drop(AT), made[AT]
        case Relational(verb="explode" | "drop_nulls" | "drop_nans" | "gather" | "gather_every"):
            made = step.apply(_numbered(rows).lazy()).collect(engine="in-memory")
            return made.drop(AT), made[AT]
    made = _applied(step, rows)
    is_as_long = isinstance(step, Relational) and step.verb in ("select", "with_columns") and made.height == rows.height > 1
    return made, _same(rows) if is_as_long else None


def _applied(step: PolarsStep, *tables: pl.DataFrame) -> pl.DataFrame:
    return step.apply(*(t.lazy() for t in tables)).collect(engine="in-memory")


def _same(rows: pl.DataFrame) -> pl.Series:
    return pl.int_range(rows.height, dtype=pl.UInt32, eager=True)


def _numbered(rows: pl.DataFrame, name: str = AT) -> pl.DataFrame:
    return rows.with_columns(_same(rows).alias(name))


def _mask(step: Filter, rows: pl.DataFrame) -> pl.Series:
    """Which rows a filter keeps. Its conditions may look at all columns: they are asked without a further one."""
    tests = [pl.lit(e) if isinstance(e, bool) else e for e in step.exprs]
    tests += [pl.col(name).eq(value) for name, value in step.options]
    kept = rows.select(pl.all_horizontal(tests).alias(AT)).get_column(AT).fill_null(value=False)
    return kept if len(kept) == rows.height else kept.new_from_index(0, rows.height)


def _kept(step: Dedup, rows: pl.DataFrame) -> pl.Series:
    """The rows that a dedup keeps: those without a value, and those like no earlier one."""
    known = _numbered(rows.select(step.column)).filter(pl.col(step.column).is_not_null())
    repeated = pl.Series(step.repeated(known.get_column(step.column)), dtype=pl.Boolean)
    dropped = known.get_column(AT).filter(repeated)
    return _same(rows).filter(~_same(rows).is_in(dropped.implode()))


def _groups(step: Aggregate, rows: pl.DataFrame) -> pl.Series:
    """The rows of each group, in order of the groups."""
    found = rows.select(step.args[0])
    keys = step.schema.names()[: found.width]
    if found.columns != keys or found.height != rows.height:
        raise ValueError("keys that are not values of the rows")
    return _numbered(found).group_by(keys, maintain_order=True).agg(AT).get_column(AT)


def _beside(step: Concat, tables: Sequence[pl.DataFrame]) -> list[Places]:
    """Rows below one another: each is of one input. Columns side by side: each is of all."""
    if dict(step.options).get("how") == "horizontal":
        return [_same(t) for t in tables]
    if dict(step.options).get("how") not in ("vertical", "diagonal", "vertical_relaxed", "diagonal_relaxed", None):
        return [None] * len(tables)
    found: list[Places] = []
    for n in range(len(tables)):
        parts = [_same(t) if i == n else pl.Series([None], dtype=pl.UInt32).new_from_index(0, t.height) for i, t in enumerate(tables)]
        found.append(pl.concat(parts))
    return found


def _partners(step: Join | JoinNearest, tables: Sequence[pl.DataFrame]) -> list[Places]:
    """Of each row of a join the row of either side. A semi join keeps rows of the left side for the sake of those that are like it on the right."""
    left, right = _numbered(tables[0], f"{AT}_left"), _numbered(tables[1], f"{AT}_right")
    made = _applied(step, left, right)
    here = made.get_column(f"{AT}_left")
    if f"{AT}_right" in made.columns:
        return [here, made.get_column(f"{AT}_right")]
    if isinstance(step, Join) and step.how == "semi":
        return [here, _like(step, tables, here)]
    return [here, pl.Series([None], dtype=pl.UInt32).new_from_index(0, len(here))]


def _like(step: Join, tables: Sequence[pl.DataFrame], left: pl.Series) -> Places:
    """For rows that a semi join keeps, those of the right side with the same keys."""
    options = dict(step.options)
    mine, others = (_columns(options.get("on", options.get(side))) for side in ("left_on", "right_on"))
    if not mine or not others:
        return None
    held = _numbered(tables[1].select(others)).group_by(others, maintain_order=True).agg(AT)
    asked = tables[0].select(mine)[left]
    return asked.join(held, left_on=mine, right_on=others, how="left", maintain_order="left", nulls_equal=options.get("nulls_equal", False)).get_column(AT)


def _columns(given: Any) -> list[str]:
    names = [given] if isinstance(given, str) else list(given or ())
    return names if all(isinstance(n, str) for n in names) else []


def _merged(step: Relational, tables: Sequence[pl.DataFrame]) -> list[Places]:
    first, second = _numbered(tables[0]), _numbered(tables[1])
    both = [t.with_columns(pl.lit(value=i).cast(pl.UInt32).alias(f"{AT}_of")) for i, t in enumerate((first, second))]
    made = _applied(step, *both)
    return [pl.select(pl.when(made[f"{AT}_of"] == i).then(made[AT]).alias(AT)).to_series() for i in range(2)]


def gathered(places: Places, rows: Sequence[int], n_rows: int) -> list[int]:
    """The positions, in order and each once, that some rows were made of; all of an input of `n_rows` where nobody can tell."""
    if places is None:
        return list(range(n_rows))
    found = places.gather(list(rows))
    if isinstance(found.dtype, pl.List):
        found = found.explode()
    return sorted(set(found.drop_nulls().to_list()))


def carried(step: Step) -> Mapping[str, str]:
    """Output column → the column of the input whose values it has, also where each value comes several times."""
    if isinstance(step, Relational) and step.verb == "unnest":
        have = step.inputs[0].schema
        return {c: c for c, dtype in step.schema.items() if have.get(c) == dtype}
    return step.passes()
