"""How an evaluation becomes a step, and its rows a report. Apart from the verbs: building other plans needs none of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SettingError
from dreamframe.frame.base import whole
from dreamframe.frame.output import OutputVerbs
from dreamframe.frame.report import Report, report_of
from dreamframe.measure import metrics as of
from dreamframe.measure.metric import Metric
from dreamframe.models.habits import described
from dreamframe.plan.model_columns import VerifierColumn, model_column
from dreamframe.plan.steps.evaluate import Evaluate, Metrics
from dreamframe.prompts.verifier import Verifier
from dreamframe.run.active import current
from dreamframe.run.confirm import need_confirmed

MEANT = {"level": "confidence", "alpha": "confidence", "n_boot": "draws", "n_resamples": "draws", "rounds": "draws", "slice": "by", "slices": "by"}
ARGUMENTS = ("by", "seed", "confidence", "draws", "name", "offline", "confirm")
EXAMPLE = "df.evaluate(dr.metrics.accuracy('mood', 'gold'), f1=dr.metrics.f1('mood', 'gold', average='macro'))"


def evaluated(
    frame: OutputVerbs,
    metrics: Sequence[Any],
    named: Mapping[str, Any],
    *,
    by: str | Sequence[str] | None,
    settings: Mapping[str, Any],
    offline: bool | None,
    confirm: float | None,
) -> Report:
    """The report of a frame: see `df.evaluate`."""
    step = evaluation(frame, metrics, named, by=by, **settings)
    session = current(step)
    need_confirmed(lambda: session.estimate(step), confirm, where=step.label)
    return report_of(step.label, session.collect(step, offline=offline), confidence=step.confidence)


def evaluation(
    frame: OutputVerbs,
    metrics: Sequence[Any],
    named: Mapping[str, Any],
    *,
    by: str | Sequence[str] | None,
    confidence: float,
    seed: int,
    draws: int,
    name: str | None,
) -> Evaluate:
    """The step. Raises PlanError for what does not fit the columns."""
    label = name or "evaluate"
    frame, metrics, named = verified(frame, metrics, named)
    chosen = named_metrics(metrics, named, where=label)
    columns = () if by is None else (by,) if isinstance(by, str) else tuple(by)
    for column in columns:
        if column not in frame.step.schema:
            raise ColumnNotFoundError(column, columns=frame.step.schema.names(), step=label)
    for _, metric in chosen:
        metric.check(frame.step.schema, where=label)
    draws, seed = whole(draws, "draws", verb=label), whole(seed, "seed", verb=label)
    return Evaluate(inputs=(frame.step,), metrics=chosen, by=columns, confidence=float(confidence), seed=seed, draws=draws, name=name)


def _argument(called: str) -> str:
    """That a metric cannot be called so, for whoever meant an argument of the verb."""
    meant = MEANT.get(called)
    return f", and no argument of the verb{f': did you mean {meant}=' if meant else ' (' + ', '.join(ARGUMENTS) + ')'}"


def verified(frame: OutputVerbs, metrics: Sequence[Any], named: Mapping[str, Any]) -> tuple[OutputVerbs, list[Any], dict[str, Any]]:
    """Verifiers as metrics of columns that are put underneath: tests of code are run by a step, whose output is kept."""
    made: dict[Verifier, Metric] = {}
    for one in (*metrics, *named.values()):
        if isinstance(one, Verifier) and one not in made:
            frame, (column,), _ = frame._hoisted("evaluate", [model_column(VerifierColumn(one))])
            (under,) = column.meta.root_names()
            made[one] = Metric("verified", (under,), (("shown", repr(one)),))
    given = [*((m.kind, m) for m in metrics if isinstance(m, Verifier)), *named.items()]
    return frame, [m for m in metrics if not isinstance(m, Verifier)], {k: made[m] if isinstance(m, Verifier) else m for k, m in given}


def named_metrics(metrics: Sequence[Any], named: Mapping[str, Any], *, where: str) -> Metrics:
    """What each metric is called. Raises SettingError for what is none, and for two of one name."""
    made: dict[str, Metric] = {}
    for called, one in (*((getattr(m, "kind", ""), m) for m in metrics), *named.items()):
        metric = one if isinstance(one, Metric) else None
        if called in named:
            metric = of.mean(one) if isinstance(one, pl.Expr) or (metric is None and callable(one)) else metric
        if metric is None:
            given = f"{called}={one!r:.60}" if called in named else described(one)
            raise SettingError(f"{where}: {given} is not a metric{_argument(called) if called in named else ''}; write {EXAMPLE}.")
        if called in made:
            raise SettingError(f"{where}: two metrics are called {called!r}; name one of them: {called}_2={metric!r}.")
        made[called] = metric
    if not made:
        raise SettingError(f"{where}: no metric is given; write {EXAMPLE}.")
    return tuple(made.items())
