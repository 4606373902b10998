"""A metric: a frozen record that names a figure and the columns that it is of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError, SettingError, listed
from dreamframe.measure import bias, numeric, raters, scores
from dreamframe.measure import labels as of_labels
from dreamframe.measure.statistic import Statistic

LABELS = ("precision", "recall", "f1")
RATERS = ("raw_agreement", "cohen_kappa", "fleiss_kappa", "krippendorff_alpha")
COUNTED_AS_WRONG = ("accuracy", "exact_match", *LABELS)  # where no prediction is a wrong one
LOWER_IS_BETTER = (*numeric.ERRORS[:3], *scores.PROBABILITIES)


@dataclass(frozen=True, repr=False)
class Metric:
    """A figure of a frame's rows. The functions of `dr.metrics` make them."""

    kind: str  # the function that made it: "f1"
    columns: tuple[str, ...]  # that it reads
    options: tuple[tuple[str, Any], ...] = ()

    def __repr__(self) -> str:
        told = [repr(c) for c in self.columns if self.kind not in ("mean", "function")]
        if self.kind == "verified":
            return str(dict(self.options)["shown"])
        return f"{self.kind}({', '.join([*told, *(f'{k}={_shown(v)}' for k, v in self.options if v is not None)])})"

    @property
    def reads(self) -> tuple[str, ...] | None:
        """The columns that it needs; None: any of them."""
        return None if not self.columns and "function" in dict(self.options) else self.columns

    @property
    def is_of_rows(self) -> bool:
        """Whether it is a share of rows that are right, so that two plans may be compared row by row."""
        return self.kind in ("accuracy", "exact_match", "verified")

    def check(self, schema: Mapping[str, pl.DataType], *, where: str) -> None:
        """Raise a PlanError where columns of these types cannot serve it."""
        for column in self.columns:
            if column not in schema:
                raise ColumnNotFoundError(column, columns=list(schema), step=where)
        here, types = f"{where}: {self.kind}", [schema[c] for c in self.columns]
        if self.kind in ("accuracy", *LABELS):
            of_labels.need_comparable(*types[:2], names=(self.columns[0], self.columns[1]), where=here)
        if self.kind in LABELS and dict(self.options)["average"] == "binary":
            _need_positive(self, types[1], here)
        if self.kind in numeric.KINDS or self.kind in scores.KINDS:
            for column in self.columns[:1] if self.kind in scores.KINDS else self.columns:
                if not (schema[column].is_numeric() or schema[column] == pl.Null):
                    raise SchemaError(f"{here}: {column!r} is {schema[column]}, not numbers; cast it first, e.g. .cast({{{column!r}: pl.Float64}}).")
        if self.kind in bias.BIASES:
            bias.check(self.kind, self.columns, types, where=here)
        if self.kind in RATERS:
            raters.check(dict(zip(self.columns, types, strict=True)), dict(self.options), where=here)

    def of(self, rows: pl.DataFrame, *, where: str = "evaluate") -> Statistic:
        """The figure of these rows."""
        kind, options, here = self.kind, dict(self.options), f"{where}: {self.kind}"
        if kind == "verified":
            return of_labels.verified(rows[self.columns[0]])
        if kind in COUNTED_AS_WRONG:
            return of_labels.of(kind, rows, *self.columns, **options)
        if kind in numeric.KINDS:
            return numeric.of(kind, rows, *self.columns)
        if kind in scores.KINDS:
            return scores.of(kind, rows, self.columns, where=here, **options)
        if kind in RATERS:
            return raters.of(kind, rows.select(self.columns), options)
        if kind in bias.BIASES:
            return bias.of(kind, rows, self.columns)
        return numeric.mean(self.values(rows, where=where)) if kind == "mean" else numeric.own(rows, options["function"], where=here)

    def values(self, rows: pl.DataFrame, *, where: str) -> pl.Series:
        """What a mean is of: a value for each row."""
        options, here = dict(self.options), f"{where}: {self.kind}"
        return numeric.of_each(rows, options["expression"], where=here) if "expression" in options else numeric.of_rows(rows, options["function"], where=here)


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, pl.Expr) else getattr(value, "__name__", None) or repr(value)


def _need_positive(metric: Metric, gold: pl.DataType, where: str) -> None:
    if isinstance(gold, pl.Enum) and (label := dict(metric.options)["pos_label"]) is not None and label not in gold.categories:
        raise SettingError(f"{where}: pos_label={label!r} is not one of the labels of {metric.columns[1]!r}: {listed(gold.categories.to_list())}.")
    if dict(metric.options)["pos_label"] is None and not (gold == pl.Boolean or gold.is_numeric() or gold == pl.Null):
        raise SettingError(f"{where}: {metric.columns[1]!r} is {gold}, and one of its labels is to be the positive one: pos_label='yes'; or average='macro'.")
