"""Joins asked otherwise than pair by pair: a join's plan with guesses about its pairs, checked on some of them, in the place of a question about each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, Self

import polars as pl

from dreamframe.errors import SettingError, one_of
from dreamframe.frame.base import whole
from dreamframe.models.habits import described
from dreamframe.plan.hidden import hidden
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import relational
from dreamframe.plan.steps.checked import Agreement, AskOpen, DrawChecked, Otherwise
from dreamframe.plan.steps.once import AskedOnce
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.plan.steps.which_apply import WhichApply
from dreamframe.prompts.answer_schema import AnswerSchema
from dreamframe.prompts.attribute import Attribute
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.either_way import EitherWay

LEAST_CHECKED = 10  # pairs: fewer say nothing
DEFAULTS = (0.9, 50, "pairs")  # of agree=, check=, otherwise=
LEFT, RIGHT = hidden("left_label", n=0), hidden("right_label", n=0)
Asked = Literal["pairs", "labels"] | Attribute


@dataclass(frozen=True)
class Sides:
    """What a prompt reads of either side of a join: the columns, and what each is called in its own frame."""

    left: tuple[tuple[str, str], ...]  # (column of the pairs, its name)
    right: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, prompt: Prompt, left: pl.Schema, right: pl.Schema, *, shared: Sequence[str], suffix: str) -> Self:
        """A column that both sides are joined on, one of `shared`, is of both."""
        mine = [(c, c) for c in prompt.columns if c in left]
        theirs = [(c, c) for c in prompt.columns if c in right and (c not in left or c in shared)]
        theirs += [(c, c.removesuffix(suffix)) for c in prompt.columns if c not in left and c not in right and c.removesuffix(suffix) in right]
        return cls(tuple(mine), tuple(theirs))


@dataclass(frozen=True)
class Way:
    """How a join is asked otherwise, and when it is asked pair by pair after all."""

    asked: Literal["labels"] | Attribute
    agree: float
    check: int
    otherwise: Otherwise
    sides: Sides
    label: str  # of the join

    @classmethod
    def of(
        cls, asked: object, agree: object, check: object, otherwise: object, *, prompt: Prompt, sides: Sides, is_cascade: bool, label: str
    ) -> Self | None:
        """None where pairs are asked. Raises SettingError for settings that do not fit each other or the prompt."""
        if asked == "pairs":
            if (agree, check, otherwise) != DEFAULTS:
                raise SettingError(
                    f"{label}: agree=, check= and otherwise= are of a join that is not asked pair by pair; give asked='labels' or asked=dr.Attribute(…)."
                )
            return None
        if not isinstance(asked, Attribute) and asked != "labels":
            if isinstance(asked, str):
                one_of(asked, ("pairs", "labels"), "asked", where=label)
            raise SettingError(f"{label}: asked= is {described(asked)}; give 'pairs', 'labels' or a dr.Attribute(…).")
        if isinstance(agree, bool) or not isinstance(agree, int | float) or not 0 < agree <= 1:
            raise SettingError(f"{label}: agree={agree!r} is not a part of the checked pairs; give a number above 0 and at most 1, as 0.9.")
        if (n := whole(check, "check", verb=label)) < LEAST_CHECKED:
            raise SettingError(f"{label}: check={n} pairs say too little about the others; give {LEAST_CHECKED} or more.")
        one_of(otherwise, ("pairs", "raise"), "otherwise", where=label)
        _check_prompt(prompt, sides, asked, label)
        if is_cascade:
            raise SettingError(f"{label}: cascade= and asked= are two ways to take fewer calls; give one of them.")
        return cls(asked, float(agree), n, "raise" if otherwise == "raise" else "pairs", sides, label)

    def labelled(self, left: Step, right: Step, asks: PromptStep) -> tuple[Step, Step]:
        """Both sides of the join, each row with its label: of an attribute."""
        return self._labelled(left, LEFT, self.sides.left, asks), self._labelled(right, RIGHT, tuple((name, name) for _, name in self.sides.right), asks)

    def _labelled(self, below: Step, into: str, read: Sequence[tuple[str, str]], asks: PromptStep) -> Step:
        assert isinstance(self.asked, Attribute)
        schema = AnswerSchema.of(list(self.asked.labels), step=self.label)
        prompt = self.asked.prompt([(name, column) for column, name in read])
        fields_ = {"into": into, "schema_": schema, "on_error": "null", "name": f"{self.label} {self.asked.name}"}
        return AskedOnce.over(below, asks.llm, prompt, **fields_, **_as_of(asks))

    def over(self, asks: PromptStep, pairs: Step) -> Step:
        """What answers the question about each of some pairs: guesses where they are checked and hold, and the question itself about all others."""
        n = len(pairs.schema)
        guess, known, said, settled = (hidden(what, n=n) for what in ("guess", "known", "checked", "settled"))
        guessed, way = self._guessed(asks, pairs, guess)
        drawn = DrawChecked(inputs=(guessed,), guess=guess, columns=asks.prompt.columns, into=known, n=self.check, name=self.label)
        held: dict[str, Any] = {f.name: getattr(asks, f.name) for f in fields(PromptStep)} | {"once": isinstance(asks, AskedOnce)}
        of_checked = {"inputs": (drawn, *asks.inputs[1:]), "into": said, "keep": (), "probability": None, "on_error": "null", "name": f"{self.label} check"}
        some = AskOpen(**{**held, **of_checked, "known": known, "decides": True, "rows_asked": "the pairs to check"})
        agreed = Agreement(
            inputs=(some,), guess=guess, known=known, said=said, into=settled, least=self.agree, otherwise=self.otherwise, way=way, name=self.label
        )
        made = AskOpen(**{**held, "inputs": (agreed, *asks.inputs[1:]), "known": settled, "rows_asked": "the pairs that are open"})
        return relational("drop", inputs=(made,), args=(settled,), name=self.label)

    def _guessed(self, asks: PromptStep, pairs: Step, guess: str) -> tuple[Step, str]:
        """The pairs with a guess about each, and how it was had."""
        if isinstance(self.asked, Attribute):
            told = relational("with_columns", inputs=(pairs,), args=([self.asked.matches(LEFT, RIGHT).alias(guess)],), name=self.label)
            return relational("drop", inputs=(told,), args=(LEFT, RIGHT), name=self.label), f"labels of {self.asked.name}"
        prompt = asks.prompt.prompt if isinstance(asks.prompt, EitherWay) else asks.prompt
        ((column, name),) = self.sides.right
        inputs = (pairs, *(e.step for e in asks.llm.edges()))
        made = WhichApply(
            inputs=inputs, llm=asks.llm, prompt=prompt, column=column, called=name, into=guess, name=f"{self.label} labels", **_as_of(asks)
        )
        return made, "lists of labels"


def _as_of(asks: PromptStep) -> dict[str, Any]:
    """What a question about rows has of one about pairs; how long a yes or a no may be is not among it."""
    return {"system": asks.system, "sampling": replace(asks.sampling, max_tokens=None)}


def _check_prompt(prompt: Prompt, sides: Sides, asked: object, label: str) -> None:
    way = f"asked={'dr.Attribute(…)' if isinstance(asked, Attribute) else repr(asked)}"
    if prompt.form != "text" or prompt.inputs or prompt.models:
        raise SettingError(f"{label}: {way} is for prompts that are text and read nothing but the pair; {prompt.summary} is another.")
    for side, read in (("left", sides.left), ("right", sides.right)):
        if not read:
            raise SettingError(f"{label}: {way}, and the prompt reads no column of the {side} side; it must read one of either side.")
    if asked == "labels" and len(sides.right) > 1:
        raise SettingError(
            f"{label}: asked='labels' offers the values of one column of the right side, and the prompt reads {', '.join(c for c, _ in sides.right)}. "
            "Put them into one column first, as other.with_columns(pl.concat_str('a', 'b', separator=': ').alias('label'))."
        )


def in_place_of_prompt(step: Step, change: Callable[[PromptStep], Step]) -> Step:
    """A plan whose prompt, below steps of one input each, is put through `change`."""
    above: list[Step] = []
    while not isinstance(step, PromptStep):
        above.append(step)
        step = step.inputs[0]
    made = change(step)
    for over in reversed(above):
        made = over.with_inputs([made])
    return made


def prompt_in(step: Step) -> PromptStep:
    """The prompt of a plan, below steps of one input each."""
    while not isinstance(step, PromptStep):
        step = step.inputs[0]
    return step
