"""A prompt of which equal requests are one question: asked once, whatever the model's temperature is."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dreamframe.plan.step import step
from dreamframe.plan.steps.prompt import PromptStep


@step
class AskedOnce(PromptStep):
    """A PromptStep whose rows with the same prompt get the same answer: sample 0."""

    @property
    def needs_order(self) -> bool:
        return False

    def samples(self, rows: pl.DataFrame) -> Sequence[int] | None:
        return None if self._sampling.is_greedy else list(range(self.n)) * rows.height
