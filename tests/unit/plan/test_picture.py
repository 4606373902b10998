"""A plan as SVG and as HTML: well-formed whatever names and prompts say."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError

NAME = "{http://www.w3.org/2000/svg}"


def test_a_picture_has_a_box_for_each_step_and_an_arrow_for_each_input() -> None:
    rows = dr.frame({"t": ["x"], "k": [1]})
    plan = rows.prompt(dr.testing.Echo(), "{t}", into="said").join(rows, on="k")
    drawn = ET.fromstring(plan.show_graph(format="svg"))
    assert len(drawn.findall(f".//{NAME}rect")) == 3
    assert len(drawn.findall(f"{NAME}path")) == 3


@pytest.mark.parametrize("text", ["</text><script>alert(1)</script>", "]]> & \"'", "\x01 \x1b[31m \uffff", "\u202e reversed"])
def test_no_prompt_breaks_it(text: str) -> None:
    plan = dr.frame({"t": ["x"]}).prompt(dr.testing.Echo(), text + " {t}", into="said", name="<b>")
    drawn = ET.fromstring(plan.show_graph(format="svg"))
    assert {e.tag for e in drawn.iter()} <= {NAME + tag for tag in ("svg", "defs", "marker", "path", "g", "title", "rect", "text")}


def test_another_format_is_refused() -> None:
    with pytest.raises(SettingError, match="format='png'"):
        dr.frame({"t": ["x"]}).show_graph(format="png")  # type: ignore[arg-type]


def test_prompts_fold_open_in_a_notebook_and_break_nothing() -> None:
    evil = "</pre></details><script>alert(1)</script> {t}"
    df = dr.frame({"t": ["x"]}).prompt(dr.testing.Echo(), evil, system="<b>Be brief</b>", into="said")
    for page in (df._repr_html_(), df.explain(rules=True)._repr_html_()):
        drawn = ET.fromstring(page)
        (folded,) = drawn.findall(".//details[@class='said']")
        assert str(folded.findtext("summary")).startswith("PROMPT said")
        assert [said.text for said in folded.findall(".//pre")] == ["<b>Be brief</b>", evil]
        assert drawn.findall(".//script") == []


def test_what_is_kept_stands_in_text_page_and_picture() -> None:
    rows = dr.frame({"t": [f"row {i}" for i in range(40)]})
    with dr.Session(None):
        asked = rows.prompt(dr.testing.Echo(), "{t}", into="said")
        df = asked.prompt(dr.testing.Echo(), "{said}", into="again")
        assert "·" not in df.explain()
        asked.head(30).collect()
        said, drawn = df.explain(), df.show_graph(format="svg", optimized=True)
        for part in ("30 of 40 kept, 10 to ask", "unknown until said is asked"):
            assert [f"· {part}" in said, part in said._repr_html_(), part in drawn, part in df.show_graph(optimized=True)] == [True] * 4
        assert {part in df.show_graph() for part in ("30 of", "to ask")} == {False}
        df.collect()
        assert df.explain().splitlines()[0].endswith("· kept")
        assert 'class="state kept">kept' in df.explain()._repr_html_()
        assert "40 to ask" in asked.prompt(dr.testing.Echo(), "Say {t}", into="b").explain(cost=True)._repr_html_()


def test_looking_at_what_is_kept_runs_no_function_and_asks_nothing() -> None:
    ran: list[int] = []

    def twice(row: dict[str, int]) -> dict[str, int]:
        ran.append(row["i"])
        return {"w": 2 * row["i"]}

    llm = dr.testing.Echo()
    with dr.Session(None):
        asked = dr.frame({"i": range(5)}).prompt(llm, "{i}", into="said")
        asked.head(2).collect()
        mapped = asked.map(twice, schema={"w": pl.Int64}).prompt(llm, "{w}", into="more")
        n = llm.calls
        assert "not looked up: map runs a function of yours; explain(cost=True) counts" in mapped.explain()
        assert (ran, llm.calls) == ([], n)
        many = dr.frame({"i": range(51_000)}).prompt(llm, "{i}", into="said")
        assert "not looked up: the requests are many" in many.explain()
        assert asked.explain().splitlines()[0].endswith("2 of 5 kept, 3 to ask")
        assert llm.calls == n


def test_a_notebook_shows_the_picture_of_either_language():
    shown = dr.frame({"a": [1]}).show_graph()
    assert shown.startswith("digraph")
    assert shown._repr_html_().startswith("<svg")
