"""Limits above rows in reverse, and above rows of several inputs below one another: only the rows at that end are asked about."""

from __future__ import annotations

from dreamframe.plan.optimizer.crossing import STACKED, index_of
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import is_read_by
from dreamframe.plan.step import PolarsStep, Step
from dreamframe.plan.steps.algebra import Concat, Limit, relational
from dreamframe.plan.steps.first import FirstRows
from dreamframe.plan.steps.relational import Relational


def limit_behind(step: Step, facts: Facts) -> Step | None:
    """The last rows, reversed, for the first of all in reverse; and no more rows of each of several inputs than those before it leave to be had."""
    if not isinstance(step, Limit) or not facts.asks_far(step.inputs[0]):
        return None
    passed: list[Step] = []
    above: Step = step
    below = step.inputs[0]
    while (is_own := is_read_by(above, below, facts)) and isinstance(below, PolarsStep) and below.is_streamed and below.rows == "same":
        passed.append(below)
        above, below = below, below.inputs[0]
    made: Step | None = None
    if is_own and isinstance(below, Relational) and below.verb == "reverse":
        made = _turned(step, below)
    elif is_own and isinstance(below, Concat) and dict(below.options).get("how") in STACKED:
        made = _apart(step, below, facts)
    if made is None:
        return None
    for over in reversed(passed):
        made = over.with_inputs((made, *over.inputs[1:]))
    return step.with_inputs([made]) if isinstance(below, Concat) else made


def _turned(limit: Limit, reverse: Relational) -> Step | None:
    _, n = limit.place
    if n is None or n < 0 or limit.verb == "slice":
        return None
    return reverse.with_inputs([relational("head" if limit.verb == "tail" else "tail", inputs=reverse.inputs, args=(n,), name=limit.name)])


def _apart(limit: Limit, concat: Concat, facts: Facts) -> Step | None:
    """Where nobody knows how many rows an input gives, those after it are asked as if it gave none."""
    if (wanted := limit.n_first) is None:
        return None
    cut: list[Step] = []
    for each in concat.inputs:
        n = facts.n_rows(each)
        is_short = n <= wanted if n is not None else _is_cut(each, wanted)
        cut.append(each if is_short or not facts.asks_far(each) else relational("head", inputs=(each,), args=(wanted,), name=limit.name))
        wanted -= min(n or 0, wanted)
    made = concat.with_inputs(cut)
    return None if made is concat else made


def _is_cut(step: Step, n: int) -> bool:
    """Whether a limit below steps that add no row leaves so many, or fewer."""
    while not isinstance(step, (Limit, FirstRows)):
        if not (step.is_streamed and step.rows != "other") and index_of(step) is None:
            return False
        step = step.inputs[0]
    most = step.n if isinstance(step, FirstRows) else step.n_first
    return most is not None and most <= n
