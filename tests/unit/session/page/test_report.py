"""The report: one file that holds what the page would ask for, and asks for nothing."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import SettingError, StorageError
from dreamframe.session.page.assets import asset
from dreamframe.session.page.report import embedded
from dreamframe.session.page.routes import ROUTES
from dreamframe.testing import Echo
from tests.sessions import failing, held, said


def data(report: Path) -> dict[str, Any]:
    """What is embedded in a report."""
    (held,) = re.findall(r'<script type="application/json" id="session">(.*?)</script>', report.read_text(), re.DOTALL)
    return dict(json.loads(held))


def test_a_report_holds_the_first_rows_and_says_how_many_there_are(tmp_path: Path) -> None:
    said(tmp_path / "s", 60)
    report = dr.Session.existing(tmp_path / "s").report(tmp_path / "report.html", rows=7)
    (output,) = data(report)["outputs"].values()
    assert ([row[0] for row in output["rows"]], output["total"]) == ([0, 2, 4, 6, 8, 10, 12], 30)
    assert output["turns"][0]["messages"][2] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say Tea 4"}]
    story = ROUTES["record"](held(tmp_path / "s"), {"output": next(iter(data(report)["outputs"])), "row": "2"})["story"]
    assert output["stories"][2] == story
    assert story["steps"][1]["rows"][0]["calls"][0]["tokens_in"] == 3
    assert data(report)["cards"]
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_rows_are_shared_out_among_outputs_and_what_one_does_not_need_another_has(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "s") as session:
        for n in (2, 30, 40):
            dr.frame({"t": ["tea"] * n}).prompt(Echo(temperature=0), f"{n} {{t}}").collect()
        report = session.report(tmp_path / "report.html", rows=20)
    assert sorted(len(o["rows"]) for o in data(report)["outputs"].values()) == [2, 9, 9]


def test_a_report_has_the_first_pictures_and_does_not_grow_beyond_what_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamframe.session.page.report.MOST_PICTURES", 45_000)
    picture = b"\x89PNG\r\n\x1a\n" + bytes(5_000)
    with dr.Session(tmp_path / "s") as session:
        dr.frame({"i": range(20), "p": [picture] * 20}).prompt(Echo(), "{i}", into="said").collect()
        report = session.report(tmp_path / "report.html")
    (output,) = data(report)["outputs"].values()
    kinds = [next(iter(row[1])) for row in output["rows"]]
    assert kinds == ["picture"] * 6 + ["bytes"] * 14


def test_a_session_in_memory_and_one_with_failures_have_reports(tmp_path: Path) -> None:
    with dr.Session(None) as session:
        dr.frame({"t": ["tea"]}).prompt(Echo(), "{t}").collect()
        assert data(session.report(tmp_path / "a.html"))["overview"]["spent"]["calls"] == 1
    failing(tmp_path / "s")
    assert data(dr.Session.existing(tmp_path / "s").report(tmp_path / "b.html"))["failures"]["n"] == 2


@pytest.mark.parametrize("rows", [-1, 1001])
def test_no_more_rows_than_open_at_once(rows: int, tmp_path: Path) -> None:
    said(tmp_path / "s")
    with pytest.raises(SettingError, match="from 0 to 1,000"):
        dr.Session.existing(tmp_path / "s").report(tmp_path / "r.html", rows=rows)


def test_a_report_that_cannot_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    said(tmp_path / "s")
    with pytest.raises(StorageError, match="cannot be written"):
        dr.Session.existing(tmp_path / "s").report(tmp_path / "none" / "r.html")
    with pytest.raises(SettingError, match="there is no session"):
        dr.Session.existing(tmp_path / "nowhere").report(tmp_path / "r.html")
    assert [p.name for p in tmp_path.iterdir()] == ["s"]


@given(st.text())
def test_no_text_ends_the_element_that_holds_it(text: str) -> None:
    made = embedded({text: [text, f"</script>{text}<!--<script>"]})
    assert not set("<>&\u2028\u2029") & set(made)
    assert made.isascii()
    assert json.loads(made) == {text: [text, f"</script>{text}<!--<script>"]}


def test_the_page_is_small_asks_nobody_else_and_writes_no_markup() -> None:
    script, style, page = (asset(name)[1].decode() for name in ("page.js", "page.css", "page.html"))
    assert len(script.encode()) < 150_000
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "setTimeout(\"", "import("):
        assert way not in script
    assert re.findall(r"https?://[^\s\"']+", script + style + page) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in style


def luminance(colour: str) -> float:
    """As WCAG 2.2 has it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("paper", ["paper", "soft", "tint", "chosen"])
@pytest.mark.parametrize("ink", ["ink", "dim", "accent", "bad", "wait", "good"])
def test_every_text_has_the_contrast_of_aa_on_everything_it_stands_on(ink: str, paper: str, scheme: int) -> None:
    roots = re.findall(r":root \{(.*?)\}", asset("page.css")[1].decode(), re.DOTALL)
    colours = dict(re.findall(r"--([\w]+): (#[0-9a-f]{6})", roots[scheme]))
    light, dark = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_files_of_the_page_are_in_the_wheel() -> None:
    built = tomllib.loads((Path(__file__).parents[4] / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert built == {"packages": ["dreamframe"]}  # all its files, the page's too
