"""Filters that share what a model is asked: only the rows that one of them keeps are asked about, for all of them."""

from __future__ import annotations

from functools import reduce
from operator import and_, or_

import polars as pl

from dreamframe.plan.optimizer.choices import Choice, moved_down
from dreamframe.plan.optimizer.conjuncts import conjuncts
from dreamframe.plan.optimizer.demand import subset
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import may_fail
from dreamframe.plan.step import PolarsStep, Step
from dreamframe.plan.steps.algebra import Filter, RowVerb, relational
from dreamframe.plan.steps.relational import root_names

MOST_ABOVE = 16  # steps above one that is shared, among which a filter is looked for


def filters_shared(step: Step, facts: Facts) -> Step | None:
    """A step over what several read, each through a filter of its own, with the rows that no filter keeps left out before a model is asked about them."""
    if not step.inputs or not facts.asks_far(shared := step.inputs[0]):
        return None
    if id(shared) not in facts.cut:  # the same one for all readers
        facts.cut[id(shared)] = shared, _cut(shared, facts)
    _, cut = facts.cut[id(shared)]
    return None if cut is None else step.with_inputs((cut, *step.inputs[1:]))


def _cut(shared: Step, facts: Facts) -> Step | None:
    """A step without the rows that none of its readers keeps; None if one of them wants all, or nothing is saved."""
    readers = facts.readers(shared) or ()
    found = [_kept_by(reader, shared, facts) for reader in readers] if len(readers) > 1 else []
    conditions = [c for c in found if c is not None]
    if not conditions or len(conditions) < len(found):
        return None
    kept = reduce(or_, sorted((c.fill_null(value=False) for c in conditions), key=str))
    union = Choice(
        (relational("filter", inputs=(shared,), args=(kept,)),),
        frozenset(root_names(kept)),
        is_by_row=True,
        may_fail=may_fail(kept, shared.schema),
        rule="filters_shared",
    )
    return moved_down(union, shared, above=None, facts=facts)


def _kept_by(reader: Step | None, shared: Step, facts: Facts) -> pl.Expr | None:
    """What holds for every row of a step that a reader of it, or the steps above that alone, make use of; None if nobody can tell, or for all rows."""
    parts: list[pl.Expr] = []
    alike = frozenset(shared.schema) - facts.written(shared)  # columns that are what they are in the shared step
    is_first = True
    for _ in range(MOST_ABOVE):
        if not isinstance(reader, PolarsStep) or not reader.is_streamed or len(reader.inputs) != 1:
            break
        if isinstance(reader, Filter):
            have = reader.inputs[0].schema
            found = [part for e in reader.exprs if isinstance(e, pl.Expr) for part in conjuncts(e)]
            parts += [p for p in found if alike.issuperset(root_names(p)) and root_names(p) and (is_first or not may_fail(p, have))]
            is_first = False
        elif isinstance(reader, RowVerb) and reader.verb == "drop_nulls":
            parts += [pl.col(c).is_not_null() for c in (subset(reader) or frozenset()) if c in alike]
            is_first = False
        elif reader.rows != "same":
            break
        passed = {c: c for c in reader.schema} if reader.rows == "other" else reader.passes()
        alike = frozenset(c for c in alike if passed.get(c) == c)
        readers = facts.readers(reader)
        reader = readers[0] if readers is not None and len(readers) == 1 else None
    return reduce(and_, sorted(parts, key=str)) if parts else None
