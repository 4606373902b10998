"""How one row of a frame was made: from the last step down to the sources, which rows of each step it was made of, and what was asked about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.models.request import Failure
from dreamframe.plan.explain import line
from dreamframe.plan.parents import gathered, parents
from dreamframe.plan.step import ModelStep, RoundsStep, Source, Step
from dreamframe.plan.steps.comparison import Comparison
from dreamframe.plan.steps.retrieve import Retrieve
from dreamframe.prompts.comparison import texts_of
from dreamframe.run.engines.pipeline import BatchContext
from dreamframe.run.options import RunOptions
from dreamframe.run.why.calls import NOT_KEPT, Looking
from dreamframe.run.why.made_again import MadeAgain
from dreamframe.run.why.story import CallTold, RowStory, RowTold, StepTold, without_secrets
from dreamframe.run.why.stream import Stream
from dreamframe.run.why.telling import is_of_all, is_told, kind, named, plain, said_of_all, unasked
from dreamframe.run.why.thin import deciding
from dreamframe.store.stores import Stores

Found = Mapping[tuple[str, str], str]  # label of a step, and how a request begins → why it failed, as the session noted it
CUT = 2_000  # characters of a request that are kept beside a failure


class Replay(MadeAgain):
    """Tells of rows how they were made."""

    def __init__(self, stores: Stores, options: RunOptions, step: Step, *, most: int, failed: Callable[[], Found], **more: Any) -> None:
        super().__init__(stores, options, step, **more)
        self._most, self._failed = most, failed
        self._failures: Found | None = None  # read where a call has no answer
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
            self._is_whole = self._kept(plan) is not None
            return [await self._one(plan, row) for row in rows]

    async def _one(self, plan: Step, row: int | pl.Expr) -> RowStory:
        self._told, self._counts, self._notes = {}, {}, {}
        at, found = await self._asked_for(plan, row)
        await self._trace(plan, at)
        values = await self._values(plan, at)
        made = RowStory(row=at, found=found, values=values, steps=tuple(map(self._step, self._written.walk())))
        return without_secrets(made, self.state.redactor)

    async def _asked_for(self, plan: Step, row: int | pl.Expr) -> tuple[int, tuple[int, ...]]:
        if isinstance(row, pl.Expr):
            found = tuple((await self._all_of(plan)).select(pl.arg_where(row)).to_series().to_list())
            if not found:
                raise SettingError(f"why: no row of the frame is one where {row}.")
            return found[0], found
        if (kept := self._kept(plan)) is not None:
            height = kept.height
        elif row >= 0 and (stream := await self._stream(plan)) is not None and stream[0].is_one_to_one:
            height = stream[0].source.height
        else:
            height = (await self._all_of(plan)).height
        if not -height <= row < height:
            there = f"give a position from 0 to {height - 1:,}, or a condition" if height else "it has none"
            raise SettingError(f"why: the frame has {height:,} rows, and no row {row}; {there}.")
        return row % height, ()

    async def _values(self, plan: Step, at: int) -> dict[str, Any]:
        if (kept := self._kept(plan)) is not None:
            made = kept.slice(at, 1)
        elif (stream := await self._stream(plan)) is not None and id(plan) not in self._made_tables:
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
            if (kept := self._kept(node)) is not None:
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
