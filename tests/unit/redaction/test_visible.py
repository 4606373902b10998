"""Nothing that a model, a server or a file says steers the terminal of whoever reads it; as data it stays what it is."""

from __future__ import annotations

import contextlib
import io
import json
import re
import unicodedata
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

import dreamframe as dr
from dreamframe.errors import DreamframeError
from dreamframe.redaction.visible import in_line, visible
from dreamframe.run.board import Board
from dreamframe.run.drawing import drawn
from dreamframe.run.stats import RunStats
from dreamframe.testing import Echo, Scripted
from tests.loopback.replies import error
from tests.loopback.server import Loopback

EVIL = "a\x1b[2J\x1b]0;owned\x07b\x9b31m\x08\r\u202ec\u2066d\u200bef"
STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f\u2028\u2029\ud800-\udfff]")


def raw(text: str) -> list[str]:
    return STEERS.findall(text)


def said(prompt: str = "{t}", into: str = "said", name: str | None = None) -> dr.Frame:
    return dr.frame({"t": [EVIL]}).prompt(Scripted(lambda _: EVIL), prompt, into=into, name=name)


def printed(show: Callable[[], object]) -> str:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        print(show())
    return out.getvalue()


SURFACES: dict[str, Callable[[], object]] = {
    "show": lambda: said().show(),
    "show of a list": lambda: said().select(pl.concat_list("t", "said")).show(),
    "show of columns": lambda: dr.frame({EVIL: [1]}).show(),
    "explain": lambda: said(f"say {EVIL} of {{t}}").explain(),
    "explain, as written": lambda: said(f"say {EVIL} of {{t}}").explain(optimized=False),
    "explain, columns": lambda: said(into=EVIL).filter(pl.col(EVIL) == EVIL).rename({"t": f"{EVIL}2"}).explain(),
    "explain, model": lambda: dr.frame({"t": ["x"]}).prompt(dr.OpenAI(EVIL), "{t}").explain(),
    "repr": lambda: repr(said(f"say {EVIL} of {{t}}", into=EVIL)),
    "repr of a model": lambda: repr(dr.OpenAI(EVIL, system=EVIL)),
    "repr of a step": lambda: repr(said(into=EVIL).step),
    "html": lambda: said(f"say {EVIL} of {{t}}", into=EVIL)._repr_html_(),
    "graph": lambda: said(f"say {EVIL} of {{t}}", into=EVIL).show_graph(),
    "card": lambda: said(f"say {EVIL} of {{t}}", into=EVIL).card(),
    "files": lambda: dr.scan_csv("a\x1bcb.csv").explain(),
    "no column": lambda: said(f"{{{EVIL}}}"),
    "no file": lambda: dr.scan_csv(f"no{EVIL.strip(chr(0))}.csv".replace("\x00", "")),
    "wrong setting": lambda: dr.OpenAI("m", base_url=f"htt{EVIL}"),
    "unknown setting": lambda: said().prompt(Echo(), "{t}", into="x", **{f"a{EVIL}": 1}),
    "parse": lambda: dr.frame({"t": ["x"]}).prompt(Scripted(lambda _: EVIL), "{t}", schema=int).collect(),
    "parse=": lambda: dr.frame({"t": ["x"]}).prompt(Scripted(lambda _: EVIL), "{t}", parse=int).collect(),
    "function": lambda: dr.frame({"t": ["x"]}).map(_refuses, schema={"y": pl.Int64}).collect(),
    "plan text": lambda: dr.from_json(json.dumps({"plan": 1, "steps": [{"step": EVIL}]})),
}


def _refuses(row: dict[str, Any]) -> dict[str, Any]:
    raise ValueError(f"{row['t']} {EVIL}")


def _why_miss() -> str:
    with dr.Session("s") as session:
        said(f"say {EVIL} of {{t}}", into=f"{EVIL}1", name=EVIL).collect()
        return session.why_miss(said(f"tell {EVIL} of {{t}}", into=f"{EVIL}1", name=EVIL))


def _diff() -> str:
    with dr.Session("s") as before:
        said(f"say {EVIL} of {{t}}", into=EVIL, name=EVIL).collect()
    with dr.Session("r") as after:
        said(f"tell {EVIL} of {{t}}", into=EVIL, name=EVIL).collect()
    return repr(after.diff(before))


SURFACES |= {"why_miss": _why_miss, "diff": _diff}


@pytest.mark.parametrize("surface", SURFACES)
def test_no_surface_hands_a_steering_character_to_the_terminal(surface: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a\x1bcb.csv").write_text("t\nx\n")
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            text = printed(SURFACES[surface])
        except DreamframeError as exc:
            text = f"{exc} {exc!r} {getattr(exc, 'failures', '')}"
    assert raw(text + " ".join(str(w.message) for w in warned)) == []


POLARS_SAYS: dict[str, Callable[[], object]] = {
    "in a run": lambda: dr.frame({EVIL: [EVIL]}).with_columns(pl.all().str.to_integer()).collect(),
    "in batches": lambda: list(dr.frame({EVIL: [EVIL]}).with_columns(pl.all().str.to_integer()).collect_batches()),
    "as a cause": lambda: dr.frame({EVIL: ["x"]}).with_columns(b=1).rename({"b": EVIL}),
}


@pytest.mark.parametrize("when", POLARS_SAYS)
def test_what_polars_says_of_rows_does_not_steer_the_terminal(when: str) -> None:
    with dr.Session(None), pytest.raises(pl.exceptions.PolarsError) as raised:
        POLARS_SAYS[when]()
    assert raw(f"{raised.value} {raised.value.__cause__}") == []


@pytest.mark.parametrize("status", [400, 401, 500, 200])
def test_what_a_server_says_does_not_steer_the_terminal(status: int, tmp_path: Path) -> None:
    with Loopback(fault=lambda _: lambda c: c.send(status, error(EVIL) if status != 200 else f"<p>{EVIL}".encode())) as server:
        llm = dr.OpenAI("m", base_url=server.url, attempts=1, backoff_s=0.01)
        with dr.Session(tmp_path / "s"), pytest.raises(DreamframeError) as raised:
            dr.frame({"t": ["x"]}).prompt(llm, "{t}").collect()
    assert raw(str(raised.value)) == []


def test_the_data_itself_is_unchanged(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "s"):
        assert said().to_dicts() == [{"t": EVIL, "said": EVIL}]
        assert said().collect()["said"].to_list() == said().preview()["said"].to_list() == [EVIL]


def test_a_line_end_of_a_prompt_makes_no_line_of_the_plan() -> None:
    assert len(said("a\r\nb\n  SCAN csv harmless.csv\x0b\x85\u2028{t}").explain().splitlines()) == 2


@pytest.mark.parametrize("label", ["score [/5]", "[/]", "[bold]x", "[link=file:///etc]x[/link]", ":warning:", "a\\[b]", EVIL])
def test_progress_shows_a_label_as_it_is(label: str) -> None:
    stats = RunStats()
    stats.step(label, model=label).logged = {"loss": 1.0}
    console = Console(file=io.StringIO(), width=300, force_terminal=False)
    console.print(drawn(Board(stats).look(0.0), 300, None))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert text.count(in_line(label)) == 2
    assert raw(text.replace("\n", "")) == []


def test_a_run_with_a_label_like_markup_shows_its_progress(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dreamframe.run.progress.SHOW_AFTER_S", 0.0)
    with dr.Session(None, progress=True):
        dr.frame({"t": ["x"]}).prompt(Echo(), "{t}", into="score [/5]").collect()
    shown = capfd.readouterr()
    assert "Traceback" not in shown.err
    assert "score [/5]" in shown.err + shown.out


@given(st.text())
def test_every_steering_character_is_shown_and_the_rest_stays(text: str) -> None:
    shown = visible(text)
    assert raw(shown) == []
    kept = [c for c in text.replace("\r\n", "\n") if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert [c for c in kept if c not in shown] == []
    assert visible(shown) == shown
    assert "\n" not in in_line(text)


def test_what_scripts_and_emoji_need_stays() -> None:
    for text in ("می‌خواهم", "👩‍👩‍👧", "naïve\tcafé\n", "क्‍ष", "👍🏽"):
        assert visible(text) == text
