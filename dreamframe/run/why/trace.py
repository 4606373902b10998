"""How one row of a frame was made: from the last step down to the sources, which rows of each step it was made of, and what was asked about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from dreamframe.errors import OfflineError, SettingError
from dreamframe.models.request import Failure
from dreamframe.plan.explain import line
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.rules import Optimised, chosen, optimise
from dreamframe.plan.parents import gathered, parents
from dreamframe.plan.step import ModelStep, PolarsStep, RoundsStep, Source, Step, TableStep
from dreamframe.plan.steps.comparison import Comparison
from dreamframe.plan.steps.retrieve import Retrieve
from dreamframe.plan.steps.train import Train
from dreamframe.prompts.comparison import texts_of
from dreamframe.run.calls.spend import Spend
from dreamframe.run.engines.pipeline import BatchContext
from dreamframe.run.execute import Run
from dreamframe.run.kept_outputs import Kept
from dreamframe.run.options import Purse, RunOptions
from dreamframe.run.training import Trainings
from dreamframe.run.walk import Walked
from dreamframe.run.why.calls import NOT_KEPT, Looking
from dreamframe.run.why.partly import MOST_BATCHES, Partly, made_of, walk_of
from dreamframe.run.why.story import CallTold, RowStory, RowTold, StepTold, without_secrets
from dreamframe.run.why.stream import Stream
from dreamframe.run.why.telling import is_of_all, is_told, kind, named, plain, said_of_all, unasked
from dreamframe.run.why.thin import Thin, by_values, deciding, is_pick, over, picked_of, whole
from dreamframe.store.stores import Stores

Found = Mapping[tuple[str, str], str]  # label of a step, and how a request begins → why it failed, as the session noted it
CUT = 2_000  # characters of a request that are kept beside a failure


class Trained(Trainings):
    """Models that are trained; none is trained now."""

    def _may_train(self, step: Train) -> None:
        raise _not_trained(step)


class Replay(Run):
    """A run that asks nothing and keeps nothing: rows come out of stored outputs, and where there are none out of kept answers."""

    _trainings_type = Trained

    def __init__(self, stores: Stores, options: RunOptions, step: Step, *, most: int, failed: Callable[[], Found], **more: Any) -> None:
        super().__init__(replace(stores, steps=Kept(stores.steps)), replace(options, offline=True), **more)
        self._written, self._most, self._failed = step, most, failed
        self._failures: Found | None = None  # read where a call has no answer
        self._spend = Spend(purse=Purse(), prices=self.options.prices)
        self._made_tables: dict[int, pl.DataFrame] = {}
        self._streams: dict[int, tuple[Stream, Step] | None] = {}
        self._thins: dict[int, Thin | None] = {}  # id of a step → its rows without what was answered, where these are known
        self._is_whole = False  # whether a run of the whole plan has ended, and no row failed: else its rows are not stored
        self._picked: dict[int, pl.Series] = {}  # id of a step whose rows are here → which of its input's rows they are
        self._walks: list[Walked] | None = None  # that runs have noted; None: not looked for so far
        self._firsts: dict[int, pl.DataFrame] = {}  # id of a step → its first rows, as the step above it has kept them
        self._told: dict[int, list[RowTold]] = {}  # id of a step as it was written
        self._counts: dict[int, int] = {}
        self._notes: dict[int, str] = {}

    async def story(self, row: int | pl.Expr) -> RowStory:
        """The story of the row at a position, or of the first that a condition finds."""
        return (await self.stories([row]))[0]

    async def stories(self, rows: Sequence[int | pl.Expr]) -> list[RowStory]:
        """The stories of several rows."""
        async with self._running([self._written]):
            plan = self._as_run()
            self._is_whole = self._stored(plan) is not None
            return [await self._one(plan, row) for row in rows]

    async def _one(self, plan: Step, row: int | pl.Expr) -> RowStory:
        self._told, self._counts, self._notes = {}, {}, {}
        at, found = await self._asked_for(plan, row)
        await self._trace(plan, at)
        values = await self._values(plan, at)
        made = RowStory(row=at, found=found, values=values, steps=tuple(map(self._step, self._written.walk())))
        return without_secrets(made, self.state.redactor)

    def _as_run(self) -> Step:
        """The plan as it runs where nothing is stored: what it reads was asked, also where a plan that asked more has run."""
        made: Optimised = optimise([self._written], Facts(name=self.state.key), rules=chosen(self.options.optimize))
        self.state.optimised.append(made)
        self._optimised = made
        for plan in (self._written, made.plans[0]):
            self.state.key(plan)  # as it is now: a function of the user's may change what it holds when it is called
        return made.plans[0]

    async def _asked_for(self, plan: Step, row: int | pl.Expr) -> tuple[int, tuple[int, ...]]:
        if isinstance(row, pl.Expr):
            found = tuple((await self._all_of(plan)).select(pl.arg_where(row)).to_series().to_list())
            if not found:
                raise SettingError(f"why: no row of the frame is one where {row}.")
            return found[0], found
        if row >= 0 and (stream := await self._stream(plan)) is not None and stream[0].is_one_to_one:
            height = stream[0].source.height
        else:
            height = (await self._all_of(plan)).height
        if not -height <= row < height:
            there = f"give a position from 0 to {height - 1:,}, or a condition" if height else "it has none"
            raise SettingError(f"why: the frame has {height:,} rows, and no row {row}; {there}.")
        return row % height, ()

    async def _values(self, plan: Step, at: int) -> dict[str, Any]:
        stream = await self._stream(plan)
        if stream is not None and id(plan) not in self._made_tables and (stream[0].is_one_to_one or self._stored(plan) is None):
            (place,) = await stream[0].located([at])
            made = (await stream[0].one(place, is_noted=False)).out
        else:
            made = (await self._all_of(plan))[at]
        return made.row(0, named=True) if made.height else {}

    # From the last step down

    async def _trace(self, plan: Step, at: int) -> None:
        wanted: dict[int, set[int]] = {id(plan): {at}}
        for node in reversed(plan.walk()):
            if not (rows := sorted(wanted.get(id(node), ()))):
                continue
            if isinstance(node, Source):
                await self._tell_source(node, rows)
                continue
            if (found := await self._stream(node)) is not None:
                stream, below = found
                places = await stream.located(rows)
                hits = await self._tell_stream(stream, sorted(set(places)))
                wanted.setdefault(id(below), set()).update(places)
                for step in stream.steps:
                    await self._beside_of(step, wanted, hits.get(id(step)))
                continue
            self._count(node, len(rows))
            if isinstance(node, Comparison):
                await self._tell_comparisons(node, rows)
            await self._to_inputs(node, rows, wanted)

    async def _to_inputs(self, node: Step, rows: Sequence[int], wanted: dict[int, set[int]]) -> None:
        read = [i for i in node.inputs if not isinstance(i, ModelStep)]
        if isinstance(node, RoundsStep):
            if (kept := self._stored(node)) is not None:
                self._firsts[id(read[0])] = kept
            wanted.setdefault(id(read[0]), set()).update(rows)
            return
        if len(read) == 1 and (found := await self._among(node, rows) or await self._alike(node, rows)):
            wanted.setdefault(id(read[0]), set()).update(found)
            return
        needed = {id(i): columns for i, columns in zip(node.inputs, deciding(node), strict=True)}
        tables = [await self._enough_of(i, needed[id(i)]) for i in read]
        is_helper = id(node) in self._optimised.helpers
        picked = [self._picked[id(node)]] if id(node) in self._picked else parents(node, tables)
        for n, (below, table, places) in enumerate(zip(read, tables, picked, strict=True)):
            if places is None:
                self._notes.setdefault(self._place(node), "each row of it may be made of all rows below")
            if not (is_helper and n):
                wanted.setdefault(id(below), set()).update(gathered(places, rows, table.height))

    async def _beside_of(self, step: Step, wanted: dict[int, set[int]], hits: set[int] | None) -> None:
        """The tables that a step reads besides its rows, and the models that were trained for it. `hits` are the documents that a search has found."""
        for below in step.inputs[1:]:
            if is_of_all(below):
                self._count(below, 0)
                self._notes[self._place(below)] = said_of_all(below, await self._all_of(below))
            elif isinstance(below, ModelStep):
                self._count(below, 0)
                key = self.state.trained[self.state.key(below)].key
                self._notes[self._place(below)] = f"model {key[:12]}; the rows that it was trained on are not told here"
            else:
                wanted.setdefault(id(below), set()).update(range((await self._all_of(below)).height) if hits is None else hits)

    # Rows

    def _stored(self, step: Step) -> pl.DataFrame | None:
        """The stored rows of a step; of the last one, also those of the plan as it was written."""
        for one in (step, self._written) if step is self._optimised.plans[0] else (step,):
            if (found := self._outputs.find(one)) is not None:
                return found.collect()
        return self._firsts.get(id(step))

    async def _all_of(self, step: Step) -> pl.DataFrame:
        """All rows of a step."""
        if id(step) not in self._made_tables:
            self._made_tables[id(step)] = await self._made_again(step)
        return self._made_tables[id(step)]

    async def _enough_of(self, step: Step, needed: frozenset[str] | None) -> pl.DataFrame:
        """All rows of a step, as far as these columns are concerned (None: all). What models answered is looked up only where it is needed."""
        if id(step) in self._made_tables or self._stored(step) is not None or (thin := await self._thin(step)) is None or not thin.knows(needed):
            return await self._all_of(step)
        return thin.rows

    async def _thin(self, step: Step) -> Thin | None:
        if id(step) not in self._thins:
            self._thins[id(step)] = None
            if isinstance(step, Source) or id(step) in self._made_tables or self._stored(step) is not None:
                self._thins[id(step)] = whole(await self._all_of(step))
            elif (stream := await self._stream(step)) is not None:
                self._thins[id(step)] = None if stream[0].thin is None else stream[0].thin[0]
            elif len(step.inputs) == 1 and (below := await self._thin(step.inputs[0])) is not None and (made := over(step, below)) is not None:
                self._thins[id(step)] = made[0]
        return self._thins[id(step)]

    async def _alike(self, node: Step, rows: Sequence[int]) -> set[int] | None:
        """The rows of its input that some rows of a step are, where their values tell: for less than it takes to sort all rows again, or to draw some."""
        out = self._stored(node) if is_pick(node) and len(rows) <= MOST_BATCHES else None
        below = None if out is None else await self._thin(node.inputs[0])
        return None if out is None or below is None else by_values(node, out, below, rows)

    async def _made_again(self, step: Step) -> pl.DataFrame:
        if isinstance(step, Source):
            return await self._engine.query(await self._made(step))
        if (found := self._stored(step)) is not None and id(step) not in self._firsts:
            return found
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
                beside = []
                for one in steps:
                    await self._train_edges(one)
                    beside.append(tuple([await self._all_of(i) for i in one.inputs[1:] if not isinstance(i, ModelStep)]))
                looking, walk = self._looking(steps, beside), self._walk_of(step)
                source = self._partly(below) or await self._all_of(below)
                self._streams[id(step)] = Stream(steps, source, looking, lambda: self._stored(step), walk=walk, is_whole=self._is_whole), below
        return self._streams[id(step)]

    def _looking(self, steps: Sequence[Step], beside: Sequence[tuple[pl.DataFrame, ...]]) -> Looking:  # noqa: ARG002  those that note all calls need it
        return Looking(self.state, self._spend, beside)

    # Rows among those that they walked with

    def _walk_of(self, *steps: Step) -> Walked | None:
        """How many rows walked together through these steps, where the run that made them noted it."""
        if self._walks is None:
            plan = dict.fromkeys((*self._optimised.plans[0].walk(), self._written))
            kept = [self.state.stores.steps.record(self.state.key(step)) for step in plan if self._outputs.is_stored(step)]
            self._walks = [Walked(record["walk"]) for record in kept if record and record.get("walk")]
        return walk_of(self._walks, tuple(map(self.state.key, steps)))

    def _partly(self, step: Step) -> Partly | None:
        """The rows of a step batch by batch, where making all would look up what models answered."""
        if not isinstance(step, PolarsStep) or len(step.inputs) != 1 or id(step) in self._made_tables or self._stored(step) is not None:
            return None
        if (walk := self._walk_of(step, step.inputs[0])) is None:
            return None
        key = self.state.key(step)
        return Partly(walk.height(key), lambda row: walk.batch_of(key, row), lambda number: self._batch_of(step, walk, number), lambda: self._all_of(step))

    async def _batch_of(self, step: Step, walk: Walked, number: int) -> pl.DataFrame | None:
        """The rows of a step in a batch; None where they cannot be told from those of others."""
        if (key := self.state.key(step)) not in walk:
            return None
        batch = walk.batch(key, number)
        if isinstance(step, Source) or id(step) in self._made_tables or self._stored(step) is not None:
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

    # What is told

    async def _tell_source(self, node: Source, rows: Sequence[int]) -> None:
        table = await self._all_of(node)
        shown = table[list(rows[: self._most])]
        told = [RowTold(row=at, values=values) for at, values in zip(rows, shown.iter_rows(named=True), strict=False)]
        self._count(node, len(rows), told)

    async def _tell_stream(self, stream: Stream, places: Sequence[int]) -> dict[int, set[int]]:
        """Tell what was asked about rows; for each search among the steps, by its id, the documents that it found for them."""
        hits: dict[int, set[int]] = {}
        for step in stream.steps:
            self._count(step, len(places))
        for at in places[: self._most]:
            passed = await stream.one(at, is_noted=True)
            for place, step in enumerate(stream.steps):
                left = passed.after[place] if place < len(passed.after) else None
                if isinstance(step, Retrieve):
                    found = [] if left is None else left.get_column(step.into)[0]
                    hits.setdefault(id(step), set()).update(hit["index"] for hit in ([] if found is None else found))
                if (calls := passed.calls.get(place)) or place in passed.failures or is_told(step):
                    values = {} if left is None else {named(step, c): left.get_column(c)[0] for c in step.writes() if c in left.columns}
                    self._told.setdefault(self._place(step), []).append(self._row(step, values, calls or (), passed.failures.get(place)))
        return hits

    async def _tell_comparisons(self, step: Comparison, rows: Sequence[int]) -> None:
        """Tell what rows were compared with."""
        below, made = await self._all_of(step.inputs[0]), await self._all_of(step)
        await self._train_edges(step)
        noted: dict[int, list[CallTold]] = {}
        await step.run((below,), BatchContext(Looking(self.state, self._spend, noted=noted), step, 0, 0))
        shown = [(call, {text for m in call.messages for text in texts_of(str(m["content"]))}) for call in noted.get(0, ())]
        items = step.texts(made)
        for at in rows[: self._most]:
            calls = [call for call, texts in shown if items[at] in texts]
            self._told.setdefault(self._place(step), []).append(self._row(step, {named(step, step.into): made.get_column(step.into)[at]}, calls, None))

    def _row(self, step: Step, values: Mapping[str, Any], calls: Sequence[CallTold], failure: Failure | None) -> RowTold:
        noted = [call if call.is_kept else replace(call, note=self._why_not(step, call)) for call in calls]
        if failure is None:
            return RowTold(values=plain(values), calls=tuple(noted), note=None if calls else unasked(step, values))
        why = f"{failure.error}: {failure.message}"
        if failure.error == NOT_KEPT:
            why = next((call.note for call in noted if not call.is_kept and call.note), why)
        return RowTold(values=plain(values), calls=tuple(noted), error=why)

    def _why_not(self, step: Step, call: CallTold) -> str | None:
        """Why a call has no answer, where a run has noted it."""
        if self._failures is None:
            self._failures = self._failed()
        said = [m for m in call.messages if m["role"] != "system"]
        asked = [call.text, *(m["content"] for m in said[-1:]), json.dumps(said, ensure_ascii=False)]  # a failure names the user's text, or the messages
        return next((why for text in asked if (why := self._failures.get((step.label, str(text)[:CUT])))), call.note)

    def _place(self, step: Step) -> int:
        return id(self._optimised.as_written(step))

    def _count(self, step: Step, n: int, told: Sequence[RowTold] = ()) -> None:
        written = self._optimised.as_written(step)
        place = id(written)
        if written.models() and not step.models():  # a column of nulls in the place of one that nobody reads, or numbers of samples
            return
        if id(step) not in self._optimised.helpers or place not in self._counts:
            self._counts[place] = max(n, self._counts.get(place, 0))
        self._told.setdefault(place, []).extend(told)

    def _step(self, step: Step) -> StepTold:
        rows = self._told.get(id(step), [])
        asks = bool(step.models()) and not isinstance(step, ModelStep)
        note = self._notes.get(id(step))
        if asks and id(step) not in self._counts:
            trains = any(id(step) in map(id, model.walk()) for model in self._written.walk() if isinstance(model, ModelStep))
            note = "asked about the rows that a model was trained on" if trains else "not asked: no row or column of it is read"
        return StepTold(
            label=step.label, kind=kind(step), describe=line(step), n_rows=self._counts.get(id(step), 0), rows=tuple(rows[: self._most]), note=note
        )


def _not_trained(step: Step) -> SettingError:
    return SettingError(f"why: {step.label} is not trained in this session, so nobody knows what was asked of it; .collect() the frame first.")
