"""What the parts of one run share: its stores, options and counts, the keys of its steps, what it has read, trained and lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import polars as pl

from dreamframe.errors import ParseError, RunError, SourceUnreadableError
from dreamframe.models.base import Artefact
from dreamframe.models.parallel import Parallel
from dreamframe.models.pinned import OfWeights, changed
from dreamframe.models.request import Question, Replies
from dreamframe.plan.optimizer.rules import Optimised
from dreamframe.plan.secrets import plan_redactor
from dreamframe.plan.step import Memo, ModelStep, Step
from dreamframe.plan.steps.source import Scan
from dreamframe.redaction.redactor import Redactor
from dreamframe.run.calls.journal_first import RunAsking
from dreamframe.run.calls.spend import Spend
from dreamframe.run.calls.traced import TracedAsking
from dreamframe.run.failures import UNREADABLE, raise_failures
from dreamframe.run.options import RunOptions
from dreamframe.run.stage import Stage
from dreamframe.run.stats import FailedRow, RunStats, StepStats
from dreamframe.run.storing import Worth
from dreamframe.store.stores import Stores


@dataclass
class RunState:
    """The state of one run. Lives in the event loop."""

    learns: ClassVar[bool] = True  # whether it may change its mind about what is asked first

    stores: Stores
    options: RunOptions
    stats: RunStats
    earlier: Redactor = field(repr=False)  # hides the secrets of earlier runs: one may be told after it changed

    def __post_init__(self) -> None:
        self.memo: Memo = {}
        self.worth = Worth()
        self.stages: list[Stage] = []
        self._told: dict[str, set[int]] = {}  # by key of a step: a step that is run in rounds, and whole for another reader, fails once
        self.scans: list[Scan] = []
        self.trained: dict[str, Artefact] = {}  # by key of the step that trains, as it was written and as it runs
        limits = self.stores.limits
        spend = Spend(purse=self.options.purse, prices=self.options.prices, mode=self.options.mode, shared=None if limits is None else limits.budget)
        asking = RunAsking if self.options.spans is None else TracedAsking
        self.asking = asking(self.stores.answers, self.stats, spend=spend, options=self.options)
        self.asking.limits = limits
        if self.options.mode == "batch":
            self.asking.in_batches(self.stores)
        self.redactor = self.earlier
        self.optimised: list[Optimised] = []
        self._places: dict[str, int] = {}  # by key of a step as it was written
        self.anew: set[str] = set()  # keys of the steps that `refresh` names

    def key(self, step: Step) -> str:
        """The key of a step, as it was when this run first asked for it."""
        return step.key(self.memo)

    def written_key(self, step: Step) -> str:
        """The key of the step that the user wrote, of one that runs: statistics, records and cards speak of that."""
        return self.key(self._as_written(step))

    def _as_written(self, step: Step) -> Step:
        return next((made.origin[id(step)] for made in self.optimised if id(step) in made.origin), step)

    def place(self, step: Step) -> int:
        """Where a step stands in the plans as they were written, inputs first."""
        if not self._places:
            plans = [plan for made in self.optimised for plan in made.written]
            self._places = {self.key(node): n for n, node in enumerate(dict.fromkeys(node for plan in plans for node in plan.walk()))}
        return self._places.get(self.written_key(step), len(self._places))

    def written(self, step: Step) -> Step:
        """The plan that the user wrote, of a step whose rows are kept."""
        found = (made.with_the_rows_of(step) for made in self.optimised)
        return next((written for written in found if written is not step), step)

    def is_refreshed(self, step: Step) -> bool:
        """Whether a step runs anew: it, or an equal one of another name, is called so."""
        return step.label in self.options.refresh or self.key(step) in self.anew

    def hides(self, steps: Sequence[Step]) -> Redactor:
        """What takes the secrets of these plans out of all that this run says; those of a moment ago too, should one have changed meanwhile."""
        return plan_redactor(steps).over(self.redactor)

    def stage(self, step: Step) -> Stage:
        """Open the account of a step."""
        asked = step.models()
        model = self.redactor.text(asked[0].label) if asked else ""
        key = self.written_key(step)
        is_helper = any(id(step) in made.helpers for made in self.optimised)
        written = self._as_written(step)
        label = self.redactor.text(written.label)
        stats = (StepStats if is_helper else self.stats.step)(label, model=model, key=key)
        stats.name = label if written.name else ""
        stats.place, stats.same = self.place(step), step.rows == "same"
        stage = Stage(step, stats, self._told.setdefault(self.key(step), set()))
        stage.stats.is_refreshed = self.is_refreshed(step)
        self.stages.append(stage)
        return stage

    def tell_figures(self, step: Step, rows: pl.DataFrame) -> None:
        """Note the figures of an evaluation for the log: with what they are of, frames and the models that had a hand in them."""
        if step.is_reported:
            written = self._as_written(step)
            of = dict.fromkeys(self.key(node) for node in (*evaluated(written), *(n for n in written.walk() if isinstance(n, ModelStep))))
            figures = rows.to_dicts()
            self.stats.evaluated(self.key(written), self.redactor.text(written.label), of=list(of), figures=figures)

    async def ask(self, stage: Stage, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:
        """Answers to a batch of prompts. Raises SourceChangedError where weights were replaced after the step's key was taken."""
        if question.digest not in stage.checked:
            if isinstance(question.llm, OfWeights | Parallel) and stage.step.key_now(self.memo) != self.key(stage.step):
                raise changed(question.llm, "that it asks")  # its answers would be kept as those of the old ones
            stage.checked.add(question.digest)
        return await self.asking.ask(stage.stats, question, keys, prompts, samples, order)

    # What was read and lost

    def check_sources(self) -> None:
        """Raise SourceChangedError if a file is no longer what it was when the run began. Nothing is kept under a key that is not its content's."""
        for scan in self.scans:
            scan.check_unchanged(self.memo)

    def ailing_file(self) -> RunError | None:
        """After an error of polars: one that names the file, if there is one that cannot be read to its end, or that changed."""
        try:
            self.check_sources()
        except RunError as changed_since:
            return changed_since
        found = ((scan, scan.ailing()) for scan in self.scans)
        return next((SourceUnreadableError(f"scan_{scan.format}: {said}") for scan, said in found if said), None)

    def has_failed_below(self, step: Step) -> bool:
        """Whether rows failed in a step or below it. What failed in another plan of the run is that plan's own."""
        failed = {self.key(stage.step) for stage in self.stages if stage.failed}
        return bool(failed) and any(self.key(s) in failed for s in step.walk())

    def failures_of(self, step: Step) -> list[FailedRow]:
        """What failed in the steps of a plan as it was written: a plan beside it in one run has failures of its own."""
        below = {self.key(s) for s in step.walk()} if any(stage.failed for stage in self.stages) else set()
        return [f for stage in self.stages if stage.stats.key in below for f in stage.failed_rows()]

    def need_whole(self, step: Step, *, needed_by: Step) -> None:
        """Raise what failed below a step whose rows are needed whole: nobody pays for a training or a summary of what is left."""
        below = {self.key(s) for s in step.walk()}  # the account may be that of an equal step of another plan
        raise_failures(needed_by, [stage for stage in self.stages if self.key(stage.step) in below])

    def finish(self, step: Step) -> None:
        """Raise what kept the rows of a plan from being whole."""
        self.check_sources()
        raise_failures(step, self.stages)

    @property
    def unreadable(self) -> frozenset[bytes]:
        """The requests whose answers were there when the run began and could not be read, as far as `retry` wants them asked anew."""
        kinds = UNREADABLE if self.options.retry == "all" else {ParseError.__name__} if self.options.retry else ()
        keys = {key for stage in self.stages for _, failure in stage.failed if failure.error in kinds for key in failure.keys}
        return frozenset(keys - self.asking.asked_now)


def evaluated(step: Step) -> list[Step]:
    """The frames that an evaluation is of: its inputs, and what these select from or add to, down to the step that asked, called or trained."""
    found: list[Step] = []
    for given in step.inputs:
        chain = [given]
        while chain[-1].inputs and not chain[-1].is_expensive:
            chain.append(chain[-1].inputs[0])
        found += chain if chain[-1].is_expensive or len(chain) == 1 else chain[:-1]
    return found
