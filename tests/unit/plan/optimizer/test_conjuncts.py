"""Conditions that cost nothing come before those of models."""

from __future__ import annotations

from functools import reduce

import polars as pl

import dreamframe as dr
from dreamframe.plan.optimizer.conjuncts import conjuncts
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

IS_SHORT = dr.prompt(Ordinal(), "Is {t} short?").str.len_chars() < 16


def rows() -> dr.Frame:
    return dr.frame({"i": range(10), "t": ["tea", "rain"] * 5, "yes": [True, None] * 5})


def test_a_cheap_condition_comes_first() -> None:
    assert calls(lambda: rows().filter(IS_SHORT & (pl.col("i") > 6))) == (10, 3)
    assert calls(lambda: rows().filter(IS_SHORT, pl.col("i") > 6, t="tea")) == (10, 1)


def test_a_null_is_not_true() -> None:
    assert calls(lambda: rows().filter(pl.col("yes") & IS_SHORT)) == (10, 5)


def test_other_operators_stay_whole() -> None:
    assert calls(lambda: rows().filter(IS_SHORT | (pl.col("i") > 6))) == (10, 10)


def test_a_condition_that_may_fail_waits_for_the_model() -> None:
    """A text that is no number is an error of the cast, unless the model has left it out before."""
    numbers = dr.frame({"t": ["1", "none", "3"]})
    is_number = dr.prompt(Ordinal(temperature=0), "Is {t} a number?") != "Is none a number? #0"
    assert calls(lambda: numbers.filter(is_number).filter(pl.col("t").cast(pl.Int64) > 1)) == (3, 3)
    assert calls(lambda: numbers.filter(is_number & (pl.col("t").cast(pl.Int64) > 1))) == (3, 3)


def test_a_long_conjunction_is_taken_apart_without_recursion() -> None:
    parts = [pl.col("i") > -n for n in range(2_000)]
    assert len(list(conjuncts(reduce(lambda a, b: a & b, parts)))) == len(parts)
