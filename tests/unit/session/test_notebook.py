"""Sessions, models and frames as a notebook shows them."""

from __future__ import annotations

from pathlib import Path

import polars as pl

import dreamframe as dr


def test_a_session_shows_its_folder_and_its_last_run(tmp_path: Path):
    folder = tmp_path / "<b>out"
    session = dr.Session(folder)
    assert "Nothing has run yet" in session._repr_html_()
    assert not folder.exists()
    with session:
        dr.frame({"t": ["tea", "jam"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
    page = session._repr_html_()
    assert "&lt;b&gt;out" in page
    assert "<b>" not in page
    assert "2 model calls, trained nothing · 1 run" in page
    assert "said" in page
    assert "What is on record" in dr.Session(folder)._repr_html_()


def test_a_wide_frame_is_folded_and_a_long_plan_stays_at_the_left():
    frame = dr.frame({f"column_{i}": [1] for i in range(35)})
    for i in range(30):
        frame = frame.filter(pl.col("column_0") > i)
    page = frame._repr_html_()
    assert "<summary>35 columns: column_0, " in page
    assert "margin-left:2ch" not in page.split("</style>")[1]
    joined = frame.join(dr.frame({"column_0": [1]}).filter(pl.col("column_0") > 0), on="column_0")._repr_html_().split("</style>")[1]
    assert joined.count('style="margin-left:2ch"') == 33


def test_a_model_shows_its_plan():
    model = dr.frame({"t": ["tea"], "u": ["jam"]}).train(dr.SFT("some/base"), prompt="t", completion="u")
    page = model._repr_html_()
    assert "Model, trained by" in page
    assert "lazy: .fit() trains it" in page
