"""The rules, and the one place that applies them: over all plans of a run at once, until none finds anything to do.

A rule is a function in a file of its own: it gives the step that is to stand in the place of another and makes the same rows, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from dreamframe.errors import PlanError, SettingError, listed
from dreamframe.plan.optimizer.branches import branch_taken
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.optimizer.choices import choices_down
from dreamframe.plan.optimizer.conjuncts import cheap_first
from dreamframe.plan.optimizer.early_stop import ends_early
from dreamframe.plan.optimizer.facts import Facts, Held
from dreamframe.plan.optimizer.far_end import limit_behind
from dreamframe.plan.optimizer.joins import partners_first
from dreamframe.plan.optimizer.limit import limit_down
from dreamframe.plan.optimizer.names import Names
from dreamframe.plan.optimizer.shared import filters_shared
from dreamframe.plan.optimizer.unread import unread_dropped
from dreamframe.plan.step import Source, Step, own_fields
from dreamframe.plan.steps.ordinals import Ordinals

Rule = Callable[[Step, Facts], Step | None]
RULES: tuple[Rule, ...] = (
    unread_dropped, filters_shared, cheap_first, branch_taken, limit_behind, limit_down, choices_down, partners_first, ends_early,
)  # fmt: skip
ADDING: tuple[Rule, ...] = (filters_shared, limit_behind, partners_first)  # they add steps, and see only as far as they may whether those are there
MOST_USES = 3  # of a rule that adds steps, in the place of one that was written
LEARNT = "filters_ordered"  # no rule over plans: which of several conditions is asked first is learnt while they run
LEAST_PASSES = 100  # over a plan, before rules count as never ending
PLAIN = (str, bytes, int, float, bool, type(None))


class Applied(NamedTuple):
    """One use of a rule."""

    rule: str
    step: Step  # as it was
    made: Step  # what stands in its place


@dataclass(frozen=True)
class Optimised:
    """Plans as they will run, and what they were written as."""

    plans: tuple[Step, ...]
    origin: Mapping[int, Step]  # id of a step as it runs → the step as it was written; those that no rule has touched are not in it
    trace: tuple[Applied, ...]  # in the order in which rules were used
    held: tuple[Held, ...] = ()  # where rules would have saved calls, and would have changed something else
    helpers: frozenset[int] = frozenset()  # ids of the steps that nobody wrote: no line of progress or statistics is theirs
    written: tuple[Step, ...] = ()  # the plans as they were written, in the same order

    def as_written(self, step: Step) -> Step:
        """The step that the user wrote, of one that runs."""
        return self.origin.get(id(step), step)

    def with_the_rows_of(self, step: Step) -> Step:
        """The step as it was written whose rows a step gives, which is a whole plan; else the step that it was made from."""
        return next((written for made, written in zip(self.plans, self.written, strict=False) if made is step), self.as_written(step))


def chosen(optimize: Optimize) -> tuple[Rule, ...]:
    """The rules that are on. Raises SettingError for a name that is not a rule's.

    >>> len(chosen(True)) - len(chosen({"limit_down": False})), chosen(False)
    (1, ())
    """
    if isinstance(optimize, bool):
        return RULES if optimize else ()
    names = [*(rule.__name__ for rule in RULES), LEARNT]
    if not isinstance(optimize, Mapping) or not all(name in names and isinstance(on, bool) for name, on in optimize.items()):
        raise SettingError(f'collect: optimize={optimize!r} is not True, False or a dict like {{"{names[0]}": False}}; the rules are {listed(names)}.')
    return tuple(rule for rule in RULES if optimize.get(rule.__name__, True))


def is_learnt(optimize: Optimize) -> bool:
    """Whether a run may learn the order of its conditions."""
    return optimize if isinstance(optimize, bool) else optimize.get(LEARNT, True)


def optimise(plans: Sequence[Step], facts: Facts | None = None, *, rules: Sequence[Rule] | None = None) -> Optimised:
    """The plans of one run, rewritten by the rules. What is stored is a leaf: no rule looks below it.

    Raises PlanError where rules undo each other, so that a plan comes a second time, or never come to an end.

    >>> import dreamframe as dr
    >>> plan = dr.frame({"t": ["tea", "jam"]}).prompt(dr.testing.Echo(), "{t}", into="said").head(1)
    >>> made = optimise([plan.step])
    >>> [step.label for step in made.plans[0].walk()], [used.rule for used in made.trace]
    (['table', 'head', 'said'], ['limit_down'])
    """
    facts = Facts() if facts is None else facts
    work = _Work(plans, replace(facts, name=Names(facts.name)), RULES if rules is None else rules)
    before, after = tuple(plans), work.passed(plans)
    seen, most = {work.shape(before)}, LEAST_PASSES + sum(len(plan.walk()) for plan in plans)
    while any(a is not b for a, b in zip(after, before, strict=True)):
        if (shape := work.shape(after)) in seen or len(seen) > most:
            raise work.undone(after[-1])
        seen.add(shape)
        before, after = after, work.passed(after)
    return Optimised(after, work.origin(after), tuple(work.trace), tuple(work.held), work.helpers(after), tuple(plans))


class _Work:
    """One optimisation: what was made on the way, kept alive since steps are told apart by their ids."""

    def __init__(self, plans: Sequence[Step], facts: Facts, rules: Sequence[Rule]) -> None:
        self.trace: list[Applied] = []
        self.held: Iterable[Held] = ()  # of the last pass
        self._facts, self._rules = facts, rules
        self._here: set[int] = set()  # ids of the steps that the plans held when this pass began
        self._written = {id(node): node for plan in plans for node in plan.walk()}
        self._made: dict[int, tuple[Step, Step]] = {}  # id of a step that a rule made → it, and the step in whose place the rule worked
        self._origins: dict[int, tuple[Step, Step]] = {}  # id of a step that was rebuilt → it, and the step that it was written as
        self._numbers: dict[int, int] = {id_: n for n, id_ in enumerate(self._written)}  # by id of a step; equal ones that rules made are one
        self._uses: dict[tuple[Rule, int], int] = {}  # rule and id of a written step → how often the rule was used in its place
        self._same: dict[Hashable, Step] = {}  # shape of a step that rules made → the first of that shape

    def passed(self, plans: Sequence[Step]) -> tuple[Step, ...]:
        """The plans after every rule looked at every step once, inputs first."""
        place: dict[int, Step] = {}
        facts = self._facts.of(plans, place, is_first_pass=not self._here)
        self._here = {id(node) for plan in plans for node in plan.walk()}
        done: dict[int, Step] = {}
        for plan in plans:
            waiting = [(plan, False)]
            while waiting:
                node, has_inputs = waiting.pop()
                if id(node) in done:
                    continue
                if has_inputs:
                    done[id(node)] = self._ruled(node.with_inputs([done[id(i)] for i in node.inputs]), node, facts, place)
                elif not isinstance(node, Source) and facts.is_stored(node):
                    done[id(node)] = node
                else:
                    waiting += [(node, True), *((i, False) for i in reversed(node.inputs))]
        self.held = facts.held.values()
        return tuple(done[id(plan)] for plan in plans)

    def _ruled(self, step: Step, node: Step, facts: Facts, place: dict[int, Step]) -> Step:
        """What the rules make of a step that stands in the place of `node`."""
        step = self._shared(step)
        place[id(step)] = node
        been = {id(step)}
        for rule in self._rules:
            if self._uses and rule in ADDING and self._uses.get((rule, id(self._origin_of(step))), 0) == MOST_USES:
                continue
            if (made := rule(step, facts)) is not None and made is not step:
                if rule in ADDING:
                    use = rule, id(self._origin_of(step))
                    self._uses[use] = self._uses.get(use, 0) + 1
                self.trace.append(Applied(getattr(rule, "__name__", str(rule)), step, made))
                waiting = [made]
                while waiting:  # what is below the step was there before
                    new = waiting.pop()
                    if id(new) not in self._made and id(new) not in self._written and id(new) not in place:
                        self._made[id(new)] = new, node
                        waiting += new.inputs
                is_alone = all(len(facts.readers(i) or ()) == 1 for i in step.inputs)  # else other readers are about to have the same put below them
                step = self._shared(made)
                if id(step) in been:
                    raise self.undone(step)
                been.add(id(step))
                place[id(step)] = node
                if is_alone:
                    self._told(step, facts)
        return step

    def _told(self, step: Step, facts: Facts) -> None:
        """Tell who reads the steps that a rule has put below this one."""
        waiting = [step]
        while waiting:
            above = waiting.pop()
            for below in above.inputs:
                if id(below) not in self._here and id(below) not in self._written and id(below) not in facts.place:
                    known = facts.over.setdefault(id(below), {})
                    waiting += () if known else (below,)
                    known[id(above)] = above

    def undone(self, step: Step) -> PlanError:
        """The error for rules that come to no end."""
        used = ", ".join(dict.fromkeys(a.rule for a in self.trace))
        return PlanError(f"optimise: the rules {used} undo each other: the plan of {step.label} came a second time, or would grow for ever.")

    def shape(self, plans: Sequence[Step]) -> tuple[int, ...]:
        """Numbers that are equal for equal plans."""
        return tuple(self._numbers[id(plan)] for plan in plans)

    def _shared(self, step: Step) -> Step:
        """A plan that rules made, its steps being those that were made before wherever they are equal. Looks at fields, and at no file."""
        done: dict[int, Step] = {}
        waiting = [(step, False)]
        while waiting:
            node, has_inputs = waiting.pop()
            if id(node) in self._numbers:
                done[id(node)] = node
            elif has_inputs:
                made = node.with_inputs([done[id(i)] for i in node.inputs])
                held = tuple(_atom(getattr(made, name)) for name in own_fields(type(made)))
                same = self._same.setdefault((type(made), held, tuple(self._numbers[id(i)] for i in made.inputs)), made)
                self._numbers.setdefault(id(same), len(self._numbers))
                done[id(node)] = same
            else:
                waiting += [(node, True), *((i, False) for i in node.inputs)]
        return done[id(step)]

    def origin(self, plans: Sequence[Step]) -> dict[int, Step]:
        """For every step that is not as it was written, the one it was made from; else the one in whose place a rule made it."""
        return {id(node): self._origin_of(node) for plan in plans for node in plan.walk() if id(node) not in self._written}

    def helpers(self, plans: Sequence[Step]) -> frozenset[int]:
        """The steps that rules put in: they are no written step over other inputs, or number the samples of one."""
        made = (node for plan in plans for node in plan.walk() if id(node) not in self._written)
        known: dict[int, bool] = {}  # of this one look: every step of a long line of rebuilt ones is looked at once
        return frozenset(id(node) for node in made if isinstance(node, Ordinals) or not self._is_written_anew(node, known))

    def _is_written_anew(self, step: Step, known: dict[int, bool]) -> bool:
        found: Step | None = step
        path: list[int] = []
        while found is not None and id(found) not in self._written and id(found) not in known:
            path.append(id(found))
            found = found.made_from
        is_written = found is not None and known.get(id(found), True)
        known.update(dict.fromkeys(path, is_written))
        return is_written

    def _origin_of(self, step: Step) -> Step:
        found: Step | None = step
        path: list[Step] = []
        while found is not None and id(found) not in self._written and id(found) not in self._origins:
            path.append(found)
            found = found.made_from if found.made_from is not None else self._made.get(id(found), (found, None))[1]
        if found is None:  # not known yet
            return path[-1]
        origin = self._written[id(found)] if id(found) in self._written else self._origins[id(found)][1]
        self._origins.update({id(passed): (passed, origin) for passed in path})
        return origin


def _atom(value: object) -> Hashable:
    """A field's value: itself if it is plain, else which object it is."""
    if isinstance(value, tuple):
        return tuple(map(_atom, value))
    return (type(value), value) if isinstance(value, PLAIN) else id(value)
