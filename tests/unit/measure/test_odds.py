"""Tails of samples without replacement, against counting all samples."""

from __future__ import annotations

from math import comb

from hypothesis import given
from hypothesis import strategies as st

from dreamframe.measure.odds import at_most, least_drawn


def counted(c: int, rows: int, bad: int, drawn: int) -> float:
    return sum(comb(bad, x) * comb(rows - bad, drawn - x) for x in range(min(c, drawn) + 1)) / comb(rows, drawn)


@given(st.integers(1, 80), st.data())
def test_a_tail_is_the_share_of_all_samples(rows: int, data: st.DataObject) -> None:
    bad, drawn, c = data.draw(st.integers(0, rows)), data.draw(st.integers(0, rows)), data.draw(st.integers(0, rows))
    assert abs(at_most(c, rows=rows, bad=bad, drawn=drawn) - counted(c, rows, bad, drawn)) < 1e-9


@given(st.integers(1, 300), st.data())
def test_the_fewest_rows_are_enough_and_one_less_is_not(rows: int, data: st.DataObject) -> None:
    bad, alpha = data.draw(st.integers(1, rows)), data.draw(st.sampled_from([0.01, 0.05, 0.2]))
    c = data.draw(st.integers(0, bad - 1))
    drawn = least_drawn(c, rows=rows, bad=bad, alpha=alpha)
    assert drawn is not None
    assert at_most(c, rows=rows, bad=bad, drawn=drawn) <= alpha < at_most(c, rows=rows, bad=bad, drawn=drawn - 1)


def test_no_sample_shows_what_is_always_so() -> None:
    assert least_drawn(3, rows=10, bad=3, alpha=0.05) is None
    assert least_drawn(0, rows=10, bad=11, alpha=0.05) is None


def test_a_tail_of_a_million_rows_is_that_of_the_limit() -> None:
    assert abs(at_most(0, rows=1_000_000, bad=100_000, drawn=28) - 0.9**28) < 1e-5
