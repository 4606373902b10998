"""One run of a plan: cut it at what is stored, run the rest as polars queries and streaming pipelines, store what was paid for."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dreamframe.call import Failure, Replies
from dreamframe.errors import BudgetExceededError, OfflineError, RowsFailedError
from dreamframe.llms.base import Artefact, ModelSettings
from dreamframe.llms.residency import seats
from dreamframe.optimizer.limit import limit_down
from dreamframe.plan_secrets import plan_redactor
from dreamframe.redactor import Redactor
from dreamframe.run import cutoff
from dreamframe.run.asking import RunAsking
from dreamframe.run.garbage import rarely_collected
from dreamframe.run.options import RunOptions
from dreamframe.run.pipeline import BatchContext, Opened, Stage, batches_of, pipeline
from dreamframe.run.rounds import in_rounds
from dreamframe.run.spend import Spend
from dreamframe.run.stats import FailedRow, RunStats
from dreamframe.run.training import Trainings
from dreamframe.step import Memo, ModelStep, PolarsStep, RoundsStep, RowStep, Source, Step, TableStep
from dreamframe.steps.source import Scan, Table
from dreamframe.store.stores import Stores
from dreamframe.why_miss import on_record

CHUNK = 16_384  # rows of one Arrow record batch on disk


@dataclass
class Run:
    """One collect, write or fit. Lives in the event loop and is lent to the stages of its pipelines."""

    stores: Stores
    options: RunOptions = field(default_factory=RunOptions)
    stats: RunStats = field(default_factory=RunStats)
    knows: Redactor = field(default_factory=lambda: Redactor(()), repr=False)  # hides the secrets of earlier runs: one may be told after it changed

    def __post_init__(self) -> None:
        self.memo: Memo = {}
        spend = Spend(budget=self.options.budget, prices=self.options.prices, mode=self.options.mode)
        self.asking = RunAsking(self.stores.answers, self.stats, offline=self.options.offline, spend=spend)
        if self.options.mode == "batch":
            self.asking.in_batches(self.stores)
        self.trainings = Trainings(self)
        self._tables: dict[str, asyncio.Task[pl.LazyFrame]] = {}
        self._finds: dict[str, pl.LazyFrame | None] = {}
        self._stages: list[Stage] = []
        self._scans: list[Scan] = []
        self._hides = self.knows

    def hides(self, steps: Sequence[Step]) -> Redactor:
        """What takes the secrets of these plans out of all that this run says; those of a moment ago too, should one have changed meanwhile."""
        return plan_redactor(steps).over(self._hides)

    # What users' verbs call

    async def collect_all(self, steps: Sequence[Step]) -> list[pl.DataFrame]:
        """All rows of each step, in order. Raises RowsFailedError once every other row is done and kept."""
        async with self._running(steps):
            frames = await every(*(self.frame(self.planned(s)) for s in steps))
            self._finish(steps[-1])
        return frames

    async def fit(self, step: ModelStep) -> Artefact:
        """The folder of a trained model."""
        async with self._running([step]):
            return await self.trainings.artefact(step)

    async def batches(self, step: Step) -> AsyncIterator[pl.DataFrame]:
        """The rows of a step as they become ready, in order, without keeping them."""
        plan = self.planned(step)
        async with self._running([step]):
            if self.find(plan) is None and self._chain(plan):
                async for batch in self._segment(plan):
                    yield batch
            else:
                for batch in batches_of(await self.lazy(plan), CHUNK):
                    yield batch
            self._finish(step)

    def planned(self, step: Step) -> Step:
        """The plan as it will run. A stored step is a leaf: nothing moves in or out of it."""
        return limit_down(step, lambda s: self.find(s) is not None)

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
        self.stats.failures = [f for stage in self._stages for f in stage.failed_rows()]
        await asyncio.to_thread(self.stores.answers.flush)

    def _finish(self, step: Step) -> None:
        self.check_sources()
        self._raise_failures(step, self._stages)

    def check_sources(self) -> None:
        """Raise SourceChangedError if a file is no longer what it was when the run began. Nothing is kept under a key that is not its content's."""
        for scan in self._scans:
            scan.check_unchanged(self.memo)

    def need_whole(self, step: Step, *, needed_by: Step) -> None:
        """Raise what failed below a step whose rows are needed whole: nobody pays for a training or a summary of what is left."""
        below = {id(s) for s in step.walk()}
        self._raise_failures(needed_by, [stage for stage in self._stages if id(stage.step) in below])

    def _raise_failures(self, step: Step, stages: Sequence[Stage]) -> None:
        failed = [f for stage in stages for f in stage.failed_rows()]
        missing = [f for f in failed if f.failure.error == OfflineError.__name__]
        if missing:
            raise OfflineError(listing(f"{step.label}: offline, and {len(missing)} requests have no answer in the session", missing))
        unpaid = [f for f in failed if f.failure.error == BudgetExceededError.__name__]
        if unpaid:
            what = f"{step.label}: {len(unpaid)} rows were not asked. Every answer is kept; with more budget, only these are asked"
            raise BudgetExceededError(listing(what, unpaid))
        raising = [f for stage in stages if getattr(stage.step, "on_error", "") == "raise" for f in stage.failed_rows()]
        if raising:
            total = max((len_of(stage) for stage in stages if stage.failed), default=0)
            what = f"{step.label}: {len(raising)} of {total} rows failed. Every other answer is kept; running again asks only these"
            raise RowsFailedError(listing(what, raising), [f.as_dict() for f in raising])

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
            return await self._kept(step, self._segment(step))
        if isinstance(step, TableStep):
            tables = await self.whole(step, step.inputs)
            await self._train_edges(step)
            rows_key = await cutoff.rows_key(self, step, tables)
            if (same := await asyncio.to_thread(cutoff.find_by_rows, self, rows_key)) is not None:
                rows = _typed(same.rows(), step)
            else:
                stage = self._stage(step)
                rows = await step.run(tuple(tables), BatchContext(self, stage, 0))
                stage.stats.rows_in, stage.stats.rows = tables[0].height, rows.height
            return await self._kept(step, _once(rows), rows_key) if is_expensive(step) else rows.lazy()
        if isinstance(step, RoundsStep):
            rows = await in_rounds(self, step)
            return await self._kept(step, _once(rows)) if is_expensive(step) else rows.lazy()
        assert isinstance(step, PolarsStep), f"no engine shape for {type(step).__name__}"
        query = step.apply(*await every(*(self.lazy(i) for i in step.inputs)))
        if is_expensive(step):
            rows = await asyncio.to_thread(query.collect, engine="in-memory")
            return await self._kept(step, _once(rows))
        return query

    async def whole(self, step: Step, inputs: Sequence[Step]) -> tuple[pl.DataFrame, ...]:
        """All rows of a step's inputs that give rows. Raises what failed below them."""
        read = [i for i in inputs if not isinstance(i, ModelStep)]
        tables = await every(*(self.frame(i) for i in read))
        for i in read:
            self.need_whole(i, needed_by=step)
        self.check_sources()
        return tuple(tables)

    def find(self, step: Step) -> pl.LazyFrame | None:
        """The stored output of a step, if it is worth storing and there."""
        if self.stores.steps is None or isinstance(step, (Source, ModelStep)) or not is_expensive(step):
            return None
        key = step.key(self.memo)
        if key not in self._finds:
            found = self.stores.steps.find(key)
            self.stats.reused += found is not None
            self._finds[key] = None if found is None else _typed(found.rows(), step).lazy()
        return self._finds.get(key)

    async def _kept(self, step: Step, batches: AsyncIterator[pl.DataFrame], rows_key: str | None = None) -> pl.LazyFrame:
        """Drain batches into the step store, or into memory where there is none, and give the whole.

        An output with failed rows is not a finished step: it serves this run and is then forgotten, so that the next run asks again.
        """
        if self.stores.steps is None or not is_expensive(step):
            frames = [b async for b in batches]
            return pl.concat([pl.DataFrame(schema=step.schema), *frames]).lazy()
        key, began = step.key(self.memo), time.time()
        writer = await asyncio.to_thread(self.stores.steps.writer, key, step.label, step.schema)
        try:
            n_rows = 0
            async for chunk in _chunked(batches):
                n_rows += chunk.height
                await asyncio.to_thread(writer.write, chunk)
            if any(stage.failed for stage in self._stages):
                return _typed(await asyncio.to_thread(writer.discard), step).lazy()
            self.check_sources()
            record = {**self._record(step, n_rows=n_rows, began=began), **({"rows_key": rows_key} if rows_key else {})}
            found = await asyncio.to_thread(writer.commit, record)
        except BaseException:
            await asyncio.to_thread(writer.abort)
            raise
        return _typed(found.rows(), step).lazy()

    def _record(self, step: Step, *, n_rows: int, began: float) -> dict[str, Any]:
        """What step.json says of a stored output."""
        return {
            "step": type(step).__name__,
            "describe": self._hides.text(step.describe()),
            "parents": [i.key(self.memo) for i in step.inputs],
            "plan": on_record(step, self.memo),
            "schema": {name: str(dtype) for name, dtype in step.schema.items()},
            "rows": n_rows,
            "calls": self.stats.calls,
            "tokens_in": sum(s.n_in for s in self.stats.steps),
            "tokens_out": sum(s.n_out for s in self.stats.steps),
            "steps": self.stats.step_events({s.key(self.memo) for s in step.walk()}),
            "began": began,
            "took_s": time.time() - began,
        }

    # Pipelines

    def _chain(self, step: Step) -> list[Step]:
        """The row steps and separable polars steps that run as one pipeline up to `step`, lowest first; empty if there is no row step."""
        chain: list[Step] = []
        while isinstance(step, RowStep) or (isinstance(step, PolarsStep) and step.is_separable):
            if chain and self.find(step) is not None:
                break
            chain.append(step)
            step = step.inputs[0]
        while chain and not isinstance(chain[-1], RowStep):
            chain.pop()  # polars steps at the bottom belong to the query that feeds the pipeline
        return chain[::-1]

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
        stage = Stage(step, self.stats.step(self._hides.text(step.label), model=model, key=step.key(self.memo)))
        self._stages.append(stage)
        return stage

    # What stages are lent

    async def ask(self, stage: Stage, question: Any, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:
        return await self.asking.ask(stage.stats, question, keys, prompts, samples, order)

    def clean(self, failure: Failure) -> Failure:
        """A failure without the plan's secrets."""
        return self._hides.value(failure)

    def resolve(self, llm: Any) -> Any:
        return llm.resolve(lambda model: self.trainings.trained[model.step.key(self.memo)])


def _models_here(step: Step) -> list[ModelSettings]:
    """The models of a step that are loaded in this process."""
    return [v for f in dataclasses.fields(step) if isinstance(v := getattr(step, f.name), ModelSettings) and hasattr(v, "unload")]


def is_expensive(step: Step) -> bool:
    """Whether a model or a user's function had a hand in it, so that its rows are worth keeping, and whether its key tells all that they depend on."""
    below = step.walk()
    return any(s.is_expensive for s in below) and not any(s.reads_files for s in below)


def len_of(stage: Stage) -> int:
    return sum(stage.heights.values())


def listing(what: str, failed: Sequence[FailedRow], *, most: int = 3) -> str:
    """A message that counts the failures by kind and shows the first few."""
    kinds: dict[str, int] = {}
    for f in failed:
        kinds[f.failure.error] = kinds.get(f.failure.error, 0) + 1
    counts = ", ".join(f"{n} × {kind}" for kind, n in sorted(kinds.items(), key=lambda k: -k[1]))
    shown = [f"  row {f.row} of {f.step}: {f.failure.error}: {_cut(f.failure.message)}\n    asked: {_cut(f.failure.request, 120)}" for f in failed[:most]]
    more = [f"  … and {len(failed) - most} more: df.failures() has them all"] if len(failed) > most else []
    return "\n".join([f"{what} ({counts}).", *shown, *more])


def _cut(text: str, most: int = 200) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _typed(frame: pl.DataFrame, step: Step) -> pl.DataFrame:
    """Stored rows as a frame of exactly the step's types (Arrow has no Enum of polars' kind)."""
    return frame if frame.schema == step.schema else frame.cast(dict(step.schema))  # type: ignore[arg-type]


async def _once(rows: pl.DataFrame) -> AsyncIterator[pl.DataFrame]:
    yield rows


async def every(*awaited: Awaitable[Any]) -> list[Any]:
    """The results of all, in order. If one fails, the others still end first: what they ask is paid for."""
    results = await asyncio.gather(*awaited, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


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
