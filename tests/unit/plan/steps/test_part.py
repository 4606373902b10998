"""Parts by content: balanced, the same everywhere, and steady when their number changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.steps.part import Part, part_of
from dreamframe.plan.steps.source import Table

TEXTS = [f"text {i}" for i in range(4_000)]


def test_contents_keep_their_part_for_ever():
    assert [part_of(text, 64) for text in TEXTS[:8]] == [30, 62, 42, 13, 59, 49, 18, 9]


@pytest.mark.parametrize("n", [1, 4, 5, 64])
def test_parts_are_balanced(n: int):
    sizes = Counter(part_of(text, n) for text in TEXTS)
    expected = len(TEXTS) / n
    assert set(sizes) == set(range(n))
    assert max(abs(size - expected) for size in sizes.values()) < 5 * expected**0.5


def test_of_one_part_more_contents_move_into_the_new_part_alone():
    moved = [(a, b) for text in TEXTS if (a := part_of(text, 4)) != (b := part_of(text, 5))]
    assert {to for _, to in moved} == {4}
    assert abs(len(moved) - len(TEXTS) / 5) < 150


def test_rows_that_are_alike_in_the_columns_are_in_one_part_and_all_parts_are_the_whole():
    rows = pl.DataFrame({"a": [b"x", None, b"x", b"y"] * 5, "b": [[1, 2], [], [1, 2], None] * 5, "i": range(20)})
    parts = [dr.Frame(Part(inputs=(Table(data=rows),), i=i, n=3, columns=("a", "b"))).collect() for i in range(3)]
    assert pl.concat(parts).sort("i").equals(rows)
    assert all(len({i for i, part in enumerate(parts) if n in part["i"] % 4}) == 1 for n in (1, 3))


@pytest.mark.parametrize(("i", "n"), [(4, 4), (-1, 4), (0, 0), (1.0, 4), (True, 2)])
def test_what_is_not_a_part_is_refused(i: Any, n: Any):
    with pytest.raises(dr.errors.SettingError, match="numbered from 0"):
        dr.Session(None).run_shard(dr.frame({"a": [1]}), i, n)
