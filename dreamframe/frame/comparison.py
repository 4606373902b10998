"""Two plans over the same rows: which is better, for what price, and which rows make the difference."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.frame.base import whole
from dreamframe.frame.output import OutputVerbs
from dreamframe.frame.report import Report, aligned, report_of
from dreamframe.measure.metric import COUNTED_AS_WRONG, LOWER_IS_BETTER, Metric
from dreamframe.measure.metrics import mean
from dreamframe.models.habits import described
from dreamframe.plan.rows_page import written_by_models
from dreamframe.plan.steps.evaluate import Compare
from dreamframe.redaction.visible import visible
from dreamframe.run.active import current
from dreamframe.run.confirm import need_confirmed

SPENT = ("calls", "tokens_in", "tokens_out", "cost", "seconds")
DIFFERENCE = "difference"


@dataclass(frozen=True, repr=False)
class Comparison(Report):
    """What `dr.compare` found: a report of three figures, one for each plan and their `difference` (the second minus the first).

    `p_value`: how often chance alone makes so large a difference; `only_a` and `only_b`: how many rows only one has right (None of a metric whose rows are
    not right or wrong); `flips`: these rows; `spent`: a row a plan with calls, tokens_in, tokens_out, cost (US dollars, null where a price is not known) and
    seconds, of all runs on record.
    """

    p_value: float | None = None
    only_a: int | None = None
    only_b: int | None = None
    is_lower_better: bool = False
    flips: pl.DataFrame = field(default_factory=pl.DataFrame, compare=False)
    spent: pl.DataFrame = field(default_factory=pl.DataFrame, compare=False)

    @property
    def better(self) -> str | None:
        """The name of the better plan; None where the difference may be chance, at the level of 1 - `confidence`."""
        off = self[DIFFERENCE].value
        if off is None or off == 0 or self.p_value is None or self.p_value > 1 - self.confidence + 1e-12:
            return None
        return self.figures[int((off > 0) != self.is_lower_better)].metric

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON, without the rows.

        >>> rows = dr.frame({"id": [1, 2], "p": [1, 0], "g": [1, 1]})
        >>> dr.compare(rows, rows, on="id", metric=dr.metrics.accuracy("p", "g")).as_dict()["p_value"]
        1.0
        """
        counts = {"p_value": self.p_value, "only_a": self.only_a, "only_b": self.only_b, "better": self.better}
        return {**super().as_dict(), **counts, "spent": self.spent.to_dicts()}

    def __repr__(self) -> str:
        return visible("\n".join([super().__repr__(), self._verdict(), "", *aligned([["plan", *SPENT], *self._bills()])]))

    def _repr_html_(self) -> str:
        lines = [self._verdict(), *(" · ".join(f"{name} {v}" for name, v in zip(["plan", *SPENT], bill, strict=True)) for bill in self._bills())]
        escaped = (visible(line).replace("&", "&amp;").replace("<", "&lt;") for line in lines)
        return super()._repr_html_() + "".join(f"<p>{line}</p>" for line in escaped)

    def _verdict(self) -> str:
        a, b = (f.metric for f in self.figures[:2])
        apart = "" if self.only_a is None else f" only {a} is right in {self.only_a:,} rows, only {b} in {self.only_b:,};"
        p = "not known" if self.p_value is None else f"{self.p_value:.2g}"
        told = f"{self.better} is better" if self.better else "the difference may be chance"
        return f"{told}:{apart} p = {p}"

    def _bills(self) -> list[list[str]]:
        return [[str(bill["plan"]), *(_amount(name, bill[name]) for name in SPENT)] for bill in self.spent.to_dicts()]


def _amount(name: str, value: Any) -> str:
    if value is None:
        return "price unknown" if name == "cost" else "unknown"
    return f"${value:.4f}" if name == "cost" else f"{value:.1f} s" if name == "seconds" else f"{value:,}"


def compare(
    a: OutputVerbs,
    b: OutputVerbs,
    *,
    on: str | Sequence[str],
    metric: Metric | pl.Expr | Callable[[dict[str, Any]], Any],
    names: tuple[str, str] = ("a", "b"),
    seed: int = 0,
    confidence: float = 0.95,
    draws: int = 2_000,
    name: str | None = None,
    offline: bool | None = None,
    confirm: float | None = None,
) -> Comparison:
    """Compare two plans over the same rows, which `on` names: run both, and give the metric of each, the difference (b minus a) with its interval, and how
    likely chance alone makes one as large.

    Where each row is right or wrong (accuracy, exact match, a mean of true and false) the test is McNemar's, exact, and the interval Agresti's and Min's;
    else the test swaps which plan a row is of (a permutation test), and the interval draws pairs of rows, `draws` times by `seed`. `better` names the better
    plan where the test says so at the level 1 - `confidence`. Only columns that the metric reads are asked for; rows that only one frame has are left out.
    An expression, or a function of a row (a dict), stands for its mean.

    Raises PlanError before anything is asked for a metric that does not fit the columns, and SettingError where `on` names several rows.

    >>> rows = dr.frame({"id": range(9), "gold": ["y"] * 9})
    >>> one, other = (rows.prompt(dr.testing.Echo(), text, into="said") for text in ("n{id}", "{gold}"))
    >>> with dr.Session(None):
    ...     found = dr.compare(one, other, on="id", metric=dr.metrics.accuracy("said", "gold"), names=("numbers", "letters"))
    >>> found.better, found["difference"].value, found.p_value, found.flips.height
    ('letters', 1.0, 0.00390625, 9)
    """
    label = name or "compare"
    keys = (on,) if isinstance(on, str) else tuple(on)
    for frame in (a, b):
        if not isinstance(frame, OutputVerbs):
            raise SettingError(
                f"{label}: {described(frame)} is not a frame (rows that are here make one: dr.frame(rows)); "
                "write dr.compare(df, other, on='id', metric=dr.metrics.f1('mood', 'gold'))."
            )
    if isinstance(metric, pl.Expr) or (callable(metric) and not isinstance(metric, type)):
        metric = mean(metric)
    if not isinstance(metric, Metric):
        raise SettingError(f"{label}: metric={described(metric)} is not a metric; write metric=dr.metrics.accuracy('mood', 'gold').")
    if len(names) != 2 or len({*names, DIFFERENCE}) != 3:
        raise SettingError(f"{label}: names={names!r} are to be two different words, e.g. names=('small', 'large').")
    checked = Compare(inputs=(a.step, b.step), metric=metric, on=keys, confidence=confidence, name=name)  # what is wrong is said of the frames as they are
    wanted = None if metric.reads is None else dict.fromkeys((*keys, *metric.reads))
    given = [frame if wanted is None else frame._relational("select", [pl.col(c) for c in wanted], named=label) for frame in (a, b)]
    draws, seed = whole(draws, "draws", verb=label), whole(seed, "seed", verb=label)
    step = checked.but(inputs=tuple(f.step for f in given), names=tuple(names), seed=seed, draws=draws)
    session = current(step, a.step, b.step)
    plans = [step, *(p.step for p in _beside(a, given, metric))]
    need_confirmed(lambda: session.estimate(*plans), confirm, where=label)
    table, *rows = session.collect_all(plans, offline=offline)
    last = table.row(2, named=True)
    report = report_of(label, table, confidence=step.confidence)
    spent = [{"plan": called, **{c: used[c] for c in SPENT}} for called, frame in zip(names, given, strict=True) for used in [session.usage(of=frame.step)]]
    types = {"plan": pl.String, **dict.fromkeys(SPENT[:3], pl.Int64), "cost": pl.Float64, "seconds": pl.Float64}
    tested = {c: last[c] for c in ("p_value", "only_a", "only_b")}
    lower = metric.kind in LOWER_IS_BETTER
    flips = flipped(rows, metric, keys, names)
    bills = pl.DataFrame(spent, schema=types)
    return Comparison(label, report.figures, step.confidence, report.rows, **tested, is_lower_better=lower, flips=flips, spent=bills)


def _beside(a: OutputVerbs, given: Sequence[OutputVerbs], metric: Metric) -> list[OutputVerbs]:
    """What flipped rows are shown with: of a, also the columns that no model wrote; of b, those that the metric reads."""
    if len(metric.columns) != 2 or metric.kind not in COUNTED_AS_WRONG:
        return []
    by_models = written_by_models(a.step)
    shown = [c for c in a.step.schema if c not in by_models or c in given[0].step.schema]
    return [a._relational("select", [pl.col(c) for c in shown], named="compare"), given[1]]


def flipped(rows: Sequence[pl.DataFrame], metric: Metric, on: Sequence[str], names: Sequence[str]) -> pl.DataFrame:
    """The rows that one plan has right and the other wrong: the columns of the first, the prediction of each, and which is `right`."""
    if not rows:
        return pl.DataFrame()
    said, gold = metric.columns
    single = metric if metric.is_of_rows else Metric("accuracy", metric.columns)
    parts = [_judged(frame, single, f"right {i}").rename({said: f"{said}_{names[i]}"}) for i, frame in enumerate(rows)]
    both = parts[0].join(parts[1].select(*on, f"{said}_{names[1]}", "right 1"), on=list(on), maintain_order="left")
    right = pl.when("right 0").then(pl.lit(names[0])).otherwise(pl.lit(names[1])).alias("right")
    columns = [c for c in both.columns if c not in ("right 0", "right 1", gold, *(f"{said}_{n}" for n in names))]
    return both.filter(pl.col("right 0") != pl.col("right 1")).select(*columns, *([] if gold in on else [gold]), *(f"{said}_{n}" for n in names), right)


def _judged(rows: pl.DataFrame, metric: Metric, into: str) -> pl.DataFrame:
    known = rows.filter(pl.col(metric.columns[1]).is_not_null())
    return known.with_columns(pl.Series(into, metric.of(known).kinds == 1, dtype=pl.Boolean))


