"""How much of a model's context a prompt may take: prompts that show examples or documents leave out those that do not fit."""

from __future__ import annotations

import numbers
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from dreamframe.errors import DreamframeError, SettingError
from dreamframe.models.measure import MARKS, Measure
from dreamframe.models.request import Question, RowContext
from dreamframe.models.tokens import usual

ROOM = "room of a prompt"


@dataclass(frozen=True)
class Room:
    """What one question leaves for a prompt. A model that is behind an API leaves an unknown room: everything is taken to fit."""

    question: Question | None = None

    @cached_property
    def measure(self) -> Measure | None:
        """What is known of the model; None also where its tokenizer is not here, as when answers of another machine are read."""
        try:
            return None if self.question is None else getattr(self.question.llm, "measure", lambda: None)()
        except (DreamframeError, OSError, ImportError):
            return None

    @cached_property
    def most(self) -> int | None:
        """Tokens that a request may have; None: not known."""
        assert self.question is not None or self.measure is None
        return None if self.measure is None or self.question is None else self.measure.most(self.question.sampling.max_tokens)

    def fits(self, prompt: str, context: int | None) -> bool:
        """Whether a prompt leaves room for an answer, and has no more than `context` tokens, where that is given."""
        count = usual if self.measure is None else self.measure.count
        if context is not None and count(prompt) > context:
            return False
        if self.most is None or self.measure is None or self.question is None:
            return True
        is_short = len(f"{self.question.system or ''}{prompt}".encode()) + MARKS <= self.most  # a token has a byte at the least
        return is_short or self.measure.count_request(self.question, prompt) <= self.most

    def longest(self, write: Callable[[int], str], most: int, least: int, context: int | None) -> str | None:
        """The prompt with as many of its parts, up to `most`, as there is room for; None where not even `least` fit."""
        if self.fits(whole := write(most), context):
            return whole
        low, high, found = least, most - 1, None
        while low <= high:
            n = (low + high) // 2
            if self.fits(prompt := write(n), context):
                low, found = n + 1, prompt
            else:
                high = n - 1
        return found

    def told(self, context: int | None) -> str:
        """The limits, for errors."""
        own = f"the model reads {self.measure.context} tokens with its answer" if self.measure is not None and self.measure.context else ""
        return " and ".join(filter(None, (f"context={context}" if context is not None else "", own)))


def offer_room(question: Question, ctx: RowContext) -> None:
    """Tell the prompt of a step what its question leaves for it."""
    ctx.once(ROOM, lambda: Room(question))


async def in_room(write: Callable[[Room], pl.Series], ctx: RowContext) -> pl.Series:
    """What is written within the room of the question. Tokenizers are slow: they work in a worker thread, for one batch at a time."""
    import asyncio

    room = ctx.once(ROOM, Room)
    async with ctx.once("counting", asyncio.Lock):
        return await asyncio.to_thread(write, room)


def labelled(label: str | None, text: str) -> str:
    """A text after its label, if there is one."""
    return f"{label} {text}" if label else text


def need_texts(who: str, **values: object) -> None:
    """Raise SettingError for what is neither a text nor None: it would be sent as Python writes it."""
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise SettingError(f"{who}: {name}={value!r} is not a text; give one, or None to leave it out.")


def need_counts(who: str, **values: object) -> None:
    """Raise SettingError for what is neither a whole number nor None."""
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
            raise SettingError(f"{who}: {name}={value!r} is not a whole number.")
