"""Figures of labels are scikit-learn's; nulls are wrong predictions or unknown truths."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
import pytest

from dreamframe.errors import SchemaError, SettingError
from dreamframe.measure import metrics as m
from dreamframe.measure.metric import Metric

sk = pytest.importorskip("sklearn.metrics")


def value(metric: Metric, said: Sequence[Any], gold: Sequence[Any]) -> float | None:
    return metric.of(pl.DataFrame({"p": said, "g": gold})).value


@pytest.mark.parametrize("what", ["precision", "recall", "f1"])
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", "binary"])
def test_figures_of_labels_are_those_of_scikit_learn(what: str, average: Any):
    generator = np.random.default_rng(1)
    for _ in range(60):
        n, k = generator.integers(1, 40), generator.integers(1, 6)  # labels that are only said, only true, or alone
        gold, said = ([f"l{x}" for x in generator.integers(0, k, n)] for _ in range(2))
        made = value(getattr(m, what)("p", "g", average=average, pos_label="l1" if average == "binary" else None), said, gold)
        theirs = getattr(sk, f"{what}_score")
        if average == "binary":
            expected = theirs([g == "l1" for g in gold], [s == "l1" for s in said], zero_division=0)
        else:
            expected = theirs(gold, said, average=average, zero_division=0)
        assert made == pytest.approx(expected, abs=1e-12)


def test_labels_that_never_occur_count_where_they_are_asked_for():
    gold, said = ["a", "b", "b"], ["a", "b", "a"]
    for zero in (0.0, 1.0):
        made = value(m.f1("p", "g", average="macro", labels=["a", "b", "never"], zero_division=zero), said, gold)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert made == pytest.approx(sk.f1_score(gold, said, average="macro", labels=["a", "b", "never"], zero_division=zero), abs=1e-12)


def test_accuracy_of_labels_numbers_and_truth_values():
    assert value(m.accuracy("p", "g"), ["a", "b"], ["a", "a"]) == 0.5
    assert value(m.accuracy("p", "g"), [1, 2], [1.0, 2.0]) == 1.0
    assert value(m.f1("p", "g"), [True, False], [True, True]) == pytest.approx(2 / 3)
    assert value(m.f1("p", "g"), [1, 0], [1, 1]) == pytest.approx(2 / 3)
    enum = pl.DataFrame({"p": pl.Series(["a"], dtype=pl.Enum(["b", "a"])), "g": ["a"]})
    assert m.accuracy("p", "g").of(enum).value == 1.0


def test_no_prediction_is_a_wrong_one_and_no_truth_is_left_out():
    rows = pl.DataFrame({"p": ["a", None, "b", "a"], "g": ["a", "a", None, "b"]})
    found = m.accuracy("p", "g").of(rows)
    assert (found.value, found.n, found.n_missing, found.n_unknown) == (1 / 3, 3, 1, 1)
    assert m.recall("p", "g", pos_label="a").of(rows).value == 0.5
    assert m.precision("p", "g", pos_label="a").of(rows).value == 0.5  # a miss is no false alarm
    assert m.f1("p", "g", average="micro").of(rows).value == pytest.approx(2 * 1 / (2 + 3))


def test_no_rows_have_no_figure():
    empty = pl.DataFrame({"p": [], "g": []}, schema={"p": pl.String, "g": pl.String})
    for metric in (m.accuracy("p", "g"), m.f1("p", "g", average="macro"), m.precision("p", "g", pos_label="a"), m.exact_match("p", "g")):
        found = metric.of(empty)
        assert (found.value, found.interval(0.95, seed=0, draws=10)) == (None, (None, None))


@pytest.mark.parametrize(
    ("normalize", "said", "gold", "is_right"),
    [
        ("none", "Nile ", "Nile", False), ("strip", " Nile\n", "Nile", True), ("strip", "nile", "Nile", False),
        ("squad", "The  Nile.", "nile", True), ("squad", "a.m.", "AM", True), ("squad", "Theodore", "odore", False),
    ],
)  # fmt: skip
def test_exact_match_leaves_out_what_it_says(normalize: Any, said: str, gold: str, is_right: bool):
    assert value(m.exact_match("p", "g", normalize=normalize), [said], [gold]) == is_right


def test_exact_match_takes_one_of_several_truths():
    rows = pl.DataFrame({"p": ["Nile", None, "x"], "g": [["Nile", "White Nile"], ["x"], []]})
    assert m.exact_match("p", "g").of(rows).value == pytest.approx(1 / 3)


def test_labels_of_unlike_types_are_refused():
    with pytest.raises(SchemaError, match="'p' is Int64 and 'g' is String, which are never equal"):
        m.accuracy("p", "g").check(pl.Schema({"p": pl.Int64(), "g": pl.String()}), where="evaluate")


def test_a_binary_figure_of_texts_needs_its_positive_label():
    with pytest.raises(SettingError, match="pos_label='yes'; or average='macro'"):
        m.f1("p", "g").check(pl.Schema({"p": pl.String(), "g": pl.String()}), where="evaluate")


def test_a_figure_that_is_right_everywhere_has_an_interval_below_one():
    found = m.f1("p", "g", average="macro").of(pl.DataFrame({"p": ["a", "b"] * 5, "g": ["a", "b"] * 5}))
    low, high = found.interval(0.95, seed=0, draws=50)
    assert low == pytest.approx(0.7225, abs=1e-3)
    assert high == 1.0
