"""Texts of models break neither a terminal nor a page, whatever they hold."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from dreamframe.redaction.visible import HIDDEN
from dreamframe.run.why.story import CallTold, RowStory, RowTold, StepTold

MARKUP = ["<script>alert(1)</script>", "'\"><img src=x onerror=alert(1)>", "</pre></details>", "&lt;", "[red]"]
HOSTILE = st.sampled_from([*MARKUP, "\x1b[2J", "\u202e", "\ud800", "\x00"])
TEXT = st.lists(HOSTILE | st.text(max_size=20), max_size=4).map("".join)


@settings(max_examples=15)
@given(TEXT, TEXT, TEXT)
def test_nothing_of_a_text_is_obeyed(a: str, b: str, c: str):
    said = {"answer": a, "reasoning": b, "answered_by": c, "finish": a}
    call = CallTold(model=a, messages=({"role": b, "content": c},), tokens_in=1, tokens_out=1, cost=0.1, at="now", **said)
    rows = (RowTold(values={a: b, c: {a: [b]}}, calls=(call,)), RowTold(error=c))
    asked = StepTold(label=a, kind="asked", describe=b, note=c, n_rows=9, rows=rows)
    source = StepTold(label=a, kind="source", describe=b, rows=(RowTold(row=1, values={a: b}),))
    story = RowStory(row=0, found=(0, 1), values={b: a}, steps=(source, asked))
    page = story._repr_html_().rpartition("</style>")[2]
    assert set(re.findall(r"<\s*/?\s*([a-zA-Z!]+)", page)) <= {"div", "h", "span", "table", "tr", "th", "td", "pre", "code", "details", "summary", "p"}
    assert not re.search(r"<[^>]*\bon\w+\s*=", page)
    assert not HIDDEN.search(str(story))
    assert not HIDDEN.search(page)


def test_a_story_is_as_dark_as_the_notebook_and_shows_what_a_model_wrote():
    call = CallTold(model="m", answer="Yes.", tokens_in=1, tokens_out=1, cost=0.1, finish="stop", at="now")
    rows = (RowTold(values={"said": "Yes."}, calls=(call,)),)
    asked = StepTold(label="said", kind="asked", describe="PROMPT said", n_rows=1, rows=rows)
    page = RowStory(row=0, found=(), values={"t": "tea", "said": "Yes."}, steps=(asked,))._repr_html_()
    assert "[data-jp-theme-light=false] .dreamframe" in page
    assert re.findall(r"#[0-9a-f]{6}", page.partition("<style>\n.dreamframe.df-why")[2]) == [], "colours are those of all other pages"
    assert "<th>said</th><td class='df-model'><pre>Yes.</pre>" in page
    assert "<th>t</th><td><pre>tea</pre>" in page
