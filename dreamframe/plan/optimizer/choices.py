"""Steps that leave rows out, below the columns of models that they do not read: a filter of a source column asks only about the rows that pass it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from dreamframe.identity.whose_code import is_library
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.reading import is_read_by, may_fail
from dreamframe.plan.step import RowStep, Step
from dreamframe.plan.steps.algebra import Drop, Filter, Join, Limit, RowVerb, Sort, WithColumns, relational
from dreamframe.plan.steps.apply import MapRows
from dreamframe.plan.steps.ordinals import Ordinals, in_two
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.relational import Relational, Sample, SplitPart

MOST_CARRIED = 16  # steps that a choice takes along: a long plan, each step of which is filtered by, would grow with its square


@dataclass(frozen=True)
class Choice:
    """Steps that together leave rows out, lowest first, and what decides which."""

    steps: tuple[Step, ...]
    reads: frozenset[str]
    is_by_row: bool  # whether each row is chosen by itself: then it does not matter which rows are gone already
    is_prefix: bool = False  # whether the rows that are left are the first ones
    may_fail: bool = False  # whether it may raise an error on a row that is gone already


def choice_of(step: Step) -> Choice | None:
    """What a step, or a limit with the sort below it, leaves out; None if it leaves nothing out, or nobody can tell by which columns."""
    match step:
        case Filter() if step.is_streamed and (reads := step.reads()) is not None:
            return Choice((step,), reads, is_by_row=True, may_fail=any(map(may_fail, step.exprs)))
        case Filter():
            reads, is_by_row = step.reads(), False
        case Join() if step.how in ("semi", "anti"):
            reads, is_by_row = step.reads(), True
        case Limit() if isinstance(step.inputs[0], Sort):
            sort = step.inputs[0]
            reads = sort.reads()
            return None if reads is None else Choice((sort, step), reads, is_by_row=False)
        case Limit():
            return Choice((step,), frozenset(), is_by_row=False, is_prefix=step.is_prefix)
        case Sample() | SplitPart() if step.rows == "fewer" or not getattr(step, "with_replacement", False):
            reads, is_by_row = step.reads(), False
        case RowVerb(verb="drop_nulls" | "drop_nans"):
            reads, is_by_row = _subset(step), True
        case Relational(verb="drop_nans"):
            reads, is_by_row = _subset(step), True
        case Relational(verb="unique"):
            reads, is_by_row = _subset(step), False
        case Relational(verb="gather" | "gather_every") if not dict(step.options).get("null_on_oob"):  # which makes rows of nulls
            reads, is_by_row = frozenset(), False
        case _:
            return None
    return None if reads is None else Choice((step,), reads, is_by_row=is_by_row)


def _subset(step: Relational) -> frozenset[str] | None:
    """The columns that a verb was given to look at; None for all of them, and for what is not a name."""
    given: Any = step.args[0] if step.args else dict(step.options).get("subset")
    names = [given] if isinstance(given, str) else given
    if not isinstance(names, (list, tuple)) or not names or not all(isinstance(n, str) for n in names):
        return None
    return frozenset(names)


def choices_down(step: Step, facts: Facts) -> Step | None:
    """A step that leaves rows out, below all streamed steps whose columns it does not read, down to the lowest that asks or calls something.

    A sampled prompt is split where it is passed: its samples keep the numbers that they have with all rows, and only the rows that are left are asked about.
    Nothing moves in or out of a step whose rows are stored, or which another step or the user wants whole.
    """
    choice = choice_of(step)
    if choice is None or (len(choice.steps) > 1 and not is_read_by(step, choice.steps[0], facts)):
        return None
    top = choice.steps[0]
    return moved_down(choice, top.inputs[0], above=top, facts=facts)


def moved_down(choice: Choice, below: Step, *, above: Step, facts: Facts, at: int = 0) -> Step | None:
    """The rows of `below` that are left by a choice, which stands as far down as it may; None if nothing is saved. `below` is input `at` of `above`."""
    way = _Way(choice)
    while facts.has_row_step(below, is_streamed=True) and not facts.is_stored(below) and is_read_by(above, below, facts, at=at) and way.passes(below):
        above, below, at = below, below.inputs[0], 0
    return way.rebuilt()


class _Way:
    """The steps that a choice passes on its way down."""

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._reads = choice.reads
        self._may_fail = choice.may_fail
        self._passed: list[Step] = []  # they stay above it, highest first
        self._numbers: list[Ordinals] = []  # those that number samples, and stay below it
        self._carried: list[Step] = []  # those that make what it reads out of other columns, highest first: it takes them along
        self._best: tuple[list[Step], list[Ordinals], list[Step], Step] | None = None  # all three, and what is below, when a step that asks was passed

    def passes(self, step: Step) -> bool:
        """Pass a step, if every row that is left gets from it what it gets now."""
        if not step.is_streamed or not (step.rows == "same" or (step.rows == "fewer" and self._choice.is_by_row and not self._may_fail)):
            return False
        if self._numbers and not all(_lets_through(step, number) for number in self._numbers):
            return False
        if not _keeps(step, self._reads):
            return self._takes_along(step)
        if isinstance(step, Ordinals) and not self._choice.is_prefix:
            self._numbers.append(step)
        elif step.needs_order and not self._choice.is_prefix:
            halves = in_two(step, step.inputs[0]) if isinstance(step, PromptStep) else None
            if halves is None or any(n.into == halves[0].into for n in self._numbers):
                return False
            self._numbers.append(halves[0])
            self._passed.append(halves[1])
        else:
            self._passed.append(step)
        if isinstance(step, RowStep) and not isinstance(step, Ordinals):
            self._best = [*self._passed], [*self._numbers], [*self._carried], step.inputs[0]
        return True

    def _takes_along(self, step: Step) -> bool:
        """Pass columns that polars computes row by row, and that the choice reads: they are made below it as well, for it alone."""
        have = step.inputs[0].schema
        reads = step.reads()
        if len(self._carried) == MOST_CARRIED:
            return False
        if not isinstance(step, WithColumns) or step.rows != "same" or reads is None or any(c in have for c in step.writes()):
            return False
        self._reads = (self._reads - frozenset(step.writes())) | reads
        self._may_fail |= any(map(may_fail, step.exprs))
        self._passed.append(step)
        self._carried.append(step)
        return True

    def rebuilt(self) -> Step | None:
        """The choice below the last step that asks something, and all that it passed above it; None if it passed nothing of the kind."""
        if self._best is None:
            return None
        passed, numbers, carried, made = self._best
        for numbered in reversed(numbers):
            made = numbered.with_inputs([made])
        columns = made.schema.names()
        for step in reversed(carried):
            made = step.with_inputs([made])
        for step in self._choice.steps:
            made = step.with_inputs((made, *step.inputs[1:]))
        if carried:
            made = relational("select", inputs=(made,), args=([pl.col(c) for c in columns],))
        for step in reversed(passed):
            made = step.with_inputs((made, *step.inputs[1:]))
        return made


def _lets_through(step: Step, numbers: Ordinals) -> bool:
    """Whether numbers that are made below a step are the same, and come out above it. A function of the user's would see one more column."""
    hands_on = isinstance(step, (WithColumns, Drop)) or (isinstance(step, RowStep) and not isinstance(step, MapRows) and is_library(type(step)))
    return hands_on and step.rows == "same" and _keeps(step, numbers.reads()) and numbers.into not in step.inputs[0].schema


def _keeps(step: Step, reads: frozenset[str]) -> bool:
    """Whether these columns are, below a step, what they are above it."""
    passed: Mapping[str, str] = step.passes()
    return all(passed.get(column) == column for column in reads)
