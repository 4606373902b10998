"""Rows in the order of their scores."""

from __future__ import annotations

import pytest

from dreamframe.errors import SettingError
from dreamframe.measure.ranked import Ranked


def test_rows_stand_by_score_and_those_of_equal_score_by_their_turn() -> None:
    ranked = Ranked([0.5, None, 0.9, 0.5, float("nan"), 0.1], [3, 0, 1, 2, 5, 4])
    assert ranked.position.tolist() == [2, 3, 0, 5]
    assert ranked.cuts.tolist() == [1, 3, 4]
    assert ranked.drawn_from(0, 4).tolist() == [1, 2, 0, 3]


def test_no_cut_parts_rows_of_equal_score() -> None:
    ranked = Ranked([0.9, 0.5, 0.5, 0.5, 0.1], range(5))
    assert [ranked.cut_up(n) for n in range(6)] == [1, 1, 4, 4, 4, 5]
    assert [ranked.cut_down(n) for n in range(6)] == [0, 1, 1, 1, 4, 5]
    assert Ranked([None, None], [0, 1]).cut_up(1) == 0


@pytest.mark.parametrize("order", [[0, 1], [0, 1, 1], [0, 1, 3], [-1, 0, 1]])
def test_an_order_holds_each_position_once(order: list[int]) -> None:
    with pytest.raises(SettingError, match="each of the 3 positions once"):
        Ranked([0.1, 0.2, 0.3], order)


def test_an_infinite_score_is_refused() -> None:
    with pytest.raises(SettingError, match="a score is infinite"):
        Ranked([0.1, float("inf")], [0, 1])
