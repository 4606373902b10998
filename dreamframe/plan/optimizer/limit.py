"""Limit below length-preserving steps: `head(5)` over a prompt asks about five rows, not about all; over a source that is far away, it reads no more."""

from __future__ import annotations

from collections.abc import Sequence

from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import is_read_by
from dreamframe.plan.step import PolarsStep, Source, Step
from dreamframe.plan.steps.algebra import Limit, relational


def limit_down(step: Step, facts: Facts) -> Step | None:
    """A limit moved below all streamed steps that give a row for each row, down to the lowest that polars does not do itself.

    Nothing moves in or out of a step whose rows are stored, or which another step or the user wants whole. Where several limits want the first rows of
    one step, they share those of the longest.
    """
    if not isinstance(step, Limit):
        return None
    limits = _limits_over(step.inputs[0], facts)
    if not limits or (len(limits) > 1 and any(other.n_first is None for other in limits)):
        return None
    if len(limits) == 1:
        return _moved(step, step.n_first, step, facts)
    most = max(other.n_first or 0 for other in limits)
    return _moved(step, most, relational("head", inputs=step.inputs, args=(most,)), facts)


def _limits_over(step: Step, facts: Facts) -> Sequence[Limit]:
    """The limits that read a step; none where something else does, too."""
    readers = facts.readers(step) or ()
    limits = [r for r in readers if isinstance(r, Limit)]
    return limits if len(limits) == len(readers) else []


def _moved(step: Limit, most: int | None, lowest: Step, facts: Facts) -> Step | None:
    """`step` over as many rows as `lowest` leaves, which is put as far down as it may stand; None if it stays."""
    assert isinstance(lowest, Limit)
    passed: list[Step] = []
    below = step.inputs[0]
    while _may_pass(lowest, below) and not facts.is_stored(below) and (not passed or is_read_by(passed[-1], below, facts)):
        passed.append(below)
        below = below.inputs[0]
    reached = below
    if isinstance(below, Source) and most is not None and (not passed or is_read_by(passed[-1], below, facts)):
        below = below.first(most)
    if below is reached:
        while passed and isinstance(passed[-1], PolarsStep):  # it saves nothing there, and in a long plan every limit would wander below every step
            below = passed.pop()
    if not passed and lowest is step and below.rows == "same" and facts.asks(below) and not step.is_prefix:
        facts.holds_back("limit_down", step, below, "its samples are numbered from the first row on")
    if below is step.inputs[0] or (lowest is not step and isinstance(below, Limit)):  # the first rows of others are its own: it was here before
        return None
    if not passed:
        return step.with_inputs([below])
    made = lowest.with_inputs([below])
    for above in reversed(passed):
        made = above.with_inputs((made, *above.inputs[1:]))
    return made if lowest is step or (step.is_prefix and step.n_first == most) else step.with_inputs([made])


def _may_pass(limit: Limit, step: Step) -> bool:
    """Whether a step gives the same rows for those that are left when the limit stands below it.

    The samples of equal requests are numbered from the first row on: rows that are cut off before it would renumber the rest.
    """
    return step.rows == "same" and step.is_streamed and (limit.is_prefix or not step.needs_order)

