"""Figures of scores and probabilities are scikit-learn's; a calibrated model has no calibration error within its interval."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from dreamframe.errors import SchemaError, SettingError
from dreamframe.measure import metrics as m

sk = pytest.importorskip("sklearn.metrics")


def test_figures_of_scores_are_those_of_scikit_learn():
    generator = np.random.default_rng(3)
    for _ in range(80):
        n = generator.integers(2, 50)
        score, event = np.round(generator.random(n), 1), generator.random(n) < 0.4  # ties, and scores of 0 and 1
        rows = pl.DataFrame({"s": score, "g": event})
        if 0 < event.sum() < n:
            assert m.roc_auc("s", "g").of(rows).value == pytest.approx(sk.roc_auc_score(event, score), abs=1e-12)
        if event.any():
            assert m.average_precision("s", "g").of(rows).value == pytest.approx(sk.average_precision_score(event, score), abs=1e-12)
        assert m.brier("s", "g").of(rows).value == pytest.approx(np.mean((score - event) ** 2), abs=1e-12)
        assert m.log_loss("s", "g").of(rows).value == pytest.approx(sk.log_loss(event, score, labels=[0, 1]), abs=1e-12)


def test_the_calibration_error_is_the_gap_of_each_bin_weighted_by_rows():
    generator = np.random.default_rng(4)
    p, event = generator.random(500), generator.random(500) < 0.3
    place = np.minimum((p * 10).astype(int), 9)
    expected = sum(abs(event[place == b].mean() - p[place == b].mean()) * (place == b).mean() for b in range(10) if (place == b).any())
    assert m.expected_calibration_error("p", "g").of(pl.DataFrame({"p": p, "g": event})).value == pytest.approx(expected, abs=1e-12)


def test_what_is_true_may_be_a_label_or_that_the_answer_was_right():
    rows = pl.DataFrame({"p": [0.9, 0.6], "mood": ["good", "bad"], "gold": ["good", "good"]})
    assert m.brier("p", "gold", pos_label="good").of(rows).value == pytest.approx((0.01 + 0.16) / 2)
    assert m.brier("p", "gold", prediction="mood").of(rows).value == pytest.approx((0.01 + 0.36) / 2)
    with pytest.raises(SettingError, match="say pos_label= of one of them"):
        m.brier("p", "gold").of(rows)


@pytest.mark.parametrize(("event", "note"), [([True, True], "one class alone"), ([False, False], "one class alone")])
def test_one_class_alone_has_no_area(event: list[bool], note: str):
    found = m.roc_auc("s", "g").of(pl.DataFrame({"s": [0.1, 0.9], "g": event}))
    assert (found.value, found.note, found.interval(0.95, seed=0, draws=10)) == (None, note, (None, None))


def test_a_row_without_a_score_is_left_out_and_counted():
    found = m.roc_auc("s", "g").of(pl.DataFrame({"s": [0.1, 0.9, None, 0.5], "g": [False, True, True, None]}))
    assert (found.value, found.n, found.n_missing, found.n_unknown) == (1.0, 2, 1, 1)


def test_an_area_of_one_is_not_certain():
    low, high = m.roc_auc("s", "g").of(pl.DataFrame({"s": [0.1, 0.2, 0.8, 0.9], "g": [False, False, True, True]})).interval(0.95, seed=0, draws=10)
    assert low is not None
    assert low < 0.5
    assert high == 1.0


def test_what_is_no_probability_is_refused():
    with pytest.raises(SettingError, match=r"'p' has 1\.5 in it, and a probability is from 0 to 1"):
        m.brier("p", "g").of(pl.DataFrame({"p": [1.5], "g": [True]}))
    with pytest.raises(SchemaError, match="'p' is String, not numbers"):
        m.brier("p", "g").check(pl.Schema({"p": pl.String(), "g": pl.Boolean()}), where="evaluate")


@pytest.mark.parametrize("bins", [0, 2.5, True])
def test_bins_are_counted(bins: Any):
    with pytest.raises(SettingError, match="is not a whole number of 1 or more"):
        m.expected_calibration_error("p", "g", bins=bins)
