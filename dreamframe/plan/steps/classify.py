"""Classify a text by a model made for it: a label, and how sure the model is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import ParseError
from dreamframe.models.request import Failure, Replies, RowContext
from dreamframe.models.task_models.base import TaskModel, read_prediction, read_predictions
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
        return f"{self.into}_score"

    def check(self) -> None:
        need_writable(self.column, self.inputs[0].schema, step=self.label)
        self.adds(self.into, self.score)

    def reads(self) -> frozenset[str]:
        return frozenset({self.column})

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    def output_schema(self) -> pl.Schema:
        kind = pl.Enum(self.labels) if self.labels is not None else pl.String()
        columns: dict[str, pl.DataType] = {self.into: kind, self.score: pl.Float64()}
        if self.llm.gives_many:
            columns = {name: pl.List(dtype) for name, dtype in columns.items()}
        return pl.Schema({**self.inputs[0].schema, **columns})

    @property
    def width(self) -> int:
        return int(getattr(self.llm, "concurrency", None) or 16)

    def describe(self) -> str:
        among = f" among {', '.join(map(repr, self.labels))}" if self.labels else ""
        return f"CLASSIFY {self.into}{among} ← {self.llm.label} {self.column!r}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        question = ctx.once("question", lambda: ctx.resolve(self.llm).question(self.labels))
        texts = template.as_text(rows.get_column(self.column))
        made = self._read(await ctx.ask(question, texts), texts, ctx)
        columns = ((self.into, 0), (self.score, 1))
        return rows.with_columns(pl.Series(name, [m and m[i] for m in made], dtype=self.schema[name]) for name, i in columns)

    def _read(self, replies: Replies, texts: pl.Series, ctx: RowContext) -> list[tuple[Any, Any] | None]:
        """Label and score by position; what is neither is reported to `ctx`."""
        made: list[tuple[Any, Any] | None] = []
        read = read_predictions if self.llm.gives_many else read_prediction
        for position, failure in replies.failures.items():
            ctx.fail(position, failure)
        for position, (text, finish) in enumerate(replies.answers.select("text", "finish").iter_rows()):
            made.append(None)
            if finish is None:  # not asked, or failed
                continue
            try:
                made[position] = read(text, self.labels)
            except ParseError as exc:
                ctx.fail(position, Failure.of(exc, request=texts[position], keys=replies.keys_of(position)))
        return made
