"""What the columns beside an answer are made of: the prompt as it was sent, the text as it came, the thoughts before it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from dreamframe.models.request import Replies

PROMPT, ANSWER, REASONING = "prompt", "answer", "reasoning"  # what can be kept


class Heard:
    """Texts and thoughts of the answers to a batch, by position: failed rows have them too, as far as they came."""

    def __init__(self, texts: list[str | None], thoughts: list[str | None]) -> None:
        self._texts, self._thoughts = texts, thoughts

    @classmethod
    def of(cls, replies: Replies) -> Heard:
        """What came at first."""
        texts = replies.answers.get_column("text").to_list()
        return cls(texts, list(replies.thoughts) or [None] * len(texts))

    def repaired(self, positions: Sequence[int], replies: Replies) -> None:
        """Replace what another turn said otherwise: an answer goes with the thoughts of its own turn."""
        again = Heard.of(replies)
        for p, text, thoughts in zip(positions, again._texts, again._thoughts, strict=True):
            if text is not None:
                self._texts[p], self._thoughts[p] = text, thoughts

    def columns(self, keep: Sequence[tuple[str, str]], prompts: pl.Series, *, n: int) -> list[pl.Series]:
        """What is kept, with the columns' names. `prompts` has each row's n times."""
        made = {PROMPT: prompts.gather_every(n).to_list(), ANSWER: _by_row(self._texts, n), REASONING: _by_row(self._thoughts, n)}
        return [pl.Series(name, made[what], dtype=dtype_of(what, n=n)) for what, name in keep]


def dtype_of(what: str, *, n: int) -> pl.DataType:
    """The type of a column of what is kept, where each row has n answers."""
    return pl.List(pl.String()) if n > 1 and what != PROMPT else pl.String()


def _by_row(values: list[str | None], n: int) -> list[str | None] | list[list[str | None]]:
    return values if n == 1 else [values[i : i + n] for i in range(0, len(values), n)]
