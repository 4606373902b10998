"""Reduce many texts to one answer by a model that reads only so much at once: a tree of partial answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, TypeVar

import polars as pl

from dreamframe.errors import AnswerError, CallError, ContextLengthError, DuplicateColumnError, SettingError
from dreamframe.models.answer import usable
from dreamframe.models.base import LLM
from dreamframe.models.request import Failure, Question, RowContext, Sampling
from dreamframe.models.tokens import usual
from dreamframe.plan.aside import aside
from dreamframe.plan.step import RowStep, kept_columns, step
from dreamframe.prompts import templates as template
from dreamframe.prompts.base import Prompt

T = TypeVar("T")
MARKS = 16  # tokens kept free for the marks that a chat format puts around the messages
SHRINKS = 0.9  # a round of partial answers that is not shorter than so much of what it was made of leads nowhere
BREAKS = ("\n\n", "\n", ". ", " ")  # where a text that is too long is cut, best first


@step
class Reduce(RowStep):
    """Each row holds a list of texts: as many as fit go into one request, and the answers are reduced in the same way until one is left.

    A request and its answer never take more than `context` tokens: answers are cut at `max_tokens` (a quarter of the context if none is set), and a text
    that is too long for a request by itself is cut into pieces. What goes together follows from the texts alone, so every partial answer is found again.
    """

    llm: LLM
    prompt: Prompt
    column: str  # lists of texts
    into: str = "answer"
    context: int = 8192  # tokens
    count: Callable[[str], int] | None = None  # tokens of a text; None: estimated
    sep: str = "\n\n"
    system: str | None = None
    sampling: Sampling = Sampling()

    is_expensive: ClassVar[bool] = True
    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/2109.10862",)  # Wu et al. 2021, Recursively Summarizing Books with Human Feedback

    @property
    def label(self) -> str:
        return self.name or "reduce_by"

    def check(self) -> None:
        have = self.inputs[0].schema
        if self.prompt.models or self.prompt.inputs:
            raise SettingError(f"{self.label}: {self.prompt.summary} looks things up for each row; give a template such as 'Summarise {{{self.column}}}'.")
        self.need(self.column)
        self.llm.check_asked(self.sampling.over(self.llm.sampling), step=self.label)
        self.prompt.check(pl.Schema({**have, self.column: pl.String()}), step=self.label)
        if self.into in have and self.into != self.column:
            raise DuplicateColumnError(f"{self.label}: the rows are grouped by {self.into!r}. Give the new column another name with into=.")
        if self.room < 1:
            raise SettingError(f"{self.label}: context={self.context} tokens leave no room for a text beside an answer of {self.max_tokens}; raise context=.")

    def reads(self) -> frozenset[str]:
        return frozenset({self.column})

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    @property
    def needs_order(self) -> bool:
        return False  # sample 0 of each request

    def output_schema(self) -> pl.Schema:
        kept = {n: t for n, t in self.inputs[0].schema.items() if n != self.column}
        return pl.Schema({**kept, self.into: pl.String()})

    def functions(self) -> object:
        return super().functions(), self.count

    def key_fields(self) -> Mapping[str, object]:
        own = dict(super().key_fields())
        if self.sampling == Sampling():  # settings given to the model or to the verb are the same question
            own.pop("sampling")
        return own

    @property
    def width(self) -> int:
        return int(getattr(self.llm, "concurrency", None) or 16)

    def describe(self) -> str:
        return f"REDUCE {self.into} within {self.context} tokens ← {self.llm.label} {self.prompt.summary}"

    # What fits

    @property
    def max_tokens(self) -> int:
        """Tokens of an answer."""
        return self.sampling.over(self.llm.sampling).max_tokens or self.context // 4

    @property
    def room(self) -> int:
        """Tokens that a prompt may have."""
        return self.context - self.max_tokens - MARKS - self.tokens(self.system or self.llm.system or "")

    def tokens(self, text: str) -> int:
        """The tokens of a text, counted or estimated."""
        return self.count(text) if self.count is not None else usual(text)

    def prompts(self, texts: Sequence[str], written: Callable[[str], str]) -> Iterator[str]:
        """The texts in as few prompts as they fit into, in their order. Raises ContextLengthError where not even a piece of a text fits."""
        waiting = deque(texts)
        around, between = self.tokens(written("")), self.tokens(self.sep)
        while waiting:
            held, used = [waiting.popleft()], around
            used += self.tokens(held[0])
            while waiting and (used := used + between + self.tokens(waiting[0])) <= self.room:
                held.append(waiting.popleft())
            while self.tokens(prompt := written(self.sep.join(held))) > self.room:
                last = held.pop()
                if held:
                    waiting.appendleft(last)
                else:
                    first, rest = self._cut(last, self.room - around)
                    held.append(first)
                    waiting.extendleft([rest] if rest else [])
            yield prompt

    def _cut(self, text: str, most: int) -> tuple[str, str]:
        """A beginning of at most about `most` tokens, shorter than the text, and the rest; between sentences or words if that is possible."""
        text = text.strip()
        at = min(len(text) - 1, len(text) * most // max(1, self.tokens(text))) if most > 0 else 0
        if at < 1:
            raise ContextLengthError(f"{self.label}: the question alone leaves no room in {self.room} of context={self.context} tokens; raise context=.")
        ends = [end + len(b) for b in BREAKS if (end := text.rfind(b, 0, at)) >= at // 2]
        at = ends[0] if ends else at
        return text[:at].rstrip(), text[at:].lstrip()

    # Running

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        import asyncio

        question = ctx.once("question", lambda: self.question(ctx))
        lists = rows.get_column(self.column)
        made = await asyncio.gather(*(self._row(rows[i], lists[i], question, ctx) for i in range(rows.height)))
        for position, result in enumerate(made):
            if isinstance(result, Failure):
                ctx.fail(position, result)
        answers = [None if isinstance(m, Failure) else m for m in made]
        return rows.drop(self.column).with_columns(pl.Series(self.into, answers, dtype=pl.String))

    def question(self, ctx: RowContext) -> Question:
        """What is the same for every request."""
        llm = ctx.resolve(self.llm)
        given = self.sampling.over(self.llm.sampling)
        sampling = replace(given, max_tokens=self.max_tokens) if llm.is_given("max_tokens") else given
        return Question(llm=llm, system=self.system if self.system is not None else llm.system, sampling=sampling, form=self.prompt.form)

    async def _row(self, row: pl.DataFrame, texts: pl.Series | None, question: Question, ctx: RowContext) -> str | Failure | None:
        """The answer for one row's texts; None if there is none, or if a column that the prompt reads is null."""
        held = [] if texts is None else [t for t in template.as_text(texts) if t is not None and t.strip()]
        if not held or self._written(row, "") is None:
            return None
        try:
            return await self._tree(held, lambda text: self._written(row, text) or "", question, ctx)
        except CallError as exc:
            return Failure.of(exc, request=held[0], attempts=0)

    def _written(self, row: pl.DataFrame, text: str) -> str | None:
        made: str | None = self.prompt.render(row.with_columns(pl.lit(text).alias(self.column))).item()
        return made

    async def _counting(self, work: Callable[[], T], ctx: RowContext) -> T:
        """Work that counts tokens. A counter of the user's may be slow: it runs in a worker thread, once at a time, while answers go on to come in."""
        import asyncio

        if self.count is None:
            return work()
        async with ctx.once("counting", asyncio.Lock):
            return await aside(work)

    async def _tree(self, texts: list[str], written: Callable[[str], str], question: Question, ctx: RowContext) -> str | Failure:
        while True:
            prompts = await self._counting(lambda texts=texts: list(self.prompts(texts, written)), ctx)  # type: ignore[misc]
            # Sample 0 of each: equal requests have one answer, so that groups need not wait for each other.
            replies = await ctx.ask(question, pl.Series(prompts, dtype=pl.String), [0] * len(prompts))
            if replies.failures:
                return replies.failures[min(replies.failures)]
            answers = []
            for i, (text, finish) in enumerate(replies.answers.select("text", "finish").iter_rows()):
                try:  # of many, some may have nothing to say
                    answers.append(usable(text, finish, max_tokens=question.sampling.max_tokens, may_be_empty=len(prompts) > 1))
                except AnswerError as exc:
                    return Failure.of(exc, request=prompts[i], keys=replies.keys_of(i))
            if len(answers) == 1:
                return str(answers[0])
            before, after = await self._counting(lambda both=(texts, answers): [sum(map(self.tokens, some)) for some in both], ctx)  # type: ignore[misc]
            if after > SHRINKS * before:
                raise ContextLengthError(
                    f"{self.label}: {len(answers)} partial answers have {after} tokens, and what they were made of had {before}: they would never fit "
                    f"into context={self.context}. Ask for shorter answers, or set max_tokens=."
                )
            texts = [a for a in answers if a.strip()] or answers[:1]
