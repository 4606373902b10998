"""Agreement beyond chance: Cohen's kappa is scikit-learn's, Fleiss' and Krippendorff's are those of their papers."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from dreamframe.errors import SchemaError, SettingError
from dreamframe.measure import metrics as m

sk = pytest.importorskip("sklearn.metrics")
N = None
RELIABILITY = {  # Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability", the example with missing ratings
    "a": [1, 2, 3, 3, 2, 1, 4, 1, 2, N, N, N],
    "b": [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, N, 3],
    "c": [N, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, N],
    "d": [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, N],
}
FLEISS = [  # Fleiss 1971, as in Wikipedia: 14 raters, 10 rows, 5 labels
    (0, 0, 0, 0, 14), (0, 2, 6, 4, 2), (0, 0, 3, 5, 6), (0, 3, 9, 2, 0), (2, 2, 8, 1, 1),
    (7, 7, 0, 0, 0), (3, 2, 6, 3, 0), (2, 5, 3, 2, 2), (6, 5, 2, 1, 0), (0, 2, 2, 3, 7),
]  # fmt: skip


@pytest.mark.parametrize(("level", "expected"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_krippendorffs_example(level: Any, expected: float):
    found = m.krippendorff_alpha(*"abcd", level=level).of(pl.DataFrame(RELIABILITY))
    assert found.value == pytest.approx(expected, abs=5e-4)
    assert (found.n, found.n_missing) == (11, 1)  # one row has one rating alone


def test_kappa_is_that_of_fleiss_example():
    rows = [[label for label, n in enumerate(counts) for _ in range(n)] for counts in FLEISS]
    names = [f"r{i}" for i in range(14)]
    assert m.fleiss_kappa(*names).of(pl.DataFrame(rows, schema=names, orient="row")).value == pytest.approx(0.210, abs=5e-4)


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_cohens_kappa_is_that_of_scikit_learn(weights: Any):
    generator = np.random.default_rng(5)
    for _ in range(60):
        n, k = generator.integers(2, 30), generator.integers(2, 6)
        a, b = generator.integers(0, k, n), generator.integers(0, k, n)
        if len({*a, *b}) > 1:
            expected = sk.cohen_kappa_score(a, b, weights=weights, labels=sorted({*a, *b}))
            assert m.cohen_kappa("a", "b", weights=weights).of(pl.DataFrame({"a": a, "b": b})).value == pytest.approx(expected, abs=1e-12)


def test_raw_agreement_is_of_pairs_of_ratings():
    rows = pl.DataFrame({"a": ["x", "x", "y"], "b": ["x", "y", None], "c": ["x", "x", "y"]})
    assert m.raw_agreement("a", "b", "c").of(rows).value == pytest.approx((3 + 1 + 1) / 7)


def test_labels_have_the_order_of_their_enum_or_that_which_is_given():
    rows = pl.DataFrame({"a": ["bad", "fair", "good"], "b": ["fair", "fair", "bad"]})
    order = ["bad", "fair", "good"]
    numbers = rows.select(pl.all().replace_strict(order, [0, 1, 2], return_dtype=pl.Int64))
    expected = m.cohen_kappa("a", "b", weights="linear").of(numbers).value
    assert m.cohen_kappa("a", "b", weights="linear", order=order).of(rows).value == expected
    assert m.cohen_kappa("a", "b", weights="linear").of(rows.cast(pl.Enum(order))).value == expected
    with pytest.raises(SettingError, match="labels have no order; give order="):
        m.cohen_kappa("a", "b", weights="linear").check(rows.schema, where="agreement")
    with pytest.raises(SchemaError, match="level='interval' is of numbers"):
        m.krippendorff_alpha("a", "b", level="interval").check(rows.cast(pl.Enum(order)).schema, where="agreement")


def test_one_label_alone_says_nothing_of_agreement():
    rows = pl.DataFrame({"a": ["x", "x"], "b": ["x", "x"]})
    for metric in (m.cohen_kappa("a", "b"), m.fleiss_kappa("a", "b"), m.krippendorff_alpha("a", "b")):
        found = metric.of(rows)
        assert (found.value, found.note) == (None, "one label alone")


def test_likings_are_shares_of_the_pairs_with_a_winner():
    verdicts, swapped, texts = ["a", "b", "b", "tie", None], [False, True, False, True, True], ["long", "long", "-", "-", "-"]
    rows = pl.DataFrame({"w": verdicts, "s": swapped, "x": texts, "y": ["-"] * 5})
    assert m.first_wins("w", "s").of(rows).value == pytest.approx(2 / 3)
    longer = m.longer_wins("w", "x", "y").of(rows)
    assert (longer.value, longer.n) == (0.5, 2)
