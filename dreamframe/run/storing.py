"""Which steps of a plan are worth what: whose output is worth keeping, and whose rows are made once for several readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from dreamframe.plan.step import Step


class Worth:
    """Decides for the steps of one run. Every step is looked at once, however long the plan is."""

    def __init__(self) -> None:
        self._expensive: dict[int, tuple[Step, bool]] = {}  # by id of the step, which is kept alive
        self._reads_files: dict[int, tuple[Step, bool]] = {}

    def is_kept(self, step: Step) -> bool:
        """Whether a model or a user's function had a hand in a step's rows, and its key tells all that they depend on."""
        is_expensive = holds_of_any(step, lambda node: node.is_expensive, self._expensive)
        return is_expensive and not holds_of_any(step, lambda node: node.reads_files, self._reads_files)


def holds_of_any(step: Step, claim: Callable[[Step], bool], known: dict[int, tuple[Step, bool]]) -> bool:
    """Whether a claim holds of a step or of one below it."""
    waiting = [] if id(step) in known else [step]
    while waiting:
        node = waiting[-1]
        if unknown := [i for i in node.inputs if id(i) not in known]:
            waiting += unknown
            continue
        waiting.pop()
        known[id(node)] = node, claim(node) or any(known[id(i)][1] for i in node.inputs)
    return known[id(step)][1]


def read_twice(plans: Sequence[Step], name: Callable[[Step], str]) -> set[str]:
    """The names of steps that several steps read, or that are a plan of their own and are read by another as well."""
    readers = Counter(name(plan) for plan in plans)
    for node in {name(node): node for plan in plans for node in plan.walk()}.values():
        readers.update(name(i) for i in node.inputs)
    return {step for step, n in readers.items() if n > 1}
