"""Who reads whom, as rules ask it."""

from __future__ import annotations

from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.step import Step


def is_read_by(above: Step, step: Step, facts: Facts, *, at: int = 0) -> bool:
    """Whether one step alone reads another, as one of its inputs alone: the first, if nothing else is said."""
    readers = facts.readers(step)
    name = facts.name(facts.place.get(id(above), above))
    others = (i for n, i in enumerate(above.inputs) if n != at)
    return readers is not None and all(r is not None and facts.name(r) == name for r in readers) and all(i is not step for i in others)
