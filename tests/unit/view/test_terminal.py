"""Listings: no line is wider than the window as long as names can be cut, numbers stay whole, JSON is JSON."""

from __future__ import annotations

import contextlib
import io
import json
import warnings

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from dreamframe.redaction.visible import HALF, HIDDEN
from dreamframe.view.rows import put_rows
from dreamframe.view.terminal import NARROWEST, Column, begin, middle, put, put_json, put_table, say, table

COLUMNS = (Column("step", must=True), Column("model", must=True), Column("calls", right=True), Column("said", text=True))
NEEDED = 2 * NARROWEST + 2  # cells of the two names and what is between them
cells = st.text(st.characters(codec="utf-8", exclude_categories=("C", "M", "Z")), max_size=30)


@given(st.lists(st.tuples(cells, cells, st.integers(0, 10**9).map(str), cells), min_size=1, max_size=5), st.integers(NEEDED, 120))
def test_a_listing_fits_the_window(rows: list[tuple[str, ...]], most: int):
    lines = table(COLUMNS, rows, most)
    assert max(map(cell_len, lines)) <= most
    assert len(lines) == 1 + len(rows)


@pytest.mark.parametrize(("most", "titles"), [(120, 4), (80, 4), (43, 4), (40, 3), (30, 3), (20, 2)])
def test_columns_leave_from_the_right(most: int, titles: int):
    lines = table(COLUMNS, [("summary of abstracts", "gpt-4o-mini", "1,200", "a text that is as long as texts of models may become")], most)
    assert len(lines[0].split()) == titles
    assert titles < 3 or "1,200" in lines[1]
    assert titles < 4 or "a text that is" in lines[1]


@given(cells, st.integers(4, 40))
def test_a_text_is_cut_to_its_cells(text: str, size: int):
    assert cell_len(middle(text, size)) <= size
    assert cell_len(begin(text, size)) <= size
    assert cell_len(text) > size or middle(text, size) == begin(text, size) == text


HOSTILE = st.text(st.characters(exclude_categories=()) | st.sampled_from("\x1b\x9b\x07\r\n\t\u202e[]/\\"), max_size=40)


@settings(max_examples=400)
@given(HOSTILE, HOSTILE)
def test_no_text_steers_a_terminal(one: str, two: str):
    held = io.StringIO()
    with contextlib.redirect_stdout(held), contextlib.redirect_stderr(held):
        put_table(COLUMNS, [[one, two, "1", "$0"]])
        say(one)
        put(two)
        if not HALF.search(one + two):  # which no row can hold
            with warnings.catch_warnings(action="ignore"):
                put_rows(pl.DataFrame({f"c{one}": [two, None], f"d{two}": [[one], []]}))
    assert HIDDEN.findall(held.getvalue()) == []
    assert held.getvalue().splitlines()[0].startswith("step")


def test_names_that_begin_alike_stay_apart():
    assert middle("summary of abstracts", 12) != middle("summary of tweets", 12)


def test_a_number_that_json_has_not_is_null_and_half_a_character_is_escaped(capsys: pytest.CaptureFixture[str]):
    put_json({"loss": float("nan"), "cut": "a\ud800", "name": "Grüße"})
    out = capsys.readouterr().out
    assert json.loads(out, parse_constant=pytest.fail) == {"loss": None, "cut": "a\ud800", "name": "Grüße"}
