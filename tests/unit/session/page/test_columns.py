"""Figures of columns: they count what is there."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamframe.session.page.columns import BINS, _column, columns
from tests.sessions import said


def test_each_kind_of_column_has_its_figures(tmp_path: Path) -> None:
    held = said(tmp_path, 60)
    by_name = {c["name"]: c for c in columns(held, held.outputs()[0].name, frozenset({"said"}))}
    assert (by_name["kind"]["top"], by_name["kind"]["is_written"]) == ([["hot", 15], ["cold", 15]], False)
    assert (by_name["t"]["nulls"], by_name["t"]["of"], sum(by_name["t"]["bins"])) == (1, "characters", 29)
    assert (by_name["id"]["low"], by_name["id"]["high"], by_name["id"]["mean"]) == (0.0, 58.0, 29.0)
    assert by_name["said"]["is_written"]


@given(st.lists(st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True, width=64)), min_size=1, max_size=40))
def test_a_histogram_counts_every_finite_number_once(values: list[float | None]) -> None:
    made = _column(pl.Series("n", values, dtype=pl.Float64), is_written=False)
    finite = [v for v in values if v is not None and abs(v) < float("inf")]
    assert sum(made.get("bins", [])) == len(finite)
    assert len(made.get("bins", [])) in (0, 1, BINS)


@pytest.mark.parametrize("dtype", [pl.Binary, pl.Struct({"a": pl.Int8}), pl.Array(pl.Float32, 2), pl.Date, pl.Null, pl.List(pl.Int8), pl.Categorical])
def test_a_column_of_nulls_of_any_type_is_told(dtype: pl.DataType) -> None:
    assert _column(pl.Series("c", [None, None], dtype=dtype), is_written=True)["nulls"] == 2
