"""Joins that cut: only the rows that have a partner on the other side are asked about."""

from __future__ import annotations

from dreamframe.plan.optimizer.choices import CUT, Choice, moved_down
from dreamframe.plan.optimizer.demand import join_keys
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import Join, relational


def partners_first(step: Step, facts: Facts) -> Step | None:
    """A join over inputs that have lost the rows without a partner before a model is asked about them."""
    if not isinstance(step, Join):
        return None
    is_checked = dict(step.options).get("validate", "m:m") != "m:m"
    if is_checked or step.how == "full":
        for below in step.inputs:
            if facts.asks(below):
                facts.holds_back("partners_first", step, below, "validate= looks at every row" if is_checked else "it keeps the rows without a partner")
        return None
    keys = join_keys(dict(step.options))
    for side in CUT.get(step.how, ()) if keys else ():
        mine, other = step.inputs[side], step.inputs[1 - side]
        if mine is other:
            continue
        own, others = (keys[side], keys[1 - side]) if keys else ((), ())
        nulls_equal = dict(step.options).get("nulls_equal", False)
        options = {"how": "semi", "left_on": own, "right_on": others, "maintain_order": "left", "nulls_equal": nulls_equal}
        semi = relational("join", inputs=(mine, other), options=tuple(sorted(options.items())), schema=mine.schema)
        cut = moved_down(Choice((semi,), frozenset(own), is_by_row=True, rule="partners_first"), mine, above=step, facts=facts, at=side)
        if cut is not None:
            return step.with_inputs((cut, other) if side == 0 else (other, cut))
    return None

