"""Joins that cut: only the rows that have a partner on the other side are asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dreamframe.plan.optimizer.choices import Choice, moved_down
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import Join, relational

CUT: Mapping[str, Sequence[int]] = {"inner": (0, 1), "left": (1,), "right": (0,)}  # the inputs that lose the rows without a partner


def partners_first(step: Step, facts: Facts) -> Step | None:
    """A join over inputs that have lost the rows without a partner before a model is asked about them."""
    if not isinstance(step, Join) or dict(step.options).get("validate", "m:m") != "m:m":
        return None
    keys = _keys(dict(step.options))
    for side in CUT.get(step.how, ()) if keys else ():
        mine, other = step.inputs[side], step.inputs[1 - side]
        if mine is other or _is_cut(mine, other):
            continue
        own, others = (keys[side], keys[1 - side]) if keys else ((), ())
        nulls_equal = dict(step.options).get("nulls_equal", False)
        options = {"how": "semi", "left_on": own, "right_on": others, "maintain_order": "left", "nulls_equal": nulls_equal}
        semi = relational("join", inputs=(mine, other), options=tuple(sorted(options.items())))
        cut = moved_down(Choice((semi,), frozenset(own), is_by_row=True), mine, above=step, facts=facts, at=side)
        if cut is not None:
            return step.with_inputs((cut, other) if side == 0 else (other, cut))
    return None


def _keys(options: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]] | None:
    """The columns of either side that are compared; None where they are more than names."""
    sides = [options["on"]] * 2 if "on" in options else [options.get("left_on"), options.get("right_on")]
    named = [tuple(side) if isinstance(side, (list, tuple)) else () if side is None else (side,) for side in sides]
    return (named[0], named[1]) if all(n and all(isinstance(c, str) for c in n) for n in named) else None


def _is_cut(step: Step, other: Step) -> bool:
    """Whether the rows below the streamed steps are those that have a partner."""
    while step.is_streamed:
        step = step.inputs[0]
    return isinstance(step, Join) and step.how == "semi" and step.inputs[1] is other
