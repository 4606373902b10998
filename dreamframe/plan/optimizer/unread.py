"""Columns of models that nobody reads: nobody is asked for them. Nulls stand in their place, so that every step above stays what it is."""

from __future__ import annotations

import polars as pl

from dreamframe.plan.optimizer.demand import may_go
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.algebra import Aggregate, Project, WithColumns, relational
from dreamframe.plan.steps.ordinals import NumberedPrompt


def unread_dropped(step: Step, facts: Facts) -> Step | None:
    """Nulls in the place of a column that a model would write, or that is computed of such, if no step of any plan and no user reads it."""
    if isinstance(step, (WithColumns, Project, Aggregate)):
        return _without_idle(step, facts)
    if not isinstance(step, RowStep) or (needed := facts.needed(step)) is None or not needed.isdisjoint(written := step.writes()):
        return None
    if not may_go(step):
        if step.models() and step.rows != "same":
            facts.holds_back("unread_dropped", step, step, "nobody reads it, and rows that fail are left out")
        return None
    schema = with_columns(step.inputs[0].schema, {c: step.schema[c] for c in written})
    made: Step = relational("with_columns", inputs=(step.inputs[0],), args=([_nulls(step, c) for c in written],), name=step.label, schema=schema)
    return relational("drop", inputs=(made,), args=(step.ordinals,)) if isinstance(step, NumberedPrompt) else made


def _nulls(step: Step, column: str) -> pl.Expr:
    return pl.lit(None, dtype=step.schema[column]).alias(column)


def _without_idle(step: WithColumns | Project | Aggregate, facts: Facts) -> Step | None:
    """The step with nulls for what it computes and nobody reads."""
    if not (idle := facts.idle(step)):
        return None
    exprs = list(step.args[1]) if isinstance(step, Aggregate) else step.exprs
    kept = [_nulls(step, name) if (name := e.meta.output_name()) in idle else e for e in exprs]
    return step.but(args=(step.args[0], kept) if isinstance(step, Aggregate) else (kept,))
