"""Agreement of raters beyond chance: raw agreement, Cohen's and Fleiss' kappa, Krippendorff's alpha. A null is a rating that is not there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import SchemaError, SettingError
from dreamframe.measure.labels import is_text, need_comparable
from dreamframe.measure.statistic import Statistic, additive, divided

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Ints = NDArray[np.int64]

MOST_LABELS = 200


def check(types: Mapping[str, pl.DataType], options: Mapping[str, Any], *, where: str) -> None:
    """Raise a PlanError where columns of these types cannot be compared so."""
    names, dtypes = list(types), list(types.values())
    if len(names) < 2:
        raise SettingError(f"{where}: give two columns of ratings or more, e.g. {where.rpartition(' ')[2]}('judge', 'human').")
    for name, dtype in zip(names[1:], dtypes[1:], strict=True):
        need_comparable(dtypes[0], dtype, names=(names[0], name), where=where)
    needs_order = options.get("weights") is not None or options.get("level") in ("ordinal", "interval")
    if needs_order and options.get("order") is None and not all(d.is_numeric() or isinstance(d, pl.Enum) for d in dtypes):
        raise SettingError(f"{where}: {names[0]!r} is {dtypes[0]}, whose labels have no order; give order=['bad', 'fair', 'good'], from low to high.")
    if options.get("level") == "interval" and not all(d.is_numeric() for d in dtypes):
        raise SchemaError(f"{where}: level='interval' is of numbers, and {names[0]!r} is {dtypes[0]}; level='ordinal' takes labels in an order.")


class Ratings:
    """Ratings as numbers of labels, (rows, raters), -1 where there is none; and the labels in their order."""

    def __init__(self, rows: pl.DataFrame, order: Sequence[Any] | None) -> None:
        import numpy as np

        dtypes = rows.dtypes
        held = rows.select(pl.all().cast(pl.String)) if any(is_text(d) for d in dtypes) else rows
        values = pl.concat([held[c].alias("x").cast(pl.Float64 if held[c].dtype.is_numeric() else held[c].dtype) for c in held.columns]) if held.width else None
        seen = [] if values is None else values.drop_nulls().unique().sort().to_list()
        ordered: list[Any] = list(order) if order is not None else []
        if order is None and isinstance(dtypes[0], pl.Enum):
            ordered = dtypes[0].categories.to_list()
        self.labels = [*ordered, *(v for v in seen if v not in ordered)]
        numbers = {label: i for i, label in enumerate(self.labels)}
        columns = [np.array([-1 if v is None else numbers[v] for v in held[c].to_list()], dtype=np.int64) for c in held.columns]
        self.codes: Ints = np.stack(columns, axis=1) if columns else np.zeros((0, 0), dtype=np.int64)


def of(kind: str, rows: pl.DataFrame, options: Mapping[str, Any]) -> Statistic:
    """The agreement of the columns of `rows`."""
    import numpy as np

    if options.get("level") == "interval":
        return _interval_alpha(rows)
    held = Ratings(rows, options.get("order"))
    codes, n_labels = held.codes, max(1, len(held.labels))
    if n_labels > MOST_LABELS:
        raise SettingError(f"{kind}: {', '.join(map(repr, rows.columns))} have {n_labels} different ratings; of numbers use level='interval'.")
    rated = (codes >= 0).sum(axis=1)
    is_used = rated == codes.shape[1] if kind in ("cohen_kappa", "fleiss_kappa") else rated >= 2
    n_out = int(len(codes) - is_used.sum())
    codes = codes[is_used]
    if kind == "cohen_kappa":
        return _cohen(codes, n_labels, options.get("weights"), n_out)
    per_label = np.stack([(codes == i).sum(axis=1) for i in range(n_labels)], axis=1).astype(np.float64)  # (rows, labels)
    if kind == "krippendorff_alpha":
        return _alpha(per_label, options.get("level", "nominal"), n_out)
    m = per_label.sum(axis=1)
    agreed = (per_label * (per_label - 1)).sum(axis=1)
    if kind == "raw_agreement":
        weighted, kinds = additive(np.stack([m * (m - 1), agreed], axis=1) if len(m) else np.zeros((0, 2)), lambda sums: divided(sums[..., 1], sums[..., 0]))
        return Statistic(weighted, kinds, n_out)
    features = np.concatenate([per_label, (agreed / np.maximum(m * (m - 1), 1))[:, None], np.ones((len(m), 1))], axis=1)
    weighted, kinds = additive(features, _fleiss)
    return Statistic(weighted, kinds, n_out, note=_note(per_label))


def _note(per_label: Floats) -> str:
    return "one label alone" if len(per_label) and (per_label.sum(axis=0) > 0).sum() < 2 else ""


def _fleiss(sums: Floats) -> Floats:
    labels, agreed, n = sums[..., :-2], sums[..., -2], sums[..., -1]
    by_chance = divided((labels**2).sum(axis=-1), labels.sum(axis=-1) ** 2)
    return divided(divided(agreed, n) - by_chance, 1 - by_chance)


def _cohen(codes: Ints, n_labels: int, weights: str | None, n_out: int) -> Statistic:
    import numpy as np

    cells, kinds = np.unique(codes[:, 0] * n_labels + codes[:, 1] if len(codes) else np.zeros(0, dtype=np.int64), return_inverse=True)
    a, b = cells // n_labels, cells % n_labels
    apart = np.abs(np.subtract.outer(np.arange(n_labels), np.arange(n_labels))).astype(np.float64)
    apart = (apart > 0).astype(np.float64) if weights is None else apart if weights == "linear" else apart**2
    is_a, is_b = np.eye(n_labels)[a], np.eye(n_labels)[b]

    def weighted(drawn: Floats) -> Floats:
        full = np.pad(drawn, ((0, 0), (0, len(cells) - drawn.shape[1])))
        total = full.sum(axis=1)
        observed = full @ apart[a, b]
        expected = divided((((full @ is_a) @ apart) * (full @ is_b)).sum(axis=1), total)
        return 1 - divided(observed, expected)

    return Statistic(weighted, kinds.astype(np.int64), n_out, note="one label alone" if len(cells) and len({*a, *b}) < 2 else "")


def _alpha(per_label: Floats, level: str, n_out: int) -> Statistic:
    """By the coincidences of each row, which add up (Krippendorff 2011)."""
    import numpy as np

    n_labels = per_label.shape[1]
    m = per_label.sum(axis=1)
    alike, kinds = np.unique(per_label, axis=0, return_inverse=True) if len(per_label) else (per_label, np.zeros(0, dtype=np.int64))
    m = alike.sum(axis=1)
    both = alike[:, :, None] * alike[:, None, :] - np.einsum("ul,lk->ulk", alike, np.eye(n_labels))
    both = (both / np.maximum(m - 1, 1)[:, None, None]).reshape(len(alike), n_labels**2)

    def weighted(drawn: Floats) -> Floats:
        full = np.pad(drawn, ((0, 0), (0, len(alike) - drawn.shape[1])))
        pairs = (full @ both).reshape(-1, n_labels, n_labels)
        each = pairs.sum(axis=2)
        total = each.sum(axis=1)
        if level == "nominal":
            apart = np.broadcast_to(1 - np.eye(n_labels), pairs.shape)
        else:
            between = np.cumsum(each, axis=1) - each / 2
            apart = (between[:, :, None] - between[:, None, :]) ** 2
        observed = (pairs * apart).sum(axis=(1, 2))
        expected = (each[:, :, None] * each[:, None, :] * apart).sum(axis=(1, 2))
        return 1 - divided((total - 1) * observed, expected)

    return Statistic(weighted, kinds.astype(np.int64).ravel(), n_out, note=_note(per_label))


def _interval_alpha(rows: pl.DataFrame) -> Statistic:
    """Of numbers: squared differences within rows beside those of all."""
    import numpy as np

    held = rows.select(pl.all().cast(pl.Float64).fill_nan(None)).to_numpy() if rows.width else np.zeros((0, 0))
    is_rated = ~np.isnan(held)
    is_used = is_rated.sum(axis=1) >= 2
    values, is_rated = held[is_used], is_rated[is_used]
    middle = float(np.nanmean(values)) if values.size else 0.0
    values = np.where(is_rated, values - middle, 0.0)  # so that no digits are lost
    m, total, squares = is_rated.sum(axis=1).astype(np.float64), values.sum(axis=1), (values**2).sum(axis=1)
    within = 2 * (m * squares - total**2) / np.maximum(m - 1, 1)
    weighted, kinds = additive(np.stack([m, total, squares, within], axis=1) if len(m) else np.zeros((0, 4)), _of_squares)
    return Statistic(weighted, kinds, int(rows.height - is_used.sum()))


def _of_squares(sums: Floats) -> Floats:
    n, total, squares, within = (sums[..., i] for i in range(4))
    return 1 - divided((n - 1) * within, 2 * (n * squares - total**2))
