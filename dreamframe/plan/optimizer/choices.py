"""Steps that leave rows out, below the columns of models that they do not read: a filter of a source column asks only about the rows that pass it."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from dreamframe.identity.whose_code import is_library
from dreamframe.plan.hidden import readable
from dreamframe.plan.optimizer.crossing import Names, branches_of, index_of, is_gate, ways_below
from dreamframe.plan.optimizer.demand import join_keys, subset
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import is_read_by, may_fail
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.algebra import Concat, Drop, Filter, Join, Limit, Project, Rename, RowVerb, Sort, WithColumns, relational
from dreamframe.plan.steps.apply import MapRows
from dreamframe.plan.steps.ordinals import Ordinals, in_two
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.relational import Relational, Sample, SplitPart

UNTYPED = re.compile(r"dyn (int|float)")  # a number in a key of a sort, of which polars' streams do not know the type
WANTED = "it is wanted whole"
OWN = "it reads what its own verb made"  # which nobody expects it to pass
CUT: Mapping[str, Sequence[int]] = {"inner": (0, 1), "left": (1,), "right": (0,)}  # the inputs of joins that lose the rows without a partner
MOST_GATES = 16  # joins, sorts and their like that a choice passes, for the same reason as below
MOST_CARRIED = 16  # steps that a choice takes along: a long plan, each step of which is filtered by, would grow with its square


@dataclass(frozen=True)
class Choice:
    """Steps that together leave rows out, lowest first, and what decides which."""

    steps: tuple[Step, ...]
    reads: frozenset[str]
    is_by_row: bool  # whether each row is chosen by itself: then it does not matter which rows are gone already
    is_prefix: bool = False  # whether the rows that are left are the first ones
    may_fail: bool = False  # whether it may raise an error on a row that is gone already
    rule: str = "choices_down"  # that moves it

    @property
    def is_added(self) -> bool:
        """Whether a rule adds it to a plan, in which it may be already."""
        return self.rule != "choices_down"

    def put(self, below: Step) -> Step:
        """The rows that are left of those of a step."""
        for step in self.steps:
            below = step.with_inputs((below, *step.inputs[1:]))
        return below


def choice_of(step: Step) -> Choice | None:
    """What a step, or a limit with the sort below it, leaves out; None if it leaves nothing out, or nobody can tell by which columns."""
    match step:
        case Filter() if step.is_streamed and (reads := step.reads()) is not None:
            return Choice((step,), reads, is_by_row=True, may_fail=any(may_fail(e, step.inputs[0].schema) for e in step.exprs))
        case Filter():
            reads, is_by_row = step.reads(), False
        case Join() if step.how in ("semi", "anti"):
            reads, is_by_row = step.reads(), True
        case Limit() if isinstance(step.inputs[0], Sort):
            sort = step.inputs[0]
            reads = sort.reads()
            return None if reads is None or any(map(UNTYPED.search, map(str, sort.expressions()))) else Choice((sort, step), reads, is_by_row=False)
        case Limit():
            return Choice((step,), frozenset(), is_by_row=False, is_prefix=step.is_prefix)
        case Sample() | SplitPart() if step.rows == "fewer" or not getattr(step, "with_replacement", False):
            reads, is_by_row = step.reads(), False
        case RowVerb(verb="drop_nulls" | "drop_nans"):
            reads, is_by_row = subset(step), True
        case Relational(verb="drop_nans"):
            reads, is_by_row = subset(step), True
        case Relational(verb="unique"):
            reads, is_by_row = subset(step), False
        case Relational(verb="gather" | "gather_every") if not dict(step.options).get("null_on_oob"):  # which makes rows of nulls
            reads, is_by_row = frozenset(), False
        case _:
            return None
    return None if reads is None else Choice((step,), reads, is_by_row=is_by_row)


def choices_down(step: Step, facts: Facts) -> Step | None:
    """A step that leaves rows out, below all streamed steps whose columns it does not read, down to the lowest that asks or calls something.

    A sampled prompt is split where it is passed: its samples keep the numbers that they have with all rows, and only the rows that are left are asked about.
    Nothing moves in or out of a step whose rows are stored, or which another step or the user wants whole.
    """
    choice = choice_of(step)
    if choice is None or _goes_along(choice, facts) or (len(choice.steps) > 1 and not is_read_by(step, choice.steps[0], facts)):
        return None
    top = choice.steps[0]
    return moved_down(choice, top.inputs[0], above=top, facts=facts)


def _goes_along(choice: Choice, facts: Facts) -> bool:
    """Whether the filter above the next prompt takes a filter along in the first pass over a plan: in turn, each would be rebuilt over all prompts below."""
    readers = _readers_of_one(choice.steps[-1], facts)
    above = _readers_of_one(readers[0], facts) if readers and isinstance(readers[0], PromptStep) else ()
    return bool(above) and isinstance(above[0], Filter) and (other := choice_of(above[0])) is not None and _are_alike(choice, other)


def _readers_of_one(step: Step, facts: Facts) -> tuple[Step, ...]:
    """The one step that reads this one; none where there are more, and after the first pass."""
    readers = facts.readers(step) if facts.is_first_pass else None
    return (readers[0],) if readers and len(readers) == 1 and readers[0] is not None else ()


def _are_alike(a: Choice, b: Choice) -> bool:
    """Whether two filters look at the same columns of a row each and never fail, so that one may go wherever the other does."""
    return a.reads == b.reads and all(isinstance(c.steps[0], Filter) and c.is_by_row and not c.may_fail and not c.is_added for c in (a, b))


def moved_down(choice: Choice, below: Step, *, above: Step | None, facts: Facts, at: int = 0) -> Step | None:
    """The rows of `below` that are left by a choice, which stands as far down as it may; None if nothing is saved.

    `below` is input `at` of `above`, which alone may read it; where several steps do, and all want the rows that are left, `above` is None.
    """
    way = _Way(choice)
    _walk(way, below, above, facts, at=at)
    return way.rebuilt()


def _walk(way: _Way, below: Step, above: Step | None, facts: Facts, *, at: int) -> None:
    choice, way.end = way.choice, below
    while facts.asks_far(below):
        why = way.why_not(below, facts) if above is None or is_read_by(above, below, facts, at=at) else WANTED
        if why:
            if not way.is_of_use and why != OWN and above is not None:
                facts.holds_back(choice.rule, above if choice.is_added else choice.steps[-1], below, why)
            break
        if isinstance(below, Concat):
            way.ends_in(below, facts)
            break
        at = way.at
        above, below = below, below.inputs[at]
        way.end = below


class _Way:
    """The steps that a choice passes on its way down."""

    def __init__(self, choice: Choice, over: _Way | None = None) -> None:
        self.choice = choice
        self._reads: frozenset[str] = choice.reads if over is None else over._reads
        self._may_fail: bool = choice.may_fail if over is None else over._may_fail
        self._gates: int = 0 if over is None else over._gates  # that it has passed
        self._is_in_branches = False  # whether a rule has put the choice there before
        self._is_lost = False  # whether a rule cannot see if it has put the choice there before
        self._passed: list[tuple[Step, int]] = []  # they stay above it, highest first; and which of their inputs it goes to
        self._numbers: list[Step] = []  # those that number rows or samples, and filters that go along: they stay below it
        self._carried: list[Step] = [] if over is None else [*over._carried]  # those that make what it reads out of other columns, highest first
        self._names: set[str] = set()  # of the columns of those numbers
        self._numbered: set[str] = set()  # what is read for them
        self._best: tuple[int, int, int, Step] | None = None  # how many of passed, numbers and carried, and what is below, when a step that asks was passed
        self.at = 0  # which input of the last step it goes to
        self.end: Step | None = None  # the first step that it has not passed
        self._branches: Step | None = None  # rows below one another, out of each of which it has chosen

    @property
    def is_of_use(self) -> bool:
        """Whether a step that asks was passed."""
        return self._best is not None or self._branches is not None

    def why_not(self, step: Step, facts: Facts) -> str:
        """Pass a step, if every row that is left gets from it what it gets now. Else the reason that it does not; empty where it was passed."""
        self._gates += is_gate(step)
        self.at = 0
        if self._gates > MOST_GATES:
            self._is_lost = self.choice.is_added
            return f"it is behind {MOST_GATES} joins, sorts and their like"
        if facts.is_first_pass and isinstance(step, Filter) and (other := choice_of(step)) and not self._carried and _are_alike(self.choice, other):
            self._numbers.append(step)
            return ""
        if isinstance(step, Concat):
            is_open = self.choice.is_by_row and not self._numbers and branches_of(step, self._reads)
            return "" if is_open and all(map(self._is_clear, step.inputs)) else "it puts rows of several inputs together"
        if index_of(step) is not None and not self.choice.is_prefix:
            return self._numbers_rows(step)
        ways = [(0, step.passes())] if self.choice.is_prefix and index_of(step) else ways_below(step)
        if why := self._why_other_rows(step, ways):
            return why
        at, names = self._best_way(step, ways, facts)
        self.at = at
        if not self._is_clear(step.inputs[at]):
            return "a column that the condition is made of has the name of another below it"
        if all(names.get(column) == column for column in self._reads):
            why = self._stays_above(step, at)
        elif not self._takes_along(step, at, names):
            read = sorted(c for c in self._reads if names.get(c) != c)
            why = OWN if any(readable(c) != c for c in read) else f"{', '.join(map(repr, read))} is read, which it writes"
        if not why and ((isinstance(step, RowStep) and not isinstance(step, Ordinals)) or _cuts_the_other(step, at, facts)):
            self._best = len(self._passed), len(self._numbers), len(self._carried), step.inputs[at]
        return why

    def _why_other_rows(self, step: Step, ways: Sequence[tuple[int, Names]]) -> str:
        """The reason that a step would give other rows, or other numbers, above what is left; empty if there is none."""
        if not ways or (step.rows == "other" and not self.choice.is_by_row and index_of(step) is None):
            return "it gives other rows than those that come in"
        if self._may_fail and step.rows != "same" and not _gives_all(step):
            return "the condition may fail on rows that it leaves out"
        if step.rows == "fewer" and not self.choice.is_by_row:
            return "which rows are chosen depends on those that it leaves out"
        if self._names and not _lets_through(step, self._names, self._numbered):
            return "the numbers of samples that are made below would not come out above it"
        return ""

    def _numbers_rows(self, step: Step) -> str:
        """Have rows numbered below the choice, before any is left out."""
        if any(name in step.inputs[0].schema for name in self._names):
            return "a column of numbers that are made below it has the name of another"
        self._keeps_below(step)
        self._reads -= {_number(step)[0]}
        return ""

    def _keeps_below(self, numbers: Step) -> None:
        name, reads = _number(numbers)
        self._numbers.append(numbers)
        self._names.add(name)
        self._numbered |= reads

    def _stays_above(self, step: Step, at: int) -> str:
        """Leave a step above the choice, but for the numbers of samples."""
        if isinstance(step, Ordinals) and not self.choice.is_prefix:
            self._keeps_below(step)
        elif isinstance(step, RowStep) and step.needs_order and not self.choice.is_prefix:
            halves = in_two(step, step.inputs[0]) if isinstance(step, PromptStep) else None
            if halves is None or halves[0].into in self._names:
                return "its samples are numbered from the first row on, by what other models say"
            self._keeps_below(halves[0])
            self._passed.append((halves[1], 0))
        else:
            self._passed.append((step, at))
        return ""

    def _best_way(self, step: Step, ways: Sequence[tuple[int, Names]], facts: Facts) -> tuple[int, Names]:
        """The input that it goes to: of those with all columns that it reads, the first behind which something is asked."""
        known = [(at, names) for at, names in ways if self._reads <= names.keys()]
        return next((way for way in known if facts.asks_far(step.inputs[way[0]])), (known or ways)[0])

    def _is_clear(self, below: Step) -> bool:
        """Whether what is made for it has the name of no column here."""
        return not any(c in below.schema for made in self._carried for c in made.writes())

    def _takes_along(self, step: Step, at: int, names: Names) -> bool:
        """Pass columns that polars computes row by row or gives another name, and that the choice reads: they are made below it as well, for it alone."""
        have = step.inputs[at].schema
        wanted = {c: names.get(c) for c in self._reads if names.get(c) != c}
        computed = [c for c, old in wanted.items() if old is None]
        exprs = [pl.col(old).alias(c) for c, old in sorted(wanted.items()) if old is not None]
        if computed:
            if not isinstance(step, (WithColumns, Project)) or step.rows != "same" or step.reads() is None:
                return False
            exprs += [e for e in step.exprs if e.meta.output_name() in computed]
        if len(self._carried) == MOST_CARRIED or any(c in have for c in wanted) or len(exprs) < len(wanted):
            return False
        made = relational("with_columns", inputs=(step.inputs[at],), args=(exprs,), name=step.name)
        self._reads = (self._reads - wanted.keys()) | (made.reads() or frozenset())
        self._may_fail |= any(may_fail(e, have) for e in exprs)
        self._passed.append((step, at))
        self._carried.append(made)
        return True

    def ends_in(self, step: Concat, facts: Facts) -> None:
        """Choose out of each of the inputs whose rows are below one another."""
        branches: list[Step] = []
        is_of_use = False
        for at, below in enumerate(step.inputs):
            way = _Way(self.choice, self)
            _walk(way, below, step, facts, at=at)
            self._is_lost |= way._is_lost
            self._is_in_branches |= way.is_there
            made = way.rebuilt()
            is_of_use |= made is not None
            if made is None:
                made = below if way.is_there else self.put(below, self._carried)
            branches.append(made)
        if is_of_use:
            self._branches = step.with_inputs(branches)

    def put(self, below: Step, carried: Sequence[Step]) -> Step:
        """The choice over a step, and over what is made for it alone."""
        made = below
        for step in reversed(carried):
            made = step.with_inputs([made])
        made = self.choice.put(made)
        return relational("select", inputs=(made,), args=([pl.col(c) for c in below.schema],)) if carried else made

    @property
    def is_there(self) -> bool:
        """Whether a rule has put the choice on this way before."""
        if not self.choice.is_added:
            return False
        node = self.end
        if self._is_in_branches or any(_is_same(step, self.choice) for step, _ in self._passed):
            return True
        while node is not None and not _is_same(node, self.choice):
            goes_on = node.is_streamed or (isinstance(node, Join) and node.how in ("semi", "anti")) or (is_gate(node) and len(node.inputs) == 1)
            node = node.inputs[0] if goes_on else None
        return node is not None

    def rebuilt(self) -> Step | None:
        """The choice below the last step that asks something, and all that it passed above it; None if it passed nothing of the kind."""
        if self._is_lost:
            return None
        if self._branches is not None:
            passed, made = self._passed, self._branches
        elif self._best is None:
            return None
        else:
            n_passed, n_numbers, n_carried, made = self._best
            passed, numbers, carried = self._passed[:n_passed], self._numbers[:n_numbers], self._carried[:n_carried]
            if self.is_there:
                return None
            for numbered in reversed(numbers):
                made = numbered.with_inputs([made])
            made = self.put(made, carried)
        for step, at in reversed(passed):
            made = step.with_inputs((*step.inputs[:at], made, *step.inputs[at + 1 :]))
        return made


def _cuts_the_other(step: Step, at: int, facts: Facts) -> bool:
    """Whether a join whose input has lost rows leaves out those without a partner on its other side, about which something is asked."""
    if not isinstance(step, Join) or len(step.inputs) != 2 or 1 - at not in CUT.get(step.how, ()):
        return False
    return join_keys(dict(step.options)) is not None and facts.asks_far(step.inputs[1 - at])


def _gives_all(step: Step) -> bool:
    """Whether a step gives every row that comes in at the input that a choice goes to, so that no condition sees more rows below it."""
    if isinstance(step, Join):
        return step.how in ("left", "right")  # it goes to the left input of the one, and to the right of the other
    return isinstance(step, Sort) or (isinstance(step, Relational) and (step.verb == "reverse" or (step.verb == "explode" and not step.options)))


def _is_same(step: Step, choice: Choice) -> bool:
    """Whether a step leaves out the rows that a choice of one step does."""
    one = choice.steps[0]
    if isinstance(one, Join):
        return isinstance(step, Join) and step.how == one.how and step.inputs[1] is one.inputs[1]
    if not isinstance(one, Filter) or not isinstance(step, Filter) or len(one.exprs) != len(step.exprs):
        return False
    return all(isinstance(b, pl.Expr) and a.meta.eq(b) for a, b in zip(one.exprs, step.exprs, strict=True))


def _number(step: Step) -> tuple[str, frozenset[str]]:
    """The column that a step numbers rows or samples in, and those that it reads for it."""
    if isinstance(step, Ordinals):
        return step.into, step.reads()
    return index_of(step) or "", frozenset()


def _lets_through(step: Step, made: Collection[str], reads: Collection[str]) -> bool:
    """Whether numbers that are made below a step, out of these columns, are the same, and come out above it. A user's function would see one more column."""
    hands_on = isinstance(step, (WithColumns, Drop, Rename)) or (isinstance(step, RowStep) and not isinstance(step, MapRows) and is_library(type(step)))
    passed, have = step.passes(), step.inputs[0].schema
    return hands_on and step.rows == "same" and all(passed.get(c) == c for c in reads if c not in made) and not any(c in have for c in made)
