"""What a run lends to the engine that runs a part of its plan: the one way from an engine back to the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from dreamframe.models.base import Artefact
from dreamframe.models.request import Question, Replies
from dreamframe.plan.step import ModelStep


class RunContext(Protocol):
    """Lent for one segment, or one table step. `place` is the place of a step in the segment; `order` is the number of a batch, from 0, in input order.

    Everything that must be one for all rows of a run is the run's: sample numbers, kept answers, limits and spending.
    """

    async def number(self, place: int, order: int, keys: Sequence[bytes | None]) -> list[int]:
        """The sample number of each request: it is the k-th of its kind in the step. Waits until all earlier batches have numbered theirs.

        A step that `needs_order` numbers once for each batch, if only to let later batches go on (`keys` may be empty).
        """
        ...

    async def ask(self, place: int, question: Question, keys: Sequence[bytes | None], prompts: pl.Series, samples: Sequence[int], order: int) -> Replies:
        """Answers to a batch of prompts, in their order: those that are kept, and new ones, which are then kept. Calls are counted here."""
        ...

    def walks(self, place: int, n_in: int, n_out: int | None) -> None:
        """A batch of so many rows enters a step (`n_out` is None), or is through it. For progress, which an engine that does not say it has later."""
        ...

    def note(self, place: int, said: str, figures: Mapping[str, float], *, warns: bool) -> None:
        """A step puts on record what it found. `warns`: the user is told at once."""
        ...

    def artefact(self, step: ModelStep) -> Artefact:
        """The folder that an input of the segment's steps was trained into."""
        ...

    def tables(self, place: int) -> tuple[pl.DataFrame, ...]:
        """The rows of a step's inputs after the first."""
        ...

    def kept(self, place: int) -> dict[str, Any]:
        """What a step has made so far in this process. A segment may be given rows several times, and makes such things once."""
        ...
