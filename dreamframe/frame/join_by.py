"""Verbs of polars by meaning: joins whose condition a model decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self, TypeAlias, TypeVar

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
from dreamframe.plan.step import Step
from dreamframe.plan.steps.once import AskedOnce
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.either_way import EitherWay

if TYPE_CHECKING:
    from dreamframe.frame.asked import Asked
    from dreamframe.plan.steps.checked import Otherwise
    from dreamframe.plan.steps.pair_ranks import Nearest

JOIN = {"how": "inner", "validate": "m:m", "nulls_equal": False}
Block: TypeAlias = "str | Sequence[str] | pl.Expr | Callable[[Any], Any] | Nearest | None"
PAIRS = ("pairs", 0.9, 50, "pairs")  # asked=, agree=, check= and otherwise= of a join that is asked pair by pair


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
        symmetric: bool = False,
        asked: Asked = "pairs",
        agree: float = 0.9,
        check: int = 50,
        otherwise: Otherwise = "pairs",
        name: str | None = None,
        **settings: Any,
    ) -> V:
        """Join the pairs of rows that the model answers with yes, in the order of the left frame, then the right.

        Without `block` every pair is asked about: rows of the left times rows of the right. `block` cuts them before anything is asked: columns in which
        both sides must be equal, or an expression over the pair (columns of the right that the left has too get `suffix`), or a function from the
        frame of pairs to a smaller one; `dr.Nearest(embedder, recall=0.9)` cuts them to the nearest, as far as that is certified. The model is asked and
        its answers are read as in `filter_by`, with its `parse`, `free_text` and `keep`: an answer that is neither yes nor no is a failed row, never a
        match.

        `symmetric=True` says that the answer is the same whichever of the two comes first. Equal questions are then one, whatever the model's temperature
        is: a pair and the same pair the other way round, and pairs of equal texts, are asked once. Of the two prompts, the one that sorts first is asked.
        Every column that the prompt reads must be there on both sides, under one name; raises SettingError otherwise.

        `asked` takes fewer calls where the question allows it. "labels" asks once about each left row which values of the right side apply, 20 of them a
        call: the prompt reads one column of the right side, whose texts are short. `dr.Attribute("sentiment", ["positive", "negative"],
        pl.col("left") != pl.col("right"))` asks for one label of each row of either side, and joins by them. Whichever it is, `check` pairs, half of them
        guessed yes, are asked as pairs as well, and their answers count. Where less than `agree` of those guessed yes, or of those guessed no, turn out as
        guessed, every pair is asked, with a `dr.RunWarning` (`otherwise="raise"`: an AgreementError). It is an estimate and no certificate. Pairs
        without a guess are asked. `explain()`, the card and `session.runs()` tell how the check ended.

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
        question = self._either_way(prompt, pairs.step.schema, block, suffix, label) if symmetric else prompt
        made = pairs.filter_by(llm, question, parse=parse, free_text=free_text, name=label, **settings)
        nearest = _nearest(block)
        if symmetric or nearest is not None or (asked, agree, check, otherwise) != PAIRS:
            from dreamframe.frame.asked import Sides, Way, in_place_of_prompt, prompt_in  # most joins need none of them
            from dreamframe.frame.nearest import of_nearest

            if symmetric:
                made = made._over(in_place_of_prompt(made.step, _asked_once))
            shared = [block] if isinstance(block, str) else block if isinstance(block, (list, tuple)) else ()
            raw = Prompt.of(prompt, step=label)
            sides = Sides.of(raw, self.step.schema, other.step.schema, shared=shared, suffix=suffix)
            way = Way.of(asked, agree, check, otherwise, prompt=raw, sides=sides, is_cascade="cascade" in settings, label=label)
            if way is not None:
                if way.asked != "labels":
                    left, right = way.labelled(self.step, other.step, prompt_in(made.step))
                    pairs = self._over(left)._pairs(other._over(right), block, suffix, label)
                made = made._over(in_place_of_prompt(made.step, lambda asks: way.over(asks, pairs.step)))
            if nearest is not None:
                if way is not None or "cascade" in settings:
                    raise SettingError(f"{label}: block=dr.Nearest(…), asked= and cascade= are three ways to take fewer calls; give one of them.")
                made = made._over(in_place_of_prompt(made.step, lambda asks: of_nearest(asks, nearest, self.step, other.step, sides, label=label)))
        warn_of_one_side(Prompt.of(prompt, step=label), self.step.schema, pairs.step.schema, step=label)
        return made

    def _either_way(self, prompt: str | Prompt, pairs: Mapping[str, Any], block: Block, suffix: str, label: str) -> EitherWay:
        """The prompt, which asks the same of a pair and of the pair the other way round."""
        asked = Prompt.of(prompt, step=label)
        if asked.inputs or asked.models:
            raise SettingError(f"{label}: symmetric=True is for prompts that read nothing but the pair; {asked.summary} reads other rows, or asks a model.")
        same = [block] if isinstance(block, str) else block if isinstance(block, (list, tuple)) else ()
        places = {c: f"{c}{suffix}" for c in self.step.schema if f"{c}{suffix}" in pairs}
        places |= {right: left for left, right in places.items()} | {c: c for c in same}
        if lone := [c for c in asked.columns if c not in places]:
            raise SettingError(
                f"{label}: symmetric=True, and the prompt reads {lone[0]!r}, which one side alone has. "
                f"Give both sides the same columns, and read {{text}} and {{text{suffix}}}."
            )
        return EitherWay(asked, tuple(places.items()))

    def _pairs(self, other: Verbs, block: Block, suffix: str, label: str) -> Self:
        """The pairs of rows that are worth a question."""
        if isinstance(block, (str, list, tuple)):
            if not block:
                raise SettingError(f"{label}: block={block!r} names no column; leave it out to ask about every pair.")
            return self._joined(other, {**JOIN, "on": block, "suffix": suffix}, named=label)
        pairs = self._joined(other, {**JOIN, "how": "cross", "suffix": suffix}, named=label)
        if block is None or _nearest(block) is not None:
            return pairs
        if isinstance(block, pl.Expr):
            return pairs._kept([block], named=label)
        if not callable(block):
            what = "give columns, an expression over the pairs, a function of their frame, or dr.Nearest(embedder)."
            raise SettingError(f"{label}: block= is a {type(block).__name__}; {what}")
        made = block(pairs)
        if not isinstance(made, Verbs):
            raise PlanError(f"{label}: block= gave a {type(made).__name__}, not a frame of pairs.")
        return self._over(made.step)


def _nearest(block: object) -> Nearest | None:
    """The setting, where it is one: other joins do not import what it takes."""
    if block is None or isinstance(block, (str, list, tuple, pl.Expr)) or callable(block):
        return None
    from dreamframe.plan.steps.pair_ranks import Nearest

    return block if isinstance(block, Nearest) else None


def _asked_once(asks: PromptStep) -> Step:
    """A prompt whose equal questions are one, as those of a cascade are anyway."""
    return asks if isinstance(asks, AskedOnce) else AskedOnce(**{f.name: getattr(asks, f.name) for f in fields(asks)})
