"""Verbs of polars by meaning: joins whose condition a model decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import polars as pl

from dreamframe.errors import PlanError, SettingError
from dreamframe.frame.arguments import need_order
from dreamframe.frame.ask import AskVerbs
from dreamframe.frame.base import Verbs
from dreamframe.frame.joins import JoinVerbs
from dreamframe.frame.model import Model
from dreamframe.frame.plan_warnings import warn_of_one_side
from dreamframe.models.base import LLM
from dreamframe.models.habits import described
from dreamframe.prompts.base import Prompt

JOIN = {"how": "inner", "validate": "m:m", "nulls_equal": False}
Block = str | Sequence[str] | pl.Expr | Callable[[Any], Any] | None


V = TypeVar("V", bound="MeaningVerbs")  # Self, as jedi understands it too


class MeaningVerbs(JoinVerbs, AskVerbs):
    """join_by."""

    __slots__ = ()

    def join_by(
        self: V,
        other: Verbs,
        llm: LLM | Model | str,
        prompt: str | Prompt,
        *,
        block: Block = None,
        suffix: str = "_right",
        parse: Callable[[str], bool] | None = None,
        free_text: bool = False,
        name: str | None = None,
        **settings: Any,
    ) -> V:
        """Join the pairs of rows that the model answers with yes, in the order of the left frame, then the right.

        Without `block` every pair is asked about: rows of the left times rows of the right. `block` cuts them before anything is asked: columns in which
        both sides must be equal, or an expression over the pair (columns of the right that the left has too get `suffix`), or a function from the
        frame of pairs to a smaller one. The model is asked and its answers are read as in `filter_by`, with its `parse`, `free_text` and `keep`: an answer
        that is neither yes nor no is a failed row, never a match.

        >>> llm = dr.testing.Scripted(lambda asked: "yes" if asked in ("Does tea go with milk?", "Does rain go with umbrella?") else "no")
        >>> left, right = dr.frame({"a": ["tea", "rain"]}), dr.frame({"b": ["milk", "umbrella"]})
        >>> left.join_by(right, llm, "Does {a} go with {b}?").to_dicts()
        [{'a': 'tea', 'b': 'milk'}, {'a': 'rain', 'b': 'umbrella'}]
        """
        label = name or "join_by"
        need_order("join_by", llm, prompt, other)
        if not isinstance(other, Verbs):
            raise SettingError(f"{label}: the other side is {described(other)}; make it a frame first with dr.frame(...).")
        pairs = self._pairs(other, block, suffix, label)
        made = pairs.filter_by(llm, prompt, parse=parse, free_text=free_text, name=label, **settings)
        warn_of_one_side(Prompt.of(prompt, step=label), self.step.schema, pairs.step.schema, step=label)
        return made

    def _pairs(self, other: Verbs, block: Block, suffix: str, label: str) -> Self:
        """The pairs of rows that are worth a question."""
        if isinstance(block, (str, list, tuple)):
            if not block:
                raise SettingError(f"{label}: block={block!r} names no column; leave it out to ask about every pair.")
            return self._joined(other, {**JOIN, "on": block, "suffix": suffix}, named=label)
        pairs = self._joined(other, {**JOIN, "how": "cross", "suffix": suffix}, named=label)
        if block is None:
            return pairs
        if isinstance(block, pl.Expr):
            return pairs._kept([block], named=label)
        if not callable(block):
            raise SettingError(f"{label}: block= is a {type(block).__name__}; give columns, an expression over the pairs, or a function of their frame.")
        made = block(pairs)
        if not isinstance(made, Verbs):
            raise PlanError(f"{label}: block= gave a {type(made).__name__}, not a frame of pairs.")
        return self._over(made.step)
