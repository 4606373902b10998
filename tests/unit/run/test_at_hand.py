"""The rows at hand: what the session can tell of a plan that is not whole, without asking for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import RowsFailedError
from dreamframe.frame.frame import Frame
from dreamframe.testing import Echo

MORE = [("1", 1), ("4", 4)]


def plan(llm: Echo, on_error: Any, *more: str) -> Frame:
    """Numbers that a model repeats, and a word that it cannot make a number of."""
    asked = dr.frame({"t": ["1", "tea", "3", "4", *more]}).prompt(llm, "{t}", schema=int, into="n", on_error=on_error)
    return asked.filter((pl.col("n") != 3).fill_null(value=True))


@pytest.mark.parametrize(("on_error", "rows"), [("null", [("1", 1), ("tea", None), ("4", 4)]), ("drop", MORE), ("raise", MORE)])
def test_rows_that_have_their_answers_are_there_and_nobody_is_asked(on_error: str, rows: list[Any], tmp_path: Path) -> None:
    llm = Echo()
    with dr.Session(tmp_path):
        try:
            plan(llm, on_error).collect()
        except RowsFailedError:
            assert on_error == "raise"
    asked, files = llm.calls, sorted(p for p in tmp_path.rglob("*") if p.name != "gate")
    session = dr.Session.existing(tmp_path)
    assert session._at_hand(plan(llm, on_error).step).rows() == rows
    longer = session._at_hand(plan(llm, on_error, "9", "8").step).rows()  # some that were never asked
    assert [row for row in longer if row[0] not in "98"] == rows
    assert {n for t, n in longer if t in "98"} <= {None}
    assert (llm.calls, sorted(p for p in tmp_path.rglob("*") if p.name != "gate")) == (asked, files)


def test_steps_that_need_all_rows_make_do_with_those_that_are_there(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        plan(Echo(), "null").collect()
    counted = plan(Echo(), "drop").group_by("n").agg(pl.len()).sort("n", descending=True)
    assert dr.Session.existing(tmp_path)._at_hand(counted.step).rows() == [(4, 1), (1, 1)]
