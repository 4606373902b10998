"""What rules may know of a run besides the step: what is stored, who reads what, how many rows there are. Looking at it reads no rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dreamframe.plan.step import Step

Readers = tuple[Step | None, ...]


@dataclass(frozen=True)
class Facts:
    """Of all plans of one run. `is_stored` says whether a step's rows are kept; `name` is the same for equal steps."""

    is_stored: Callable[[Step], bool] = lambda _: False
    name: Callable[[Step], Hashable] = id
    plans: Sequence[Step] = ()
    place: Mapping[int, Step] = field(default_factory=dict)  # id of a step that rules made → the step of `plans` in whose place it is
    _read: dict[Hashable, Readers] = field(default_factory=dict)

    def of(self, plans: Sequence[Step], place: Mapping[int, Step]) -> Facts:
        """The same for these plans."""
        return replace(self, plans=plans, place=place, _read={})

    def readers(self, step: Step) -> Readers | None:
        """The steps that read this one in the run, None among them being the user; None where it is not known, as for a step that a rule made."""
        if not self._read:
            self._read.update(self._counted())
        return self._read.get(self.name(self.place.get(id(step), step)))

    def _counted(self) -> dict[Hashable, Readers]:
        found: dict[Hashable, dict[Hashable, Step | None]] = {}
        done: set[int] = set()
        waiting: list[Step] = []
        for plan in self.plans:
            found.setdefault(self.name(plan), {})[None] = None
            waiting.append(plan)
        while waiting:
            node = waiting.pop()
            if id(node) in done or self.is_stored(node):
                continue
            done.add(id(node))
            for below in node.inputs:
                found.setdefault(self.name(below), {})[self.name(node)] = node
                waiting.append(below)
        return {name: tuple(readers.values()) for name, readers in found.items()}

    def n_rows(self, step: Step) -> int | None:
        """How many rows a step will give, where the plan tells.

        >>> import dreamframe as dr
        >>> Facts().n_rows(dr.frame({"a": [1, 2, 3]}).with_columns(b=1).head(2).step)
        2
        """
        known: dict[int, int | None] = {}
        for node in step.walk():
            known[id(node)] = node.n_out(*(known[id(i)] for i in node.inputs))
        return known[id(step)]
