"""The order of conditions that is learnt while a segment runs."""

from __future__ import annotations

import pytest

import dreamframe as dr
from dreamframe.run.learnt import PIECE

ROWS = 200


def answered(asked: str) -> str:
    """The second question is answered with no but for every tenth row."""
    what, _, n = asked.partition(" ")
    return "yes" if what == "First" or int(n) % 10 == 0 else "no"


def asked(**settings: object) -> tuple[list[int], int]:
    llm = dr.testing.Scripted(answered, temperature=0)
    with dr.Session(None) as session:
        plan = dr.frame({"i": range(ROWS)}).filter_by(llm, "First {i}").filter_by(llm, "Second {i}")
        rows = plan.collect(**settings)["i"].to_list()  # type: ignore[arg-type]
        return rows, session.usage()["calls"]


def test_after_the_first_piece_the_condition_that_leaves_out_more_is_asked_ahead() -> None:
    rows, requests = asked()
    assert rows == list(range(0, ROWS, 10))
    assert requests == 2 * PIECE + (ROWS - PIECE) + len(range(40, ROWS, 10)), "both of the first piece; then the second, and the first where it passes"


@pytest.mark.parametrize("settings", [{"optimize": False}, {"optimize": {"filters_ordered": False}}], ids=["no rule", "not this one"])
def test_nothing_is_learnt_where_it_is_off(settings: dict[str, object]) -> None:
    assert asked(**settings) == (list(range(0, ROWS, 10)), 2 * ROWS)
