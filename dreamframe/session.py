"""The session: the folder where everything that was paid for is kept, and the settings that runs share."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import queue
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.llms.base import Artefact
from dreamframe.optimizer.limit import limit_down
from dreamframe.redactor import Redactor
from dreamframe.run import loop
from dreamframe.run.options import Mode, RunOptions
from dreamframe.run.progress import Progress, summary
from dreamframe.run.spend import prices_of
from dreamframe.run.stats import FailedRow, RunStats
from dreamframe.session_care import HasStep, SessionCare
from dreamframe.step import ModelStep, Step
from dreamframe.visible import visible
from dreamframe.why_miss import why_miss

if TYPE_CHECKING:  # imported when a plan runs: building one needs neither Arrow nor the engine
    from dreamframe.run.execute import Run
    from dreamframe.session_diff import SessionDiff
    from dreamframe.store.stores import Stores


DEFAULT_FOLDER = ".dreamframe"
ENGINES = ("local",)
FAILURE_SCHEMA = {"step": pl.String, "row": pl.Int64, "column": pl.String, "error": pl.String, "message": pl.String}
FAILURE_SCHEMA |= {"request": pl.String, "attempts": pl.Int64, "text": pl.String}

_active: contextvars.ContextVar[Session | None] = contextvars.ContextVar("dreamframe_session", default=None)
_defaults: dict[Path, Session] = {}


class Session(SessionCare):
    """A folder of answers, step outputs and models, and how runs behave while it is active.

    `dr.Session("./output")` keeps everything in the folder: a second run of the same script makes no call and trains nothing. `dr.Session(None)`
    keeps everything in memory. Without any session, the folder is `./.dreamframe`.

    `budget` is in US dollars and covers the session object's life: a run stops before a call that could pass it, with everything kept. `prices` go over
    the list prices that are known, by "provider/model" or model: (input, output), or with what input costs that the provider's cache had, and keeps,
    (input, output, cached, written); US dollars for a million tokens.
    `offline=True` allows no call at all; `progress` shows bars (default: when
    standard error is a terminal or a notebook). Models of this process stay loaded until another needs their memory; with `max_models_in_memory`
    no more than so many are loaded at once, and steps whose models do not fit together run one after the other. With `keep_script=True` each plan that is
    kept from then on comes with the script or notebook that ran it, in `scripts/`: without keys, passwords and paths, as far as its syntax tree tells them.

    >>> with dr.Session(None) as session:
    ...     _ = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}").collect()
    ...     session.usage()["calls"]
    1
    """

    def __init__(
        self,
        folder: str | Path | None = DEFAULT_FOLDER,
        *,
        engine: str = "local",
        budget: float | None = None,
        prices: Mapping[str, Any] | None = None,
        offline: bool = False,
        progress: bool | None = None,
        batch_rows: int = 128,
        max_models_in_memory: int | None = None,
        keep_script: bool = False,
    ) -> None:
        if engine not in ENGINES:
            raise SettingError(f"Session: engine={engine!r} is not one of {', '.join(map(repr, ENGINES))}.")
        if batch_rows < 1:
            raise SettingError(f"Session: batch_rows={batch_rows}; a batch has one row or more.")
        if max_models_in_memory is not None and max_models_in_memory < 1:
            raise SettingError(f"Session: max_models_in_memory={max_models_in_memory}; give 1 or more, or None for as many as memory holds.")
        self.folder = None if folder is None else Path(folder).absolute()
        self._options = RunOptions(offline=offline, budget=budget, prices=prices_of(prices), batch_rows=batch_rows, max_models=max_models_in_memory)
        self._progress, self._keep_script = progress, keep_script
        self._stores: Stores | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None
        self._tokens: list[contextvars.Token[Session | None]] = []
        self._failures: dict[str, list[FailedRow]] = {}
        self.runs: list[RunStats] = []  # of this object, in order
        self._hides = Redactor(())  # the secrets of its runs so far

    # Life

    @property
    def stores(self) -> Stores:
        """The stores, opened at first use. Raises SessionFormatError for a folder of a newer dreamframe."""
        if self._stores is None:
            from dreamframe.store.stores import open_stores

            if self.folder is None:
                self._scratch = tempfile.TemporaryDirectory(prefix="dreamframe-")
            self._stores = open_stores(self.folder, scratch=Path(self._scratch.name) if self._scratch else None)
        return self._stores

    def close(self) -> None:
        """Write what is pending and let go of the folder. A closed session opens again at its next use."""
        if self._stores is not None:
            self._stores.close()
            self._stores = None
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None

    def __enter__(self) -> Session:
        self.stores  # noqa: B018  a folder that cannot be used fails here, and is then nobody's active session
        self._tokens.append(_active.set(self))
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        _active.reset(self._tokens.pop())
        if not self._tokens and self.folder is not None:
            self.close()

    @property
    def is_offline(self) -> bool:
        """Whether nothing may leave this machine."""
        return self._options.offline

    # Running

    def _run(self, *, offline: bool | None = None, mode: Mode = "calls") -> Run:
        if mode not in ("calls", "batch"):
            raise SettingError(f"collect: mode={mode!r} is not one of 'calls', 'batch'.")
        options = replace(self._options, mode=mode, offline=self._options.offline if offline is None else offline, budget=self._budget_left())
        run = self._run_with(options)
        self.runs.append(run.stats)
        return run

    def _run_with(self, options: RunOptions) -> Run:
        from dreamframe.run.execute import Run

        return Run(self.stores, options, knows=self._hides)

    def _budget_left(self) -> float | None:
        if self._options.budget is None:
            return None
        return self._options.budget - sum(s.cost or 0.0 for run in self.runs for s in run.steps)

    def collect(self, step: Step, *, offline: bool | None = None, mode: Mode = "calls") -> pl.DataFrame:
        """Run a plan and give its rows."""
        return self.collect_all([step], offline=offline, mode=mode)[0]

    def collect_all(self, steps: Sequence[Step], *, offline: bool | None = None, mode: Mode = "calls") -> list[pl.DataFrame]:
        """Run several plans as one run."""
        run = self._run(offline=offline, mode=mode)
        with Progress(run.stats, self._progress):
            try:
                return loop.run(run.collect_all(steps))
            except KeyboardInterrupt as exc:
                exc.add_note(f"dreamframe: {run.stats.calls:,} answers came back and are kept; running again asks for the rest.")
                raise
            finally:
                self._note(steps, run)

    async def collect_async(self, step: Step, *, offline: bool | None = None) -> pl.DataFrame:
        """Run a plan without blocking the caller's event loop."""
        run = self._run(offline=offline)
        try:
            return (await loop.run_from(run.collect_all([step])))[0]
        finally:
            self._note([step], run)

    def batches(self, step: Step) -> Iterator[pl.DataFrame]:
        """Run a plan and give its rows batch by batch; at most a few finished batches wait for the caller."""
        run = self._run()
        ready: queue.Queue[pl.DataFrame | BaseException | None] = queue.Queue(maxsize=4)
        pump = loop.start(_pump(run.batches(step), ready))
        try:
            while (item := _next(ready)) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            pump.cancel()
            self._note([step], run)

    def fit(self, step: ModelStep) -> Artefact:
        """Train a model, unless it was trained before."""
        run = self._run()
        with Progress(run.stats, self._progress):
            try:
                return loop.run(run.fit(step))
            finally:
                self._note([step], run)

    def planned(self, step: Step) -> Step:
        """The plan as it would run now. Looks at a folder that is there, and makes none."""
        if self._stores is None and (self.folder is None or not self.folder.exists()):
            return limit_down(step, lambda _: False)
        return self._run_with(self._options).planned(step)

    def _note(self, steps: Sequence[Step], run: Run) -> None:
        self._hides = run.hides(steps)
        for step in steps:
            self._failures[step.key(run.memo)] = run.stats.failures
        if self._stores is not None:
            self._stores.log.write(self._hides.value(run.stats.events()))
            from dreamframe.kept_plans import keep as keep_plan  # written when a plan has run: building one needs no Arrow

            for step in steps:
                keep_plan(self._stores, step, run.memo, keep_script=self._keep_script)

    # Looking

    def failures(self, step: Step) -> pl.DataFrame:
        """The failed rows of a plan's last run in this session."""
        failed = self._failures.get(step.key({}), [])
        return pl.DataFrame([f.as_dict() for f in failed], schema=FAILURE_SCHEMA)

    def usage(self) -> dict[str, Any]:
        """What this session object has used: calls, answers from the journal, tokens, cost in US dollars (None where a price is not known), trainings,
        stored outputs reused."""
        steps = [s for run in self.runs for s in run.steps]
        return {
            "calls": sum(s.asked for s in steps),
            "from_cache": sum(s.cached for s in steps),
            "tokens_in": sum(s.n_in for s in steps),
            "tokens_out": sum(s.n_out for s in steps),
            "tokens_cached": sum(s.n_cached for s in steps),
            "tokens_reasoning": sum(s.n_reasoning for s in steps),
            "cost": None if any(s.cost is None for s in steps) else sum(s.cost or 0.0 for s in steps),
            "failed": sum(s.failed for s in steps),
            "trained": sum(run.trained for run in self.runs),
            "reused": sum(run.reused for run in self.runs),
        }

    def summary(self) -> str:
        """What this session object has done, in one line: calls, answers from the session, trainings, failed rows.

        >>> dr.Session(None).summary()
        '0 model calls, 0 answers from the session, trained nothing'
        """
        whole = RunStats(steps=[s for run in self.runs for s in run.steps])
        whole.trained, whole.reused = sum(run.trained for run in self.runs), sum(run.reused for run in self.runs)
        return summary(whole)

    def training_record(self, step: ModelStep) -> dict[str, Any]:
        """What training.json says of a model; trains it if need be."""
        return self.stores.models.record(self.fit(step).key)

    def why_miss(self, frame: HasStep) -> str:
        """Say which parts of a frame's key differ from those of the nearest stored output. Runs nothing.

        >>> frame = dr.frame({"t": ["tea"]})
        >>> with dr.Session("./output") as session:
        ...     _ = frame.prompt(dr.testing.Echo(), "Sum up {t}", into="sum").collect()
        ...     print(session.why_miss(frame.prompt(dr.testing.Echo(), "Shorten {t}", into="sum")).partition("differs:")[2].strip())
        PROMPT sum ← echo 'Shorten {t}': prompt (was: PROMPT sum ← echo 'Sum up {t}')
        """
        from dreamframe.run.execute import is_expensive

        run = self._run_with(self._options)
        plan = run.planned(frame.step)
        if run.stores.steps is None:
            return "A session in memory stores no outputs of steps; the answers of models are found again one by one."
        if isinstance(plan, ModelStep):
            return "A model is found by its settings and the content of its rows: it is trained again only if one of them differs."
        if not is_expensive(plan):
            return "This plan is never stored: no model and no function of yours has a part in it, or it reads files that its rows name."
        return why_miss(plan, run.memo, self.steps())

    def diff(self, other: Session) -> SessionDiff:
        """What differs here from another session: changed steps, flipped rows, metrics of models and what was spent. Runs nothing.

        >>> rows = dr.frame({"t": ["tea", "jam"]})
        >>> with dr.Session("./before") as before:
        ...     _ = rows.prompt(dr.testing.Echo(), "{t}!", into="a", name="said").collect()
        >>> with dr.Session("./after") as after:
        ...     _ = rows.prompt(dr.testing.Echo(), "{t}?", into="a", name="said").collect()
        >>> after.diff(before).steps
        ["PROMPT a ← echo '{t}?': prompt (was: PROMPT a ← echo '{t}!')"]
        >>> after.diff(before).rows.select("row", "before", "after").rows()
        [(0, 'tea!', 'tea?'), (1, 'jam!', 'jam?')]
        """
        from dreamframe.session_diff import diff

        return diff(self, other)

    def steps(self) -> list[dict[str, Any]]:
        """The records of all step outputs in the folder."""
        return [] if self.stores.steps is None else self.stores.steps.all()

    def __repr__(self) -> str:
        return f"Session({'in memory' if self.folder is None else visible(repr(str(self.folder)))})"


def _next(ready: queue.Queue[Any]) -> Any:
    """The next item, awaited in short turns so that Ctrl-C is noticed."""
    while True:
        try:
            return ready.get(timeout=loop.SIGNAL_S)
        except queue.Empty:
            continue


async def _pump(batches: AsyncIterator[pl.DataFrame], ready: queue.Queue[Any]) -> None:
    """Hand batches to a waiting thread; stops asking for more while the queue is full."""
    try:
        async for batch in batches:
            await asyncio.to_thread(ready.put, batch)
        await asyncio.to_thread(ready.put, None)
    except Exception as exc:  # noqa: BLE001  handed over: the thread that reads raises it
        await asyncio.to_thread(ready.put, exc)


def current() -> Session:
    """The active session, or the default one of the working directory."""
    active = _active.get()
    if active is not None:
        return active
    folder = Path(DEFAULT_FOLDER).absolute()
    if folder not in _defaults:
        _defaults[folder] = Session(folder)
    return _defaults[folder]


def _close_defaults() -> None:
    for session in _defaults.values():
        session.close()


atexit.register(_close_defaults)
