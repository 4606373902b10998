"""One run of a plan: cut it at what is stored, run the rest as polars queries and segments on an engine, store what was paid for."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, MissingExtraError, SettingError, StorageError
from dreamframe.models.base import Artefact
from dreamframe.models.lacking import together
from dreamframe.models.local.memory import loaded_models
from dreamframe.plan.ledgers import Certifying
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.rules import Optimised, chosen, optimise
from dreamframe.plan.step import ModelStep, PolarsStep, RoundsStep, RowStep, Source, Step, TableStep
from dreamframe.plan.steps.source import Scan, Table
from dreamframe.redaction.redactor import Redactor
from dreamframe.redaction.visible import in_line
from dreamframe.run import ready, same_rows
from dreamframe.run.engines.base import Feed, Segment, batches_of, engine_of
from dreamframe.run.events import Events
from dreamframe.run.gc_pause import rarely_collected
from dreamframe.run.kept_outputs import Kept
from dreamframe.run.learnt import in_learnt_order, may_learn
from dreamframe.run.options import RunOptions
from dreamframe.run.outputs import CHUNK, Outputs, once
from dreamframe.run.pieces import in_pieces
from dreamframe.run.rounds import in_rounds
from dreamframe.run.segment_context import SegmentContext
from dreamframe.run.segment_run import SegmentRun, count
from dreamframe.run.segments import Segments
from dreamframe.run.state import RunState
from dreamframe.run.stats import RunStats
from dreamframe.run.training import Trainings
from dreamframe.store.layout import SessionWarning
from dreamframe.store.sources import SourceContext
from dreamframe.store.stores import Stores

PIECE = 1_000  # polars steps of one query: polars' own walks over it take stack, and more than linear time


class Run:
    """One collect, write or fit. Lives in the event loop."""

    _state_type: ClassVar[type[RunState]] = RunState
    _trainings_type: ClassVar[type[Trainings]] = Trainings

    def __init__(self, stores: Stores, options: RunOptions | None = None, stats: RunStats | None = None, *, knows: Redactor | None = None) -> None:
        if options is not None and options.is_trial:
            stores = replace(stores, steps=Kept(stores.steps))
        self.state = self._state_type(stores, options or RunOptions(), stats or RunStats(), knows or Redactor(()))
        self.stores, self.options, self.stats = self.state.stores, self.state.options, self.state.stats
        self.memo, self.hides = self.state.memo, self.state.hides
        self._engine = engine_of(self.options.engine)
        self._outputs = Outputs(self.state)
        self._segments = Segments(self.state, self._outputs)
        self._trainings = self._trainings_type(self.state, self._engine, self._whole)
        self._tables: dict[str, asyncio.Task[pl.LazyFrame]] = {}  # by key of the step

    @property
    def unreadable(self) -> frozenset[bytes]:
        """As `RunState.unreadable`."""
        return self.state.unreadable

    def events(self, steps: Sequence[Step]) -> Events:
        """What writes down what this run does, for one who says when."""
        return Events(steps, self.state)

    # What users' verbs call

    async def collect_all(self, steps: Sequence[Step]) -> list[pl.DataFrame]:
        """All rows of each step, in order. Raises RowsFailedError once every other row is done and kept."""
        async with self._running(steps):
            await self._forget_refreshed(steps)
            frames = await every(*(self._frame(plan) for plan in self._ready(*steps)))
            self.state.finish(steps[-1])
        return frames

    async def fit(self, step: ModelStep) -> Artefact:
        """The folder of a trained model."""
        async with self._running([step]):
            (plan,) = self._ready(step)
            assert isinstance(plan, ModelStep)
            return await self._trainings.artefact(plan)

    async def batches(self, step: Step) -> AsyncGenerator[pl.DataFrame, None]:
        """The rows of a step as they become ready, in order, without keeping them."""
        async with self._running([step]):
            (plan,) = self._ready(step)
            if (opened := await self._opened(plan)) is not None:
                async with contextlib.aclosing(self._rows(opened)) as rows:
                    async for batch in rows:
                        yield batch
            else:
                for batch in batches_of(await self._feed(plan), CHUNK):
                    yield batch
            self.state.finish(step)

    def planned(self, *steps: Step) -> list[Step]:
        """The plans as they will run. What several steps read is run once."""
        made = self.optimised(*steps)
        self.state.optimised.append(made)
        self._segments.share(made.plans)
        return list(made.plans)

    def optimised(self, *steps: Step) -> Optimised:
        """What the rules make of plans. A stored step is a leaf: nothing moves in or out of it."""
        return optimise(steps, Facts(self._outputs.is_stored, self.state.key), rules=chosen(self.options.optimize))

    def _ready(self, *steps: Step) -> list[Step]:
        """The plans as they will run, on a machine that has what they need: see `run.ready`."""
        try:
            plans = self.planned(*steps)
        except (MissingExtraError, SettingError) as exc:  # nobody can say what was asked before of models whose weights are not here
            if (self.options.offline and not isinstance(exc, MissingExtraError)) or not (missing := ready.lacking(steps)):
                raise
            raise together(missing) from (None if isinstance(exc, MissingExtraError) else exc)  # which stands in it
        if not self.options.offline and (missing := ready.lacking(plans, is_done=self._outputs.is_stored, loads_here=self._engine.name == "local")):
            self.state.asking.lacking = together(missing)  # what is kept may be enough: said when the first thing is not
            if not ready.holds_something(self.stores):
                self.state.asking.check_ready()
        return plans

    async def _forget_refreshed(self, steps: Sequence[Step]) -> None:
        """Take away the stored outputs of all plans that hold a step which is to run anew: they would be found instead of it."""
        if self.options.refresh:
            plans = [*steps, *optimise(steps, Facts(name=self.state.key), rules=chosen(self.options.optimize)).plans]
            self.state.anew |= {self.state.key(node) for plan in plans for node in plan.walk() if node.label in self.options.refresh}
            await asyncio.to_thread(self.stores.steps.forget, {key[:12] for key in self.state.anew})

    @contextlib.asynccontextmanager
    async def _running(self, steps: Sequence[Step]) -> AsyncIterator[None]:
        self.state.redactor = self.state.hides(steps)
        with rarely_collected(), loaded_models().at_most(self.options.max_models):
            try:
                yield
            except Exception as exc:
                found = await asyncio.to_thread(self.state.ailing_file) if isinstance(exc, pl.exceptions.PolarsError) else None
                self.state.redactor.error(exc if found is None else found)  # none leaves with a secret of the plan
                if found is not None:
                    raise found from exc
                raise
            finally:
                await self._settle()

    async def _settle(self) -> None:
        """Leave nothing running behind a run that ended early, and put away what came back."""
        tasks = [t for t in self._tables.values() if not t.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.stats.failures = [f for stage in self.state.stages for f in stage.failed_rows()]
        try:
            await self.state.asking.close()
            await asyncio.to_thread(self.stores.answers.flush)
        except StorageError as exc:  # the rows, or the error of the run, are what was asked for
            warnings.warn(f"answers of this run are not kept, and running it again pays for them again: {exc}", SessionWarning, stacklevel=2)

    # Rows

    async def _lazy(self, step: Step) -> pl.LazyFrame:
        """The rows of a step as a polars query; made once in a run, however many steps read them."""
        key = self.state.key(step)
        if key not in self._tables:
            self._tables[key] = asyncio.create_task(self._made(step))
        return await self._tables[key]

    async def _frame(self, step: Step) -> pl.DataFrame:
        """The rows of a step in memory (memory-mapped where they are stored)."""
        return await self._query(step, await self._lazy(step))

    async def _query(self, step: Step, query: pl.LazyFrame) -> pl.DataFrame:
        """The rows of a step. Where polars refuses rows of which some are missing since they failed, what failed is raised: it is the likely cause."""
        try:
            return await self._engine.query(query)
        except Exception as exc:
            try:
                self.state.need_whole(step, needed_by=step)
            except DreamframeError as failed:
                raise failed from exc
            if isinstance(exc, pl.exceptions.PolarsError):
                exc.add_note(f"dreamframe: while the rows of these steps were made: {', '.join(in_one_query(step))}")
            raise

    async def _made(self, step: Step) -> pl.LazyFrame:
        if isinstance(step, Source):
            if isinstance(step, Scan):
                self.state.scans.append(step)
            ctx = SourceContext(self.stores.sources, is_offline=self.options.offline)
            return step.lazy() if isinstance(step, Table) else await asyncio.to_thread(step.read, ctx)  # it may read files, or the Hub
        if (found := self._outputs.find(step)) is not None:
            return found
        if (opened := await self._opened(step)) is not None:
            return await self._outputs.kept(step, self._rows(opened), walk=opened.walk)
        if isinstance(step, TableStep):
            return await self._table(step)
        if isinstance(step, RoundsStep):
            rows = await self._in_rounds(step)
        else:
            assert isinstance(step, PolarsStep), f"no engine shape for {type(step).__name__}"
            chain = self._segments.query(step)
            query = await self._applied(chain, await every(*(self._lazy(i) for i in chain[0].inputs)))
            if not self.state.worth.is_kept(step) and not self._segments.is_made_once(step, chain):
                return query
            rows = await self._query(step, query)
        return await self._outputs.kept(step, once(rows)) if self.state.worth.is_kept(step) else rows.lazy()

    async def _applied(self, chain: Sequence[PolarsStep], frames: Sequence[pl.LazyFrame]) -> pl.LazyFrame:
        """The query of adjacent polars steps over the queries of the lowest one's inputs."""
        query = chain[0].apply(*frames)
        for n, step in enumerate(chain[1:], 1):
            query = step.apply(query if n % PIECE else (await self._query(step.inputs[0], query)).lazy())
        return query

    async def _table(self, step: TableStep) -> pl.LazyFrame:
        tables = await self._whole(step, step.inputs)
        await self._train_edges(step)
        rows_key = await same_rows.rows_key(self.state, step, tables)
        is_old = not self.state.is_refreshed(step)
        if is_old and (same := await asyncio.to_thread(same_rows.find_by_rows, self.state, step, rows_key)) is not None:
            rows = same.rows()
            if isinstance(step, Certifying):
                self.state.stage(step).found(tables[0].height, rows.height, step.told(rows))
        else:
            stage = self.state.stage(step)
            stage.stats.total = stage.stats.entered = tables[0].height
            result = await self._engine.table(step, tables, SegmentContext(self.state, [stage]))
            count([stage], result, self.state)
            rows = result.rows
            if isinstance(step, Certifying):
                stage.stats.told = step.told(rows) or stage.stats.told  # or what it noted meanwhile
        self.state.tell_figures(step, rows)
        return await self._outputs.kept(step, once(rows), rows_key) if self.state.worth.is_kept(step) else rows.lazy()

    async def _in_rounds(self, step: RoundsStep) -> pl.DataFrame:
        below = step.inputs[0]
        if (opened := await self._opened(below)) is not None:
            return await in_rounds(step, opened, self.state)
        rows = await self._frame(below)  # nothing is asked row by row, or all is stored
        self.state.need_whole(below, needed_by=step)
        return step.enough(rows, None)

    async def _whole(self, step: Step, inputs: Sequence[Step]) -> tuple[pl.DataFrame, ...]:
        """All rows of a step's inputs that give rows. Raises what failed below them."""
        read = [i for i in inputs if not isinstance(i, ModelStep)]
        tables = await every(*(self._frame(i) for i in read))
        for i in read:
            self.state.need_whole(i, needed_by=step)
        self.state.check_sources()
        return tuple(tables)

    async def _train_edges(self, step: Step) -> None:
        await every(*(self._trainings.artefact(i) for i in step.inputs if isinstance(i, ModelStep)))

    # Segments

    async def _opened(self, step: Step) -> SegmentRun | None:
        """The segment that ends with a step, its models trained and its tables read; None if no row step is left to run."""
        steps = self._segments.segment(step) if self._outputs.find(step) is None else []
        if not steps:
            return None
        base = steps[0].inputs[0]
        stages = [self.state.stage(s) for s in steps]
        source, *tables = await every(self._feed(base), *(self._beside(s) for s in steps))
        if not self._segments.segment(base):  # else only rows that failed are missing: every other row goes on
            self.state.need_whole(base, needed_by=steps[0])
        stages[0].stats.total = self._outputs.height(base)
        for feeds, fed in itertools.pairwise(stages):
            fed.stats.fed_by = feeds.stats
        width = max(s.width for s in steps if isinstance(s, RowStep))
        window = max(4 * width, 4 * self.options.batch_rows) if self._fit(steps) and self.options.mode != "batch" else sys.maxsize
        segment = Segment(tuple(steps), width=width, batch_rows=self.options.batch_rows, window=window)
        return SegmentRun(segment, stages, source, lent=SegmentContext(self.state, stages, tables), engine=self._engine, state=self.state)

    async def _feed(self, step: Step) -> Feed:
        """The rows of a step for one who takes them in order and keeps none: in pieces, where a piece can be made without the rows before it."""
        if isinstance(step, Table):
            return step.data
        chain = self._segments.query_of(step)
        below = chain[0].inputs[0] if chain else step
        is_cut = below.is_cut_anywhere if isinstance(below, Scan) else bool(chain)  # rows that are no file's are in memory
        if not is_cut or len(chain) > PIECE or not all(s.is_streamed for s in chain):
            return await self._lazy(step)
        n_bytes = below.n_bytes() if isinstance(below, Scan) else 0
        return in_pieces(await self._lazy(below), lambda rows: reduce(lambda query, s: s.apply(query), chain, rows), step.schema, n_bytes=n_bytes)

    def _rows(self, opened: SegmentRun) -> AsyncGenerator[pl.DataFrame, None]:
        """All rows that leave a segment, in input order."""
        return in_learnt_order(opened, self.state) if may_learn(self.state, opened.segment.steps) else opened.rows()

    async def _beside(self, step: Step) -> tuple[pl.DataFrame, ...]:
        """The tables that a step reads besides its rows, its models being trained."""
        await self._train_edges(step)
        return await self._whole(step, step.inputs[1:])

    def _fit(self, steps: Sequence[Step]) -> bool:
        """Whether the models of a segment may be loaded together. Else each answers all rows before the next is loaded."""
        here = [m for s in steps for m in s.models() if hasattr(m, "unload")]
        return self.options.max_models is None or len({m.pool_key() for m in here}) <= self.options.max_models


def in_one_query(step: Step) -> list[str]:
    """What the steps are called that polars runs together up to a step, the last one first."""
    labels: dict[str, None] = {}
    waiting = [step]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, PolarsStep) or node is step:
            labels[in_line(node.label)] = None
            waiting += node.inputs
    return list(labels)


async def every(*awaited: Awaitable[Any]) -> list[Any]:
    """The results of all, in order. If one fails, the others still end first: what they ask is paid for."""
    results = await asyncio.gather(*awaited, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
