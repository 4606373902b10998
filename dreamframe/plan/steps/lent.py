"""What a step lends to a part of itself, of what the run lends to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import polars as pl

from dreamframe.models.request import Failure, Question, Replies, RowContext

T = TypeVar("T")


class Lent:
    """What a run lends to one kind of request of the step: its failures are about requests, and not about rows."""

    def __init__(self, ctx: RowContext, called: str) -> None:
        self._ctx, self._called = ctx, called
        self.failures: dict[int, Failure] = {}

    async def ask(self, question: Question, prompts: pl.Series, samples: Sequence[int] | None = None) -> Replies:
        return await self._ctx.ask(question, prompts, samples)

    async def number(self, question: Question, prompts: pl.Series) -> list[int]:
        return await self._ctx.number(question, prompts)

    def once(self, name: str, make: Callable[[], T]) -> T:
        return self._ctx.once(self._called + name, make)

    def fail(self, position: int, failure: Failure) -> None:
        self.failures[position] = failure

    def note(self, said: str, *, warns: bool = False, **figures: float) -> None:
        self._ctx.note(said, warns=warns, **figures)

    def resolve(self, llm: Any) -> Any:
        return self._ctx.resolve(llm)
