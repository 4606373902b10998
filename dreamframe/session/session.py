"""The session: the folder where everything that was paid for is kept, and the settings that runs share."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import shutil
import tempfile
import threading
import warnings
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

import polars as pl

from dreamframe.errors import DreamframeError, RowsFailedError, SettingError, StorageError
from dreamframe.models.base import Artefact
from dreamframe.plan.compare import why_miss
from dreamframe.plan.optimizer.limit import limits_down
from dreamframe.plan.step import ModelStep, Step
from dreamframe.redaction.redactor import Redactor
from dreamframe.redaction.visible import harmless, in_line, visible
from dreamframe.run import active, loop
from dreamframe.run.calls.spend import prices_of
from dreamframe.run.engines.base import Engine, check_engine
from dreamframe.run.options import Mode, Purse, Retry, RunOptions, check_retry, names_to_refresh
from dreamframe.run.progress import Progress, summary
from dreamframe.run.stats import FailedRow, RunStats
from dreamframe.session.folder import HasStep, SessionCare

if TYPE_CHECKING:  # imported when a plan runs: building one needs neither Arrow nor the engine
    from dreamframe.run.events import Events
    from dreamframe.run.execute import Run
    from dreamframe.session.diff import SessionDiff
    from dreamframe.store.stores import Stores

T = TypeVar("T")
DEFAULT_FOLDER = ".dreamframe"
FAILURE_SCHEMA = {"step": pl.String, "row": pl.Int64, "column": pl.String, "error": pl.String, "message": pl.String}
FAILURE_SCHEMA |= {"request": pl.String, "attempts": pl.Int64, "text": pl.String}

_defaults: dict[Path, Session] = {}


class Session(SessionCare):
    """A folder of answers, step outputs and models, and how runs behave while it is active.

    `dr.Session("./output")` keeps everything in the folder: a second run of the same script makes no call and trains nothing. `dr.Session(None)`
    keeps everything in memory. Without any session, the folder is `./.dreamframe`.

    `engine` says where rows run: "local" is this process; an object that is a `dreamframe.run.engines.base.Engine` is one of your own.
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
        engine: str | Engine = "local",
        budget: float | None = None,
        prices: Mapping[str, Any] | None = None,
        offline: bool = False,
        progress: bool | None = None,
        batch_rows: int = 128,
        max_models_in_memory: int | None = None,
        keep_script: bool = False,
    ) -> None:
        check_engine(engine)
        if batch_rows < 1:
            raise SettingError(f"Session: batch_rows={batch_rows}; a batch has one row or more.")
        if max_models_in_memory is not None and max_models_in_memory < 1:
            raise SettingError(f"Session: max_models_in_memory={max_models_in_memory}; give 1 or more, or None for as many as memory holds.")
        self.folder = None if folder is None else Path(folder).absolute()
        self._options = RunOptions(
            offline=offline, purse=Purse(budget), prices=prices_of(prices), batch_rows=batch_rows, engine=engine, max_models=max_models_in_memory
        )
        self._progress, self._keep_script = progress, keep_script
        self._stores: Stores | None = None
        self._scratch: weakref.finalize[..., Any] | None = None  # removes the folder of models that a session in memory trains
        self._lock = threading.RLock()  # the folder is opened and closed once, whatever thread comes first
        self._n_holders = 0  # `with` blocks and runs that have not ended
        self._was_left = False
        self._failed: WeakKeyDictionary[Step, list[FailedRow]] = WeakKeyDictionary()  # by plan, as the user has it
        self._failures: dict[str, list[FailedRow]] = {}  # and by key, for one that was built again
        self.runs: list[RunStats] = []  # of this object, in order
        self._hides = Redactor(())  # the secrets of its runs so far

    # Life

    @property
    def stores(self) -> Stores:
        """The stores, opened at first use. Raises SessionFormatError for a folder of a newer dreamframe."""
        loop.check_not_forked()
        with self._lock:
            if self._stores is None:
                from dreamframe.store.stores import open_stores

                scratch = None
                if self.folder is None:
                    scratch = tempfile.mkdtemp(prefix="dreamframe-")
                    self._scratch = weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
                self._stores = open_stores(self.folder, scratch=None if scratch is None else Path(scratch))
            return self._stores

    def close(self) -> None:
        """Write what is pending and let go of the folder. A closed session opens again at its next use."""
        with self._lock:
            stores, self._stores = self._stores, None
            scratch, self._scratch = self._scratch, None
            try:
                if stores is not None:
                    stores.close()
            finally:
                if scratch is not None:
                    scratch()

    def __enter__(self) -> Session:
        self.stores  # noqa: B018  a folder that cannot be used fails here, and is then nobody's active session
        with self._lock:
            self._n_holders += 1
        active.enter(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        active.leave(self)
        self._was_left = True
        self._let_go()

    def _let_go(self) -> None:
        """One `with` or run less. After the last one a session that was left closes its folder; one in memory keeps its rows as long as somebody has it."""
        with self._lock:
            self._n_holders -= 1
            if self._n_holders or not self._was_left or self._stores is None:
                return
            if self.folder is not None:
                self.close()
            else:
                self._stores.rest()

    @property
    def is_offline(self) -> bool:
        """Whether nothing may leave this machine."""
        return self._options.offline

    # Running

    def _run(self, *, offline: bool | None = None, mode: Mode = "calls", **more: Any) -> Run:
        if mode not in ("calls", "batch"):
            raise SettingError(f"collect: mode={mode!r} is not one of 'calls', 'batch'.")
        options = replace(self._options, mode=mode, offline=self._options.offline if offline is None else offline, **more)
        run = self._run_with(options)
        self.runs.append(run.stats)
        return run

    def _run_with(self, options: RunOptions) -> Run:
        from dreamframe.run.execute import Run

        return Run(self.stores, options, knows=self._hides)

    @contextlib.contextmanager
    def _holding(self) -> Iterator[None]:
        """Keep the folder open meanwhile, also when the `with` ends."""
        with self._lock:
            self._n_holders += 1
        try:
            yield
        finally:
            self._let_go()

    async def _whole(self, steps: Sequence[Step], run: Run, work: Callable[[], Awaitable[T]]) -> T:
        """What a run does in the loop, with its records written when it ends, however it does: whoever waited for it may be gone."""
        from dreamframe.run.events import Events

        with self._lock:
            self._n_holders += 1
        events = Events(steps, run.state)
        try:
            async with events.as_they_happen():
                return await work()
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as exc:
            harmless(exc)
            raise
        finally:
            await asyncio.shield(asyncio.to_thread(self._ended, steps, run, events))

    def _ended(self, steps: Sequence[Step], run: Run, events: Events) -> None:
        try:
            self._note(steps, run, events)
        finally:
            self._let_go()

    def collect(self, step: Step, **settings: Any) -> pl.DataFrame:
        """Run a plan and give its rows; settings as of `collect_all`."""
        return self.collect_all([step], **settings)[0]

    def collect_all(
        self, steps: Sequence[Step], *, offline: bool | None = None, mode: Mode = "calls", retry: Retry | None = None, refresh: Sequence[str] = ()
    ) -> list[pl.DataFrame]:
        """Run several plans as one run; `retry` and `refresh` as of `df.collect`."""
        check_retry(retry)
        options: dict[str, Any] = {"offline": offline, "mode": mode, "refresh": names_to_refresh(steps, refresh)}
        with self._holding():
            run = self._run(**options, retry=retry)
            if retry is None:
                return self._collect(steps, run)
            try:
                rows = self._collect(steps, run)
            except RowsFailedError:
                if not run.unreadable:
                    raise
            else:
                if not run.unreadable:
                    return rows
            return self._collect(steps, self._run(**options, renew=run.unreadable))

    def _collect(self, steps: Sequence[Step], run: Run) -> list[pl.DataFrame]:
        with Progress(run.stats, self._progress):
            try:
                return loop.run(self._whole(steps, run, lambda: run.collect_all(steps)))
            except KeyboardInterrupt as exc:
                exc.add_note(f"dreamframe: {run.stats.calls:,} answers came back and are kept; running again asks for the rest.")
                raise

    async def collect_async(self, step: Step, *, offline: bool | None = None) -> pl.DataFrame:
        """Run a plan without blocking the caller's event loop."""
        with self._holding():
            run = self._run(offline=offline)
            return (await loop.run_from(self._whole([step], run, lambda: run.collect_all([step]))))[0]

    def batches(self, step: Step) -> Iterator[pl.DataFrame]:
        """Run a plan and give its rows batch by batch; at most a few finished batches wait for the caller."""
        with self._holding():
            run = self._run()
            handed = loop.Handover[pl.DataFrame](lambda: run.batches(step))
            job = loop.Job(self._whole([step], run, handed.fill))
            try:
                yield from handed.taken(job)
            finally:
                job.cancel()

    def fit(self, step: ModelStep) -> Artefact:
        """Train a model, unless it was trained before."""
        with self._holding():
            run = self._run()
            with Progress(run.stats, self._progress):
                return loop.run(self._whole([step], run, lambda: run.fit(step)))

    def planned(self, step: Step) -> Step:
        """The plan as it would run now. Looks at a folder that is there, and makes none."""
        if self._stores is None and (self.folder is None or not self.folder.exists()):
            return limits_down([step], lambda _: False, id)[0]
        return self._run_with(self._options).planned(step)[0]

    def _note(self, steps: Sequence[Step], run: Run, events: Events) -> None:
        """Write down what a run did. A disk that refuses is warned of, and nothing else: the rows, or the error, are what was asked for."""
        from dreamframe.session.plans import keep as keep_plan  # written when a plan has run: building one needs no Arrow

        self._hides = run.hides(steps)
        for step in steps:
            self._failed[step] = run.stats.failures
            active.remember(step, self)
        try:
            self._failures.update({step.key(run.memo): run.stats.failures for step in steps})
        except DreamframeError:
            events.close()
            return  # the run has said so: a plan without a key, or whose files are gone, has run nothing
        try:
            events.end(self._hides)
        except (StorageError, OSError) as exc:
            warnings.warn(f"what this run did was not noted in {self!r} ({type(exc).__name__}: {exc}); its rows and answers are not touched", stacklevel=2)
        for step in steps:
            keep_plan(run.stores, step, run.memo, keep_script=self._keep_script)

    # Looking

    def failures(self, step: Step) -> pl.DataFrame:
        """The failed rows of a plan's last run in this session."""
        failed = self._failed.get(step)
        if failed is None:
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
        from dreamframe.run.worth import Worth

        run = self._run_with(self._options)
        (plan,) = run.planned(frame.step)
        if not run.stores.steps.keeps:
            return "A session in memory stores no outputs of steps; the answers of models are found again one by one."
        if isinstance(plan, ModelStep):
            return "A model is found by its settings and the content of its rows: it is trained again only if one of them differs."
        if not Worth().is_kept(plan):
            return "This plan is never stored: no model and no function of yours has a part in it, or it reads files that its rows name or a function opens."
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
        from dreamframe.session.diff import diff

        return diff(self, other)

    def steps(self) -> list[dict[str, Any]]:
        """The records of all step outputs in the folder."""
        return self.stores.steps.all()

    def __repr__(self) -> str:
        return f"Session({'in memory' if self.folder is None else visible(repr(str(self.folder)))})"


def current(*plans: Step) -> Session:
    """The active session; else the one in which these plans, or the nearest part of them, ran last; else the default one of the working directory."""
    innermost: Session | None = active.active()
    if innermost is not None:
        return innermost
    for plan in plans:
        found: Session | None = active.last_of(plan)
        if found is not None:
            if found is not _defaults.get(found.folder or Path()):
                active.tell_once(f"no session is active: {in_line(plan.label)} is read from {found!r}, where it ran last")
            return found
    folder = Path(DEFAULT_FOLDER).absolute()
    return _defaults.setdefault(folder, Session(folder))


def _close_defaults() -> None:
    for session in _defaults.values():
        session.close()


atexit.register(_close_defaults)
