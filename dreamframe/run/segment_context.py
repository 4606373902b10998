"""What a run in this process lends for one segment: `dreamframe.run.context.RunContext`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dreamframe.models.base import Artefact
from dreamframe.models.request import Question, Replies
from dreamframe.plan.step import ModelStep
from dreamframe.run.stage import Stage
from dreamframe.run.state import RunState
from dreamframe.run.warning import RunWarning


class SegmentContext:
    """Asks and numbers on the accounts of a segment's steps."""

    def __init__(self, state: RunState, stages: Sequence[Stage], tables: Sequence[tuple[pl.DataFrame, ...]] = ()) -> None:
        self._state, self._stages, self.all_tables = state, stages, tables
        self._kept: list[dict[str, Any]] = [{} for _ in stages]

    async def number(self, place: int, order: int, keys: Sequence[bytes | None]) -> list[int]:
        return await self._stages[place].samples.number(order, keys)

    async def ask(self, place: int, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:
        return await self._state.ask(self._stages[place], question, keys, prompts, samples, order)

    def walks(self, place: int, n_in: int, n_out: int | None) -> None:
        stats = self._stages[place].stats
        if n_out is None:
            stats.entered += n_in
        else:
            stats.through += n_in
            stats.given += n_out

    def note(self, place: int, said: str, figures: Mapping[str, float], *, warns: bool) -> None:
        stats, said = self._stages[place].stats, self._state.redactor.text(said)
        stats.told = {"said": said, **figures}
        if warns and self._state.learns:
            warnings.warn(f"{stats.label}: {said}", RunWarning, stacklevel=2)

    def artefact(self, step: ModelStep) -> Artefact:
        return self._state.trained[self._state.key(step)]

    def tables(self, place: int) -> tuple[pl.DataFrame, ...]:
        return self.all_tables[place]

    def kept(self, place: int) -> dict[str, Any]:
        return self._kept[place]
