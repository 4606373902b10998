"""A run that only looks: the plan as it would run, on an engine, answered out of the journal. It counts what is left to ask, and keeps nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, RunError
from dreamframe.models.request import Question, Replies
from dreamframe.plan.estimate import PROBE, Looked, StepEstimate, added
from dreamframe.plan.step import ModelStep, Step
from dreamframe.plan.steps.train import Train
from dreamframe.redaction.visible import in_line
from dreamframe.run.calls.dry import Asked, Donor, DryAsking
from dreamframe.run.calls.spend import Spend
from dreamframe.run.execute import Run
from dreamframe.run.forecast import Forecast, forecast, range_of, seconds_of
from dreamframe.run.options import RunOptions
from dreamframe.run.stage import Stage
from dreamframe.run.state import RunState
from dreamframe.run.stats import RunStats
from dreamframe.run.training import Trainings
from dreamframe.store.steps import StepOutputs, Stored, Writer
from dreamframe.store.stores import Stores

ENOUGH_TO_PASS = 0.5  # of a row: a step that no row reached so far may be reached by some


class NotTrainedError(RunError):
    """A model of the plan is to be trained first: nobody knows what it will be asked."""


class Kept(StepOutputs):
    """The outputs that are stored; none is added."""

    def __init__(self, outputs: StepOutputs) -> None:
        self._outputs = outputs

    @property
    def keeps(self) -> bool:
        return False

    def has(self, key: str) -> bool:
        return self._outputs.has(key)

    def find(self, key: str, schema: Mapping[str, Any] | None = None) -> Stored | None:
        return self._outputs.find(key, schema)

    def all(self) -> list[dict[str, Any]]:
        return self._outputs.all()

    def writer(self, *_: Any) -> Writer:
        raise AssertionError("a run that looks keeps nothing")

    def forget(self, steps: Collection[str]) -> None:
        """Nothing is taken away either."""


class DryState(RunState):
    """The state of a run that only looks: rows that fail are left out, and stop nothing."""

    learns: ClassVar[bool] = False
    dry: DryAsking

    async def ask(self, stage: Stage, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:
        return await self.dry.ask(stage.stats, stage.step, question, keys, prompts, samples, order)

    def need_whole(self, step: Step, *, needed_by: Step) -> None:
        """What is left is enough to count by."""

    def finish(self, step: Step) -> None:
        """Nothing has to be whole."""


class DryTrainings(Trainings):
    """Models that are trained; none is trained now."""

    def _may_train(self, step: Train) -> None:
        raise NotTrainedError(f"{step.label} is not trained yet, and what is asked of it is not in these figures")


class DryRun(Run):
    """A run that asks nothing, but for probes."""

    _state_type = DryState
    _trainings_type = DryTrainings

    def __init__(
        self, stores: Stores, options: RunOptions, stats: RunStats, *, probe: int = 0, donors: dict[str, list[Donor]] | None = None, **more: Any
    ) -> None:
        super().__init__(replace(stores, steps=Kept(stores.steps)), options, stats, **more)
        assert isinstance(self.state, DryState)
        self.dry = self.state.dry = DryAsking(stores.answers, self.state.asking, probe=probe, donors=donors)
        self.problems: list[str] = []
        self.plan: Step | None = None  # as it runs

    async def look(self, step: Step) -> None:
        """Run a plan as far as it can be without asking."""
        async with self._running([step]):
            (self.plan,) = self.planned(step)
            try:
                await self._frame(self.plan)
            except (DreamframeError, pl.exceptions.PolarsError) as exc:  # what a run would raise now, or what only other answers than these would lead to
                self.problems.append(in_line(str(exc)))


async def estimated(stores: Stores, options: RunOptions, stats: RunStats, step: Step, *, probe: int = 0, seen: Sequence[RunStats] = (), **more: Any) -> Looked:
    """What a plan will ask and cost. `probe` rows of each step are asked, on the account of `stats`; `seen` are earlier runs, for the time."""
    run = DryRun(stores, options, stats, probe=probe, **more)
    await run.look(step)
    _forget_failures(stats)
    probed = {place: (a.probed, a.probe_s, a.failed) for place, a in run.dry.asked.items()}
    if probe or (any(a.chars for a in run.dry.asked.values()) and any(run.dry.donors.values())):  # now that all kept answers are known
        run = DryRun(stores, options, RunStats(), donors=run.dry.donors, **more)
        await run.look(step)
    for place, account in run.dry.asked.items():
        account.probed, account.probe_s, account.failed = probed.get(place, (0, 0.0, ""))
        account.kept = max(0, account.kept - account.probed)
    return _looked(run, step, seen)


def _forget_failures(stats: RunStats) -> None:
    """Rows that were not asked did not fail: what is on account is what was paid for."""
    stats.failures, stats.failed_so_far = [], []
    for step in stats.steps:
        step.failed, step.errors = 0, {}


def _looked(run: DryRun, step: Step, seen: Sequence[RunStats]) -> Looked:
    plan = run.plan if run.plan is not None else step
    accounts: dict[str, list[Asked]] = {}
    for account in run.dry.asked.values():
        accounts.setdefault(account.stats.key, []).append(account)
    spend = Spend(purse=run.options.purse, prices=run.options.prices, mode=run.options.mode)
    found: dict[str, StepEstimate] = {}
    forecasts: list[Forecast] = []
    notes: dict[int, str] = {}
    by_pool: dict[str, list[float | None]] = {}
    for node in _reached(run, plan):
        key = run.state.written_key(node)
        if run._outputs.is_stored(node):
            notes[id(node)] = "stored"
        if key not in accounts:
            continue
        mine = accounts[key]
        if key not in found:
            below = [a for k in dict.fromkeys(map(run.state.written_key, node.walk())) if k != key for a in accounts.get(k, ())]
            made = [_forecast(run, a, spend, below, seen) for a in mine]
            if any(a.is_guess for a in below):  # perhaps no row comes
                made = [f.from_nothing() for f in made]
            forecasts += made
            found[key] = _step(mine, made, below)
            for a, f in zip(mine, made, strict=True):
                by_pool.setdefault(str(a.question.llm.pool_key()), []).append(f.seconds)  # type: ignore[attr-defined]
        if any(a.step is node for a in mine):
            notes[id(node)] = str(found[key])
    rounds = [f.rounds for f in forecasts if f.rounds is not None]
    is_open = any(f.is_open for f in forecasts if f.calls)
    told = _notes(run, found)
    pools = [None if None in times else sum(t for t in times if t is not None) for times in by_pool.values()]
    seconds = None if None in pools else max((p for p in pools if p is not None), default=0.0)
    return Looked(added(list(found.values()), notes=told, cost=range_of(rounds, is_open=is_open or bool(run.problems)), seconds=seconds), plan, notes)


def _reached(run: DryRun, plan: Step) -> list[Step]:
    """The steps that a run comes to, lowest first: none below what is stored."""
    reached: set[int] = set()
    waiting = [plan]
    while waiting:
        node = waiting.pop()
        if id(node) not in reached:
            reached.add(id(node))
            if isinstance(node, ModelStep) or not run._outputs.is_stored(node):
                waiting += node.inputs
    return [node for node in plan.walk() if id(node) in reached]


def _forecast(run: DryRun, account: Asked, spend: Spend, below: Sequence[Asked], seen: Sequence[RunStats]) -> Forecast:
    donors = run.dry.donors.get(account.question.digest, [])
    made = forecast(account, donors, spend.price(account.question), doubt=_doubt(account, below, run))
    each_s = next((each for stats in reversed(seen) if (each := _each_s(stats, account)) is not None), None)
    n_tokens = made.tokens_in + (made.tokens_out or 0.0)
    return replace(made, seconds=seconds_of(account, n_tokens, each_s=each_s, mode=run.options.mode))


def _doubt(account: Asked, below: Sequence[Asked], run: DryRun) -> float:
    """How far the number of requests may be off, where answers that are still to come decide how many rows there are."""
    doubt = 0.0
    for other in below:
        n = len(run.dry.donors.get(other.question.digest, ()))
        if other.chars and n:
            share = min(1.0, max(account.rows / max(1, other.rows), ENOUGH_TO_PASS / n))
            doubt += (1 - share) / share * (1 / n + 1 / len(other.chars))
    return math.sqrt(doubt)


def _each_s(stats: RunStats, account: Asked) -> float | None:
    """How long a call took in an earlier run of the step, or of its model."""
    for step in stats.steps:
        if step.asked and step.first_asked is not None and step.last_answered is not None and step.model == account.stats.model:
            return (step.last_answered - step.first_asked) / math.ceil(step.asked / account.concurrency)
    return None


def _step(accounts: Sequence[Asked], made: Sequence[Forecast], below: Sequence[Asked]) -> StepEstimate:
    first = accounts[0]
    outs = [f.tokens_out for f in made]
    rounds = [f.rounds for f in made if f.rounds is not None]
    guessed = tuple(dict.fromkeys(a.stats.label for a in below if a.is_guess))
    is_open = any(f.is_open for f in made if f.calls)
    return StepEstimate(
        label=first.stats.label,
        key=first.stats.key,
        model=first.stats.model,
        kept=sum(a.kept for a in accounts),
        calls=sum(f.calls for f in made),
        probed=sum(a.probed for a in accounts),
        tokens_in=round(sum(f.tokens_in for f in made)),
        tokens_out=None if None in outs else round(sum(n for n in outs if n is not None)),
        cost=range_of(rounds, is_open=is_open) if len(rounds) == len(made) else None,
        seconds=None if any(f.seconds is None for f in made) else sum(f.seconds or 0.0 for f in made),
        rests_on=guessed,
    )


def _notes(run: DryRun, found: Mapping[str, StepEstimate]) -> list[str]:
    notes = [f"not in these figures: {problem}" for problem in run.problems]
    notes += dict.fromkeys(a.failed for a in run.dry.asked.values() if a.failed)
    blind = list(dict.fromkeys(s.label for s in found.values() if s.calls and s.tokens_out is None))
    if blind or any(s.rests_on for s in found.values()):
        notes.append(f"no answer of {', '.join(blind) or 'the steps below'} is known: {PROBE} how long they are and how many rows pass")
    return notes
