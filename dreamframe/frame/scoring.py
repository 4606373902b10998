"""How good rows are: by a metric of `dr.metrics`, an expression, a function of yours, or equality; each by itself, or all together with an interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from dreamframe.errors import SettingError, listed
from dreamframe.measure import metrics
from dreamframe.measure.by_row import Score, number_of, score_of
from dreamframe.measure.labels import proportion
from dreamframe.measure.metric import LOWER_IS_BETTER
from dreamframe.measure.metric import Metric as Figure
from dreamframe.measure.statistic import Statistic
from dreamframe.models.habits import described
from dreamframe.plan.model_columns import need_columns, placeholders_in

Metric = Figure | pl.Expr | Callable[[dict[str, Any]], Any]
OF_ROWS = ("accuracy", "exact_match", "mean", "mean_absolute_error", "mean_squared_error")  # figures that are means over rows
CONFIDENCE, DRAWS = 0.95, 1_000  # of intervals


def need_metric(metric: object, schema: pl.Schema, *, verb: str) -> None:
    """Raise SettingError for what cannot score rows of this schema."""
    if isinstance(metric, Figure):
        metric.check(schema, where=verb)
    elif isinstance(metric, pl.Expr):
        if placeholders_in(metric):
            raise SettingError(f"{verb}: metric= asks a model; make it a column of the plan first, and score by that: metric=pl.col('…').")
        need_columns([metric], schema, step=verb)
    elif not callable(metric) or isinstance(metric, type):
        raise SettingError(
            f"{verb}: metric={described(metric)} scores no row; give one of dr.metrics, as dr.metrics.accuracy('mood', 'gold'), an expression, as "
            "pl.col('mood') == pl.col('gold'), or a function of a row, as lambda row: row['mood'] == row['gold']."
        )


def scored(rows: pl.DataFrame, metric: Metric, *, verb: str) -> list[Score]:
    """The score of each row. What is null counts as 0; an expression that gives one value for all rows gives it to each.

    Of errors, such as `dr.metrics.mean_absolute_error`, it is the negative: the more the better. Raises RunError where the metric itself does, naming the
    row.
    """
    if isinstance(metric, Figure) and (own := dict(metric.options).get("function")) is not None and metric.kind == "mean":
        metric = own
    if isinstance(metric, Figure):
        sign = -1.0 if metric.kind in LOWER_IS_BETTER else 1.0
        return [Score(sign * (metric.of(rows[at], where=verb).value or 0.0)) for at in range(rows.height)]
    if isinstance(metric, pl.Expr):
        values = rows.select(metric.cast(pl.Float64).fill_null(0.0).alias("score")).get_column("score")
        found = values.to_list() * (rows.height if len(values) == 1 and rows.height > 1 else 1)
        return [Score(number_of(v, where=f"{verb}: metric=")) for v in found]
    return [score_of(metric, row, where=f"{verb}: metric=") or Score(0.0) for row in rows.iter_rows(named=True)]


def need_score_of_row(metric: object, *, verb: str) -> None:
    """Raise SettingError for a figure that no row has by itself."""
    if isinstance(metric, Figure) and metric.kind not in OF_ROWS:
        raise SettingError(f"{verb}: {metric.kind} is of many rows together, and here each row is scored by itself, as by {listed(OF_ROWS)} of dr.metrics.")


def figure(rows: pl.DataFrame, metric: Metric, *, n_lost: int, verb: str) -> Statistic:
    """What the rows are worth together. `n_lost`: failed rows that are not among them, which score 0."""
    if isinstance(metric, Figure):
        return metric.of(rows, where=verb)
    return mean_of([*(score.value for score in scored(rows, metric, verb=verb)), *[0.0] * n_lost])


def mean_of(values: Sequence[float]) -> Statistic:
    """The mean of scores: of right and wrong, a share."""
    if all(value in (0.0, 1.0) for value in values):
        return proportion(pl.Series(values, dtype=pl.Float64).cast(pl.Boolean))
    return metrics.mean("score").of(pl.DataFrame({"score": values}))


def same(ours: Sequence[Any], theirs: Sequence[Any]) -> list[float | None]:
    """Whether values are equal, as 1 and 0: an answer that is missing is wrong; None where there is nothing to compare with.

    >>> same(["a", None, "b", "a"], ["a", "a", "a", None])
    [1.0, 0.0, 0.0, None]
    """
    return [None if right is None else float(answer is not None and answer == right) for answer, right in zip(ours, theirs, strict=True)]
