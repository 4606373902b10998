"""The runs of one session: begun with its settings, shown while they go on, written down when they end."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args
from weakref import WeakKeyDictionary, ref

import polars as pl

from dreamframe.errors import DreamframeError, OfflineError, RowsFailedError, SettingError, StorageError, one_of
from dreamframe.models.base import Artefact
from dreamframe.models.habits import described
from dreamframe.plan.estimate import Looked
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.optimizer.rules import chosen, optimise
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import ModelStep, Step
from dreamframe.redaction.redactor import Redactor
from dreamframe.redaction.visible import harmless
from dreamframe.run import active, loop
from dreamframe.run.options import Mode, Purse, Retry, RunOptions, names_to_refresh
from dreamframe.run.progress import Progress
from dreamframe.run.stats import FailedRow, RunStats
from dreamframe.session.opening import Opening
from dreamframe.session.ranks import Together

if TYPE_CHECKING:  # imported when a plan runs: building one needs neither Arrow nor the engine
    from dreamframe.run.events import Events
    from dreamframe.run.execute import Run
    from dreamframe.run.spans import RunSpans
    from dreamframe.run.why.story import RowStory
    from dreamframe.store.stores import Stores

T = TypeVar("T")
Telemetry = bool | Literal["content"]
FAILURE_SCHEMA = {"step": pl.String, "row": pl.Int64, "column": pl.String, "error": pl.String, "message": pl.String}
FAILURE_SCHEMA |= {"request": pl.String, "attempts": pl.Int64, "answer": pl.String}


class Running:
    """What the runs of a session share, and what they did."""

    def __init__(
        self, session: active.ActiveSession, opening: Opening, options: RunOptions, *, progress: bool | None, keep_script: bool, telemetry: Telemetry = False
    ) -> None:
        self._session = ref(session)  # which holds this
        self.opening, self.options = opening, options
        self.together = Together(opening.folder)
        opening.follows = self.together.follows
        self._progress, self._keep_script = progress, keep_script
        self._failed: WeakKeyDictionary[Step, list[FailedRow]] = WeakKeyDictionary()  # by plan, as the user has it
        self._failures: dict[str, list[FailedRow]] = {}  # and by key, for one that was built again
        self.stats: list[RunStats] = []  # in order
        self.results: dict[str, pl.DataFrame] = {}  # what verbs put down, by key
        self._hides = Redactor(())  # the secrets of the runs so far
        self._spans: Callable[[], RunSpans] | None = None
        if telemetry:
            from dreamframe.run.spans import RunSpans

            self._spans = partial(RunSpans, has_content=telemetry == "content")

    @property
    def hides(self) -> Redactor:
        """What hides the secrets of the runs so far."""
        return self._hides

    def begin(self, *, offline: bool | None = None, mode: Mode = "calls", at_most: float | None = None, **more: Any) -> Run:
        """A run that counts as one of the session's. `at_most`: US dollars that it may spend of what the session may."""
        if at_most is not None:
            more["purse"] = Purse(at_most, part_of=self.options.purse)
        one_of(mode, get_args(Mode), "mode", where="collect")
        chosen(more.get("optimize", True))
        spans = None if self._spans is None else self._spans()
        run = self.look(mode=mode, offline=self.options.offline if offline is None else offline, spans=spans, **more)
        self.stats.append(run.stats)
        return run

    def look(self, **changes: Any) -> Run:
        """A run that nobody counts: it looks at what is stored."""
        from dreamframe.run.execute import Run

        return Run(self.opening.stores, replace(self.options, **changes), knows=self._hides)

    def looked(self, step: Step, optimize: Optimize) -> Looked:
        """A plan as it would run, and what of it is kept. Looks at a folder that is there, and makes none."""
        rules = chosen(optimize)
        if not self.opening.is_there:
            made = optimise([step], rules=rules)
            return Looked(made.plans, {}, made=made)
        from dreamframe.run.states import states

        with self.opening.held():
            return loop.run(states(self.opening.stores, replace(self.options, optimize=optimize), step, knows=self._hides))

    def estimate(self, steps: Sequence[Step], *, probe: int = 0, refresh: Sequence[str] = (), **changes: Any) -> Looked:
        """What plans will ask and cost. Without probes nothing is asked, and no folder is made where there is none."""
        from dreamframe.run.estimating import estimated

        one_of(changes.get("mode", "calls"), get_args(Mode), "mode", where="estimate")
        chosen(changes.get("optimize", True))
        spans = self._spans() if probe and self._spans is not None else None
        options, stats = replace(self.options, refresh=names_to_refresh(steps, refresh), spans=spans, **changes), RunStats()
        if probe and options.offline:
            raise OfflineError("estimate: probe= asks some rows, and offline=True allows no call; without probe= nothing is asked.")
        seen = list(self.stats)
        if probe:
            self.stats.append(stats)  # they are paid for
        opening = self.opening if probe or self.opening.is_there else Opening(None)
        try:
            with opening.held(), _seen(options, steps, stats, plan_redactor(steps).text):
                return loop.run(estimated(opening.stores, options, stats, steps, probe=probe, seen=seen, knows=self._hides))
        finally:
            if opening is not self.opening:
                opening.close()

    def why(self, step: Step, row: int | pl.Expr, *, most: int, failed: Callable[[], Mapping[tuple[str, str], str]]) -> RowStory:
        """How a row of a plan was made; nothing is asked. `failed` reads why calls failed, where one has no answer."""
        from dreamframe.run.why.trace import Replay

        with self.opening.held():
            return loop.run(Replay(self.opening.stores, self.options, step, most=most, failed=failed, knows=self._hides).story(row))

    def replayed(self, work: Callable[[Stores, RunOptions, Redactor], Coroutine[Any, Any, T]]) -> T:
        """What some work finds in what is kept; it is given what it must not show. It asks nothing."""
        with self.opening.held():
            return loop.run(work(self.opening.stores, self.options, self._hides))

    def collect(self, steps: Sequence[Step], *, retry: Retry | None, **options: Any) -> list[pl.DataFrame]:
        """The rows of plans; with `retry`, a second time for what was answered and could not be read."""
        return self.together.rows(steps, lambda: self._collect_here(steps, retry, options), anew=list(options.get("refresh", ())))

    def _collect_here(self, steps: Sequence[Step], retry: Retry | None, options: Mapping[str, Any]) -> list[pl.DataFrame]:
        with self.opening.held():
            run = self.begin(**options, retry=retry)
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
            return self._collect(steps, self.begin(**options, renew=run.unreadable))

    async def collect_async(self, step: Step, **options: Any) -> pl.DataFrame:
        """The rows of a plan, without blocking the caller's event loop."""
        if self.together.are_several:
            return (await asyncio.to_thread(lambda: self.collect([step], retry=None, **options)))[0]
        with self.opening.held():
            run = self.begin(**options)
            return (await loop.run_from(self.whole([step], run, lambda: run.collect_all([step]))))[0]

    def fit(self, step: ModelStep, **options: Any) -> Artefact:
        """The trained model of a step."""

        def work() -> Artefact:
            with self.opening.held():
                run = self.begin(**options)
                with self.shown(run):
                    return loop.run(self.whole([step], run, lambda: run.fit(step)))

        return self.together.model(step, work)

    def _collect(self, steps: Sequence[Step], run: Run) -> list[pl.DataFrame]:
        with self.shown(run):
            try:
                return loop.run(self.whole(steps, run, lambda: run.collect_all(steps)))
            except KeyboardInterrupt as exc:
                where = "" if self.opening.folder is not None else " while this process lives, for the session has no folder"
                exc.add_note(f"dreamframe: {run.stats.calls:,} answers came back and are kept{where}; running again asks for the rest.")
                raise

    @contextmanager
    def shown(self, run: Run) -> Iterator[None]:
        """Show the progress of a run meanwhile."""
        with Progress(run.stats, self._progress, purse=self.options.purse, hides=lambda text: run.state.redactor.text(text)):  # noqa: PLW0108  it learns of secrets when the run begins
            yield

    def at_hand(self, step: Step) -> pl.DataFrame:
        """The rows of a plan that have all their answers. Nothing is asked, and nothing is kept."""
        from dreamframe.run.at_hand import rows_at_hand

        with self.opening.held():
            return loop.run(rows_at_hand(self.opening.stores, self.options, step))

    async def whole(self, steps: Sequence[Step], run: Run, work: Callable[[], Awaitable[T]]) -> T:
        """What a run does in the loop, with its records written when it ends, however it does: whoever waited for it may be gone."""
        self.opening.hold()
        events = run.events(steps)
        try:
            async with events.as_they_happen():
                with _seen(run.options, steps, run.stats, lambda text: run.state.redactor.text(text)):  # noqa: PLW0108  it learns of secrets when the run begins
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
            with suppress(StorageError):
                events.close()
            self.opening.let_go()

    def _note(self, steps: Sequence[Step], run: Run, events: Events) -> None:
        """Write down what a run did. A disk that refuses is warned of, and nothing else: the rows, or the error, are what was asked for."""
        self._hides = run.hides(steps)
        session = self._session()
        for step in steps:
            self._failed[step] = run.stats.failures
            if session is not None:
                active.remember(step, session)
        try:
            self._failed.update({step: run.state.failures_of(step) for step in steps})
            self._failures.update({step.key(run.memo): self._failed[step] for step in steps})
        except DreamframeError:
            return  # the run has said so: a plan without a key, or whose files are gone, has run nothing
        if self.opening.is_read_only:
            return
        try:
            events.end(self._hides)
        except (StorageError, OSError) as exc:
            warnings.warn(f"what this run did was not noted in {session!r} ({type(exc).__name__}: {exc}); its rows and answers are not touched", stacklevel=2)
        new = [] if run.options.is_trial else [step for step in steps if _is_new(run, step)]
        if new:
            from dreamframe.session import plans  # written when a plan has run for the first time: building or repeating one needs neither JSON nor Arrow

            for step in new:
                plans.keep(run.stores, step, run.memo, keep_script=self._keep_script)

    def failures(self, step: Step) -> pl.DataFrame:
        """The failed rows of a plan's last run. Raises SettingError for one that has not run."""
        failed = self._failed.get(step)
        if failed is None:
            failed = self._failures.get(step.key({}))
        if failed is None:  # an empty frame would say that all is well
            raise SettingError(f"failures: this plan has not run in {self._session()!r} so far; .collect() it first. A plan that was made of it is another.")
        told = pl.DataFrame([{**f.as_dict(), "answer": f.failure.text} for f in failed], schema=FAILURE_SCHEMA)
        from dreamframe.plan.rows_page import Shown

        return Shown.of(told.hstack(self._own_columns(step, failed)) if failed else told, failed=("error", "message"))

    def _own_columns(self, step: Step, failed: Sequence[FailedRow]) -> pl.DataFrame:
        """What the frame had of each failed row; nothing where its rows are not to be had any more, as those of a file that is gone."""
        from dreamframe.run.why.failed import FailedRows

        replay = FailedRows(self.opening.stores, self.options, step, most=1, failed=dict, knows=self._hides)
        with self.opening.held(), suppress(DreamframeError, OSError, pl.exceptions.PolarsError):
            return loop.run(replay.beside(failed, list(FAILURE_SCHEMA)))
        return pl.DataFrame()


def _is_new(run: Run, step: Step) -> bool:
    """Whether a plan cost something and is not kept yet. One that cannot be looked for is new: keeping it says why."""
    with suppress(DreamframeError, OSError, pl.exceptions.PolarsError):
        return any(node.is_expensive for node in step.walk()) and not run.stores.plans.has(step.label, step.key(run.memo))
    return True


def _seen(options: RunOptions, steps: Sequence[Step], stats: RunStats, hides: Callable[[str], str]) -> AbstractContextManager[None]:
    """What tells of a run as spans, where the session wants them."""
    return nullcontext() if options.spans is None else options.spans.of_run([step.label for step in steps], stats, hides)


class HasStep(Protocol):
    """A frame or a model."""

    @property
    def step(self) -> Step: ...


def step_of(asked: Step | HasStep) -> Step:
    """The plan of a frame, or a plan as it is."""
    if not isinstance(step := getattr(asked, "step", asked), Step):
        raise SettingError(f"a session runs and looks at frames and models; {described(asked)} is neither.")
    return step
