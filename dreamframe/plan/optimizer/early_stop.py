"""A run that ends when it has enough: a limit above steps that leave rows out asks row after row until it has its rows."""

from __future__ import annotations

from dataclasses import fields

from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import is_read_by
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.algebra import Join, Limit
from dreamframe.plan.steps.first import FirstRows
from dreamframe.plan.steps.partners import JoinRows

BY_LEFT_ROW = ("inner", "left", "semi", "anti", "cross")  # joins that put each row of the left input beside its partners, whatever other rows there are


def ends_early(step: Step, facts: Facts) -> Step | None:
    """The first rows of a limit over streamed steps that ask something, and of which nobody knows how many rows they leave.

    So are joins, each row of whose left input is put beside its partners, unless a model is asked about the pairs: those of one row may be many.
    """
    if not isinstance(step, Limit):
        return None
    if step.n_first is None:
        if facts.asks(step.inputs[0]) and step.inputs[0].rows != "same":
            facts.holds_back("ends_early", step, step.inputs[0], "it looks at the last rows")
        return None
    passed: list[Step] = []
    asks = leaves = False
    above: Step = step
    below = step.inputs[0]
    while not (asks and leaves) and is_read_by(above, below, facts) and (_is_streamed(below, facts) or (not asks and _goes_by_row(below, facts))):
        passed.append(below)
        asks |= isinstance(below, RowStep)
        leaves |= below.rows != "same"
        above, below = below, below.inputs[0]
    if not (asks and leaves):
        return None
    if any(isinstance(s, Join) for s in passed):
        for over in reversed(passed):
            below = _by_row(over, below) if isinstance(over, Join) else over.with_inputs((below, *over.inputs[1:]))
    else:
        below = step.inputs[0]
    first = FirstRows(inputs=(below,), n=step.n_first, name=step.name or step.verb)
    return first if step.is_prefix else step.with_inputs([first])


def _is_streamed(step: Step, facts: Facts) -> bool:
    return step.is_streamed and not facts.is_stored(step)


def _goes_by_row(step: Step, facts: Facts) -> bool:
    """Whether a step is a join that may be given its left rows a few at a time."""
    if not isinstance(step, Join) or step.how not in BY_LEFT_ROW or facts.is_stored(step):
        return False
    options = dict(step.options)
    in_order = options.get("maintain_order") in (("left", "left_right") if step.how in ("semi", "anti") else ("left_right",))
    return in_order and options.get("validate", "m:m") == "m:m" and step.inputs[0] is not step.inputs[1]


def _by_row(join: Join, left: Step) -> JoinRows:
    held = {f.name: getattr(join, f.name) for f in fields(join) if f.name in ("name", "authority", "cited")}
    made = JoinRows(inputs=(left, join.inputs[1]), options=join.options, **held)
    object.__setattr__(made, "made_from", join)
    return made
