"""Rows as a notebook shows them: whole texts that fold, tinted where a model wrote, and nothing that a text may steer."""

from __future__ import annotations

from html.parser import HTMLParser

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.plan.rows_page import Shown, rows_html, written_by_models

HOSTILE = ["</pre></td></table><script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "</style><svg/onload=1>", "&lt;b&gt;", "a\x1b[2J"]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1) | st.sampled_from(HOSTILE)
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


class Tags(HTMLParser):
    """Collects the tags of a page, their attributes, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_no_text_makes_a_tag_or_an_attribute(text: str):
    seen = Tags()
    seen.feed(rows_html(pl.DataFrame({text: [text]}), by_models=[text]))
    assert seen.tags <= {"style", "div", "table", "thead", "tbody", "tr", "th", "td", "small", "pre", "details", "summary"}
    assert seen.attributes <= {"class"}
