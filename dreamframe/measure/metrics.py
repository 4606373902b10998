"""Metrics of an evaluation, as `dr.metrics` has them: frozen records that name a figure and the columns that it is of.

Names and figures are scikit-learn's. A row without the truth (a null) is left out, and the report counts it. A row without a prediction, because it failed,
is data: where a prediction can be right or wrong it counts as wrong; where it is a number or a score it is left out, and the report counts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import polars as pl

from dreamframe.errors import SettingError, did_you_mean, listed, one_of
from dreamframe.measure.by_row import OfRow
from dreamframe.measure.metric import Metric

__all__ = [
    "Metric", "accuracy", "average_precision", "brier", "cohen_kappa", "exact_match", "expected_calibration_error", "f1", "first_wins",
    "fleiss_kappa", "function", "krippendorff_alpha", "log_loss", "longer_wins", "mean", "mean_absolute_error", "mean_squared_error",
    "pearson", "precision", "r2", "raw_agreement", "recall", "roc_auc", "root_mean_squared_error", "spearman",
]

Average = Literal["binary", "macro", "micro", "weighted"]
AVERAGES: tuple[Average, ...] = ("binary", "macro", "micro", "weighted")
MEANT = {  # names of other libraries
    "auc": "roc_auc", "auroc": "roc_auc", "calibration_error": "expected_calibration_error", "ece": "expected_calibration_error", "em": "exact_match",
    "exact": "exact_match", "kappa": "cohen_kappa", "mae": "mean_absolute_error", "mse": "mean_squared_error", "rmse": "root_mean_squared_error",
    "regression": "mean_absolute_error", "agreement": "raw_agreement", "alpha": "krippendorff_alpha",
}  # fmt: skip
NORMALIZE = ("strip", "none", "squad")


def _made(kind: str, *columns: str, **options: Any) -> Metric:
    for column in columns:
        if not isinstance(column, str):
            raise SettingError(f"{kind}: {column!r} is not the name of a column; write dr.metrics.{kind}('prediction', 'gold').")
    return Metric(kind, columns, tuple(sorted(options.items())))


def accuracy(prediction: str, gold: str) -> Metric:
    """The share of rows whose prediction is the truth; a row without a prediction counts as wrong. The interval is Wilson's.

    >>> dr.metrics.accuracy("mood", "gold")
    accuracy('mood', 'gold')
    """
    return _made("accuracy", prediction, gold)


def exact_match(prediction: str, gold: str, *, normalize: Literal["strip", "none", "squad"] = "strip") -> Metric:
    """The share of rows whose text is the truth, or, where `gold` is a list, one of several. No prediction counts as wrong.

    `normalize` says what does not count: "strip" white space at both ends, "none" nothing, "squad" also letter case, punctuation, the articles a, an, the
    and how many spaces stand between words, as in SQuAD.

    >>> dr.frame({"a": ["The Nile."], "gold": [["Nile", "White Nile"]]}).evaluate(dr.metrics.exact_match("a", "gold", normalize="squad"))["exact_match"].value
    1.0
    """
    one_of(normalize, NORMALIZE, "normalize", where="exact_match")
    return _made("exact_match", prediction, gold, normalize=normalize)


def _of_labels(kind: str, prediction: str, gold: str, average: str, pos_label: Any, labels: Sequence[Any] | None, zero_division: float) -> Metric:
    one_of(average, AVERAGES, "average", where=kind)
    if pos_label is not None and average != "binary":
        raise SettingError(f"{kind}: pos_label={pos_label!r} is of average='binary'; average={average!r} is of all labels.")
    held = None if labels is None else tuple(labels)
    return _made(kind, prediction, gold, average=average, pos_label=pos_label, labels=held, zero_division=float(zero_division))


def precision(
    prediction: str, gold: str, *, average: Average = "binary", pos_label: Any = None, labels: Sequence[Any] | None = None, zero_division: float = 0.0
) -> Metric:
    """Of the rows that are said to have a label, the share that has it; arguments as of `f1`.

    >>> dr.frame({"p": [True, True, False], "g": [True, False, True]}).evaluate(dr.metrics.precision("p", "g"))["precision"].value
    0.5
    """
    return _of_labels("precision", prediction, gold, average, pos_label, labels, zero_division)


def recall(
    prediction: str, gold: str, *, average: Average = "binary", pos_label: Any = None, labels: Sequence[Any] | None = None, zero_division: float = 0.0
) -> Metric:
    """Of the rows that have a label, the share that is said to have it; arguments as of `f1`.

    >>> dr.frame({"p": [True, None], "g": [True, True]}).evaluate(dr.metrics.recall("p", "g"))["recall"].value
    0.5
    """
    return _of_labels("recall", prediction, gold, average, pos_label, labels, zero_division)


def f1(
    prediction: str, gold: str, *, average: Average = "binary", pos_label: Any = None, labels: Sequence[Any] | None = None, zero_division: float = 0.0
) -> Metric:
    """The harmonic mean of precision and recall, as in scikit-learn.

    "binary" is of the label `pos_label` (of bool and of 0 and 1 it is known), "macro" the mean over the labels that occur, or over `labels`, "micro" of all
    together, "weighted" the mean by how often the labels are true. A row without a prediction misses its label, and is no false alarm for another.
    `zero_division` is the figure of a label that is neither said nor true. Intervals: Wilson's for "binary", else the bootstrap.

    >>> dr.frame({"p": ["a", "b", "b"], "g": ["a", "b", "a"]}).evaluate(dr.metrics.f1("p", "g", average="macro"))["f1"].value
    0.6666666666666666
    """
    return _of_labels("f1", prediction, gold, average, pos_label, labels, zero_division)


def mean_absolute_error(prediction: str, gold: str) -> Metric:
    """The mean distance of a number from the truth. Rows without a prediction are left out, and counted; as in all figures of numbers.

    >>> dr.frame({"p": [1.0, 3.0], "g": [2.0, 3.0]}).evaluate(dr.metrics.mean_absolute_error("p", "g"))["mean_absolute_error"].value
    0.5
    """
    return _made("mean_absolute_error", prediction, gold)


def mean_squared_error(prediction: str, gold: str) -> Metric:
    """The mean of the squared distances from the truth.

    >>> dr.metrics.mean_squared_error("p", "g")
    mean_squared_error('p', 'g')
    """
    return _made("mean_squared_error", prediction, gold)


def root_mean_squared_error(prediction: str, gold: str) -> Metric:
    """The root of the mean of the squared distances from the truth.

    >>> dr.metrics.root_mean_squared_error("p", "g")
    root_mean_squared_error('p', 'g')
    """
    return _made("root_mean_squared_error", prediction, gold)


def r2(prediction: str, gold: str) -> Metric:
    """The share of the variance of the truth that the predictions explain: 1 at best, below 0 where the mean would be the better prediction.

    >>> dr.metrics.r2("p", "g")
    r2('p', 'g')
    """
    return _made("r2", prediction, gold)


def pearson(a: str, b: str) -> Metric:
    """Pearson's correlation of two columns of numbers.

    >>> dr.metrics.pearson("score", "human")
    pearson('score', 'human')
    """
    return _made("pearson", a, b)


def spearman(a: str, b: str) -> Metric:
    """Spearman's correlation: of the ranks of two columns of numbers; equal numbers share their middle rank.

    >>> dr.metrics.spearman("score", "human")
    spearman('score', 'human')
    """
    return _made("spearman", a, b)


def roc_auc(score: str, gold: str, *, pos_label: Any = None) -> Metric:
    """How often a positive row has a higher score than a negative one. `gold` is bool, 0 and 1, or has the label `pos_label`. The interval is DeLong's,
    on logits.

    >>> dr.frame({"s": [0.9, 0.2, 0.4], "g": [True, False, False]}).evaluate(dr.metrics.roc_auc("s", "g"))["roc_auc"].value
    1.0
    """
    return _made("roc_auc", score, gold, pos_label=pos_label)


def average_precision(score: str, gold: str, *, pos_label: Any = None) -> Metric:
    """The area below precision and recall, step by step as in scikit-learn.

    >>> dr.metrics.average_precision("s", "g")
    average_precision('s', 'g')
    """
    return _made("average_precision", score, gold, pos_label=pos_label)


def _of_probability(kind: str, probability: str, gold: str, pos_label: Any, prediction: str | None, **more: Any) -> Metric:
    if pos_label is not None and prediction is not None:
        raise SettingError(f"{kind}: give pos_label= (the probability is of that label) or prediction= (it is of the answer that was given), not both.")
    beside = () if prediction is None else (prediction,)
    return _made(kind, probability, gold, *beside, pos_label=pos_label, prediction=prediction, **more)


def expected_calibration_error(probability: str, gold: str, *, prediction: str | None = None, pos_label: Any = None, bins: int = 10) -> Metric:
    """How far probabilities are from how often they come true, over bins of equal width, weighted by rows.

    `prediction` names the answers that the probabilities are of (the columns of `schema=…, probability="p"`); without, they are of `pos_label`, or of true.
    The error of a sample is too large, since chance makes gaps too: the interval is of the error without that, and reaches down to 0 where there may be none.

    >>> df = dr.frame({"mood": ["good", "bad"], "p": [0.9, 0.6], "gold": ["good", "good"]})
    >>> df.evaluate(ece=dr.metrics.expected_calibration_error("p", "gold", prediction="mood"))["ece"].value
    0.35
    """
    if isinstance(bins, bool) or not isinstance(bins, int) or bins < 1:
        raise SettingError(f"expected_calibration_error: bins={bins!r} is not a whole number of 1 or more.")
    return _of_probability("expected_calibration_error", probability, gold, pos_label, prediction, bins=bins)


def brier(probability: str, gold: str, *, prediction: str | None = None, pos_label: Any = None) -> Metric:
    """The mean squared distance of a probability from what came true; arguments as of `expected_calibration_error`.

    >>> dr.frame({"p": [0.5], "g": [True]}).evaluate(dr.metrics.brier("p", "g"))["brier"].value
    0.25
    """
    return _of_probability("brier", probability, gold, pos_label, prediction)


def log_loss(probability: str, gold: str, *, prediction: str | None = None, pos_label: Any = None) -> Metric:
    """The mean of minus the logarithm of the probability of what came true; arguments as of `expected_calibration_error`.

    >>> dr.metrics.log_loss("p", "g")
    log_loss('p', 'g')
    """
    return _of_probability("log_loss", probability, gold, pos_label, prediction)


def raw_agreement(*raters: str) -> Metric:
    """The share of pairs of raters that agree, over rows that two or more have rated.

    >>> dr.frame({"judge": ["a", "b"], "human": ["a", "a"]}).evaluate(dr.metrics.raw_agreement("judge", "human"))["raw_agreement"].value
    0.5
    """
    return _made("raw_agreement", *raters)


def cohen_kappa(a: str, b: str, *, weights: Literal["linear", "quadratic"] | None = None, order: Sequence[Any] | None = None) -> Metric:
    """Cohen's kappa: the agreement of two raters beyond chance; with `weights`, near misses count in part (of numbers, of an Enum, or in `order`).

    >>> dr.metrics.cohen_kappa("judge", "human", weights="quadratic")
    cohen_kappa('judge', 'human', weights='quadratic')
    """
    if weights not in (None, "linear", "quadratic"):
        raise SettingError(f"cohen_kappa: weights={weights!r} is not 'linear', 'quadratic' or None.")
    return _made("cohen_kappa", a, b, weights=weights, order=None if order is None else tuple(order))


def fleiss_kappa(*raters: str) -> Metric:
    """Fleiss' kappa: the agreement of two or more raters beyond chance, of the rows that all have rated.

    >>> dr.metrics.fleiss_kappa("judge", "ann", "bob")
    fleiss_kappa('judge', 'ann', 'bob')
    """
    return _made("fleiss_kappa", *raters)


def krippendorff_alpha(*raters: str, level: Literal["nominal", "ordinal", "interval"] = "nominal", order: Sequence[Any] | None = None) -> Metric:
    """Krippendorff's alpha: the agreement of any number of raters beyond chance, of all rows that two or more have rated.

    `level` says what differs more: "nominal" labels are equal or not, "ordinal" ones have an order (of numbers, of an Enum, or `order`),
    "interval" is of numbers.

    >>> dr.metrics.krippendorff_alpha("judge", "ann", "bob", level="ordinal")
    krippendorff_alpha('judge', 'ann', 'bob', level='ordinal')
    """
    one_of(level, ("nominal", "ordinal", "interval"), "level", where="krippendorff_alpha")
    return _made("krippendorff_alpha", *raters, level=level, order=None if order is None else tuple(order))


def first_wins(verdict: str, swapped: str) -> Metric:
    """Of the pairs with a winner ("a" or "b"), the share that the text shown first has won: one half without a liking for positions. `swapped` is true where
    b was shown first.

    >>> dr.frame({"w": ["a", "b", "tie"], "s": [False, True, True]}).evaluate(dr.metrics.first_wins("w", "s"))["first_wins"].value
    1.0
    """
    return _made("first_wins", verdict, swapped)


def longer_wins(verdict: str, a: str, b: str) -> Metric:
    """Of the pairs with a winner and texts of different length, the share that the longer one has won.

    >>> dr.frame({"w": ["a"], "x": ["long"], "y": ["-"]}).evaluate(dr.metrics.longer_wins("w", "x", "y"))["longer_wins"].value
    1.0
    """
    return _made("longer_wins", verdict, a, b)


def mean(value: pl.Expr | str | OfRow, *, columns: str | Sequence[str] = ()) -> Metric:
    """The mean of a column, of an expression that gives one value for each row, or of a function of a row; of true and false, the share that is true.

    A function is given the row as a dict and gives a number, or (number, what is to be said of the row), or None; with `columns` it is given these alone,
    and no other is asked for. It is called once for each row, and its code is part of the step's key, as of `df.map`. Rows without a value are left out,
    and counted.

    >>> df = dr.frame({"t": ["tea", "rain"]})
    >>> df.evaluate(length=dr.metrics.mean(pl.col("t").str.len_chars()))["length"].value
    3.5
    >>> df.evaluate(dr.metrics.mean(lambda row: len(row["t"]) > 3, columns="t"))["mean"].value
    0.5
    """
    if isinstance(value, str | pl.Expr):
        if columns:
            raise SettingError(f"mean: columns={columns!r} are those of a function; an expression names its own.")
        expression = pl.col(value) if isinstance(value, str) else value
        return Metric("mean", tuple(dict.fromkeys(expression.meta.root_names())), (("expression", expression),))
    if not callable(value):
        raise SettingError(f"mean: {value!r} is not an expression, a function of a row or the name of a column; write dr.metrics.mean(pl.col('score')).")
    return Metric("mean", (columns,) if isinstance(columns, str) else tuple(columns), (("function", value),))


def function(made: Callable[[pl.DataFrame], float], *, columns: Sequence[str] = ()) -> Metric:
    """What a function of yours makes of the rows, as a polars frame: one number. With `columns` it is given these alone, and no other is asked for.

    It is called once for each resample, a thousand times; its code is part of the step's key, as of `df.map`. A function of one row is `dr.metrics.mean`.

    >>> df = dr.frame({"a": [1.0, 3.0]})
    >>> df.evaluate(middle=dr.metrics.function(lambda rows: rows["a"].median(), columns=["a"]))["middle"].value
    2.0
    """
    if not callable(made):
        raise SettingError(f"function: {made!r} is not a function; give one of a polars frame, e.g. lambda rows: rows['a'].mean().")
    return Metric("function", tuple([columns] if isinstance(columns, str) else columns), (("function", made),))


if not TYPE_CHECKING:  # with it, type checkers would take every name for one

    def __getattr__(name: str) -> NoReturn:
        if name.startswith("_"):
            raise AttributeError(name)
        bare = name.removesuffix("_loss").removesuffix("_score")
        meant = MEANT.get(bare, bare if bare in __all__ else None)
        near = f" Did you mean {meant!r}?" if meant else did_you_mean(name, __all__)
        raise AttributeError(f"dr.metrics has no {name!r}.{near} It has {listed(sorted(n for n in __all__ if n != 'Metric'), most=40)}.", name=name)


def __dir__() -> list[str]:
    return sorted(__all__)
