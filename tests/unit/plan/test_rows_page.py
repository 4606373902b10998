"""Rows as a notebook shows them: whole texts that fold, tinted where a model wrote, and nothing that a text may steer."""

from __future__ import annotations

import polars as pl

import dreamframe as dr
from dreamframe.plan.rows_page import Shown, rows_html, written_by_models

LONG = "first line\nsecond\nthird\nfourth <b>line</b> & end"


def test_a_long_text_is_folded_and_whole():
    page = rows_html(pl.DataFrame({"t": [LONG, "short"]}))
    assert page.count("<details>") == 1
    assert "fourth &lt;b&gt;line&lt;/b&gt; &amp; end</pre></details>" in page
    assert '<td class="t"><pre>short</pre></td>' in page


def test_all_kinds_of_values_are_shown():
    rows = pl.DataFrame({"n": [12345], "x": [None], "l": [["a", "b"]], "s": [{"a": 1}], "b": [b"\x00\x01"], "f": [True]})
    page = rows_html(rows)
    for shown in (">12,345<", "<i>null</i>", "[&quot;a&quot;, &quot;b&quot;]", "&quot;a&quot;: 1", "<i>2 bytes</i>", ">True<", "<small>Int64</small>"):
        assert shown in page
    assert "no columns" in rows_html(pl.DataFrame())


def test_columns_that_models_wrote_are_known_through_verbs():
    llm = dr.testing.Echo()
    frame = dr.frame({"t": ["a"], "u": ["b"]}).prompt(llm, "{t}", into="said").prompt(llm, "{u}", into="loud").filter(pl.col("u") != "")
    assert written_by_models(frame.rename({"said": "told"}).drop("loud").step) == {"told"}
    assert written_by_models(frame.join(dr.frame({"t": ["a"], "z": [1]}), on="t").step) == {"said", "loud"}
    assert written_by_models(dr.frame({"t": ["a"]}).step) == frozenset()


def test_names_and_texts_steer_nothing():
    page = rows_html(pl.DataFrame({"<script>x</script>": ["<script>y</script>\x1b[2J\u202e"]}), by_models=["<script>x</script>"])
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_failures_are_a_frame_that_a_notebook_shows_whole():
    frame = dr.frame({"t": ["x" * 500]}).prompt(dr.testing.Failing(), "{t}", on_error="null")
    with dr.Session(None):
        frame.collect()
        failed = frame.failures()
    assert isinstance(failed, Shown)
    assert "x" * 500 in failed._repr_html_()
    assert '<td class="bad"><pre>BadRequestError</pre></td>' in failed._repr_html_()
    assert failed.select("row").to_dicts() == [{"row": 0}]
