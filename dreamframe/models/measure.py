"""How a model counts tokens, and how many of them it reads at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from dreamframe.models.request import Question

MARKS = 256  # tokens that a chat format and the system prompt of a template take at the most, to see without counting that a short text fits
ANSWER = 256  # tokens kept free for an answer, where no max_tokens= says how long it may be


@dataclass(frozen=True)
class Measure:
    """What is known of a model here. `count` is of a text alone, `count_request` of a whole request with its chat format."""

    context: int | None  # tokens that it reads at once, with its answer; None: as many as there are
    count: Callable[[str], int]
    count_request: Callable[[Question, str], int]
    holds_answer: bool = True  # False for an encoder and decoder: the answer has a context of its own

    def most(self, max_tokens: int | None) -> int | None:
        """Tokens that a request may have, so that its answer has room."""
        if self.context is None or not self.holds_answer:
            return self.context
        return self.context - (min(max_tokens, self.context // 2) if max_tokens else min(ANSWER, self.context // 4))

    @classmethod
    def of_all(cls, parts: Sequence[Measure | None]) -> Self | None:
        """That of several models of which any may be asked."""
        known = [p for p in parts if p is not None]
        if len(known) < len(parts) or not known:
            return None
        context = min((p.context for p in known if p.context is not None), default=None)
        return cls(
            context,
            lambda text: max(p.count(text) for p in known),
            lambda question, prompt: max(p.count_request(question, prompt) for p in known),
            all(p.holds_answer for p in known) or context is None,
        )
