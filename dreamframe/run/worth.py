"""Which steps of a plan are worth what: whose output is worth keeping, and whose rows are made once for several readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from dreamframe.plan.step import Step


class _Of(NamedTuple):
    """What decides about the output of a step."""

    step: Step
    is_expensive: bool  # a model or a user's function had a hand in it
    reads_files: bool  # that its rows name: its key does not tell all that they depend on


class Worth:
    """Decides for the steps of one run. Every step is looked at once, however long the plan is."""

    def __init__(self) -> None:
        self._known: dict[int, _Of] = {}  # by id of the step, which it keeps alive

    def is_kept(self, step: Step) -> bool:
        """Whether a model or a user's function had a hand in a step's rows, and its key tells all that they depend on."""
        if id(step) not in self._known:
            waiting = [step]
            while waiting:
                node = waiting[-1]
                if unknown := [i for i in node.inputs if id(i) not in self._known]:
                    waiting += unknown
                    continue
                waiting.pop()
                below = [self._known[id(i)] for i in node.inputs]
                expensive = node.is_expensive or any(b.is_expensive for b in below)
                self._known[id(node)] = _Of(node, expensive, node.reads_files or any(b.reads_files for b in below))
        found = self._known[id(step)]
        return found.is_expensive and not found.reads_files


def read_twice(plans: Sequence[Step], name: Callable[[Step], str]) -> set[str]:
    """The names of steps that several steps read, or that are a plan of their own and are read by another as well."""
    readers = Counter(name(plan) for plan in plans)
    for node in {name(node): node for plan in plans for node in plan.walk()}.values():
        readers.update(name(i) for i in node.inputs)
    return {step for step, n in readers.items() if n > 1}
