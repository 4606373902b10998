"""Probabilities that say how often their answers are right: the step behind `df.calibrate(...)`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError, SettingError, TooFewRowsError, one_of
from dreamframe.measure.calibrate import Calibration, Method, fitted
from dreamframe.models.request import RowContext
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import Rows, TableStep, step

LEAST = 20  # labelled rows: with fewer, what is fitted says nothing
METHODS = ("platt", "isotonic")


@step
class Calibrate(TableStep):
    """Fits how often answers are right to how likely the model found them, on the rows that have a label, and applies it to all rows.

    The labels are rows of the plan: those of the second input, if there is one, else those of the first where the label is not null.
    """

    probability: str
    answer: str
    gold: str
    into: str  # may be the column of the probabilities itself
    method: Method = "platt"

    is_expensive: ClassVar[bool] = False
    cites: ClassVar[tuple[str, ...]] = ("https://arxiv.org/abs/1706.04599",)  # Guo et al. 2017, On Calibration of Modern Neural Networks

    @property
    def label(self) -> str:
        return self.name or "calibrate"

    def check(self) -> None:
        one_of(self.method, METHODS, "method", where=self.label)
        super().check()
        for column in (self.probability, self.answer, self.gold):
            if column not in (labelled := self.inputs[-1].schema):
                raise ColumnNotFoundError(column, columns=labelled.names(), step=self.label)
        kinds = {schema[self.probability] for schema in (i.schema for i in self.inputs)}
        if not all(kind.is_float() for kind in kinds):
            raise SchemaError(f"{self.label}: {self.probability!r} is {self.inputs[0].schema[self.probability]}; give the column that probability= made.")
        answer, gold = self.inputs[0].schema[self.answer], self.inputs[-1].schema[self.gold]
        if (answer == pl.Boolean) != (gold == pl.Boolean) or answer.is_numeric() != gold.is_numeric():
            raise SchemaError(f"{self.label}: {self.answer!r} is {answer} and {self.gold!r} is {gold}; cast one of them.")
        if self.into != self.probability:
            self.adds(self.into)

    def reads(self) -> frozenset[str]:
        own = () if len(self.inputs) > 1 else (self.gold,)
        return frozenset({self.probability, self.answer, *own})

    def passes(self) -> Mapping[str, str]:
        return {c: c for c in self.inputs[0].schema if c != self.into}

    @property
    def rows(self) -> Rows:
        return "same"

    @property
    def needs_order(self) -> bool:
        return False

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: pl.Float64()})

    def describe(self) -> str:
        of = "" if self.into == self.probability else f" as {self.into}"
        return f"CALIBRATE {self.probability} of {self.answer}{of} by {self.gold} ({self.method})"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        rows = tables[0]
        made = self._fitted(tables[-1].filter(pl.all_horizontal(pl.col(self.probability, self.answer, self.gold).is_not_null())))
        likely = rows.select(self._said()).to_series()
        known = likely.is_not_null()
        right = pl.Series(made.of(likely.filter(known).to_list()), dtype=pl.Float64)
        at = pl.Series(range(len(likely))).filter(known)
        of_all = pl.Series(self.into, [None] * len(likely), dtype=pl.Float64).scatter(at, right)
        if rows.schema[self.answer] == pl.Boolean:
            of_all = rows.select(pl.when(self.answer).then(of_all).otherwise(1.0 - of_all).alias(self.into)).to_series()
        return rows.with_columns(of_all.alias(self.into))

    def _said(self) -> pl.Expr:
        """The probability that is fitted: of yes, where the answer is yes or no, so that both say something about each other; else of the answer."""
        said = pl.col(self.probability).cast(pl.Float64)
        if self.inputs[0].schema[self.answer] == pl.Boolean:
            said = pl.when(pl.col(self.answer)).then(said).when(~pl.col(self.answer)).then(1.0 - said)
        return pl.when(pl.col(self.answer).is_not_null()).then(said)

    def _fitted(self, labelled: pl.DataFrame) -> Calibration:
        """Raises TooFewRowsError, or SettingError for a label that no answer can be."""
        if labelled.height < LEAST:
            raise TooFewRowsError(f"{self.label}: {labelled.height} rows have an answer, its probability and a label in {self.gold!r}; {LEAST} are the least.")
        answers, gold = labelled.get_column(self.answer), labelled.get_column(self.gold)
        if answers.dtype == pl.Boolean:
            is_right = gold
        elif answers.dtype.is_numeric():
            is_right = answers == gold
        else:
            if isinstance(answers.dtype, pl.Enum) and (other := set(gold.cast(pl.String)) - set(answers.dtype.categories)):
                raise SettingError(f"{self.label}: {min(other)!r} in {self.gold!r} is not one of the labels {', '.join(answers.dtype.categories)}.")
            is_right = answers.cast(pl.String) == gold.cast(pl.String)
        return fitted(labelled.select(self._said()).to_series().to_list(), is_right.to_list(), self.method)
