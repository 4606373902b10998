"""One run of a plan: cut it at what is stored, run the rest as polars queries and streaming pipelines, store what was paid for."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
import warnings
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dreamframe.errors import ParseError, StorageError
from dreamframe.models.base import Artefact, ModelSettings
from dreamframe.models.local.memory import seats
from dreamframe.models.parallel import Parallel
from dreamframe.models.pinned import OfWeights, changed
from dreamframe.models.request import Failure, Replies
from dreamframe.plan.optimizer.facts import Facts
from dreamframe.plan.optimizer.rules import Optimised, optimise
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Memo, ModelStep, PolarsStep, RoundsStep, RowStep, Source, Step, TableStep
from dreamframe.plan.steps.source import Scan, Table
from dreamframe.redaction.redactor import Redactor
from dreamframe.run import same_rows as cutoff
from dreamframe.run.calls.journal_first import RunAsking
from dreamframe.run.calls.spend import Spend
from dreamframe.run.engines.pipeline import BatchContext, Opened, Stage, batches_of, pipeline
from dreamframe.run.engines.rounds import in_rounds
from dreamframe.run.failures import UNREADABLE, raise_failures
from dreamframe.run.gc_pause import rarely_collected
from dreamframe.run.options import RunOptions
from dreamframe.run.outputs import CHUNK, kept, once
from dreamframe.run.queries import adjacent, applied
from dreamframe.run.stats import RunStats
from dreamframe.run.training import Trainings
from dreamframe.run.worth import Worth, read_twice
from dreamframe.store.layout import SessionWarning
from dreamframe.store.stores import Stores


@dataclass
class Run:
    """One collect, write or fit. Lives in the event loop and is lent to the stages of its pipelines."""

    stores: Stores
    options: RunOptions = field(default_factory=RunOptions)
    stats: RunStats = field(default_factory=RunStats)
    knows: Redactor = field(default_factory=lambda: Redactor(()), repr=False)  # hides the secrets of earlier runs: one may be told after it changed

    def __post_init__(self) -> None:
        self.memo: Memo = {}
        spend = Spend(purse=self.options.purse, prices=self.options.prices, mode=self.options.mode)
        self.asking = RunAsking(self.stores.answers, self.stats, spend=spend, options=self.options)
        if self.options.mode == "batch":
            self.asking.in_batches(self.stores)
        self.trainings = Trainings(self)
        self._tables: dict[str, asyncio.Task[pl.LazyFrame]] = {}
        self._finds: dict[str, pl.LazyFrame | None] = {}
        self.stages: list[Stage] = []
        self._scans: list[Scan] = []
        self._shared: set[str] = set()  # keys of steps that several steps read: their rows are made once, for all of them
        self._row_steps: dict[int, bool] = {}  # by id of steps that `memo` keeps alive: whether the pipeline up to it holds a row step
        self.worth = Worth()
        self._optimised: list[Optimised] = []
        self._asked: dict[int, Any] = {}  # id(question) → it, of weights that are what the step's key says
        self._hides = self.knows

    def hides(self, steps: Sequence[Step]) -> Redactor:
        """What takes the secrets of these plans out of all that this run says; those of a moment ago too, should one have changed meanwhile."""
        return plan_redactor(steps).over(self._hides)

    # What users' verbs call

    async def collect_all(self, steps: Sequence[Step]) -> list[pl.DataFrame]:
        """All rows of each step, in order. Raises RowsFailedError once every other row is done and kept."""
        async with self._running(steps):
            await self._forget_refreshed(steps)
            frames = await every(*(self.frame(plan) for plan in self.planned(*steps)))
            self._finish(steps[-1])
        return frames

    async def fit(self, step: ModelStep) -> Artefact:
        """The folder of a trained model."""
        async with self._running([step]):
            (plan,) = self.planned(step)
            assert isinstance(plan, ModelStep)
            return await self.trainings.artefact(plan)

    async def batches(self, step: Step) -> AsyncGenerator[pl.DataFrame, None]:
        """The rows of a step as they become ready, in order, without keeping them."""
        async with self._running([step]):
            (plan,) = self.planned(step)
            if self.find(plan) is None and self._chain(plan):
                async for batch in self._segment(plan):
                    yield batch
            else:
                for batch in batches_of(await self.lazy(plan), CHUNK):
                    yield batch
            self._finish(step)

    def planned(self, *steps: Step) -> list[Step]:
        """The plans as they will run. A stored step is a leaf: nothing moves in or out of it. What several steps read is run once."""
        made = optimise(steps, Facts(self.is_stored, self._key))
        self._optimised.append(made)
        self._shared |= read_twice(made.plans, self._key)
        return list(made.plans)

    def written_key(self, step: Step) -> str:
        """The key of the step that the user wrote, of one that runs: statistics, records and cards speak of that."""
        return self._key(next((made.origin[id(step)] for made in self._optimised if id(step) in made.origin), step))

    async def _forget_refreshed(self, steps: Sequence[Step]) -> None:
        """Take away the stored outputs of all plans that hold a step which is to run anew: they would be found instead of it."""
        if self.options.refresh and self.stores.steps is not None:
            plans = [*steps, *optimise(steps, Facts(name=self._key)).plans]
            anew = {node.key(self.memo)[:12] for plan in plans for node in plan.walk() if node.label in self.options.refresh}
            await asyncio.to_thread(self.stores.steps.forget, anew)

    @property
    def unreadable(self) -> frozenset[bytes]:
        """The requests whose answers were there when the run began and could not be read, as far as `retry` wants them asked anew."""
        kinds = UNREADABLE if self.options.retry == "all" else {ParseError.__name__} if self.options.retry else ()
        keys = {key for stage in self.stages for f in stage.failed_rows() if f.failure.error in kinds for key in f.failure.keys}
        return frozenset(keys - self.asking.asked_now)

    def _key(self, step: Step) -> str:
        return step.key(self.memo)

    @contextlib.asynccontextmanager
    async def _running(self, steps: Sequence[Step]) -> AsyncIterator[None]:
        self._hides = self.hides(steps)
        with rarely_collected():
            try:
                yield
            except Exception as exc:
                self._hides.error(exc)  # none leaves with a secret of the plan
                raise
            finally:
                await self._settle()

    async def _settle(self) -> None:
        """Leave nothing running behind a run that ended early, and put away what came back."""
        tasks = [t for t in self._tables.values() if not t.done()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.stats.failures = [f for stage in self.stages for f in stage.failed_rows()]
        try:
            await self.asking.close()
            await asyncio.to_thread(self.stores.answers.flush)
        except StorageError as exc:  # the rows, or the error of the run, are what was asked for
            warnings.warn(f"answers of this run are not kept, and running it again pays for them again: {exc}", SessionWarning, stacklevel=2)

    def _finish(self, step: Step) -> None:
        self.check_sources()
        raise_failures(step, self.stages)

    def check_sources(self) -> None:
        """Raise SourceChangedError if a file is no longer what it was when the run began. Nothing is kept under a key that is not its content's."""
        for scan in self._scans:
            scan.check_unchanged(self.memo)

    def need_whole(self, step: Step, *, needed_by: Step) -> None:
        """Raise what failed below a step whose rows are needed whole: nobody pays for a training or a summary of what is left."""
        below = {id(s) for s in step.walk()}
        raise_failures(needed_by, [stage for stage in self.stages if id(stage.step) in below])

    # Tables

    async def lazy(self, step: Step) -> pl.LazyFrame:
        """The rows of a step as a polars query; made once in a run, however many steps read them."""
        key = step.key(self.memo)
        if key not in self._tables:
            self._tables[key] = asyncio.create_task(self._lazy(step))
        return await self._tables[key]

    async def frame(self, step: Step) -> pl.DataFrame:
        """The rows of a step in memory (memory-mapped where they are stored)."""
        lazy = await self.lazy(step)
        return await asyncio.to_thread(lazy.collect, engine="in-memory")

    async def _lazy(self, step: Step) -> pl.LazyFrame:
        if isinstance(step, Source):
            if isinstance(step, Scan):
                self._scans.append(step)
            return step.lazy() if isinstance(step, Table) else await asyncio.to_thread(step.lazy)  # it may read files, or the Hub
        if (found := self.find(step)) is not None:
            return found
        if self._chain(step):
            return await kept(self, step, self._segment(step))
        if isinstance(step, TableStep):
            tables = await self.whole(step, step.inputs)
            await self._train_edges(step)
            rows_key = await cutoff.rows_key(self, step, tables)
            is_old = step.label not in self.options.refresh
            if is_old and (same := await asyncio.to_thread(cutoff.find_by_rows, self, step, rows_key)) is not None:
                rows = same.rows()
            else:
                stage = self._stage(step)
                rows = await step.run(tuple(tables), BatchContext(self, stage, 0))
                stage.stats.rows_in, stage.stats.rows = tables[0].height, rows.height
            return await kept(self, step, once(rows), rows_key) if self.worth.is_kept(step) else rows.lazy()
        if isinstance(step, RoundsStep):
            rows = await in_rounds(self, step)
            return await kept(self, step, once(rows)) if self.worth.is_kept(step) else rows.lazy()
        assert isinstance(step, PolarsStep), f"no engine shape for {type(step).__name__}"
        chain = adjacent(step, lambda s: s.key(self.memo) in self._shared or self.worth.is_kept(s) or self._has_row_step(s))
        query = await applied(chain, await every(*(self.lazy(i) for i in chain[0].inputs)))
        if self.worth.is_kept(step):
            rows = await asyncio.to_thread(query.collect, engine="in-memory")
            return await kept(self, step, once(rows))
        return query

    async def whole(self, step: Step, inputs: Sequence[Step]) -> tuple[pl.DataFrame, ...]:
        """All rows of a step's inputs that give rows. Raises what failed below them."""
        read = [i for i in inputs if not isinstance(i, ModelStep)]
        tables = await every(*(self.frame(i) for i in read))
        for i in read:
            self.need_whole(i, needed_by=step)
        self.check_sources()
        return tuple(tables)

    def is_stored(self, step: Step) -> bool:
        """Whether the output of a step is there. Reads no rows."""
        if self.stores.steps is None or not self._is_storable(step):
            return False
        key = step.key(self.memo)
        return self._finds[key] is not None if key in self._finds else self.stores.steps.has(key)

    def _is_storable(self, step: Step) -> bool:
        return not isinstance(step, (Source, ModelStep)) and self.worth.is_kept(step)

    def find(self, step: Step) -> pl.LazyFrame | None:
        """The stored output of a step, if it is worth storing and there."""
        if self.stores.steps is None or not self._is_storable(step):
            return None
        key = step.key(self.memo)
        if key not in self._finds:
            found = self.stores.steps.find(key, step.schema)
            self.stats.reused += found is not None
            self._finds[key] = None if found is None else found.rows().lazy()
        return self._finds.get(key)

    # Pipelines

    def _chain(self, step: Step) -> list[Step]:
        """The row steps and separable polars steps that run as one pipeline up to `step`, lowest first; empty if there is no row step."""
        chain: list[Step] = []
        if not self._has_row_step(step):
            return chain
        while step.is_streamed:
            if chain and self._begins_anew(step):
                break
            chain.append(step)
            step = step.inputs[0]
        while not isinstance(chain[-1], RowStep):
            chain.pop()  # polars steps at the bottom belong to the query that feeds the pipeline
        return chain[::-1]

    def _has_row_step(self, step: Step) -> bool:
        """Whether the pipeline up to a step holds a row step. Every step is looked at once, however long the plan is."""
        passed: list[Step] = []
        while (found := self._row_steps.get(id(step))) is None:
            passed.append(step)
            if isinstance(step, RowStep):
                found = True
                break
            if not step.is_streamed or self._begins_anew(step.inputs[0]):
                found = False
                break
            step = step.inputs[0]
        self._row_steps.update((id(s), found) for s in passed)
        return found

    def _begins_anew(self, step: Step) -> bool:
        """Whether a pipeline above a step reads its rows as they are stored, or made for several."""
        return step.key(self.memo) in self._shared or self.find(step) is not None

    async def _segment(self, step: Step) -> AsyncIterator[pl.DataFrame]:
        opened = await self.opened(step)
        assert opened is not None, f"{step.label}: no row step to run"
        in_memory = isinstance(opened.source, pl.DataFrame)
        async for rows in pipeline(opened.stages, batches_of(opened.source, opened.batch_rows), self, window=opened.window, in_memory=in_memory):
            yield rows

    async def opened(self, step: Step) -> Opened | None:
        """The pipeline that ends with a step, its models trained and its tables read; None if no row step is left to run."""
        chain = self._chain(step) if self.find(step) is None else []
        if not chain:
            return None
        base = chain[0].inputs[0]
        stages = [self._stage(s) for s in chain]
        source, *_ = await every(self.lazy(base), *(self._prepare(stage) for stage in stages))
        if not self._chain(base):  # else only rows that failed are missing: every other row goes on
            self.need_whole(base, needed_by=chain[0])
        if isinstance(base, Table):
            source = base.data
            for stage in stages:
                stage.stats.total = base.data.height
        widest = max(s.width for s in chain if isinstance(s, RowStep))
        window = max(4 * widest, 4 * self.options.batch_rows) if self._fit(chain) and self.options.mode != "batch" else sys.maxsize
        return Opened(stages, source, window, self.options.batch_rows)

    def _fit(self, chain: Sequence[Step]) -> bool:
        """Whether the models of a pipeline may be loaded together. Else each answers all rows before the next is loaded."""
        most = self.options.max_models
        return most is None or len({m.pool_key() for s in chain for m in _models_here(s)}) <= most

    async def _prepare(self, stage: Stage) -> None:
        """Train the models and collect the tables that a row step reads besides its rows."""
        step = stage.step
        assert isinstance(step, (RowStep, PolarsStep))
        await self._train_edges(step)
        tables = await self.whole(step, step.inputs[1:])
        if isinstance(step, RowStep):
            await step.prepare(tables, BatchContext(self, stage, 0))

    async def _train_edges(self, step: Step) -> None:
        await every(*(self.trainings.artefact(i) for i in step.inputs if isinstance(i, ModelStep)))

    def _stage(self, step: Step) -> Stage:
        seats().most = self.options.max_models
        llm = getattr(step, "llm", None)
        model = self._hides.text(llm.label) if llm is not None else ""
        stage = Stage(step, self.stats.step(self._hides.text(step.label), model=model, key=self.written_key(step)))
        stage.stats.is_refreshed = step.label in self.options.refresh
        self.stages.append(stage)
        return stage

    # What stages are lent

    async def ask(self, stage: Stage, question: Any, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:
        if id(question) not in self._asked:
            self._check_weights(stage.step, question)
        return await self.asking.ask(stage.stats, question, keys, prompts, samples, order)

    def _check_weights(self, step: Step, question: Any) -> None:
        """Raise SourceChangedError where weights were replaced after the step's key was taken: its answers would be kept as those of the old ones."""
        if isinstance(question.llm, OfWeights | Parallel) and step.key_now(self.memo) != step.key(self.memo):
            raise changed(question.llm, "that it asks")
        self._asked[id(question)] = question
    def clean(self, failure: Failure) -> Failure:
        """A failure without the plan's secrets."""
        return self._hides.value(failure)

    def resolve(self, llm: Any) -> Any:
        return llm.resolve(lambda model: self.trainings.trained[model.step.key(self.memo)])


def _models_here(step: Step) -> list[ModelSettings]:
    """The models of a step that are loaded in this process."""
    return [v for f in dataclasses.fields(step) if isinstance(v := getattr(step, f.name), ModelSettings) and hasattr(v, "unload")]


async def every(*awaited: Awaitable[Any]) -> list[Any]:
    """The results of all, in order. If one fails, the others still end first: what they ask is paid for."""
    results = await asyncio.gather(*awaited, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
