"""Errors of regression and correlations are scikit-learn's and scipy's; means are of expressions and functions."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from dreamframe.errors import SchemaError, SettingError
from dreamframe.measure import metrics as m
from dreamframe.measure.figures import measured
from dreamframe.measure.metric import Metric

sk = pytest.importorskip("sklearn.metrics")
stats = pytest.importorskip("scipy.stats")
THEIRS: dict[str, tuple[Callable[[str, str], Metric], Callable[..., float]]] = {
    "mean_absolute_error": (m.mean_absolute_error, sk.mean_absolute_error),
    "mean_squared_error": (m.mean_squared_error, sk.mean_squared_error),
    "root_mean_squared_error": (m.root_mean_squared_error, sk.root_mean_squared_error),
    "r2": (m.r2, sk.r2_score),
    "pearson": (m.pearson, lambda gold, said: stats.pearsonr(gold, said)[0]),
    "spearman": (m.spearman, lambda gold, said: stats.spearmanr(gold, said)[0]),
}


@pytest.mark.parametrize("name", THEIRS)
def test_figures_of_numbers_are_those_of_the_libraries(name: str):
    ours, theirs = THEIRS[name]
    generator = np.random.default_rng(2)
    for n in (2, 3, 17, 200):
        gold = np.round(generator.normal(5_000, 2, n), 1)  # ties, far from 0
        said = gold + np.round(generator.normal(0, 1, n), 1)
        if name == "r2" or len(set(gold)) > 1 < len(set(said)):
            made = ours("p", "g").of(pl.DataFrame({"p": said, "g": gold})).value
            assert made == pytest.approx(theirs(gold, said), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("name", THEIRS)
def test_rows_without_a_prediction_or_a_truth_are_left_out_and_counted(name: str):
    rows = pl.DataFrame({"p": [1.0, 2.0, 4.0, None, float("nan"), 9.0], "g": [1, 3, 4, 5, 6, None]})
    found = THEIRS[name][0]("p", "g").of(rows)
    assert (found.n, found.n_missing, found.n_unknown) == (3, 2, 1)
    assert found.value == THEIRS[name][0]("p", "g").of(rows.head(3)).value


def test_r2_of_truths_that_are_all_equal_is_as_scikit_learn_says():
    for said, expected in (([3.0, 3.0], 1.0), ([3.0, 4.0], 0.0)):
        assert m.r2("p", "g").of(pl.DataFrame({"p": said, "g": [3.0, 3.0]})).value == expected


def test_a_correlation_with_one_value_alone_is_not_defined():
    found = m.pearson("p", "g").of(pl.DataFrame({"p": [1.0, 1.0, 1.0], "g": [1.0, 2.0, 3.0]}))
    assert (found.value, found.note) == (None, "one value alone")


def test_a_mean_is_of_any_expression():
    rows = pl.DataFrame({"a": [1.0, 3.0, None], "t": ["x", "yy", None]})
    assert m.mean("a").of(rows).value == 2.0
    found = m.mean(pl.col("t").str.len_chars() > 1).of(rows)
    assert (found.value, found.method, found.n_missing) == (0.5, "Wilson", 1)
    assert m.mean(pl.col("a") + pl.col("t").str.len_chars()).reads == ("a", "t")


def test_an_expression_of_one_value_is_refused():
    with pytest.raises(SettingError, match="gives 1 values for 3 rows"):
        m.mean(pl.col("a").mean()).of(pl.DataFrame({"a": [1, 2, 3]}))
    with pytest.raises(SchemaError, match="gives String, not numbers"):
        m.mean("t").of(pl.DataFrame({"t": ["x"]}))


def test_a_function_makes_a_figure_of_a_table():
    rows = pl.DataFrame({"a": [1.0, 2.0, 6.0]})
    found = m.function(lambda table: table["a"].median(), columns=["a"]).of(rows)
    assert found.value == 2.0
    low, high = found.interval(0.95, seed=0, draws=100)
    assert (low, high) == (1.0, 6.0)
    with pytest.raises(SettingError, match="the function gave 'much', not a number"):
        m.function(lambda table: "much").of(rows).value  # noqa: B018


def test_ranks_of_many_rows_have_the_interval_of_some_scaled():
    generator = np.random.default_rng(0)
    x = generator.normal(0, 1, 20_000)
    rows = pl.DataFrame({"p": x, "g": x + generator.normal(0, 1, 20_000)})
    (found,) = measured(rows, [("rank", m.spearman("p", "g"))], (), confidence=0.95, seed=0, draws=100, where="evaluate").to_dicts()
    assert found["low"] < found["value"] < found["high"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * (1 - found["value"] ** 2) * 1.06 / 20_000**0.5, rel=0.3)


def test_many_rows_are_drawn_in_blocks():
    generator = np.random.default_rng(0)
    rows = pl.DataFrame({"p": generator.normal(0, 1, 60_000), "g": np.zeros(60_000)})
    low, high = m.mean_absolute_error("p", "g").of(rows).interval(0.95, seed=0, draws=100)
    assert low is not None
    assert high is not None
    expected = 2 * 1.96 * (1 - 2 / np.pi) ** 0.5 / 60_000**0.5
    assert high - low == pytest.approx(expected, rel=0.25)
