"""Cheap conditions first: a filter that reads a model's column, and others beside it, is two filters."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import Filter, relational
from dreamframe.plan.steps.relational import root_names


def cheap_first(step: Step, facts: Facts) -> Step | None:
    """The conditions that read no column of a model as a filter of their own, below the one with those that do."""
    if not isinstance(step, Filter) or not step.is_streamed or step.options or not all(isinstance(e, pl.Expr) for e in step.exprs):
        return None
    dear = facts.written(step.inputs[0])
    parts = [part for e in step.exprs for part in conjuncts(e)] if dear else []
    cheap = [part for part in parts if dear.isdisjoint(root_names(part))]
    if not cheap or len(cheap) == len(parts):
        return None
    first = relational("filter", inputs=step.inputs, args=tuple(cheap), name=step.name)
    return step.but(inputs=(first,), args=tuple(part for part in parts if not dear.isdisjoint(root_names(part))))


def conjuncts(expr: pl.Expr) -> Iterator[pl.Expr]:
    """The conditions that must all be true for this one to be.

    >>> [str(e) for e in conjuncts((pl.col("a") > 1) & pl.col("b"))]
    ['[(col("a")) > (dyn int: 1)]', 'col("b")']
    """
    parts = expr.meta.pop()
    if len(parts) == 2 and (parts[1] & parts[0]).meta.eq(expr):
        yield from conjuncts(parts[1])
        yield from conjuncts(parts[0])
    else:
        yield expr
