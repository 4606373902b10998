"""A run that ends when it has enough: a limit above steps that leave rows out asks row after row until it has its rows."""

from __future__ import annotations

from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import is_read_by
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.algebra import Limit
from dreamframe.plan.steps.first import FirstRows


def ends_early(step: Step, facts: Facts) -> Step | None:
    """The first rows of a limit over streamed steps that ask something, and of which nobody knows how many rows they leave."""
    if not isinstance(step, Limit) or step.n_first is None or not facts.asks(step.inputs[0]):
        return None
    asks = leaves = False
    above: Step = step
    below = step.inputs[0]
    while not (asks and leaves) and below.is_streamed and not facts.is_stored(below) and is_read_by(above, below, facts):
        asks |= isinstance(below, RowStep)
        leaves |= below.rows != "same"
        above, below = below, below.inputs[0]
    if not (asks and leaves):
        return None
    first = FirstRows(inputs=step.inputs, n=step.n_first, name=step.name or step.verb)
    return first if step.is_prefix else step.with_inputs([first])
