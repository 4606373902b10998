"""How columns of ratings become metrics of agreement, and what a judge of the plan was shown first. Apart from the verbs, as `evaluating`."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SettingError
from dreamframe.frame.evaluating import evaluation
from dreamframe.frame.output import OutputVerbs
from dreamframe.frame.report import Agreement, report_of
from dreamframe.measure import metrics as of
from dreamframe.measure.labels import is_text
from dreamframe.measure.metric import Metric
from dreamframe.plan.hidden import hidden
from dreamframe.plan.step import Step
from dreamframe.plan.steps.judge import Coin, Judge
from dreamframe.run.active import current
from dreamframe.run.confirm import need_confirmed

CONFUSION: Mapping[str, Any] = {"rater": pl.String, "other": pl.String, "rating": pl.String, "other_rating": pl.String, "n": pl.Int64}


def agreed(
    frame: OutputVerbs,
    given: Sequence[str | Sequence[str]],
    of_ratings: Mapping[str, Any],
    *,
    swapped: str | None,
    texts: tuple[str, str] | None,
    by: str | Sequence[str] | None,
    settings: Mapping[str, Any],
    offline: bool | None,
    confirm: float | None,
) -> Agreement:
    """The agreement of columns of a frame: see `df.agreement`."""
    label = str(settings["name"])
    raters = [column for one in given for column in ([one] if isinstance(one, str) else one)]
    for column in raters:
        if column not in frame.step.schema:
            raise ColumnNotFoundError(column, columns=frame.step.schema.names(), step=label)
    if len(raters) < 2 or len(set(raters)) < len(raters):
        raise SettingError(f"{label}: give two different columns of ratings or more, as df.agreement('judge', 'human').")
    frame, swapped, texts = as_judged(frame, raters, swapped, texts)
    metrics = {**measures(raters, **of_ratings), **likings(raters, swapped, texts)}
    step = evaluation(frame, (), metrics, by=by, **settings)
    ratings = frame._relational("select", [pl.col(c) for c in raters], named=label)
    session = current(step, frame.step)
    need_confirmed(lambda: session.estimate(step, ratings.step), confirm, where=label)
    table, rows = session.collect_all([step, ratings.step], offline=offline)
    report = report_of(label, table, confidence=step.confidence)
    return Agreement(label, report.figures, report.confidence, report.rows, confusion=confusion(rows))


def measures(raters: Sequence[str], *, level: Any, weights: Any, order: Sequence[Any] | None) -> dict[str, Metric]:
    """Name → metric of agreement."""
    alpha = of.krippendorff_alpha(*raters, level=level, order=order if level == "ordinal" else None)
    if level == "interval":
        pair = {"pearson": of.pearson(*raters), "spearman": of.spearman(*raters)} if len(raters) == 2 else {}
        return {"krippendorff_alpha": alpha, **pair}
    kappa = of.cohen_kappa(*raters, weights=weights, order=order) if len(raters) == 2 else of.fleiss_kappa(*raters)
    if weights is not None and len(raters) > 2:
        raise SettingError(f"agreement: weights={weights!r} are of Cohen's kappa, of two raters; of more, level='ordinal' says how far ratings are apart.")
    return {"raw_agreement": of.raw_agreement(*raters), kappa.kind: kappa, "krippendorff_alpha": alpha}


def likings(raters: Sequence[str], swapped: str | None, texts: tuple[str, str] | None) -> dict[str, Metric]:
    """Name → how often a rater chooses the text that was shown first, and the longer one."""
    first = {} if swapped is None else {f"first_wins of {r}": of.first_wins(r, swapped) for r in raters}
    longer = {} if texts is None else {f"longer_wins of {r}": of.longer_wins(r, *texts) for r in raters}
    return {**first, **longer}


def as_judged(
    frame: OutputVerbs, raters: Sequence[str], swapped: str | None, texts: tuple[str, str] | None
) -> tuple[OutputVerbs, str | None, tuple[str, str] | None]:
    """What the plan tells of a judge among the raters: the columns of its texts, and, thrown again, the coin that said which of them was shown first."""
    judge = next((s for s in reversed(frame.step.walk()) if isinstance(s, Judge) and s.into in raters), None)
    if judge is None or not all(is_text(frame.step.schema[r]) for r in raters):
        return frame, swapped, texts
    here = {c: now for c in judge.schema if (now := as_it_is_now(frame.step, judge, c)) is not None}
    if texts is None and judge.a in here and judge.b in here and all(is_text(judge.schema[c]) for c in (judge.a, judge.b)):
        texts = here[judge.a], here[judge.b]
    coin = next((s for s in judge.walk() if isinstance(s, Coin) and s.into == judge.swapped), None)
    if swapped is None and coin is not None and all(c in here for c in coin.columns):
        swapped = hidden("swapped", n=len(frame.step.schema))
        frame = frame._over(Coin(inputs=(frame.step,), columns=tuple(here[c] for c in coin.columns), into=swapped, seed=coin.seed, name="agreement"))
    return frame, swapped, texts


def as_it_is_now(step: Step, below: Step, column: str) -> str | None:
    """What a column of a step below is called now; None where its values may be others."""
    chain: list[Step] = []
    while step is not below:
        if not step.inputs:
            return None
        chain.append(step)
        step = step.inputs[0]
    name: str | None = column
    for node in reversed(chain):
        name = next((new for new, old in node.passes().items() if old == name), None)
    return name


def confusion(rows: pl.DataFrame) -> pl.DataFrame:
    """How often each two ratings stand beside one another."""
    found = [pl.DataFrame(schema=CONFUSION)]
    for a, b in itertools.combinations(rows.columns, 2):
        pair = rows.select(rating=pl.col(a).cast(pl.String), other_rating=pl.col(b).cast(pl.String))
        counted = pair.group_by("rating", "other_rating").len("n").sort("rating", "other_rating", nulls_last=True)
        found.append(counted.select(rater=pl.lit(a), other=pl.lit(b), rating="rating", other_rating="other_rating", n=pl.col("n").cast(pl.Int64)))
    return pl.concat(found)
