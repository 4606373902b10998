"""Ask a language model about every row: the step behind `df.prompt(...)` and `dr.prompt(...)`."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, fields, is_dataclass, replace
from typing import Any, ClassVar, Self

import polars as pl

from dreamframe.errors import AnswerError, DreamframeError, MissingExtraError, ParseError, SettingError, TruncatedError
from dreamframe.identity.whose_code import is_library, is_own
from dreamframe.models.answer import are_plain, usable, verdict
from dreamframe.models.base import LLM, ModelSettings
from dreamframe.models.menu import read_weighed
from dreamframe.models.request import Failure, Question, Replies, RowContext, Sampling
from dreamframe.plan.aside import aside
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import RowStep, Step, runtime, step
from dreamframe.plan.steps.heard import REASONING, Heard, dtype_of
from dreamframe.plan.steps.menus import WITH_LABELS, need_labels, of_each, with_labels, with_menus
from dreamframe.plan.steps.repair import next_turn, turns
from dreamframe.prompts.answer_schema import AnswerSchema, unfenced
from dreamframe.prompts.base import Prompt
from dreamframe.prompts.labels import LabelsOf
from dreamframe.prompts.parsers import Rule
from dreamframe.prompts.room import offer_room
from dreamframe.prompts.templates import need_whole
from dreamframe.store.ends import LENGTH

Asked = Mapping[int, tuple[bytes, ...]]  # position → the requests that were made for it so far


@step
class Asking(Step):
    """What asks a language model the same of every row, whatever the shape of the step."""

    llm: LLM
    prompt: Prompt
    into: str = "answer"
    schema_: AnswerSchema | None = None
    system: str | None = None
    sampling: Sampling = Sampling()
    n: int = 1  # samples for each row; more than one gives a list column
    parse: Callable[[str], Any] | None = None
    held: AnswerSchema | None = None  # what the model is held to where parse= reads its answers; None: parse= reads free text
    keep: tuple[tuple[str, str], ...] = ()  # what else becomes a column (see plan/steps/heard.py), and the column's name
    probability: str | None = None  # the column of how likely the model finds its answer
    techniques: tuple[str, ...] = runtime(default=())  # papers of the verb that asks
    tuned: tuple[tuple[str, str], ...] = field(default=(), metadata={"runtime": True, "is_written_if_given": True})  # what df.tune says of the prompt
    repairs: int = 1  # further turns that show the model its error, for answers that do not fit the schema

    is_expensive: ClassVar[bool] = True

    @classmethod
    def over(cls, below: Step, llm: LLM, prompt: Prompt, **fields: Any) -> Self:
        """The step over `below`, its edges being the tables that the prompt reads and the models that the llm waits for."""
        labels = () if fields.get("schema_") is None else fields["schema_"].inputs
        edges = [e.step for e in (*prompt.inputs, *llm.edges(), *(e for model in prompt.models for e in model.edges()), *labels)]
        return cls(inputs=(below, *edges), llm=llm, prompt=prompt, **fields)

    @property
    def label(self) -> str:
        return self.name or self.into

    @property
    def where(self) -> str:
        return self.name or "prompt"

    def check(self) -> None:
        where = self.where
        if self.n < 1:
            raise SettingError(f"{where}: n={self.n}; ask for one sample or more.")
        self._need_whole_texts(where)
        self.prompt.check(self.inputs[0].schema, step=where)
        if self.probability is not None:
            reads_text = self.parse is not None and (self.held is None or not is_own(self.parse))
            need_labels(self.llm, self._labels, self.dtype, n=self.n, reads_text=reads_text, step=where)
        self.llm.check_asked(self._sampling, step=where, is_held=self._asked_for is not None)
        self.adds(*self.writes())

    @property
    def _labels(self) -> tuple[str, ...]:
        """The labels that the model tells the probabilities of."""
        held = self._asked_for
        return () if held is None or self.probability is None else tuple(label for label, _ in held.choices)

    def _need_whole_texts(self, where: str) -> None:
        of_model = f"of {self.llm.label}" if self.llm.label.isprintable() else "of the model"
        held: list[object] = [getattr(self.prompt, f.name) for f in fields(self.prompt)] if is_dataclass(self.prompt) else []
        texts = {"name=": self.name, "the prompt": held, "system=": self.system, "sampling": self.sampling.given()}
        texts |= {f"model {of_model}": self.llm.model, f"system= {of_model}": self.llm.system, f"sampling {of_model}": self.llm.sampling.given()}
        for what, value in texts.items():
            need_whole(value, what, step=where)

    def reads(self) -> frozenset[str]:
        return frozenset(self.prompt.columns)

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.inputs[0].schema}

    def writes(self) -> tuple[str, ...]:
        return (self.into, *filter(None, (self.probability,)), *(column for _, column in self.keep))

    def models(self) -> tuple[ModelSettings, ...]:
        return (self.llm, *self.prompt.models)

    def missing(self) -> tuple[DreamframeError, ...]:
        held = getattr(self.llm, "needs_to_hold", ()) if self._asked_for is not None else ()
        wanted = [library for library in held if importlib.util.find_spec(library) is None]
        return tuple(MissingExtraError(m, extra="local", needed_for=f"schema= with {self.llm.label}") for m in wanted)

    @property
    def dtype(self) -> pl.DataType:
        """The type of one answer."""
        return self.schema_.dtype if self.schema_ else pl.String()

    def schema_over(self, inputs: Sequence[Step]) -> pl.Schema | None:
        """Also over an input that has more columns or fewer, if those that are read are what they were: nothing else of it was checked."""
        if (same := super().schema_over(inputs)) is not None:
            return same
        return with_columns(inputs[0].schema, {c: self.schema[c] for c in self.writes()}) if self.is_known_over(inputs) else None

    def is_known_over(self, inputs: Sequence[Step]) -> bool:
        """Whether what it reads of other inputs is what it was checked with."""
        have, had = inputs[0].schema, self.inputs[0].schema
        is_known = type(self).check is Asking.check and is_library(type(self)) and is_library(type(self.prompt)) and len(inputs) == len(self.inputs)
        if not is_known or any(a is not b for a, b in zip(inputs[1:], self.inputs[1:], strict=True)):
            return False
        return not any(c in have for c in self.writes()) and all(c in have and c in had and have[c] == had[c] for c in self.reads())

    def key_fields(self) -> Mapping[str, object]:
        own = dict(super().key_fields())
        for name in ("held", "keep", "probability"):  # what is asked of none is no part of it: steps that were kept before these fields are found
            if not own[name]:
                own.pop(name)
        if self.sampling == Sampling():  # settings given to the model or to the verb are the same question
            own.pop("sampling")
        return own

    def citations(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.cites, *self.prompt.cites, *self.techniques)))

    @property
    def reads_files(self) -> bool:
        return self.prompt.reads_files(self.inputs[0].schema) or super().reads_files

    def functions(self) -> object:
        own = None if is_library(type(self.prompt)) else self.prompt
        return super().functions(), self.parse, own, None if self.schema_ is None else self.schema_.shape

    @property
    def needs_order(self) -> bool:
        return not self._sampling.is_greedy

    @property
    def width(self) -> int:
        return int(getattr(self.llm, "concurrency", None) or 16)

    @property
    def _sampling(self) -> Sampling:
        if self.probability is not None:  # one token is read, and how likely each is: nothing is drawn
            return Sampling(max_tokens=None if self.llm.weighs_labels else 1, temperature=0.0, extra=self.sampling.over(self.llm.sampling).extra)
        return self.sampling.over(self.llm.sampling)

    @property
    def _asked_for(self) -> AnswerSchema | None:
        """What the model is held to."""
        return self.held if self.parse is not None else self.schema_

    def describe(self) -> str:
        kind = f" → {self.schema_.described}" if self.schema_ else ""
        many = f" n={self.n}" if self.n > 1 else ""
        likely = "" if self.probability is None else f" probability={self.probability}"
        said = f" tuned: {tuned}" if (tuned := dict(self.tuned).get("said")) else ""
        return f"PROMPT {self.into}{kind}{likely}{many} ← {self.llm.label} {self.prompt.summary}{said}"

    def question(self, ctx: RowContext) -> Question:
        """What is the same for every row."""
        llm = ctx.resolve(self.llm)
        held = ctx.once(WITH_LABELS, lambda: self)._asked_for
        return Question(
            llm=llm,
            system=self.system if self.system is not None else llm.system,
            sampling=self._sampling,
            json_schema=held.json_schema if held is not None and (self.probability is None or llm.weighs_labels) else None,
            form=self.prompt.form,
            labels=self._labels,
            tells_thoughts=any(what == REASONING for what, _ in self.keep),
        )

    async def answered(self, rows: pl.DataFrame, prompts: pl.Series, samples: Sequence[int] | None, ctx: RowContext) -> pl.DataFrame:
        """The rows with the columns of their answers. Null prompts give null, and no call is made."""
        question = ctx.once("question", lambda: self.question(ctx))
        replies = await ctx.ask(question, prompts, samples)
        heard = Heard.of(replies) if self.keep else None
        values = await self._values(question, prompts, replies, ctx, heard)
        kept = [] if heard is None else heard.columns(self.keep, prompts, n=self.n)
        if self.probability is not None:
            answers, likely = of_each(values)
            return rows.hstack([self._column(answers), pl.Series(self.probability, likely, dtype=pl.Float64), *kept])
        column = self._column(values)
        if self.n > 1:  # rows of n answers; a row with a failed sample is a failed row
            column = self._lists(column, rows.height, ctx)
        return rows.hstack([column, *kept])

    def as_asked(self, prompts: pl.Series) -> pl.Series:
        """The prompts as they are sent."""
        return prompts if self.probability is None or self.llm.weighs_labels else with_menus(prompts, self._labels, form=self.prompt.form)

    def each_sample(self, prompts: pl.Series) -> pl.Series:
        """The prompts, one for each sample that is asked for."""
        return prompts.gather([i for i in range(len(prompts)) for _ in range(self.n)]) if self.n > 1 else prompts

    def samples(self, rows: pl.DataFrame) -> Sequence[int] | None:  # noqa: ARG002  where they were numbered before
        """The number of each sample; None: the k-th equal request is sample k."""
        return None

    def _column(self, values: pl.Series | list[Any]) -> pl.Series:
        if isinstance(values, pl.Series):
            return values.alias(self.into)
        if self.schema_ is not None:
            return self.schema_.to_series(self.into, values)
        return pl.Series(self.into, values, dtype=self.dtype)

    def _lists(self, column: pl.Series, height: int, ctx: RowContext) -> pl.Series:
        grouped = pl.DataFrame({"row": [i for i in range(height) for _ in range(self.n)], "value": column})
        lists = grouped.group_by("row", maintain_order=True).agg("value").get_column("value").alias(self.into)
        whole = pl.Series([i not in ctx.failures for i in range(height)], dtype=pl.Boolean)
        return pl.select(pl.when(whole).then(lists).otherwise(None).alias(self.into)).to_series().cast(pl.List(self.dtype))

    async def _values(self, question: Question, prompts: pl.Series, replies: Replies, ctx: RowContext, heard: Heard | None) -> pl.Series | list[Any]:
        """Answers as values of the column's type; what cannot be one is reported to `ctx`. `heard` has what came, of repaired answers the last."""
        for position, failure in replies.failures.items():
            ctx.fail(position // self.n, failure)
        plain = self.schema_ is None and self.parse is None
        if plain and not replies.failures and are_plain(replies.answers):
            return replies.answers.get_column("text")
        read = await self._read(question, replies.answers, ctx)
        keys = {p: replies.keys_of(p) for p in range(len(prompts))}
        values, again = self._settled(question, prompts, read, keys, ctx, last=self.repairs == 0)
        return await self._repair(question, prompts, replies, values, again, keys, ctx, heard=heard)

    async def _read(self, question: Question, answers: pl.DataFrame, ctx: RowContext) -> list[Any]:
        """The value of each answer, or the AnswerError of one that has none. Code of the user's runs in a worker thread, one batch at a time: meanwhile
        the event loop reads what other rows are answered."""
        import asyncio  # importing the package does without

        given = list(zip(answers.get_column("text"), answers.get_column("finish"), strict=True))
        if self.parse is None and (self.schema_ is None or self.schema_.is_quick):
            return [self._value_or_error(text, finish, question) for text, finish in given]
        async with ctx.once("reading", asyncio.Lock):
            return await aside(lambda: [self._value_or_error(text, finish, question) for text, finish in given])

    def _settled(
        self, question: Question, prompts: pl.Series, read: Sequence[Any], keys: Asked, ctx: RowContext, *, last: bool
    ) -> tuple[list[Any], dict[int, ParseError]]:
        """Values by position, and the errors that another turn may repair; all others are failures, which name the answers that were read."""
        values: list[Any] = []
        again: dict[int, ParseError] = {}
        for (position, its_keys), value in zip(keys.items(), read, strict=True):
            values.append(None if isinstance(value, AnswerError) else value)
            if isinstance(value, ParseError) and question.json_schema and not last:
                again[position] = value
            elif isinstance(value, AnswerError):
                ctx.fail(position // self.n, Failure.of(value, request=prompts[position], keys=its_keys))
        return values, again

    async def _repair(
        self,
        question: Question,
        prompts: pl.Series,
        replies: Replies,
        values: list[Any],
        again: dict[int, ParseError],
        keys: Asked,
        ctx: RowContext,
        *,
        heard: Heard | None,
    ) -> list[Any]:
        """Show the model its error, up to `repairs` times. Each turn is a request like any other, so it is paid once."""
        talks = {p: turns(prompts[p], question) for p in again}
        for turn in range(self.repairs):
            if not again:
                break
            for p, exc in again.items():
                talks[p] = next_turn(talks[p], exc)
            asked = list(again)
            form = replace(question, form="messages", labels=())
            form = ctx.once(f"repair {form.digest}", lambda form=form: form)  # type: ignore[misc]
            texts = pl.Series([json.dumps(talks[p], ensure_ascii=False) for p in asked], dtype=pl.String)
            reply = await ctx.ask(form, texts, [replies.samples[p] for p in asked])
            for i, failure in reply.failures.items():
                ctx.fail(asked[i] // self.n, failure)
            read = await self._read(form, reply.answers, ctx)
            keys = {p: (*keys[p], *reply.keys_of(i)) for i, p in enumerate(asked)}
            repaired, again = self._settled(form, prompts, read, keys, ctx, last=turn + 1 == self.repairs)
            for p, value in zip(asked, repaired, strict=True):
                values[p] = value
            if heard is not None:
                heard.repaired(asked, reply)
        return values

    def _value_or_error(self, text: str | None, finish: str | None, question: Question) -> Any:
        if finish is None:  # not asked, or failed
            return None
        try:
            return self._value(text, finish, question)
        except AnswerError as exc:
            return exc

    def _value(self, text: str | None, finish: str, question: Question) -> Any:
        limit, stop = question.sampling.max_tokens, question.sampling.stop
        text = usable(text, finish, max_tokens=limit, may_be_empty=bool(self.parse or self.schema_ or stop))
        if self.probability is not None:
            return self._chosen(text)
        try:
            if self.parse is not None:
                return self._parsed(text)
            if self.schema_ is not None:
                return self.schema_.parse(text)
        except ParseError as exc:
            if finish == LENGTH:
                raise TruncatedError(f"the answer was cut off ({'max_tokens=' + str(limit) if limit else 'by the model'}): {exc}", text=text) from exc
            raise
        if finish == LENGTH and limit is None:
            raise TruncatedError("the model's own limit cut the answer off; pass max_tokens= to choose one", text=text)
        return text

    def _chosen(self, text: str | None) -> tuple[Any, float]:
        """The likeliest label, as the column takes it, and how likely it is."""
        held = self._asked_for
        assert held is not None
        found = read_weighed(text, self._labels)
        value = dict(held.choices)[found.label]
        if self.parse is not None and isinstance(value, str):
            value = self.parse(value)
        return value if self.schema_ is None else self.schema_.accept(value, text=text), found.probability

    def _parsed(self, text: str) -> Any:
        assert self.parse is not None
        try:
            value = self._through_parse(verdict(text) if is_own(self.parse) else text)
        except ParseError:
            raise
        except BaseException as exc:  # it may raise anything, SystemExit too
            what = f"{self.label} wants {self.parse.wants}" if isinstance(self.parse, Rule) else f"parse= refused the answer: {type(exc).__name__}"
            raise ParseError(f"{what}: {exc}", text=text) from exc
        if value is None:
            return None
        if self.schema_ is not None:
            return self.schema_.accept(value, text=text)
        if not isinstance(value, str):
            raise ParseError(f"parse= gave a {type(value).__name__}; say so with schema=, e.g. schema={type(value).__name__}", text=text)
        return value

    def _through_parse(self, text: str) -> Any:
        """What parse= makes of a text. Of JSON that the model was held to, the value; a text in it, and an answer in free text (of a model that cannot
        be held), go through parse= as they would alone."""
        assert self.parse is not None
        if self.held is None:
            return self.parse(text)
        try:
            value = self.held.parse(text)
        except ParseError:
            said = self.held.words(text)
            if said is None and unfenced(text).lstrip().startswith("{"):  # JSON of another shape: words and numbers in it are names of fields
                raise
            value = text if said is None else said
        return self.parse(value) if isinstance(value, str) else value


@step
class PromptStep(Asking, RowStep):
    """One column of answers. Null prompts (a null in a column that the template reads) give null, and no call is made."""

    def output_schema(self) -> pl.Schema:
        column = pl.List(self.dtype) if self.n > 1 else self.dtype
        kept = {name: dtype_of(what, n=self.n) for what, name in self.keep}
        likely = {} if self.probability is None else {self.probability: pl.Float64()}
        return with_columns(self.inputs[0].schema, {self.into: column, **likely, **kept})

    async def prepare(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> None:
        known, tables = with_labels(self, tables) if isinstance(self.schema_, LabelsOf) else (self, tables)
        ctx.once(WITH_LABELS, lambda: known)
        ctx.once("prompt", lambda: known.prompt.bound(tables))

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        known = ctx.once(WITH_LABELS, lambda: self)
        if known is not self:
            return (await known.run(rows, ctx)).cast({self.into: self.schema[self.into]})
        question = ctx.once("question", lambda: self.question(ctx))
        offer_room(question, ctx)
        prompts = await ctx.once("prompt", lambda: self.prompt).rendered(rows, ctx)
        return await self.answered(rows, self.as_asked(self.each_sample(prompts)), self.samples(rows), ctx)
