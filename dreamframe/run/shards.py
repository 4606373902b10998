"""One of n shards of a plan: which of its row steps a process may ask for its own rows, and what is left to a later round or to the run of the whole plan.

Rows are parted by what the first step that asks reads of them, and, where it samples, by the number of their sample, which is counted over all rows. So
equal requests are asked by one shard. What a later step asks depends on answers that other shards have: the second and further equal requests of a step
that samples could not be numbered, and wait.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import polars as pl

from dreamframe.errors import OfflineError, RowsFailedError
from dreamframe.models.request import Question, Replies
from dreamframe.plan.optimizer.rules import Optimised
from dreamframe.plan.step import ModelStep, RoundsStep, RowStep, Source, Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.ordinals import Ordinals, in_two
from dreamframe.plan.steps.part import Part
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.redaction.redactor import Redactor
from dreamframe.run.dry_run import DryTrainings, NotTrainedError
from dreamframe.run.execute import Run
from dreamframe.run.options import RunOptions
from dreamframe.run.stage import Stage
from dreamframe.run.state import RunState
from dreamframe.run.stats import RunStats
from dreamframe.store.stores import Stores

ALL_ROWS = "needs all rows. Left to the run of the whole plan"
TO_TRAIN = "trains a model. Left to the run of the whole plan"
IN_ROUNDS = "asks about no more rows than it takes. Left to the run of the whole plan"
ALL_NUMBERS = "numbers its samples over all rows, by answers of other shards. Left to a later round, or to the run of the whole plan"
BELOW = "waits for what other shards, or the run of the whole plan, make of the steps below it"
SAME = "wait: they ask what another row of this shard asks, and rows of other shards may, too. Left to a later round, or to the run of the whole plan"


class Left(NamedTuple):
    """A step that a shard leaves to others, and why; `rows`: how many of the shard's rows, where it is not all of them."""

    step: str
    why: str
    rows: int | None = None


@dataclass
class PartPlan:
    """What a shard asks of one chain of row steps."""

    step: Step
    asks: Step  # the lowest step that asks
    firsts: dict[int, Step] = field(default_factory=dict)  # by id of a filter that leaves the first of equal requests: the step as it was written
    origin: dict[int, Step] = field(default_factory=dict)
    helpers: set[int] = field(default_factory=set)
    is_later: bool = False  # whether its rows are those of another part of the chain, whose lower steps are answered for all rows


class _LookState(RunState):
    learns: ClassVar[bool] = False
    is_missing = False  # whether an answer is not there

    async def ask(self, stage: Stage, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:
        replies = await super().ask(stage, question, keys, prompts, samples, order)
        if any(failure.error == OfflineError.__name__ for failure in replies.failures.values()):
            self.is_missing = True
            if self.options.engine == "local":  # another engine may make another error of it
                raise OfflineError(f"{stage.step.label}: not all answers are there")  # nobody needs to count the others
        return replies


class _Look(Run):
    """A run that asks nothing, trains nothing and ends at the first answer that is missing."""

    state: _LookState
    _state_type = _LookState
    _trainings_type = DryTrainings

    def chains(self, plan: Step) -> tuple[list[list[Step]], list[Left]]:
        """The segments in which something is to be asked, and the steps that no shard can run. What is stored is done."""
        found: list[list[Step]] = []
        left: list[Left] = []
        waiting, seen = [plan], set[int]()
        while waiting:
            node = waiting.pop(0)
            if id(node) in seen or isinstance(node, Source) or self._outputs.is_stored(node):
                continue
            seen.add(id(node))
            if chain := self._segments.segment(node):
                found += [chain] if any(map(asks, chain)) else []
                seen |= {id(step) for step in chain}
                waiting += [chain[0].inputs[0], *(i for step in chain for i in step.inputs[1:])]
                continue
            if not node.is_streamed and self.is_open(node):
                why = TO_TRAIN if isinstance(node, ModelStep) else IN_ROUNDS if isinstance(node, RoundsStep) else ALL_ROWS
                left.append(Left(self.label(node), why))
            if isinstance(node, RoundsStep) and (chain := self._segments.segment(node.inputs[0])):
                seen |= {id(step) for step in chain}
                waiting += [chain[0].inputs[0], *(i for step in chain for i in step.inputs[1:])]
            else:
                waiting += node.inputs
        return found, list(dict.fromkeys(left))

    def is_open(self, step: Step) -> bool:
        """Whether something that is not stored is asked or trained for a step."""
        waiting, seen = [step], set[int]()
        while waiting:
            node = waiting.pop()
            if id(node) in seen or (not isinstance(node, ModelStep) and self._outputs.is_stored(node)):
                continue
            seen.add(id(node))
            if asks(node):
                return True
            waiting += node.inputs
        return False

    def label(self, step: Step) -> str:
        """What the user calls a step."""
        return self.state.redactor.text(self.state.written(step).label)


class ShardRun(Run):
    """The run of one part: what is asked is what the whole plan asks, in the order in which it is written, and nothing is trained."""

    class _State(RunState):
        learns: ClassVar[bool] = False

    _state_type = _State
    _trainings_type = DryTrainings

    def __init__(self, part: PartPlan, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.part = part
        self.state.optimised.append(Optimised((part.step,), part.origin, (), helpers=frozenset(part.helpers)))

    async def ask_all(self) -> None:
        """Ask for every row of the part. Rows that failed are on account; what stops a run, such as a budget, is raised."""
        with contextlib.suppress(RowsFailedError):
            async with contextlib.aclosing(self.batches(self.part.step)) as rows:
                async for _ in rows:
                    pass

    def told(self) -> tuple[int, list[Left]]:
        """Rows of the part, and what waits for a later round."""
        by_step = {id(stage.step): stage.stats for stage in self.state.stages}
        left = []
        for at, written in self.part.firsts.items():
            stats = by_step.get(at)
            if stats is not None and stats.rows_in > stats.rows:
                left.append(Left(self.state.redactor.text(written.label), SAME, stats.rows_in - stats.rows))
        asked = by_step.get(id(self.part.asks))
        return 0 if asked is None or self.part.is_later else asked.rows_in, left


def asks(step: Step) -> bool:
    """Whether a step asks a model about rows, or trains one."""
    return isinstance(step, ModelStep) or (bool(step.models()) and not isinstance(step, Ordinals))


class Sharding:
    """Cuts plans into the parts that one shard asks."""

    def __init__(self, stores: Stores, options: RunOptions, i: int, n: int, *, knows: Redactor) -> None:
        self._stores, self._i, self._n, self._knows = stores, i, n, knows
        self._options = replace(options, is_trial=True, optimize=False)
        self._planning = options
        self._is_known: dict[int, bool] = {}

    def run_of(self, part: PartPlan, stats: RunStats) -> ShardRun:
        """The run that asks a part."""
        return ShardRun(part, self._stores, self._options, stats, knows=self._knows)

    async def parts(self, step: Step) -> tuple[list[PartPlan], list[Left]]:
        """What this shard asks of a plan now, chain by chain, and what it leaves."""
        look = _Look(self._stores, replace(self._planning, offline=True, is_trial=True), RunStats(), knows=self._knows)
        look.state.redactor = look.state.hides([step])
        (plan,) = look.planned(step)
        chains, left = look.chains(plan)
        found: list[PartPlan] = []
        for chain in chains:
            parts, more = await self._of_chain(chain, look)
            found += parts
            left += more
        return found, list(dict.fromkeys(left))

    async def _of_chain(self, chain: list[Step], look: _Look) -> tuple[list[PartPlan], list[Left]]:
        """What this shard asks of one chain: its own rows all the way up, and, where earlier rounds have answered the lower steps for all rows, what waited
        for that. The former also then: a shard that died half-way finds its own rows, whatever the others have done meanwhile."""
        places = [k for k, step in enumerate(chain) if asks(step)]
        if not await self._are_there(chain[0].inputs[:1], look):
            return [], [Left(look.label(chain[k]), BELOW) for k in places]
        at = 0
        if len(self._stores.answers):
            while at < len(places) and await self._has(chain[places[at]], is_whole=False):
                at += 1
        part, left = await self._from(chain, places, places[0], look)
        found = [] if part is None else [part]
        if 0 < at < len(places):
            for own in found:
                own.firsts = {}  # they are told of the next one
            part, left = await self._from(chain, places, places[at], look)
            found += [] if part is None else [replace(part, is_later=True)]
        return found, left

    async def _from(self, chain: list[Step], places: list[int], k: int, look: _Look) -> tuple[PartPlan | None, list[Left]]:
        """The part whose rows are parted where the step at place k asks, and what it leaves of the steps above."""
        for above in range(k + 1):
            if not await self._are_there(chain[above].inputs[1:], look):
                return None, [Left(look.label(chain[p]), BELOW) for p in places if p >= above]
        part = self._parted(chain[k], look)
        if part is None:
            return None, [Left(look.label(chain[p]), ALL_NUMBERS) for p in places if p >= k]
        for q in range(k + 1, len(chain)):
            why = None if await self._are_there(chain[q].inputs[1:], look) else BELOW
            if why or not _extended(part, chain[q], look):
                return part, [Left(look.label(chain[p]), why or ALL_NUMBERS) for p in places if p >= q]
        return part, []

    def _parted(self, step: Step, look: _Look) -> PartPlan | None:
        """The step over the rows of this shard; None where only the whole plan can number its samples."""
        below, reads = step.inputs[0], step.reads()
        columns = tuple(c for c in below.schema if reads is None or c in reads)
        written = look.state._as_written(step)
        helpers: set[int] = set()
        rest = step.inputs[1:]
        if step.needs_order:
            if isinstance(step, PromptStep) and (halves := in_two(step, below)) is not None:
                below, step = halves
                columns = (*columns, halves[1].ordinals)
                helpers.add(id(below))
            elif type(step) is not PromptStep:
                return None  # what it reads says less, or more, than what it asks
        mine = Part(inputs=(below,), i=self._i, n=self._n, columns=columns)
        made = step.with_inputs((mine, *rest))
        return PartPlan(made, made, origin={id(made): written}, helpers={*helpers, id(mine)})

    async def _are_there(self, steps: Sequence[Step], look: _Look) -> bool:
        return all([not look.is_open(step) or await self._has(step, is_whole=True) for step in steps])

    async def _has(self, step: Step, *, is_whole: bool) -> bool:
        """Whether the rows of a step, or a model, are had without asking; of failed rows only where they need not be whole."""
        if id(step) not in self._is_known:
            self._is_known[id(step)] = await self._looked(step, is_whole=is_whole)
        return self._is_known[id(step)]

    async def _looked(self, step: Step, *, is_whole: bool) -> bool:
        run = _Look(self._stores, replace(self._options, offline=True), RunStats(), knows=self._knows)
        try:
            if isinstance(step, ModelStep):
                await run.fit(step)
            else:
                async with contextlib.aclosing(run.batches(step)) as rows:
                    async for _ in rows:
                        if run.state.is_missing:
                            break
        except (OfflineError, NotTrainedError):
            return False
        except RowsFailedError:
            return not is_whole
        return not run.state.is_missing


def _extended(part: PartPlan, step: Step, look: _Look) -> bool:
    """Put the next step of a chain over the part; False where it needs rows of other shards to number its samples."""
    below, written = part.step, look.state._as_written(step)
    if isinstance(step, Ordinals):
        _first_alike(part, step.with_inputs((below, *step.inputs[1:])), step.into, written)
        return True
    if isinstance(step, RowStep) and step.needs_order:
        halves = in_two(step, below) if isinstance(step, PromptStep) else None
        if halves is None:
            return False
        _first_alike(part, halves[0], halves[1].ordinals, written)
        made: Step = halves[1].with_inputs((part.step, *halves[1].inputs[1:]))
    else:
        made = step.with_inputs((below, *step.inputs[1:]))
    part.step = made
    if made is not step:
        part.origin[id(made)] = written
    return True


def _first_alike(part: PartPlan, numbers: Step, ordinals: str, written: Step) -> None:
    """Leave of equal requests the first."""
    firsts = relational("filter", inputs=(numbers,), args=([pl.col(ordinals) == 0],))
    part.helpers |= {id(numbers), id(firsts)}
    part.firsts[id(firsts)] = written
    part.step = firsts


def labels(left: Sequence[Left]) -> Iterator[str]:
    """Each in a line."""
    for one in left:
        rows = "" if one.rows is None else f"{one.rows:,} row{'' if one.rows == 1 else 's'} "
        yield f"{one.step}: {rows}{one.why}"

