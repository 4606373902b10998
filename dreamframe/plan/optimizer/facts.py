"""What rules may know of a run besides the step: what is stored, who reads what, how many rows there are. Looking at it reads no rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from dreamframe.plan.optimizer.crossing import is_gate
from dreamframe.plan.optimizer.demand import Demand
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.ordinals import Ordinals

Readers = tuple[Step | None, ...]
NONE: frozenset[str] = frozenset()


class Held(NamedTuple):
    """A place where a rule would save calls and would change something else."""

    rule: str
    step: Step
    below: Step  # that it does not move below, or does not change
    why: str


class Stream(NamedTuple):
    """What is known of the streamed steps that end with one."""

    step: Step  # kept alive
    asks: bool
    asks_far: bool
    written: frozenset[str]


@dataclass(frozen=True)
class Facts:
    """Of all plans of one run. `is_stored` says whether a step's rows are kept; `name` is the same for equal steps."""

    is_stored: Callable[[Step], bool] = lambda _: False
    name: Callable[[Step], Hashable] = id
    plans: Sequence[Step] = ()
    place: Mapping[int, Step] = field(default_factory=dict)  # id of a step that rules made → the step of `plans` in whose place it is
    over: dict[int, dict[int, Step]] = field(default_factory=dict)  # id of a step that rules put below another → the steps that read it, by id
    held: dict[tuple[str, int, int], Held] = field(default_factory=dict)  # where rules did nothing in this pass, by rule and ids of both steps
    cut: dict[int, tuple[Step, Step | None]] = field(default_factory=dict)  # id of a step that several read → it, and what a rule makes of it for all
    is_first_pass: bool = False  # whether every step is as it was written, but for those below it
    _read: dict[Hashable, Readers] = field(default_factory=dict)
    _demand: list[Demand] = field(default_factory=list)  # one, as soon as somebody asked
    _streams: dict[int, Stream] = field(default_factory=dict)  # by id of the step, which is kept alive

    def of(self, plans: Sequence[Step], place: Mapping[int, Step], *, is_first_pass: bool = False) -> Facts:
        """The same for these plans."""
        return replace(self, plans=plans, place=place, is_first_pass=is_first_pass, over={}, held={}, cut={}, _read={}, _demand=[])

    def holds_back(self, rule: str, step: Step, below: Step, why: str) -> None:
        """Note why a rule leaves a step where it is, for explain(rules=True)."""
        self.held[rule, id(step), id(below)] = Held(rule, step, below, why)

    def readers(self, step: Step) -> Readers | None:
        """The steps that read this one in the run, None among them being the user; None where it is not known."""
        if id(step) not in self.place and (made := self.over.get(id(step))):
            return tuple(made.values())
        if not self._read:
            self._read.update(self._counted())
        return self._read.get(self.name(self.place.get(id(step), step)))

    def needed(self, step: Step) -> frozenset[str] | None:
        """The columns of a step that somebody reads; None for all."""
        return self._demanded().needed(self.place.get(id(step), step))

    def idle(self, step: Step) -> frozenset[str]:
        """The columns that a step computes from those of models, and that nobody reads."""
        return self._demanded().idle(self.place.get(id(step), step))

    def _demanded(self) -> Demand:
        """What is read of each step, looked at once for all rules of a pass."""
        if not self._demand:
            self._demand.append(Demand(self.plans, self.is_stored))
        return self._demand[0]

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

    def asks(self, step: Step) -> bool:
        """Whether something is asked or called for each row in the stream that ends with a step: a rule that saves such calls finds none below otherwise.

        Rules ask it before they walk down a stream. What is stored ends the stream; so does what is not streamed.
        """
        return self._stream(step).asks

    def asks_far(self, step: Step) -> bool:
        """The same, also behind joins, sorts and other steps that are not streamed, and that a choice of rows may pass."""
        return self._stream(step).asks_far

    def written(self, step: Step) -> frozenset[str]:
        """The columns that row steps write in the stream that ends with a step, and those that are computed from what models say."""
        return self._stream(step).written | self._demanded().asked(self.place.get(id(step), step))

    def _stream(self, step: Step) -> Stream:
        """All three; every step is looked at once, however many rules ask at however many steps."""
        waiting = [step]
        while waiting:
            if id(node := waiting[-1]) in self._streams:
                waiting.pop()
                continue
            is_open = not self.is_stored(node) and (node.is_streamed or is_gate(node))
            below = () if not is_open else node.inputs[:1] if node.is_streamed else node.inputs
            if unknown := [i for i in below if id(i) not in self._streams]:
                waiting += unknown
                continue
            found = [self._streams[id(i)] for i in below]
            asks, written = (found[0].asks, found[0].written) if is_open and node.is_streamed else (False, NONE)
            if isinstance(node, RowStep) and found:
                asks, written = asks or not isinstance(node, Ordinals), written.union(node.writes())
            self._streams[id(node)] = Stream(waiting.pop(), asks, asks or any(f.asks_far for f in found), written)
        return self._streams[id(step)]

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
