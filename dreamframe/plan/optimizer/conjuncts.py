"""Cheap conditions first: a filter that reads a model's column, and others beside it, is two filters."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import may_fail
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import Filter, relational
from dreamframe.plan.steps.relational import root_names


def cheap_first(step: Step, facts: Facts) -> Step | None:
    """The conditions that read no column of a model as a filter of their own, below the one with those that do."""
    if not isinstance(step, Filter) or not step.is_streamed or step.options or not all(isinstance(e, pl.Expr) for e in step.exprs):
        return None
    parts = [part for e in step.exprs for part in conjuncts(e)]
    if len(parts) < 2:
        return None
    dear = facts.written(step.inputs[0])
    cheap = [part for part in parts if _is_cheap(part, dear, step)]
    if dear and any(dear.isdisjoint(root_names(part)) and may_fail(part, step.inputs[0].schema) for part in parts):
        facts.holds_back("cheap_first", step, step, "a condition may fail on rows that the model's leaves out")
    if not dear or not cheap or len(cheap) == len(parts):
        return None
    first = relational("filter", inputs=step.inputs, args=tuple(cheap), name=step.name)
    return step.but(inputs=(first,), args=tuple(part for part in parts if not _is_cheap(part, dear, step)))


def _is_cheap(part: pl.Expr, dear: frozenset[str], step: Step) -> bool:
    """Whether a condition may be looked at before those of models: it reads none of their columns, and fails on no row that they leave out."""
    return dear.isdisjoint(root_names(part)) and not may_fail(part, step.inputs[0].schema)


def conjuncts(expr: pl.Expr) -> Iterator[pl.Expr]:
    """The conditions that must all be true for this one to be.

    >>> [str(e) for e in conjuncts((pl.col("a") > 1) & pl.col("b"))]
    ['[(col("a")) > (dyn int: 1)]', 'col("b")']
    """
    waiting = [expr]
    while waiting:
        node = waiting.pop()
        parts = node.meta.pop()
        if len(parts) == 2 and (parts[1] & parts[0]).meta.eq(node):
            waiting += parts
        else:
            yield node

