"""The rows of a plan that have all their answers, where others have failed or were never asked: looked at out of the session, nothing asked or kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from dreamframe.plan.step import RoundsStep, RowStep, Step, TableStep
from dreamframe.run.dry_run import DryTrainings
from dreamframe.run.execute import Run
from dreamframe.run.kept_outputs import Kept
from dreamframe.run.options import RunOptions
from dreamframe.run.state import RunState
from dreamframe.run.stats import RunStats
from dreamframe.store.stores import Stores


class _State(RunState):
    """The state of a run whose failed rows stop nothing."""

    def need_whole(self, step: Step, *, needed_by: Step) -> None:
        """What is there is enough to look at."""

    def finish(self, step: Step) -> None:
        """Nothing has to be whole."""


class _AtHand(Run):
    _state_type = _State
    _trainings_type = DryTrainings

    async def rows(self, step: Step) -> pl.DataFrame:
        async with self._running([step]):
            (plan,) = self.planned(step)
            return await self._frame(plan)


def lenient(step: Step, *, is_stored: Callable[[Step], bool]) -> Step:
    """The plan in which a row without an answer stays, with a null, where it would end the run; below what is stored, and below steps whose rows are of
    many, nothing changes."""
    steps = step.walk()
    whole = [n for n in steps if isinstance(n, (TableStep, RoundsStep)) or (not isinstance(n, RowStep) and n.rows == "other") or is_stored(n)]
    below = {id(node) for one in whole for node in one.walk()}
    stays = iter([isinstance(n, RowStep) and n.on_error == "raise" and id(n) not in below for n in steps])
    return step.rebuilt(lambda node: node.but(on_error="null") if next(stays) else node)


async def rows_at_hand(stores: Stores, options: RunOptions, step: Step) -> pl.DataFrame:
    """The rows of a plan that need no further answer. A row without one is null in that column where the step has on_error="null", else it is left out."""
    run = _AtHand(replace(stores, steps=Kept(stores.steps)), replace(options, offline=True), RunStats())
    return await run.rows(step)
