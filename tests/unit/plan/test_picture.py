"""A plan as SVG and as HTML: well-formed whatever names and prompts say."""

from __future__ import annotations

from xml.etree import ElementTree as ET

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
    page = dr.frame({"t": ["x"]}).prompt(dr.testing.Echo(), evil, system="<b>Be brief</b>", into="said")._repr_html_()
    drawn = ET.fromstring(page)
    (folded,) = drawn.findall("details")
    assert folded.findtext("summary") == "prompt of said"
    assert [said.text for said in folded.findall(".//pre")] == ["<b>Be brief</b>", evil]
    assert drawn.findall(".//script") == []
