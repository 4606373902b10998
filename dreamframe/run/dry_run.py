"""A run that only looks: the plan as it would run, on an engine, answered out of the journal. It counts what is left to ask, and keeps nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import DreamframeError, RunError
from dreamframe.models.request import Question, Replies
from dreamframe.plan.optimizer.rules import Optimised
from dreamframe.plan.step import ModelStep, Step
from dreamframe.plan.steps.train import Train
from dreamframe.redaction.visible import in_line
from dreamframe.run.calls.dry import Donor, DryAsking, TooManyError
from dreamframe.run.execute import Run
from dreamframe.run.kept_outputs import Kept
from dreamframe.run.options import RunOptions
from dreamframe.run.stage import Stage
from dreamframe.run.state import RunState
from dreamframe.run.stats import RunStats
from dreamframe.run.training import Trainings
from dreamframe.store.stores import Stores


class NotTrainedError(RunError):
    """A model of the plan is to be trained first: nobody knows what it will be asked."""


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
        raise NotTrainedError(f"the training of {step.label}, and what is asked of it")


class DryRun(Run):
    """A run that asks nothing, but for probes."""

    _state_type = DryState
    _trainings_type = DryTrainings

    def __init__(
        self,
        stores: Stores,
        options: RunOptions,
        stats: RunStats,
        *,
        probe: int = 0,
        donors: dict[str, list[Donor]] | None = None,
        most: int | None = None,
        **more: Any,
    ) -> None:
        super().__init__(replace(stores, steps=Kept(stores.steps)), options, stats, **more)
        assert isinstance(self.state, DryState)
        self.dry = self.state.dry = DryAsking(stores.answers, self.state.asking, options, probe=probe, donors=donors, most=most)
        self.problems: list[str] = []
        self.is_cut = False  # since there were more requests than were to be counted
        self.plans: list[Step] = []  # as they run

    async def look(self, steps: Sequence[Step]) -> None:
        """Plan, and run as far as it can be without asking."""
        async with self._running(steps):
            await self._forget_refreshed(steps)
            self.plans = self.planned(*steps)
            await self._look_through()

    async def look_again(self, steps: Sequence[Step]) -> None:
        """As `look`, of plans that are planned."""
        async with self._running(steps):
            await self._look_through()

    async def _look_through(self) -> None:
        for found in await asyncio.gather(*map(self._seen, self.plans), return_exceptions=True):
            if isinstance(found, DreamframeError | pl.exceptions.PolarsError):  # what a run would raise now, or only other answers would lead to
                self.problems.append(in_line(str(found)))
                self.is_cut = self.is_cut or isinstance(found, TooManyError)
            elif found is not None:
                raise found

    async def _seen(self, plan: Step) -> None:
        if isinstance(plan, ModelStep):
            await self._trainings.artefact(plan)
        else:
            await self._frame(plan)

    def reached(self) -> list[Step]:
        """The steps of the plans that a run would look at: not those below a stored one."""
        reached: set[int] = set()
        waiting = list(self.plans)
        while waiting:
            node = waiting.pop()
            if id(node) not in reached:
                reached.add(id(node))
                if isinstance(node, ModelStep) or not self.is_stored(node):
                    waiting += node.inputs
        return list({id(node): node for plan in self.plans for node in plan.walk() if id(node) in reached}.values())

    @property
    def made(self) -> Optimised | None:
        """What the rules made of the plans."""
        return self.state.optimised[-1] if self.state.optimised else None

    def is_stored(self, step: Step) -> bool:
        """Whether the rows of a step are stored."""
        return self._outputs.is_stored(step)
