"""Two plans over the same rows: a planted difference is found, and none where there is none at the named level."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from benchmarks.compared import share_found
from dreamframe.errors import SettingError
from dreamframe.measure import metrics as m
from dreamframe.measure.metric import Metric
from dreamframe.measure.paired import compared, mcnemar

stats = pytest.importorskip("scipy.stats")


def difference(a: pl.DataFrame, b: pl.DataFrame, metric: Metric) -> dict[str, object]:
    return compared(a, b, metric, ["id"], ("a", "b"), confidence=0.95, seed=0, draws=500, where="compare").row(2, named=True)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 5), (10, 25), (25, 10), (40, 40), (300, 390), (3_000, 3_200)])
def test_mcnemars_test_is_the_exact_binomial_one(only_a: int, only_b: int):
    expected = stats.binomtest(only_a, only_a + only_b, 0.5).pvalue if only_a + only_b else 1.0
    assert mcnemar(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_a_planted_difference_of_five_points_is_found_in_800_rows():
    found, held = share_found("accuracy, 5 points, 15 % of rows differ", seeds=300)
    assert found >= 0.9
    assert 0.91 <= held <= 0.99


def test_no_difference_is_found_at_the_named_level_where_there_is_none():
    for level in (0.05, 0.2):
        found, _ = share_found("accuracy, none, 15 % of rows differ", seeds=400, level=level)
        assert found <= level + 0.02


def test_nor_by_swapping_rows():
    found, held = share_found("macro F1, none, 15 % of rows differ", seeds=60, draws=200)
    assert found <= 0.15
    assert held >= 0.85


def test_rows_go_together_by_their_key_whatever_their_order():
    a = pl.DataFrame({"id": [1, 2, 3], "p": ["x", "x", "x"], "g": ["x", "y", "x"]})
    b = pl.DataFrame({"id": [3, 4, 2], "p": ["x", "x", "y"], "g": ["x", "y", "y"]})
    found = difference(a, b, m.accuracy("p", "g"))
    assert (found["value"], found["n"], found["only_a"], found["only_b"]) == (0.5, 2, 0, 1)


def test_a_failed_row_is_a_wrong_one_and_a_number_that_is_missing_is_left_out():
    a = pl.DataFrame({"id": [1, 2, 3], "p": [1.0, 2.0, 3.0], "g": [1.0, 2.0, 3.0]})
    b = a.with_columns(p=pl.Series([1.0, None, 4.0]))
    assert (difference(a, b, m.accuracy("p", "g"))["only_a"], difference(a, b, m.accuracy("p", "g"))["n"]) == (2, 3)
    errors = difference(a, b, m.mean_absolute_error("p", "g"))
    assert (errors["value"], errors["n"]) == (0.5, 2)


def test_a_mean_of_true_and_false_is_compared_row_by_row():
    a = pl.DataFrame({"id": range(10), "ok": [True] * 10})
    b = a.with_columns(ok=pl.col("id") < 2)
    found = difference(a, b, m.mean("ok"))
    assert (found["method"], found["only_a"], found["p_value"]) == ("McNemar, exact", 8, mcnemar(8, 0))


OTHERS = {
    "f1": m.f1("p", "g", average="macro"),
    "pearson": m.pearson("p", "g"),
    "mean": m.mean(pl.col("p") * 2.5),
    "function": m.function(lambda table: table["p"].mean()),
}


@pytest.mark.parametrize("metric", OTHERS.values(), ids=OTHERS)
def test_other_metrics_are_drawn_and_swapped(metric: Metric):
    generator = np.random.default_rng(0)
    gold = generator.integers(0, 3, 60)
    a = pl.DataFrame({"id": range(60), "p": gold, "g": gold})
    b = a.with_columns(p=pl.Series(generator.integers(0, 3, 60)))
    found = compared(a, b, metric, ["id"], ("a", "b"), confidence=0.95, seed=0, draws=50, where="compare")
    values = [metric.of(rows).value for rows in (a, b)]
    assert found["value"].to_list() == pytest.approx([*values, values[1] - values[0]])  # type: ignore[operator]
    last = found.row(2, named=True)
    assert last["low"] <= last["value"] <= last["high"]
    assert 0 < last["p_value"] <= 1


def test_a_key_of_several_rows_is_refused():
    rows = pl.DataFrame({"id": [1, 1], "p": ["x", "x"], "g": ["x", "y"]})
    with pytest.raises(SettingError, match="on='id' names several rows of the first frame, as 1;"):
        difference(rows, rows, m.accuracy("p", "g"))


def test_no_rows_in_common_have_no_difference():
    a = pl.DataFrame({"id": [1], "p": ["x"], "g": ["x"]})
    for metric in (m.accuracy("p", "g"), m.f1("p", "g", average="macro")):
        found = difference(a, a.with_columns(id=2), metric)
        assert (found["value"], found["n"], found["note"]) == (None, 0, "no rows")
