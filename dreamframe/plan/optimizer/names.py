"""Which steps are equal: a step's key is made only where another step could have the same one. In a long plan that is nowhere."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from dreamframe.identity.whose_code import recorded
from dreamframe.plan.step import Step


class Names:
    """A name for each step, the same for those of equal keys. Equal keys are those of one kind of step over equal inputs: one that stands alone needs none.

    >>> import dreamframe as dr
    >>> one, same, other = (dr.frame({"a": [i]}).head(2).step for i in (1, 1, 2))
    >>> name = Names(lambda step: step.key({}))
    >>> name(one) == name(same), name(one) == name(other)
    (True, False)
    """

    def __init__(self, key: Callable[[Step], Hashable]) -> None:
        self._key = key
        self._known: dict[int, tuple[int, Step]] = {}  # by id of a step, which is kept alive
        self._alone: dict[Hashable, Step | None] = {}  # kind and names of the inputs → the one step of these; None: there are more, which have keys
        self._keyed: dict[tuple[Hashable, Hashable], int] = {}  # kind and names of the inputs, and key → name

    def __call__(self, step: Step) -> int:
        waiting = [step]
        while id(step) not in self._known:  # inputs first: a plan may be deeper than Python's stack
            node = waiting.pop()
            if unknown := [i for i in node.inputs if id(i) not in self._known]:
                waiting += (node, *unknown)
            elif id(node) not in self._known:
                self._known[id(node)] = self._named(node), node
        return self._known[id(step)][0]

    def _named(self, step: Step) -> int:
        new = len(self._known)
        kind = (recorded(type(step)).__qualname__, *(self._known[id(i)][0] for i in step.inputs)) if step.inputs else ()  # a source may have another's key
        if kind not in self._alone:
            self._alone[kind] = step
            return new
        if (first := self._alone[kind]) is not None:
            self._alone[kind] = None
            self._keyed[kind, self._key(first)] = self._known[id(first)][0]
        return self._keyed.setdefault((kind, self._key(step)), new)
