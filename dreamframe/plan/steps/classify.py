"""Classify a text by a model made for it: a label, and how sure the model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import ParseError, SettingError
from dreamframe.models.request import Failure, Replies, RowContext
from dreamframe.models.task_models.base import TaskModel, read_prediction, read_predictions, read_scores
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import RowStep, Step, kept_columns, step
from dreamframe.prompts import templates as template
from dreamframe.prompts.instruct import need_writable


@step
class Classify(RowStep):
    """Two columns: the label, and its score (lists of them, by a model that gives many). A null text gives nulls, and no call is made."""

    llm: TaskModel  # called so as in every step that asks a model: progress and statistics name it
    labels: tuple[str, ...] | None  # None: the model's own
    column: str
    into: str = "label"
    scores: bool = False  # whether there is a third column, of the scores of all labels
    probability: str | None = None  # the name of the score's column, where it is another than usual

    is_expensive: ClassVar[bool] = True

    @classmethod
    def over(cls, below: Step, llm: TaskModel, **fields: Any) -> Classify:
        """The step over `below`, its edges being the models that the classifier waits for."""
        return cls(inputs=(below, *(e.step for e in llm.edges())), llm=llm, **fields)

    @property
    def label(self) -> str:
        return self.name or "classify"

    @property
    def score(self) -> str:
        """The name of the score's column."""
        return self.probability if self.probability is not None else f"{self.into}_score"

    def check(self) -> None:
        need_writable(self.column, self.inputs[0].schema, step=self.label)
        if self.scores and not self.llm.tells_scores:
            raise SettingError(f"{self.label}: scores=True needs a model that tells the scores of all labels, and {self.llm.label} does not.")
        self.adds(self.into, self.score, *([self.all_scores] if self.scores else []))

    def key_fields(self) -> Mapping[str, object]:
        unset = {name for name in ("scores", "probability") if not getattr(self, name)}  # steps that were kept before these fields are found
        return {name: value for name, value in super().key_fields().items() if name not in unset}

    @property
    def all_scores(self) -> str:
        """The name of the column of the scores of all labels."""
        return f"{self.into}_scores"

    def reads(self) -> frozenset[str]:
        return frozenset({self.column})

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    def output_schema(self) -> pl.Schema:
        kind = pl.Enum(self.labels) if self.labels is not None else pl.String()
        columns: dict[str, pl.DataType] = {self.into: kind, self.score: pl.Float64()}
        if self.llm.gives_many:
            columns = {name: pl.List(dtype) for name, dtype in columns.items()}
        if self.scores:
            columns[self.all_scores] = pl.List(pl.Struct({"label": kind, "score": pl.Float64()}))
        return with_columns(self.inputs[0].schema, columns)

    @property
    def width(self) -> int:
        return int(getattr(self.llm, "concurrency", None) or 16)

    def describe(self) -> str:
        among = f" among {', '.join(map(repr, self.labels))}" if self.labels else ""
        return f"CLASSIFY {self.into}{among} ← {self.llm.label} {self.column!r}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        asked = {"scores": True} if self.scores else {}
        question = ctx.once("question", lambda: ctx.resolve(self.llm).question(self.labels, **asked))
        texts = template.as_text(rows.get_column(self.column))
        made = self._read(await ctx.ask(question, texts), texts, ctx)
        columns = ((self.into, 0), (self.score, 1), *([(self.all_scores, 2)] if self.scores else []))
        return rows.with_columns(pl.Series(name, [m and m[i] for m in made], dtype=self.schema[name]) for name, i in columns)

    def _read(self, replies: Replies, texts: pl.Series, ctx: RowContext) -> list[tuple[Any, ...] | None]:
        """Label and score by position; what is neither is reported to `ctx`."""
        made: list[tuple[Any, ...] | None] = []
        read = read_predictions if self.llm.gives_many else read_prediction
        for position, failure in replies.failures.items():
            ctx.fail(position, failure)
        for position, (text, finish) in enumerate(replies.answers.select("text", "finish").iter_rows()):
            made.append(None)
            if finish is None:  # not asked, or failed
                continue
            try:
                made[position] = (*read(text, self.labels), *([read_scores(text, self.labels)] if self.scores else []))
            except ParseError as exc:
                ctx.fail(position, Failure.of(exc, request=texts[position], keys=replies.keys_of(position)))
        return made
