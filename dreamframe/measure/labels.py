"""Figures of labels: accuracy, exact match, precision, recall and F1, of predictions beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import SchemaError, SettingError
from dreamframe.measure.intervals import wilson
from dreamframe.measure.statistic import Statistic, divided

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

ARTICLES = r"\b(a|an|the)\b"
PUNCTUATION = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]"""
TEXTS = (pl.String, pl.Enum, pl.Categorical)


def of(kind: str, rows: pl.DataFrame, prediction: str, gold: str, **options: Any) -> Statistic:
    """A figure of labels."""
    if kind == "accuracy":
        return accuracy(rows, prediction, gold)
    return exact_match(rows, prediction, gold, **options) if kind == "exact_match" else prf(rows, prediction, gold, what=kind, **options)


def is_text(dtype: pl.DataType) -> bool:
    return dtype.base_type() in TEXTS


def need_comparable(a: pl.DataType, b: pl.DataType, *, names: tuple[str, str], where: str) -> None:
    """Raise SchemaError where no value of one column can equal one of the other."""
    if not (a == b or (is_text(a) and is_text(b)) or (a.is_numeric() and b.is_numeric()) or pl.Null in (a, b)):
        raise SchemaError(f"{where}: {names[0]!r} is {a} and {names[1]!r} is {b}, which are never equal; cast one of them, e.g. .cast({{{names[0]!r}: …}}).")


def alike(rows: pl.DataFrame, *columns: str) -> pl.DataFrame:
    """Columns in one type, so that equal labels are equal: texts as texts, numbers as numbers."""
    dtypes = [rows.schema[c] for c in columns]
    if all(d == dtypes[0] for d in dtypes) and not is_text(dtypes[0]):
        return rows.select(columns)
    return rows.select(pl.col(columns).cast(pl.String if any(is_text(d) for d in dtypes) else pl.Float64))


def proportion(is_right: pl.Series, *, n_missing: int = 0, n_unknown: int = 0, note: str = "") -> Statistic:
    """The share of rows that are right."""
    import numpy as np

    kinds = is_right.cast(pl.Int64).to_numpy().astype(np.int64)
    n, right = len(kinds), int(kinds.sum())

    def weighted(weights: Floats) -> Floats:
        total = weights.sum(axis=1)
        held = weights[:, 1] if weights.shape[1] > 1 else np.zeros(len(weights))
        return divided(held, total)

    return Statistic(weighted, kinds, n_missing, n_unknown, None, lambda confidence: wilson(right, n, confidence), "Wilson", note)


def accuracy(rows: pl.DataFrame, prediction: str, gold: str) -> Statistic:
    """The share of rows whose prediction is the truth. No prediction is a wrong one."""
    known = rows.filter(pl.col(gold).is_not_null())
    held = alike(known, prediction, gold)
    right = (held[prediction] == held[gold]).fill_null(value=False)
    return proportion(right, n_missing=known[prediction].null_count(), n_unknown=rows.height - known.height)


def verified(is_right: pl.Series) -> Statistic:
    """The share of answers that are right, of verdicts; null where the truth is not there."""
    return proportion(is_right.drop_nulls(), n_unknown=is_right.null_count())


def normalized(text: pl.Expr, how: str) -> pl.Expr:
    """A text as exact match compares it."""
    if how == "none":
        return text
    if how == "squad":
        text = text.str.to_lowercase().str.replace_all(PUNCTUATION, "").str.replace_all(ARTICLES, " ").str.replace_all(r"\s+", " ")
    return text.str.strip_chars()


def exact_match(rows: pl.DataFrame, prediction: str, gold: str, *, normalize: str) -> Statistic:
    """The share of rows whose text is the truth, or one of several."""
    known = rows.filter(pl.col(gold).is_not_null())
    said = normalized(pl.col(prediction).cast(pl.String), normalize)
    if isinstance(rows.schema[gold], pl.List):
        truths = pl.col(gold).cast(pl.List(pl.String)).list.eval(normalized(pl.element(), normalize))
        is_right = truths.list.contains(said)
    else:
        is_right = said == normalized(pl.col(gold).cast(pl.String), normalize)
    right = known.select(is_right.fill_null(value=False).alias("right")).to_series()
    right = right & known[prediction].is_not_null()
    return proportion(right, n_missing=known[prediction].null_count(), n_unknown=rows.height - known.height)


class Confusion:
    """Pairs of truth and prediction as numbers of labels; -1 stands for no prediction."""

    def __init__(self, rows: pl.DataFrame, prediction: str, gold: str) -> None:
        import numpy as np

        known = rows.filter(pl.col(gold).is_not_null())
        held = alike(known, prediction, gold)
        self.dtype = held.schema[gold]
        values = pl.concat([held[prediction].alias("x"), held[gold].alias("x")])
        self.labels: list[Any] = values.drop_nulls().unique().sort().to_list()
        numbers = {label: i for i, label in enumerate(self.labels)}
        self.gold = np.array([numbers[v] for v in held[gold].to_list()], dtype=np.int64)
        self.said = np.array([-1 if v is None else numbers[v] for v in held[prediction].to_list()], dtype=np.int64)
        self.n_missing, self.n_unknown = held[prediction].null_count(), rows.height - known.height

    def number(self, label: Any) -> int:
        """Of a label; -2 where no row has it."""
        value = pl.Series([label], strict=False).cast(self.dtype, strict=False)[0] if not isinstance(label, bool) or self.dtype == pl.Boolean else label
        return self.labels.index(value) if value in self.labels else -2


def prf(
    rows: pl.DataFrame, prediction: str, gold: str, *, what: str, average: str, pos_label: Any, labels: Sequence[Any] | None, zero_division: float
) -> Statistic:
    """Precision, recall or F1. No prediction misses its label, and is no false alarm for another."""
    held = Confusion(rows, prediction, gold)
    if average == "binary":
        return _binary(held, what, _positive(held, pos_label, what, prediction), zero_division)
    wanted = list(range(len(held.labels))) if labels is None else [held.number(label) for label in labels]
    return _averaged(held, what, average, wanted, zero_division, is_fixed=labels is not None)


def _positive(held: Confusion, pos_label: Any, what: str, prediction: str) -> int:
    if pos_label is not None:
        return held.number(pos_label)
    if held.dtype == pl.Boolean:
        return held.number(True)
    if held.dtype.is_numeric() and set(held.labels) <= {0, 1}:
        return held.number(1)
    raise SettingError(f"{what}: {prediction!r} has the labels {', '.join(map(repr, held.labels[:6]))}; say pos_label= of one of them, or average='macro'.")


def ratio(tp: Floats, said: Floats, gold: Floats, what: str, zero_division: float) -> Floats:
    """The figure from counts of right ones, of predictions and of truths."""
    over, under = {"precision": (tp, said), "recall": (tp, gold), "f1": (2 * tp, said + gold)}[what]
    return divided(over, under, float(zero_division))


def _binary(held: Confusion, what: str, positive: int, zero_division: float) -> Statistic:
    import numpy as np

    is_gold, is_said = held.gold == positive, held.said == positive
    kinds = (is_gold.astype(np.int64) * 2 + is_said).astype(np.int64)
    counts = np.bincount(kinds, minlength=4)
    tp, fp, fn = int(counts[3]), int(counts[1]), int(counts[2])
    trials = {"precision": tp + fp, "recall": tp + fn, "f1": tp + fp + fn}[what]

    def weighted(weights: Floats) -> Floats:
        full = np.pad(weights, ((0, 0), (0, 4 - weights.shape[1])))
        return ratio(full[:, 3], full[:, 3] + full[:, 1], full[:, 3] + full[:, 2], what, zero_division)

    def closed(confidence: float) -> tuple[float, float]:
        low, high = wilson(tp, trials, confidence)
        return (2 * low / (1 + low), 2 * high / (1 + high)) if what == "f1" else (low, high)  # F1 grows with TP / (TP + FP + FN), which is a proportion

    note = "" if trials else f"no row that is {'said to be' if what == 'precision' else ''} positive".replace("  ", " ")
    return Statistic(weighted, kinds, held.n_missing, held.n_unknown, None, closed, "Wilson", note)


def _averaged(held: Confusion, what: str, average: str, wanted: Sequence[int], zero_division: float, *, is_fixed: bool) -> Statistic:
    import numpy as np

    width = len(held.labels) + 1
    cells, kinds = np.unique(held.gold * width + (held.said + 1), return_inverse=True)
    gold, said = cells // width, cells % width - 1
    of_label = {i: (np.flatnonzero(gold == i), np.flatnonzero(said == i), np.flatnonzero((gold == i) & (said == i))) for i in wanted}

    def sums(weights: Floats) -> tuple[Floats, Floats, Floats]:  # (draws, labels) each
        found = [[weights[:, of_label[i][k]].sum(axis=1) for i in wanted] for k in range(3)]
        golds, saids, tps = (np.stack(f, axis=1) if f else np.zeros((len(weights), 0)) for f in found)
        return tps, saids, golds

    def weighted(weights: Floats) -> Floats:
        full = np.pad(weights, ((0, 0), (0, len(cells) - weights.shape[1])))
        tp, saids, golds = sums(full)
        if average == "micro":
            return ratio(tp.sum(axis=1), saids.sum(axis=1), golds.sum(axis=1), what, zero_division)
        each = ratio(tp, saids, golds, what, zero_division)
        share = golds if average == "weighted" else np.ones_like(golds) if is_fixed else (golds + saids > 0).astype(np.float64)
        return divided((each * share).sum(axis=1), share.sum(axis=1))

    is_share = average == "micro" and not is_fixed and held.n_missing == 0  # each row is right or wrong
    right = float(np.count_nonzero(held.gold == held.said))
    closed: Callable[[float], tuple[float, float]] | None = (lambda c: wilson(right, len(kinds), c)) if is_share else None
    note = "" if len(held.labels) > 1 or is_fixed else "one label alone"
    counts = (held.n_missing, held.n_unknown)
    method = "Wilson" if is_share else "bootstrap"
    return Statistic(weighted, kinds.astype(np.int64).ravel(), *counts, None, closed, method, note if kinds.size else "", is_share=True)
