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
    page = story._repr_html_().partition("</style>")[2]
    assert set(re.findall(r"<\s*/?\s*([a-zA-Z!]+)", page)) <= {"div", "h", "span", "table", "tr", "th", "td", "pre", "code", "details", "summary", "p"}
    assert not re.search(r"<[^>]*\bon\w+\s*=", page)
    assert not HIDDEN.search(str(story))
    assert not HIDDEN.search(page)
