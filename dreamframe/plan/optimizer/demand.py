"""Which columns of a step somebody reads, over all plans of a run: from what the user wants of each plan down to the sources, each step once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from dreamframe.identity.whose_code import is_library
from dreamframe.plan.step import ModelStep, RowStep, Step
from dreamframe.plan.steps.algebra import Aggregate, Concat, Drop, Filter, Join, Limit, Project, Rename, RowVerb, WithColumns, flat
from dreamframe.plan.steps.ordinals import Ordinals
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.relational import Relational, root_names

Columns = frozenset[str]
NONE: Columns = frozenset()


class Demand:
    """Of plans that do not change meanwhile. Steps are told apart by their ids: `plans` keeps them alive."""

    def __init__(self, plans: Sequence[Step], is_stored: Callable[[Step], bool]) -> None:
        order = _in_order(plans, is_stored)
        self._asked = _asked(order)
        self._needed: dict[int, Columns] = {}
        if not any(isinstance(s, RowStep) and (s.models() or isinstance(s, Ordinals)) for s in order):
            return  # there is nothing to save
        for plan in plans:
            self._needed[id(plan)] = frozenset(plan.schema)
        for step in reversed(order):
            for at, below in enumerate(step.inputs if not is_stored(step) else ()):
                reads = self._reads(step, at)
                self._needed[id(below)] = _both(frozenset(below.schema) if reads is None else reads, self._needed.get(id(below), NONE))

    def needed(self, step: Step) -> Columns | None:
        """The columns of a step that somebody reads; None for all, and for a step that is not in the plans."""
        return self._needed.get(id(step))

    def asked(self, step: Step) -> Columns:
        """The columns of a step that models write, or that are computed from such."""
        return self._asked.get(id(step), NONE)

    def idle(self, step: Step) -> Columns:
        """The columns that a step of polars computes from those of models, and that nobody reads: it may make nulls of them."""
        needed = self.needed(step)
        if needed is None or not isinstance(step, (WithColumns, Project, Aggregate)) or needed.issuperset(made := step.made):
            return NONE
        asked = self._asked.get(id(step.inputs[0]), NONE)
        sources = step.sources
        idle = frozenset(name for name, expr in made.items() if name not in needed and not asked.isdisjoint(sources[name]) and not _is_copy(expr, step))
        if any(calls_python(made[name]) for name in idle) or (isinstance(step, Project) and _has_no_row_left(made, idle)):
            return NONE
        return idle

    def _reads(self, step: Step, at: int) -> Columns | None:
        """The columns of an input that a step reads for what somebody reads of it; None for all."""
        needed = self.needed(step)
        if needed is None or isinstance(step, ModelStep):
            return None
        match step:
            case WithColumns() | Project() | Aggregate():
                return self._reads_of_exprs(step, needed)
            case Join():
                return _reads_of_join(step, at, needed)
            case Concat():
                return needed.intersection(step.inputs[at].schema)
            case RowVerb(verb="explode" | "drop_nulls") | Relational(verb="unique" | "drop_nans") if (named := subset(step)) is not None:
                return _both(needed, named).intersection(step.inputs[at].schema)
        reads = NONE if isinstance(step, (Drop, Rename)) else step.reads()  # those look at no value
        if at or reads is None:
            return None
        if isinstance(step, (Drop, Filter, Limit, PromptStep)):  # all others that come out have come in: no look at each of a wide frame's columns
            return _both(needed.difference(step.writes()) if isinstance(step, PromptStep) else needed, reads)
        passed, have = step.passes(), step.inputs[0].schema
        return frozenset(c for c in (*(passed[c] for c in needed if c in passed), *reads) if c in have)

    def _reads_of_exprs(self, step: WithColumns | Project | Aggregate, needed: Columns) -> Columns | None:
        if step.reads() is None or not (made := step.made):
            return None
        idle = self.idle(step)
        keys = {name for e in step.args[0] for name in root_names(e)} if isinstance(step, Aggregate) else NONE
        read = frozenset(c for name, e in made.items() if name not in idle and (name in needed or not _is_copy(e, step)) for c in step.sources[name])
        return _both(needed.difference(made) if isinstance(step, WithColumns) else NONE, read | keys)


def _both(many: Columns, few: Columns) -> Columns:
    """The columns of two sets; one of them itself, if it has those of the other: the sets of a long plan over a wide frame are then few."""
    return many if few <= many else few if many <= few else many | few


def subset(step: Relational) -> Columns | None:
    """The columns that a verb was given to look at; None for all of them, and for what is not a name."""
    options = dict(step.options)
    given: Any = list(step.args) if step.verb == "explode" else step.args[0] if step.args else options.get("subset")
    names = flat(given) if isinstance(given, (list, tuple)) else [given]
    if not names:
        return None
    found = [n if isinstance(n, str) else n.meta.output_name() if isinstance(n, pl.Expr) and n.meta.is_column() else None for n in names]
    return None if None in found else frozenset(n for n in found if n is not None)


def calls_python(expr: pl.Expr) -> bool:
    """Whether an expression calls a function of the user's, which may do more than give a value.

    >>> calls_python(pl.col("a").map_elements(abs, return_dtype=pl.Int64)), calls_python(pl.col("a").abs())
    (True, False)
    """
    return "python" in str(expr)


def may_go(step: Step) -> bool:
    """Whether a step does nothing but write columns that a model fills in. A function of the user's may do more."""
    asks = isinstance(step, RowStep) and (bool(step.models()) or isinstance(step, Ordinals)) and is_library(type(step))
    return asks and step.rows == "same" and bool(step.inputs[0].schema) and not any(c in step.inputs[0].schema for c in step.writes())


def _in_order(plans: Sequence[Step], is_stored: Callable[[Step], bool]) -> list[Step]:
    """Every step of the plans once, inputs first; nothing below one that is stored."""
    found: dict[int, Step] = {}
    waiting = [(plan, False) for plan in reversed(plans)]
    while waiting:
        step, has_inputs = waiting.pop()
        if has_inputs:
            found.setdefault(id(step), step)
        elif id(step) not in found:
            waiting.append((step, True))
            waiting += [(i, False) for i in reversed(step.inputs)] if not is_stored(step) else []
    return list(found.values())


def _asked(order: Sequence[Step]) -> dict[int, Columns]:
    """The columns of each step that models write, or that are computed from such, as far as names tell."""
    found: dict[int, Columns] = {}
    for step in order:
        below = [found.get(id(i), NONE) for i in step.inputs]
        asked = below[0] if len(below) == 1 else NONE.union(*below)
        if may_go(step):
            asked = asked.union(step.writes())
        elif asked and isinstance(step, (WithColumns, Project, Aggregate)):
            asked = asked.union(name for name, reads in step.sources.items() if not below[0].isdisjoint(reads))
        found[id(step)] = asked
    return found


def _is_copy(expr: pl.Expr, step: Step) -> bool:
    """Whether an expression is a column as it is."""
    return not isinstance(step, Aggregate) and expr.meta.is_column_selection(allow_aliasing=True)


def _has_no_row_left(made: Mapping[str, pl.Expr], idle: Columns) -> bool:
    """Whether a select without these expressions would be one row, whatever is below."""
    return not any(root_names(expr) for name, expr in made.items() if name not in idle)


def _reads_of_join(step: Join, at: int, needed: Columns) -> Columns | None:
    options = dict(step.options)
    suffix = str(options.get("suffix", "_right"))
    if step.how == "cross":
        keys: Sequence[str] = ()
    elif (both := join_keys(options)) is None or at > 1:
        return None
    else:
        keys = both[at]
    if at == 1 and step.how in ("semi", "anti"):
        return frozenset(keys)
    may_be_renamed = at == 1 or step.how == "right"
    return frozenset(c for c in step.inputs[at].schema if c in needed or (may_be_renamed and f"{c}{suffix}" in needed)).union(keys)


def join_keys(options: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[str]] | None:
    """The columns of either side that a join compares; None where they are more than names."""
    sides = [options["on"]] * 2 if "on" in options else [options.get("left_on"), options.get("right_on")]
    named = [tuple([side] if isinstance(side, str) else side or ()) if isinstance(side, (str, list, tuple)) else () for side in sides]
    return (named[0], named[1]) if all(n and all(isinstance(c, str) for c in n) for n in named) else None
