"""Arrow IPC written by polars: pyarrow and polars read what went in."""

from __future__ import annotations

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal
from polars.testing.parametric import dataframes

from dreamframe.identity.arrow import as_arrow
from dreamframe.store.ipc import MESSAGE_ROWS, damage, messages, read_table, stream

ROWS = MESSAGE_ROWS * 2 + 3


@given(dataframes(max_cols=3, max_size=5, excluded_dtypes=[pl.Object]))
def test_any_frame_comes_back(frame: pl.DataFrame) -> None:
    plain = frame.select(c for c in frame.columns if not isinstance(frame.schema[c], pl.BaseExtension))
    assert_frame_equal(pl.DataFrame(read_table(stream(plain))), as_arrow(plain), categorical_as_str=True)


def test_many_rows_are_a_message_for_each_16384_of_them() -> None:
    names = pl.Series([f"name {i % 20_000}" for i in range(ROWS)])
    rows = pl.DataFrame({"n": range(ROWS), "category": names.cast(pl.Categorical), "list": [["a"], ["b", None], None] * (ROWS // 3) + [[]] * (ROWS % 3)})
    assert len(list(messages(rows))) == 1 + 3
    assert pl.DataFrame(read_table(stream(rows))).equals(rows)


@pytest.mark.parametrize("rows", [pl.DataFrame(), pl.DataFrame(schema={"a": pl.Int64, "b": pl.List(pl.String)})], ids=["no columns", "no rows"])
def test_nothing_is_a_schema_alone(rows: pl.DataFrame) -> None:
    assert len(list(messages(rows))) == 1
    assert pl.DataFrame(read_table(stream(rows))).equals(rows)


def test_texts_are_not_written_as_views() -> None:
    kinds = read_table(stream(pl.DataFrame({"a": ["x"], "b": [b"x"], "c": [["x"]]}))).schema.types
    assert kinds == [pa.large_string(), pa.large_binary(), pa.large_list(pa.large_string())]


@pytest.mark.parametrize("cut", [1, 8, 40, 200])
def test_bytes_that_are_not_whole_are_refused(cut: int) -> None:
    whole = stream(pl.DataFrame({"n": range(9), "t": ["text"] * 9}))
    with pytest.raises(damage()):
        read_table(whole[: len(whole) - len(whole) // 2 - cut])
