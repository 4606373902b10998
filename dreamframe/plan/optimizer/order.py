"""Conditions of models one after the other: the one that leaves out most rows for its cost is asked first, as it shows while the run goes on.

As written, the second is asked about the rows that pass the first. Where the second is cheaper, or leaves out more, it is asked ahead: the rows that it
says no to go no further, and all others take their way as it is written, with its kept answers. So the rows are the same; rows that the second fails on
fail where the first has let them pass, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import reduce
from operator import and_
from typing import Any

import polars as pl

from dreamframe.plan.optimizer.reading import may_fail
from dreamframe.plan.step import Step
from dreamframe.plan.steps.ahead import Ahead
from dreamframe.plan.steps.algebra import Drop, Filter, relational
from dreamframe.plan.steps.once import AskedOnce
from dreamframe.plan.steps.prompt import PromptStep

WORTH = 0.8  # of what the written order is expected to cost: below it, another is taken
LEAST_SEEN = 8  # rows that a condition has seen, before it is known what it leaves out


@dataclass(frozen=True)
class ModelFilter:
    """A prompt, the filter that reads its answers and the step that drops them, as they follow each other in a segment."""

    at: int  # place of the prompt
    prompt: PromptStep
    condition: Filter


@dataclass(frozen=True)
class Seen:
    """What a model filter has done so far."""

    rows_in: int
    rows: int
    cost: float  # of a call, in the measure of the others

    @property
    def passes(self) -> float:
        """The part of the rows that pass, with one row of either kind to begin with."""
        return (self.rows + 1) / (self.rows_in + 2)


def model_filters(steps: Sequence[Step]) -> list[ModelFilter]:
    """The first two or more model filters of a segment that follow directly upon each other; empty if there are no two."""
    found: list[ModelFilter] = []
    at = 0
    while at + 2 < len(steps):
        made = _model_filter(steps, at)
        if made is None and len(found) > 1:
            break
        found = [] if made is None else [*found, made]
        at += 1 if made is None else 3
    return found if len(found) > 1 else []


def _model_filter(steps: Sequence[Step], at: int) -> ModelFilter | None:
    prompt, condition, drop = steps[at : at + 3]
    if type(prompt) not in (PromptStep, AskedOnce) or not isinstance(condition, Filter) or not isinstance(drop, Drop):
        return None
    assert isinstance(prompt, PromptStep)
    if prompt.needs_order or prompt.n > 1 or prompt.probability is not None:
        return None  # a sampled prompt numbers the rows that it sees; a column of probabilities is seen above the condition
    is_own = drop.reads() == {prompt.into} and condition.is_streamed and all(isinstance(e, pl.Expr) for e in condition.exprs)
    reads = condition.reads()
    if not is_own or reads is None or prompt.into not in reads or any(may_fail(e, prompt.schema) for e in condition.exprs):
        return None
    return ModelFilter(at, prompt, condition) if reads - {prompt.into} <= frozenset(prompt.inputs[0].schema) else None


def ahead_of(seen: Sequence[Seen]) -> list[int]:
    """Which conditions are to be asked ahead, in their order: by rising cost for each row that they leave out. Empty where the written order is as good.

    >>> ahead_of([Seen(32, 30, 10.0), Seen(30, 3, 1.0)]), ahead_of([Seen(32, 3, 1.0), Seen(30, 3, 1.0)])
    ([1], [])
    """
    if any(s.rows_in < LEAST_SEEN for s in seen) or not any(s.cost for s in seen):
        return []
    best = sorted(range(len(seen)), key=lambda i: seen[i].cost / (1 - seen[i].passes))
    if _expected(seen, best) > WORTH * _expected(seen, range(len(seen))):
        return []
    for n in range(len(best)):
        if best[n:] == sorted(best[n:]):
            return best[:n]
    return []


def _expected(seen: Sequence[Seen], order: Sequence[int]) -> float:
    """The cost of a row, if what one condition leaves out says nothing of another."""
    cost, left = 0.0, 1.0
    for i in order:
        cost += left * seen[i].cost
        left *= seen[i].passes
    return cost


def asked_ahead(one: ModelFilter, below: Step) -> tuple[Step, Step, Step]:
    """The steps that leave out the rows that a condition says no to; rows that it fails on go on."""
    prompt = one.prompt
    held: dict[str, Any] = {f.name: getattr(prompt, f.name) for f in fields(prompt) if f.name in {g.name for g in fields(PromptStep)}}
    asks = Ahead(**{**held, "inputs": (below, *prompt.inputs[1:]), "on_error": "null", "keep": ()})
    object.__setattr__(asks, "made_from", prompt)
    is_open = pl.col(prompt.into).is_null() | reduce(and_, one.condition.exprs)
    leaves = relational("filter", inputs=(asks,), args=([is_open],), name=one.condition.name)
    return asks, leaves, relational("drop", inputs=(leaves,), args=(prompt.into,), name=one.condition.name)
