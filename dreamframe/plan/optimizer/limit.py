"""Limit below length-preserving steps: `head(5)` over a prompt asks about five rows, not about all; over a source that is far away, it reads no more."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from dreamframe.plan.step import RowStep, Source, Step
from dreamframe.plan.steps.relational import Relational

LIMITS = ("head", "slice")


def limits_down(plans: Sequence[Step], is_stored: Callable[[Step], bool], name: Callable[[Step], Hashable]) -> list[Step]:
    """The plans of one run, with every limit moved below the row steps and separable column verbs that it stands on.

    Nothing moves in or out of a step whose rows are stored; and a step that some reader wants whole is not run once more for the first rows of
    another. `name` is the same for equal steps.
    """
    moved = [limit_down(plan, is_stored) for plan in plans]
    if all(new is old for new, old in zip(moved, plans, strict=True)):
        return moved
    whole = {name(step) for plan in moved for step in plan.walk()}
    return [limit_down(plan, lambda step: is_stored(step) or name(step) in whole) for plan in plans]


def limit_down(step: Step, is_fixed: Callable[[Step], bool]) -> Step:
    """One plan with its limits moved down. Nothing moves in or out of a step that `is_fixed`."""
    done: dict[int, Step] = {}
    waiting = [(step, False)]
    while waiting:
        node, has_inputs = waiting.pop()
        if id(node) in done:
            continue
        if has_inputs:
            done[id(node)] = _push(node.with_inputs([done[id(i)] for i in node.inputs]), is_fixed)
        elif is_fixed(node) and not isinstance(node, Source):
            done[id(node)] = node
        else:
            waiting += [(node, True), *((i, False) for i in reversed(node.inputs))]
    return done[id(step)]


def _push(limit: Step, is_fixed: Callable[[Step], bool]) -> Step:
    if not (isinstance(limit, Relational) and limit.verb in LIMITS):
        return limit
    passed: list[Step] = []
    below = limit.inputs[0]
    while _may_pass(limit, below) and not is_fixed(below):
        passed.append(below)
        below = below.inputs[0]
    if isinstance(below, Source) and (n := _most(limit)) is not None and not is_fixed(below):
        below = below.first(n)
    made = limit.with_inputs([below])
    for step in reversed(passed):
        made = step.with_inputs((made, *step.inputs[1:]))
    return made


def _most(limit: Relational) -> int | None:
    """How many rows from the first a limit reads; None where it counts from the end."""
    match limit.verb, limit.args:
        case "head", (int(n),) if n >= 0:
            return n
        case "slice", (int(offset), int(length)) if offset >= 0:
            return offset + length
    return None


def _may_pass(limit: Relational, step: Step) -> bool:
    """Whether a step gives the same rows for those that are left when the limit stands below it."""
    if isinstance(step, RowStep):
        # The samples of equal requests are numbered from the first row on: rows that are cut off before it would renumber the rest.
        return step.on_error != "drop" and (not step.needs_order or limit.verb == "head" or limit.args[:1] == (0,))
    if isinstance(step, Relational) and step.verb in ("with_columns", "select", "drop", "rename", "cast"):
        return step.is_streamed and all(e.meta.is_length_preserving() or not e.meta.root_names() for e in step.expressions())
    return False
