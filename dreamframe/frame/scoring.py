"""How right each row is: by an expression, a function of yours, or equality."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import polars as pl

from dreamframe.errors import RunError, SettingError
from dreamframe.models.habits import described
from dreamframe.plan.model_columns import need_columns, placeholders_in

Metric = pl.Expr | Callable[[dict[str, Any]], Any]


class Score(NamedTuple):
    """Of one row."""

    value: float  # the more the better
    told: str | None = None  # what the metric says of it


def need_metric(metric: object, schema: pl.Schema, *, verb: str) -> None:
    """Raise SettingError for what cannot score rows of this schema."""
    if isinstance(metric, pl.Expr):
        if placeholders_in(metric):
            raise SettingError(f"{verb}: metric= asks a model; make it a column of the plan first, and score by that: metric=pl.col('…').")
        need_columns([metric], schema, step=verb)
    elif not callable(metric) or isinstance(metric, type):
        raise SettingError(
            f"{verb}: metric={described(metric)} scores no row; give an expression, as pl.col('mood') == pl.col('gold'), or a function of a row, as "
            "lambda row: row['mood'] == row['gold']."
        )


def scored(rows: pl.DataFrame, metric: Metric, *, verb: str) -> list[Score]:
    """The score of each row. What is null counts as 0; an expression that gives one value for all rows gives it to each.

    Raises RunError where the metric itself does, naming the row.
    """
    if isinstance(metric, pl.Expr):
        values = rows.select(metric.cast(pl.Float64).fill_null(0.0).alias("score")).get_column("score")
        found = values.to_list() * (rows.height if len(values) == 1 and rows.height > 1 else 1)
        return [Score(_number(v, verb=verb)) for v in found]
    return [_of(metric, row, verb=verb) for row in rows.iter_rows(named=True)]


def _of(metric: Callable[[dict[str, Any]], Any], row: dict[str, Any], *, verb: str) -> Score:
    try:
        found = metric(dict(row))
    except Exception as exc:
        raise RunError(f"{verb}: metric= raised {type(exc).__name__}: {exc}. It was given the row {_short(row)}.") from exc
    value, told = found if isinstance(found, tuple) and len(found) == 2 else (found, None)
    return Score(_number(value, verb=verb), None if told is None else str(told))


def _number(value: Any, *, verb: str) -> float:
    if value is None:
        return 0.0
    try:
        number = float(value)
    except (TypeError, ValueError) as exc:
        raise RunError(f"{verb}: metric= gave {described(value)}; a score is a number, or (a number, what is to be said of the row).") from exc
    if not math.isfinite(number):
        raise RunError(f"{verb}: metric= gave {number}; a score is a finite number, the more the better.")
    return number


def _short(row: dict[str, Any]) -> str:
    text = repr(row)
    return text if len(text) <= 200 else f"{text[:200]}…"


def same(ours: Sequence[Any], theirs: Sequence[Any]) -> list[float | None]:
    """Whether values are equal, as 1 and 0: an answer that is missing is wrong; None where there is nothing to compare with.

    >>> same(["a", None, "b", "a"], ["a", "a", "a", None])
    [1.0, 0.0, 0.0, None]
    """
    return [None if right is None else float(answer is not None and answer == right) for answer, right in zip(ours, theirs, strict=True)]
