"""Rows of the steps of a plan, made again for one who looks at a few of them: out of stored outputs, and where there are none out of kept answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from dreamframe.errors import OfflineError, SettingError
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.rules import Optimised, chosen, optimise
from dreamframe.plan.step import ModelStep, PolarsStep, RoundsStep, Source, Step, TableStep
from dreamframe.plan.steps.algebra import Filter, Limit
from dreamframe.plan.steps.train import Train
from dreamframe.run.calls.spend import Spend
from dreamframe.run.engines.pipeline import BatchContext
from dreamframe.run.execute import Run
from dreamframe.run.kept_outputs import Kept
from dreamframe.run.options import Purse, RunOptions
from dreamframe.run.training import Trainings
from dreamframe.run.walk import Walked
from dreamframe.run.why.calls import Looking
from dreamframe.run.why.kept_rows import KeptRows
from dreamframe.run.why.partly import MOST_BATCHES, Partly, made_of, one_by_one_of, walk_of
from dreamframe.run.why.stream import Stream, as_entered
from dreamframe.run.why.thin import Thin, by_values, is_pick, over, picked_of, whole
from dreamframe.store.stores import Stores


class Trained(Trainings):
    """Models that are trained; none is trained now."""

    def _may_train(self, step: Train) -> None:
        raise _not_trained(step)


class MadeAgain(Run):
    """A run that asks nothing and keeps nothing."""

    _trainings_type = Trained

    def __init__(self, stores: Stores, options: RunOptions, step: Step, **more: Any) -> None:
        super().__init__(replace(stores, steps=Kept(stores.steps)), replace(options, offline=True), **more)
        self._written = step
        self._spend = Spend(purse=Purse(), prices=self.options.prices)
        self._made_tables: dict[int, pl.DataFrame] = {}
        self._streams: dict[int, tuple[Stream, Step] | None] = {}
        self._thins: dict[int, Thin | None] = {}  # id of a step → its rows without what was answered, where these are known
        self._is_whole = False  # whether a run of the whole plan has ended, and no row failed: else its rows are not stored
        self._picked: dict[int, pl.Series] = {}  # id of a step whose rows are here → which of its input's rows they are
        self._walks: list[Walked] | None = None  # that runs have noted; None: not looked for so far
        self._stored: dict[int, KeptRows | None] = {}  # id of a step → its stored rows
        self._seen: dict[int, KeptRows | None] = {}  # id of a step that picks rows → some columns of these, as the steps above it have kept them
        self._firsts: dict[int, KeptRows] = {}  # id of a step → its first rows, as the step above it has kept them

    def _as_run(self) -> Step:
        """The plan as it ran: where nothing was stored, also where a plan that asked more has run; or over what is stored, where its rows are of that one."""
        made = self._optimised_over(lambda _: False)
        if not self._outputs.is_stored(made.plans[0]):
            over_stored = self._optimised_over(self._outputs.is_stored)
            made = over_stored if self._outputs.is_stored(over_stored.plans[0]) else made
        self.state.optimised.append(made)
        self._optimised = made
        for plan in (self._written, made.plans[0]):
            self.state.key(plan)  # as it is now: a function of the user's may change what it holds when it is called
        return made.plans[0]

    def _optimised_over(self, is_stored: Callable[[Step], bool]) -> Optimised:
        return optimise([self._written], Facts(is_stored, self.state.key), rules=chosen(self.options.optimize))

    def _kept(self, step: Step) -> KeptRows | None:
        """The stored rows of a step; of the last one, also those of the plan as it was written."""
        if id(step) not in self._stored:
            ways = (step, self._written) if step is self._optimised.plans[0] else (step,)
            self._stored[id(step)] = next((found for one in ways if (found := self._found(one)) is not None), None)
        return self._stored[id(step)] or self._firsts.get(id(step))

    def _found(self, step: Step) -> KeptRows | None:
        if not self._outputs.is_stored(step):
            return None

        def whole() -> pl.DataFrame | None:
            return None if (found := self._outputs.find(step)) is None else found.collect()

        rows = self.state.stores.steps.long(self.state.key(step), step.schema) or whole()
        return None if rows is None else KeptRows(rows, whole)

    async def _all_of(self, step: Step) -> pl.DataFrame:
        """All rows of a step."""
        if id(step) not in self._made_tables:
            self._made_tables[id(step)] = await self._made_again(step)
        return self._made_tables[id(step)]

    async def _enough_of(self, step: Step, needed: frozenset[str] | None) -> pl.DataFrame:
        """All rows of a step, as far as these columns are concerned (None: all). What models answered is looked up only where it is needed."""
        if id(step) in self._made_tables or (thin := await self._thin(step)) is None or not thin.knows(needed):
            return await self._all_of(step)
        return thin.rows

    async def _thin(self, step: Step) -> Thin | None:
        if id(step) not in self._thins:
            self._thins[id(step)] = None  # while it is looked for
            found = await self._thin_of_inputs(step)
            if found is None and (isinstance(step, Source) or id(step) in self._made_tables or self._kept(step) is not None):
                found = whole(await self._all_of(step))
            self._thins[id(step)] = found
        return self._thins[id(step)]

    async def _thin_of_inputs(self, step: Step) -> Thin | None:
        """The same out of what a step was made of: stored rows are longer, and take longer to read."""
        if isinstance(step, Source) or id(step) in self._made_tables:
            return None
        if (stream := await self._stream(step)) is not None:
            if id(stream[1]) in self._seen:
                await stream[0].whole()
            return None if stream[0].thin is None else stream[0].thin[0]
        below = await self._thin(step.inputs[0]) if len(step.inputs) == 1 else None
        made = None if below is None else over(step, below)
        return None if made is None else made[0]

    async def _alike(self, node: Step, rows: Sequence[int]) -> set[int] | None:
        """The rows of its input that some rows of a step are, where their values tell: for less than it takes to sort all rows again, or to draw some."""
        out = (self._kept(node) or self._seen.get(id(node))) if is_pick(node) and len(rows) <= MOST_BATCHES else None
        below = None if out is None else await self._thin(node.inputs[0])
        return None if out is None or below is None else by_values(node, out, below, rows)

    async def _made_again(self, step: Step) -> pl.DataFrame:
        if isinstance(step, Source):
            return await self._engine.query(await self._made(step))
        if (found := self._kept(step)) is not None and id(step) not in self._firsts:
            return found.whole
        if (stream := await self._stream(step)) is not None:
            return (await stream[0].everything())[0]
        read = [i for i in step.inputs if not isinstance(i, ModelStep)]
        tables = [await self._all_of(i) for i in read]
        if is_pick(step) and (made := picked_of(step, tables[0])) is not None:
            self._picked[id(step)] = made[1]
            return made[0]
        if isinstance(step, PolarsStep):
            return await self._engine.query(step.apply(*(t.lazy() for t in tables)))
        if isinstance(step, RoundsStep):
            return step.enough(tables[0], None)
        assert isinstance(step, TableStep), type(step)
        await self._train_edges(step)
        return await step.run(tuple(tables), BatchContext(Looking(self.state, self._spend), step, 0, 0))

    async def _train_edges(self, step: Step) -> None:
        try:
            await super()._train_edges(step)
        except OfflineError as exc:  # of the rows that it would be trained on
            raise _not_trained(next(i for i in step.inputs if isinstance(i, ModelStep))) from exc

    async def _stream(self, step: Step) -> tuple[Stream, Step] | None:
        """The steps that rows stream through up to this one, and the step below them; None where no row step is among them."""
        if id(step) not in self._streams:
            self._streams[id(step)] = None
            if steps := Stream.below(step):
                below = steps[0].inputs[0]
                for one in steps:
                    await self._train_edges(one)
                self._see(below, step, steps)
                source = self._partly(below) or await self._all_of(below)
                made = Stream(
                    steps, source, self._looking(steps), lambda: self._kept(step), self._tables_beside(steps), walk=self._walk_of(step), is_whole=self._is_whole
                )
                self._streams[id(step)] = made, below
        return self._streams[id(step)]

    def _see(self, below: Step, step: Step, steps: Sequence[Step]) -> None:
        """Keep in mind what is seen of rows that took long to pick, in those that left the steps over them."""
        if is_pick(below) and not isinstance(below, Filter | Limit) and self._kept(below) is None and id(step) not in self._firsts:
            kept = self._kept(step)
            self._seen[id(below)] = None if kept is None else as_entered(kept, steps)

    def _tables_beside(self, steps: Sequence[Step]) -> Callable[[int], Awaitable[tuple[pl.DataFrame, ...]]]:
        """The rows of each step's inputs after the first, by place."""

        async def tables(place: int) -> tuple[pl.DataFrame, ...]:
            return tuple([await self._all_of(i) for i in steps[place].inputs[1:] if not isinstance(i, ModelStep)])

        return tables

    def _looking(self, steps: Sequence[Step]) -> Looking:  # noqa: ARG002  those that note all calls need it
        return Looking(self.state, self._spend)

    # Rows among those that they walked with

    def _walk_of(self, *steps: Step) -> Walked | None:
        """How many rows walked together through these steps, where the run that made them noted it."""
        if self._walks is None:
            plan = dict.fromkeys((*self._optimised.plans[0].walk(), self._written))
            kept = [self.state.stores.steps.record(self.state.key(step)) for step in plan if self._outputs.is_stored(step)]
            self._walks = [Walked(record["walk"]) for record in kept if record and record.get("walk")]
        return walk_of(self._walks, tuple(map(self.state.key, steps)))

    def _partly(self, step: Step) -> Partly | None:
        """The rows of a step some at a time, where they are kept, or making all would look up what models answered."""
        if (seen := self._seen.get(id(step))) is not None and id(step) not in self._made_tables:
            return one_by_one_of(seen.height, lambda at: self._picked_row(step, seen, at), lambda: self._all_of(step))
        if not isinstance(step, PolarsStep) or len(step.inputs) != 1 or id(step) in self._made_tables or self._kept(step) is not None:
            return None
        if (walk := self._walk_of(step, step.inputs[0])) is None:
            return None
        key = self.state.key(step)
        return Partly(walk.height(key), lambda row: walk.batch_of(key, row), lambda number: self._batch_of(step, walk, number), lambda: self._all_of(step))

    async def _picked_row(self, step: Step, seen: KeptRows, at: int) -> pl.DataFrame | None:
        """A row that a step has picked, found by what is seen of it."""
        (below,) = step.inputs
        thin = await self._thin(below)
        found = None if thin is None else by_values(step, seen, thin, [at])
        if not found:
            return None
        (place,) = found
        if (stream := await self._stream(below)) is None or not stream[0].is_one_to_one:
            return (await self._all_of(below)).slice(place, 1)
        return (await stream[0].one(place, is_noted=False)).out

    async def _batch_of(self, step: Step, walk: Walked, number: int) -> pl.DataFrame | None:
        """The rows of a step in a batch; None where they cannot be told from those of others."""
        if (key := self.state.key(step)) not in walk:
            return None
        batch = walk.batch(key, number)
        if (kept := self._kept(step)) is not None:
            return kept.slice(batch.start, batch.stop - batch.start)
        if isinstance(step, Source) or id(step) in self._made_tables:
            return (await self._all_of(step)).slice(batch.start, batch.stop - batch.start)
        if (stream := await self._stream(step)) is not None:
            part = await stream[0].batch(number)
            return None if part is None or part[0].height != batch.stop - batch.start else part[0]
        rows = await self._batch_of(step.inputs[0], walk, number) if len(step.inputs) == 1 else None
        made = None if rows is None else made_of(step, rows, batch.stop - batch.start)
        return None if made is None else made[0]

    async def _among(self, node: Step, rows: Sequence[int]) -> set[int] | None:
        """The rows of its input that some rows of a step were made of, by those that they walked with."""
        (below,) = node.inputs
        if (walk := self._walk_of(node, below)) is None or isinstance(below, Source):
            return None
        key, found = self.state.key(node), set[int]()
        batches = {row: walk.batch_of(key, row) for row in rows}
        for row, batch in batches.items() if len({b.number for b in batches.values()}) <= MOST_BATCHES else ():
            held = await self._batch_of(below, walk, batch.number)
            made = None if held is None else made_of(node, held, batch.stop - batch.start)
            if made is None:
                return None
            found.add(walk.batch(self.state.key(below), batch.number).start + int(made[1][row - batch.start]))
        return found or None


def _not_trained(step: Step) -> SettingError:
    return SettingError(f"why: {step.label} is not trained in this session, so nobody knows what was asked of it; .collect() the frame first.")
