"""Frames that do not fit together are named column by column; those that do are put together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import DuplicateColumnError, SchemaError

ONE = dr.frame({"a": [1], "b": ["x"]})
WRONG: dict[str, tuple[Callable[[], Any], str]] = {
    "a column less": (lambda: dr.concat([ONE, ONE, ONE.drop("a")]), "frame 3 lacks 'a'"),
    "a column more": (lambda: dr.concat([ONE, ONE.with_columns(c=1)]), "frame 2 has 'c', which frame 1 lacks"),
    "another name": (lambda: dr.concat([ONE, ONE.rename({"a": "c"})]), "frame 2 lacks 'a' and has 'c'"),
    "another type": (lambda: dr.concat([ONE, ONE.cast({"a": pl.Float64})]), r"'a' is Int64 in frame 1 and Float64 in frame 2.*how='vertical_relaxed'"),
    "another type, diagonal": (lambda: dr.concat([ONE, ONE.cast({"a": pl.String})], how="diagonal"), r"'a' is Int64 in frame 1 and String in frame 2"),
    "another order": (lambda: dr.concat([ONE, ONE.select("b", "a")]), r"in another order. Write \.select\('a', 'b'\)"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_named(case: str) -> None:
    make, said = WRONG[case]
    with pytest.raises(SchemaError, match=said):
        make()


def test_names_that_stand_twice_side_by_side_are_named() -> None:
    with pytest.raises(DuplicateColumnError, match="frame 2 has 'a', 'b', which a frame before it has"):
        dr.concat([ONE, ONE], how="horizontal")


def test_a_message_says_what_works() -> None:
    assert dr.concat([ONE, ONE.drop("a")], how="diagonal").collect()["a"].to_list() == [1, None]
    assert dr.concat([ONE, ONE.cast({"a": pl.Float64})], how="vertical_relaxed").schema["a"] == pl.Float64
    assert dr.concat(frame for frame in [ONE, ONE]).collect().height == 2
