"""Verbs that measure how good the rows are: against a truth, and raters against one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from dreamframe.frame.output import OutputVerbs

if TYPE_CHECKING:
    from dreamframe.frame.report import Agreement, Report
    from dreamframe.measure.metric import Metric
    from dreamframe.prompts.verifier import Verifier


class EvaluateVerbs(OutputVerbs):
    """evaluate, agreement."""

    __slots__ = ()

    def evaluate(
        self,
        *metrics: Metric | Verifier,
        by: str | Sequence[str] | None = None,
        seed: int = 0,
        confidence: float = 0.95,
        draws: int = 1_000,
        name: str | None = None,
        offline: bool | None = None,
        confirm: float | None = None,
        **named: Metric | Verifier | pl.Expr | Callable[[dict[str, Any]], Any],
    ) -> Report:
        """Run the plan, and give figures of its rows with intervals: a `dr.Report`. Metrics are those of `dr.metrics`, called by their own name or by the
        keyword that they are given under; an expression, or a function of a row (a dict, as in `compare_models` and `tune`), stands for its mean, and one of
        `dr.verify` gives the share that is right. A function of all rows together is `dr.metrics.function`.

        `by` also gives the figures of each slice: of each value of a column, or each combination of several. Intervals are of this `confidence`: Wilson's for
        shares, DeLong's for ROC-AUC, else of `draws` resamples by `seed`; the same rows give the same report. They take rows to be drawn one by one: where
        several rows are of one source, as answers to one question, they are too narrow.

        Columns that no metric reads are not asked for. The report is kept: it stands on the cards of the frame and of the models trained in its plan, in
        `session.diff`, and a second run reads it. Rows that failed under on_error="null" are part of it: see `dr.metrics`. `offline=True`
        makes no call, and `confirm` asks before more US dollars are spent, as in `collect`.

        Raises PlanError for metrics that do not fit the columns, before anything is asked.

        >>> rows = dr.frame({"said": ["good", "bad", "good", None], "gold": ["good", "bad", "bad", "bad"], "lang": ["en", "en", "de", "de"]})
        >>> report = rows.evaluate(dr.metrics.accuracy("said", "gold"), by="lang")
        >>> report.to_frame().select("slice", "value", "n", "n_missing").rows()
        [('all rows', 0.5, 4, 1), ('lang=en', 1.0, 2, 0), ('lang=de', 0.0, 2, 1)]
        """
        from dreamframe.frame.evaluating import evaluated  # as many files as a report needs

        settings = {"seed": seed, "confidence": confidence, "draws": draws, "name": name}
        return evaluated(self, metrics, named, by=by, settings=settings, offline=offline, confirm=confirm)

    def agreement(
        self,
        *raters: str | Sequence[str],
        level: Literal["nominal", "ordinal", "interval"] = "nominal",
        weights: Literal["linear", "quadratic"] | None = None,
        order: Sequence[Any] | None = None,
        swapped: str | None = None,
        texts: tuple[str, str] | None = None,
        by: str | Sequence[str] | None = None,
        seed: int = 0,
        confidence: float = 0.95,
        draws: int = 1_000,
        name: str | None = None,
        offline: bool | None = None,
        confirm: float | None = None,
    ) -> Agreement:
        """How far two or more columns of ratings agree, a judge's and a person's for one: a report with raw agreement, Cohen's kappa (of two; with `weights`,
        near misses count in part) or Fleiss' (of more), and Krippendorff's alpha at this `level`, each with its interval, and the table `confusion`.

        Ratings that are not there are nulls: alpha takes all rows that two raters have rated, the kappas those that all have. "ordinal" and `weights` need
        an order: of numbers, of an Enum, or `order=`, from low to high. "interval" is of numbers, with Pearson's and Spearman's correlation of two.

        Of verdicts "a", "b", "tie" it also tells what each rater likes beside worth: how often the text shown first wins (`swapped`, a column that is true
        where b was shown first), and the longer one (`texts`, the columns of both). Of a `df.judge(...)` in the plan both are known. Other arguments are as
        of `evaluate`.

        >>> df = dr.frame({"judge": ["a", "a", "b", "b"], "human": ["a", "b", "b", "b"]})
        >>> found = df.agreement("judge", "human")
        >>> found["raw_agreement"].value, found["cohen_kappa"].value
        (0.75, 0.5)
        >>> found.confusion.select("rating", "other_rating", "n").rows()
        [('a', 'a', 1), ('a', 'b', 1), ('b', 'b', 2)]
        """
        from dreamframe.frame.agreeing import agreed

        settings = {"seed": seed, "confidence": confidence, "draws": draws, "name": name or "agreement"}
        of = {"level": level, "weights": weights, "order": order}
        return agreed(self, raters, of, swapped=swapped, texts=texts, by=by, settings=settings, offline=offline, confirm=confirm)
