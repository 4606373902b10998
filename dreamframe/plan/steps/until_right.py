"""Ask for samples of each row one after the other, and for no more once one is right: the step behind `df.prompt(..., n=8, until=dr.verify...)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.models.habits import described
from dreamframe.models.request import RowContext
from dreamframe.plan.aside import aside
from dreamframe.plan.hidden import hidden
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import step, unchecked
from dreamframe.plan.steps.heard import PROMPT
from dreamframe.plan.steps.lent import Lent
from dreamframe.plan.steps.menus import WITH_LABELS
from dreamframe.plan.steps.prompt import PromptStep
from dreamframe.prompts.room import offer_room
from dreamframe.prompts.verifier import Verifier

RIGHT = hidden("verdict", n=0)


@step
class PromptUntilRight(PromptStep):
    """A list of at most n answers, the last of which is the first that the verifier calls right. They are the samples that all n would begin with.

    Rows of a batch are asked for their next sample together, once it is known which of them need one. A row without the truth needs one answer: whether it
    is right is not known, and would not be of the others.
    """

    verifier: Verifier

    @classmethod
    def of(cls, asks: PromptStep, verifier: object) -> PromptUntilRight:
        """A prompt that stops at the first right answer of each row. Raises SettingError for what is not one of dr.verify."""
        if not isinstance(verifier, Verifier):
            what = f"{asks.where}: until={described(verifier)} is not one of dr.verify"
            raise SettingError(f"{what}; give such as until=dr.verify.number({asks.into!r}, 'gold'), whose first column is the answer.")
        return cls(**{f.name: getattr(asks, f.name) for f in fields(PromptStep)}, verifier=verifier)

    def check(self) -> None:
        super().check()
        if self.n < 2:
            raise SettingError(f"{self.where}: until= asks for further answers where one is wrong, and n={self.n} allows one; give n=8.")
        if self.into not in self.verifier.columns[:1]:
            raise SettingError(f"{self.where}: until={self.verifier!r} looks at {self.verifier.columns[0]!r}, and the answers are {self.into!r}.")
        self.verifier.check({**self.inputs[0].schema, self.into: self.dtype}, where=self.where)

    def key_fields(self) -> Mapping[str, object]:
        return {**super().key_fields(), **self.verifier.system_fields()}

    def reads(self) -> frozenset[str]:
        return super().reads() | frozenset(self.verifier.columns[1:])

    def describe(self) -> str:
        return f"{super().describe()}, until {self.verifier!r}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        known = ctx.once(WITH_LABELS, lambda: self)
        question = ctx.once("question", lambda: known.question(ctx))
        offer_room(question, ctx)
        if (said := await aside(self.verifier.isolation)) is not None:
            ctx.once("told", lambda: ctx.note(str(said), warns=bool(said.missing), not_held=len(said.missing)))
        prompts = await ctx.once("prompt", lambda: known.prompt).rendered(rows, ctx)
        numbers = await ctx.number(question, self.each_sample(prompts)) if self.needs_order else [0] * self.n * rows.height
        one = unchecked(PromptStep, known, schema=with_columns(self.inputs[0].schema, self._of_one()), n=1)
        answers: dict[int, dict[str, list[Any]]] = {}
        left = [i for i, text in enumerate(prompts) if text is not None and i not in ctx.failures]
        for sample in range(self.n):
            if not left:
                break
            lent = Lent(ctx, "")
            told = await self._one_more(one, rows[left], prompts.gather(left), [numbers[i * self.n + sample] for i in left], lent)
            for at, failure in lent.failures.items():
                ctx.fail(left[at], failure)
            for at, i in enumerate(left):
                for column in self.writes():
                    answers.setdefault(i, {c: [] for c in self.writes()})[column].append(told[column][at])
            left = [i for at, i in enumerate(left) if at not in lent.failures and told[RIGHT][at] is False]
        made = {c: [answers[i][c] if i in answers and i not in ctx.failures else None for i in range(rows.height)] for c in self.writes()}
        made |= {name: prompts.to_list() for what, name in self.keep if what == PROMPT}
        return rows.hstack([pl.Series(c, values, dtype=self.schema[c]) for c, values in made.items()])

    def _of_one(self) -> dict[str, pl.DataType]:
        """The columns that one sample of each row makes."""
        return {self.into: self.dtype, **{name: pl.String() for _, name in self.keep}}

    async def _one_more(self, one: PromptStep, rows: pl.DataFrame, prompts: pl.Series, samples: list[int], ctx: RowContext) -> pl.DataFrame:
        """Another answer to each of these rows, and whether it is right."""
        beside = rows.select(pl.repeat(None, pl.len(), dtype=pl.Boolean).alias(RIGHT), *self.verifier.columns[1:])  # a frame of no column has no rows
        told = await one.answered(beside, prompts, samples, ctx)
        right = await aside(lambda: self.verifier.right(*(told[c].to_list() for c in self.verifier.columns)))
        return told.with_columns(pl.Series(RIGHT, right, dtype=pl.Boolean))
