"""Columns of models that nobody reads: nobody is asked for them."""

from __future__ import annotations

from collections.abc import Sequence

from dreamframe.identity.whose_code import is_library
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import is_read_by
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.algebra import Aggregate, Drop, Join, Project, relational
from dreamframe.plan.steps.ordinals import NumberedPrompt, Ordinals


def unread_dropped(step: Step, facts: Facts) -> Step | None:
    """A step that goes on with some columns alone, without the row steps below it that write none of them and leave out no row."""
    for at in range(len(step.inputs)):
        needed = _needed(step, at)
        if needed is not None and (without := _without(step, at, needed, facts)) is not None:
            return without
    return None


def _needed(step: Step, at: int) -> frozenset[str] | None:
    """The columns of an input that are needed, where a step does not hand on all of them."""
    match step:
        case Project() | Aggregate():
            return step.reads()
        case Drop():
            return frozenset(step.inputs[0].schema) - step.reads()
        case Join() if at == 1 and step.how in ("semi", "anti"):
            options = dict(step.options)
            on = options.get("on", options.get("right_on"))
            names = [on] if isinstance(on, str) else on
            return frozenset(names) if isinstance(names, (list, tuple)) and all(isinstance(c, str) for c in names) else None
    return None


def _without(step: Step, at: int, needed: frozenset[str], facts: Facts) -> Step | None:
    """The step without the first row step below its input that nobody needs; None if there is none."""
    passed: list[Step] = []
    above, node = step, step.inputs[at]
    while not needed >= facts.written(node) and is_read_by(above, node, facts, at=at):
        gone = frozenset(node.writes())
        if _may_go(node) and needed.isdisjoint(gone):
            return _rebuilt(step, at, passed, node, gone) if all(_is_blind_to(s, gone) for s in passed) else None
        reads = node.reads()
        if reads is None or not node.inputs:
            return None
        kept = node.passes()
        needed = frozenset(kept[c] for c in needed if c in kept) | reads
        passed.append(node)
        above, node, at = node, node.inputs[0], 0
    return None


def _may_go(step: Step) -> bool:
    """Whether a step does nothing but write columns that a model fills in. A function of the user's may do more."""
    asks = isinstance(step, RowStep) and (bool(step.models()) or isinstance(step, Ordinals)) and is_library(type(step))
    return asks and step.rows == "same" and not any(c in step.inputs[0].schema for c in step.writes())


def _is_blind_to(step: Step, columns: frozenset[str]) -> bool:
    """Whether a step that does not read these columns gives the same others when they are not there."""
    others = [name for i in step.inputs[1:] for name in i.schema] if isinstance(step, Join) else []
    return columns.isdisjoint(step.writes()) and columns.isdisjoint(others)


def _rebuilt(step: Step, at: int, passed: Sequence[Step], gone: RowStep | Step, columns: frozenset[str]) -> Step:
    made = gone.inputs[0]
    if isinstance(gone, NumberedPrompt):
        made = relational("drop", inputs=(made,), args=(gone.ordinals,))
    for above in reversed(passed):
        made = above.with_inputs((made, *above.inputs[1:]))
    if isinstance(step, Drop):
        left = [c for c in step.inputs[0].schema if c in step.reads() and c not in columns]
        return step.but(inputs=(made,), args=tuple(left)) if left else made
    return step.with_inputs([made if n == at else i for n, i in enumerate(step.inputs)])
