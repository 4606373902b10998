"""Which rows are drawn to be checked, and what a check decides."""

from __future__ import annotations

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.steps.checked import Agreement, DrawChecked

ROWS = pl.DataFrame({"t": [f"row {i}" for i in range(200)], "g": [i % 20 == 0 for i in range(200)]})


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def drawn(rows: pl.DataFrame, n: int = 20, seed: int = 0) -> pl.DataFrame:
    made = dr.Frame(DrawChecked(inputs=(dr.frame(rows).step,), guess="g", columns=("t",), into="known", n=n, seed=seed)).collect()
    return made.filter(pl.col("known").is_null() & pl.col("g").is_not_null())


def test_half_of_the_rows_drawn_are_guessed_yes_and_more_of_one_where_the_other_has_too_few():
    assert drawn(ROWS)["g"].value_counts(sort=True)["count"].to_list() == [10, 10]
    assert drawn(ROWS, 50)["g"].sum() == 10
    assert drawn(ROWS.filter("g"), 50).height == 10
    assert drawn(ROWS.filter(~pl.col("g")), 50).height == 50
    assert drawn(ROWS.head(0)).is_empty()


def test_the_same_rows_are_drawn_wherever_they_stand_and_an_edit_changes_few():
    first = set(drawn(ROWS)["t"])
    assert set(drawn(ROWS.reverse())["t"]) == first
    assert len(first - set(drawn(ROWS.filter(pl.col("t") != min(first)))["t"])) == 1
    assert set(drawn(ROWS, seed=1)["t"]) != first


def test_equal_rows_are_checked_once_and_rows_without_a_guess_never():
    twice = pl.concat([ROWS, ROWS])
    assert drawn(twice).height == 20
    nobody = ROWS.with_columns(g=pl.lit(None, dtype=pl.Boolean))
    assert drawn(nobody).is_empty()


@pytest.mark.parametrize(
    ("yes", "no", "holds"), [((9, 10), (9, 10), True), ((8, 10), (10, 10), False), ((10, 10), (8, 10), False), ((0, 0), (9, 10), True), ((0, 0), (0, 0), False)]
)
def test_the_guesses_count_where_either_kind_agrees(yes: tuple[int, int], no: tuple[int, int], holds: bool):
    checked = [(True, None, i < yes[0]) for i in range(yes[1])] + [(False, None, i >= no[0]) for i in range(no[1])]
    rows = pl.DataFrame([*checked, (True, True, None), (False, False, None)], schema={"g": pl.Boolean, "known": pl.Boolean, "said": pl.Boolean}, orient="row")
    step = Agreement(inputs=(dr.frame(rows).step,), guess="g", known="known", said="said", into="settled", least=0.9, otherwise="pairs")
    if yes[1] + no[1] and not holds:
        with pytest.warns(dr.RunWarning):
            made = dr.Frame(step).collect()
    else:
        made = dr.Frame(step).collect()
    assert made["settled"].to_list() == [None] * len(checked) + ([True, False] if holds else [None, None])
