"""The output of a step, kept as it comes: in the session, or in memory where there is none, or where its disk refuses."""

from __future__ import annotations

import asyncio
import time
import warnings
from collections.abc import AsyncIterator
from typing import Any

import polars as pl

from dreamframe.errors import StorageError
from dreamframe.identity.whose_code import recorded
from dreamframe.plan.compare import on_record
from dreamframe.plan.step import ModelStep, Source, Step
from dreamframe.run.state import RunState
from dreamframe.run.walk import Walk
from dreamframe.store.layout import SessionWarning
from dreamframe.store.steps import Writer

CHUNK = 16_384  # rows of one Arrow record batch on disk


class Outputs:
    """Finds and keeps the outputs of the steps of one run."""

    def __init__(self, state: RunState) -> None:
        self._state = state
        self._finds: dict[str, pl.LazyFrame | None] = {}  # by key
        self._heights: dict[str, int] = {}  # of outputs whose rows are here, by key

    def is_stored(self, step: Step) -> bool:
        """Whether the output of a step is there. Reads no rows."""
        if isinstance(step, (Source, ModelStep)) or (not self._finds and self._state.stores.steps.is_empty):  # then no key is made
            return False
        if not self._state.worth.is_kept(step):
            return False
        key = self._state.key(step)
        return self._finds[key] is not None if key in self._finds else self._state.stores.steps.has(key)

    def find(self, step: Step) -> pl.LazyFrame | None:
        """The stored output of a step, if it is worth storing and there."""
        state = self._state
        if isinstance(step, (Source, ModelStep)) or not state.worth.is_kept(step):
            return None
        key = state.key(step)
        if key not in self._finds:
            found = state.stores.steps.find(key, step.schema)
            state.stats.reused += found is not None
            rows = None if found is None else found.rows()
            if rows is not None:
                state.stats.rows_reused += rows.height
                self._heights[key] = rows.height
            self._finds[key] = None if rows is None else rows.lazy()
        return self._finds[key]

    def height(self, step: Step) -> int | None:
        """How many rows a step gives, as far as that is known before its query is run."""
        chain: list[Step] = []
        while (n := step.n_out() if isinstance(step, Source) else self._heights.get(self._state.key(step))) is None:
            if len(step.inputs) != 1:
                return None
            chain.append(step)
            step = step.inputs[0]
        for above in reversed(chain):
            n = None if n is None else above.n_out(n)
        return n

    async def kept(self, step: Step, batches: AsyncIterator[pl.DataFrame], rows_key: str | None = None, *, walk: Walk | None = None) -> pl.LazyFrame:
        """Drain batches into the step store, or into memory where there is none, and give the whole.

        An output with failed rows is not a finished step: it serves this run and is then forgotten, so that the next run asks again. A disk that refuses
        costs the stored output, with a warning, and no row.
        """
        began = time.time()
        output = await asyncio.to_thread(_Output, self._state, step)
        try:
            async for chunk in _chunked(batches):
                await asyncio.to_thread(output.write, chunk)
            self._heights[self._state.key(step)] = output.n_rows
            if self._state.has_failed_below(step):
                return _typed(await asyncio.to_thread(output.rows), step).lazy()
            self._state.check_sources()
            return _typed(await asyncio.to_thread(output.commit, began, rows_key, walk), step).lazy()
        except BaseException:
            await asyncio.to_thread(output.abort)
            raise


class _Output:
    """Rows on their way into the store, or in memory."""

    def __init__(self, state: RunState, step: Step) -> None:
        self._state, self._step = state, step
        self._label = state.written(step).label
        self.n_rows = 0
        self._here: list[pl.DataFrame] = []  # rows that are in no file
        self._writer: Writer | None = None
        if state.stores.steps.keeps and state.worth.is_kept(step):
            try:
                self._writer = state.stores.steps.writer(state.key(step), self._label, step.schema)
            except StorageError as exc:
                self._refused(exc)

    def write(self, rows: pl.DataFrame) -> None:
        self.n_rows += rows.height
        if self._writer is not None:
            try:
                self._writer.write(rows)
                return
            except StorageError as exc:
                self._salvage(exc)
        self._here.append(rows)

    def rows(self) -> pl.DataFrame:
        """All rows, for this run alone."""
        if self._writer is not None:
            try:
                return self._writer.discard()
            except StorageError as exc:
                self._salvage(exc)
        return pl.concat([pl.DataFrame(schema=self._step.schema), *(_typed(rows, self._step) for rows in self._here)])

    def commit(self, began: float, rows_key: str | None, walk: Walk | None) -> pl.DataFrame:
        """All rows, kept for later runs if the disk takes them."""
        if self._writer is not None:
            more = {"rows_key": rows_key, "walk": walk and walk.record(self._state.key)}
            record = {**_record(self._state, self._step, n_rows=self.n_rows, began=began), **{name: held for name, held in more.items() if held}}
            try:
                return self._writer.commit(record).rows()
            except StorageError as exc:
                self._salvage(exc)
        return self.rows()

    def abort(self) -> None:
        if self._writer is not None:
            self._writer.abort()

    def _salvage(self, exc: StorageError) -> None:
        assert self._writer is not None
        writer, self._writer = self._writer, None
        self._here = [writer.salvage()]
        self._refused(exc)

    def _refused(self, exc: StorageError) -> None:
        warnings.warn(f"{self._label}: its rows are given and not stored, since the disk refuses ({exc})", SessionWarning, stacklevel=2)


def _record(state: RunState, step: Step, *, n_rows: int, began: float) -> dict[str, Any]:
    """What step.json says of a stored output."""
    written = state.written(step)
    return {
        "step": recorded(type(written)).__name__,
        "describe": state.hides([written]).text(written.describe()),
        "parents": [state.key(i) for i in step.inputs],
        "plan": on_record(written, state.memo),
        "schema": {name: str(dtype) for name, dtype in step.schema.items()},
        "rows": n_rows,
        "steps": state.stats.step_events({state.written_key(s) for s in step.walk()}),
        "began": began,
        "took_s": time.time() - began,
    }


def _typed(frame: pl.DataFrame, step: Step) -> pl.DataFrame:
    """Stored rows as a frame of exactly the step's types (Arrow has no Enum of polars' kind)."""
    return frame if frame.schema == step.schema else frame.cast(dict(step.schema))  # type: ignore[arg-type]


async def once(rows: pl.DataFrame) -> AsyncIterator[pl.DataFrame]:
    """One batch."""
    yield rows


async def _chunked(batches: AsyncIterator[pl.DataFrame]) -> AsyncIterator[pl.DataFrame]:
    """Small batches put together to chunks of at least CHUNK rows."""
    waiting: list[pl.DataFrame] = []
    n_rows = 0
    async for batch in batches:
        waiting.append(batch)
        n_rows += batch.height
        if n_rows >= CHUNK:
            yield pl.concat(waiting, rechunk=True)
            waiting, n_rows = [], 0
    if waiting:
        yield pl.concat(waiting, rechunk=True)
