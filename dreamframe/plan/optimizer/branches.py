"""`when(...).then(dr.prompt(...))`: only the rows whose branch is taken are asked about."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dreamframe.identity.whose_code import is_library
from dreamframe.plan.hidden import HINT, ONLY
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import is_read_by
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import Step, unchecked
from dreamframe.plan.steps.algebra import Drop, Project, WithColumns, relational
from dreamframe.plan.steps.ordinals import in_two
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.relational import root_names


def branch_taken(step: Step, facts: Facts) -> Step | None:
    """Expressions over model columns that are null in the rows where no expression looks at them: a prompt with a null in it is not asked."""
    if not isinstance(step, (WithColumns, Project)):
        return None
    if not (wanted := _of_models(step)):
        return None
    if not step.is_streamed or not all(isinstance(e, pl.Expr) for e in step.exprs):
        return None
    passed: list[Step] = []
    above: Step = step
    node = step.inputs[0]
    while wanted and facts.asks(node) and is_read_by(above, node, facts):
        if node.rows != "same" or node.reads() is None:  # a prompt that leaves out the rows that fail does so in every branch
            if wanted.intersection(node.writes()):
                facts.holds_back("branch_taken", step, node, "rows that fail are left out, whichever branch is taken")
            return None
        if type(node) is PromptStep and node.into in wanted and (made := _asked_less(step, node, passed, facts)) is not None:
            for over in reversed(passed):
                made = over.with_inputs((made, *over.inputs[1:]))
            return step.with_inputs([made])
        passed.append(node)
        wanted.difference_update(node.writes())
        above, node = node, node.inputs[0]
    return None


def _of_models(step: WithColumns | Project) -> set[str]:
    reads = step.reads()
    return {c for c in ((c for e in step.exprs if isinstance(e, pl.Expr) for c in root_names(e)) if reads is None else reads) if HINT in c}


def _asked_less(step: WithColumns | Project, prompt: PromptStep, passed: Sequence[Step], facts: Facts) -> Step | None:
    """A prompt below an expression, and below what stands between them, not asked in the rows where nobody looks at its answer."""
    column = prompt.into
    if (cond := _looked_at(step, column)) is None or not _is_seen_by(step, column, facts) or any(column in (s.reads() or ()) for s in passed):
        return None
    known = root_names(cond)
    if not all(s.passes().get(c) == c for s in passed for c in known) or not all(c in prompt.inputs[0].schema for c in known):
        return None
    return _only_where(cond, prompt)


def _looked_at(step: WithColumns | Project, column: str) -> pl.Expr | None:
    """When an expression looks at a column; None if one always does, or none at all."""
    found: list[pl.Expr] = []
    for expr in step.exprs:
        if column in root_names(expr):
            cond = _needs(expr, column)
            if cond is None:
                return None
            found.append(cond)
    return pl.any_horizontal(found) if found else None


def _needs(expr: pl.Expr, column: str) -> pl.Expr | None:
    """When an expression looks at a column that is among its own; None for always."""
    parts = expr.meta.pop()
    if len(parts) == 3 and pl.when(parts[0]).then(parts[2]).otherwise(parts[1]).meta.eq(expr):
        test, otherwise, then = parts
        if column in root_names(test):
            return None
        is_taken = test.fill_null(value=False)
        return _either(is_taken, then, ~is_taken, otherwise, column)
    inner = [part for part in parts if column in root_names(part)]
    return _needs(inner[0], column) if len(inner) == 1 else None


def _either(first: pl.Expr, then: pl.Expr, second: pl.Expr, otherwise: pl.Expr, column: str) -> pl.Expr | None:
    found: list[pl.Expr] = []
    for taken, branch in ((first, then), (second, otherwise)):
        if column in root_names(branch):
            inner = _needs(branch, column)
            found.append(taken if inner is None else taken & inner)
    return found[0] if len(found) == 1 else None if not found else pl.any_horizontal(found)


def _is_seen_by(step: Step, column: str, facts: Facts) -> bool:
    """Whether nobody but these expressions sees a column."""
    if isinstance(step, Project):
        return True
    readers = facts.readers(step)
    return bool(readers) and all(isinstance(r, Drop) and column in r.reads() for r in readers or ())


def _only_where(cond: pl.Expr, prompt: PromptStep) -> Step | None:
    """The prompt, not asked where a condition does not hold. Its samples keep the numbers that they have among all rows."""
    columns = prompt.prompt.columns
    names = {c: f"{ONLY}{c}" for c in columns}
    below = prompt.inputs[0]
    if not columns or any(c.startswith(ONLY) for c in columns) or any(name in below.schema for name in names.values()):
        return None
    asks: PromptStep = prompt
    if prompt.needs_order:
        if (halves := in_two(prompt, below)) is None:
            return None
        below, asks = halves
    exprs = [pl.when(cond).then(pl.col(c)).alias(names[c]) for c in columns]
    schema = with_columns(below.schema, {names[c]: below.schema[c] for c in columns})
    masked = relational("with_columns", inputs=(below,), args=(exprs,), name=prompt.label, schema=schema)
    over, renamed = asks.with_inputs((masked, *asks.inputs[1:])), asks.prompt.renamed(names)
    is_checked = is_library(type(renamed))  # the columns under the new names are of the types that the others are of
    asked = unchecked(type(asks), over, prompt=renamed, inputs=over.inputs, schema=over.schema) if is_checked else over.but(prompt=renamed)
    return relational("drop", inputs=(asked,), args=tuple(names.values()), name=prompt.label)
