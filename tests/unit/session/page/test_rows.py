"""Pages of rows: searched, filtered and sorted as polars would, and a mistake in an address is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.session.page.rows import Wanted, one, page, positions
from dreamframe.testing import Echo
from tests.sessions import held, said

TABLE = pl.DataFrame({
    "n": [3, 1, None, 2],
    "t": ["Red tea", "red jam", None, "GREEN"],
    "tags": [["a"], [], None, ["b", "tea"]],
    "who": [{"name": "Ann", "age": 3}, None, {"name": None, "age": 1}, {"name": "Bo", "age": 2}],
    "v": pl.Series([[0.0, 1.0]] * 4, dtype=pl.Array(pl.Float32, 2)),
})  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "rows"),
    [
        (Wanted("red"), [0, 1]),
        (Wanted("Red"), [0]),  # with a capital, the case counts
        (Wanted("tea"), [0, 3]),  # in a list, too
        (Wanted("ann"), [0]),  # in a field
        (Wanted("(red"), []),  # not a pattern
        (Wanted(sort="n"), [1, 3, 0, 2]),
        (Wanted(sort="n", is_descending=True), [0, 3, 1, 2]),
        (Wanted(where=(("n", "between", (1, 2)),)), [1, 3]),
        (Wanted(where=(("t", "between", (5, 6)),)), [3]),  # characters
        (Wanted(where=(("tags", "between", (0, 0)),)), [1]),  # items
        (Wanted(where=(("t", "null", True),)), [2]),
        (Wanted(where=(("t", "null", False), ("n", "is", 3))), [0]),
        (Wanted("red", where=(("t", "has", "jam"),)), [1]),
    ],
)
def test_the_wanted_rows_are_found(wanted: Wanted, rows: list[int]) -> None:
    assert positions(TABLE, wanted).to_list() == rows


@pytest.mark.parametrize(
    "wanted",
    [Wanted(sort="x"), Wanted(sort="v"), Wanted(where=(("v", "is", 1),)), Wanted(where=(("n", "between", (1,)),)), Wanted(where=(("n", "like", 1),))],
)
def test_what_cannot_be_meant_is_said(wanted: Wanted) -> None:
    with pytest.raises(SettingError):
        positions(TABLE, wanted)


@pytest.mark.parametrize(
    "query",
    [{"page": "-1"}, {"page": "x"}, {"page": "²"}, {"where": "{"}, {"where": "[1]"}, {"where": '[["n", "is", {}]]'}, {"where": "[" * 9999}],
)
def test_an_address_that_is_wrong_is_refused(query: dict[str, str], tmp_path: Path) -> None:
    held = said(tmp_path)
    with pytest.raises(SettingError):
        page(held, held.outputs()[0].name, query)


def test_pages_have_each_row_once_and_their_positions(tmp_path: Path) -> None:
    held = said(tmp_path, 450)
    name = held.outputs()[0].name
    pages = [page(held, name, {"page": str(i)}) for i in range(4)]
    assert [len(p["rows"]) for p in pages] == [100, 100, 25, 0]
    assert [row[0] for p in pages for row in p["rows"]] == list(range(0, 450, 2))
    assert [at for p in pages for at in p["at"]] == list(range(225))
    found = page(held, name, {"search": "tea 44", "sort": "id", "desc": "1", "where": json.dumps([["kind", "is", "cold"]])})
    assert ([row[0] for row in found["rows"]], found["n"], found["total"]) == ([448, 446, 444, 442, 440], 5, 225)
    assert found["at"] == [224, 223, 222, 221, 220]


@given(st.lists(st.one_of(st.none(), st.text(max_size=5)), max_size=20), st.text(min_size=1, max_size=3))
def test_a_search_finds_what_python_finds(texts: list[Any], text: str) -> None:
    table = pl.DataFrame({"t": pl.Series(texts, dtype=pl.String)})
    plain = [t if t is None or text != text.lower() else t.lower() for t in texts]
    if all(t is None or t.lower() == pl.Series([t]).str.to_lowercase()[0] for t in texts):
        assert positions(table, Wanted(text)).to_list() == [i for i, t in enumerate(plain) if t is not None and text in t]


def test_a_large_picture_does_not_come_with_the_page_but_when_it_is_asked_for(tmp_path: Path) -> None:
    large, small = b"\x89PNG\r\n\x1a\n" + bytes(20_000), b"\x89PNG\r\n\x1a\n" + bytes(20)
    with dr.Session(tmp_path):
        dr.frame({"p": [small, large], "i": [1, 2]}).prompt(Echo(), "{i}", into="said").collect()
    session = held(tmp_path)
    name = session.outputs()[0].name
    near, far = (row[0] for row in page(session, name, {})["rows"])
    assert near["picture"].startswith("data:image/png;base64,")
    assert (far["n"], far["far"]) == (len(large), {"output": name, "row": 1, "column": "p"})
    assert len(one(session, name, 1, "p")["picture"]) > len(large)
    for row, column in ((2, "p"), (0, "said"), (0, "q")):
        with pytest.raises(SettingError, match="there is no"):
            one(session, name, row, column)
