"""`dreamframe why`: the story of a row of a kept plan, as text and as JSON, out of the session alone."""

from __future__ import annotations

from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.view.guard import WRONG
from tests.unit.view.running import dreamframe


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with dr.Session(tmp_path / "s", progress=False):
        dr.frame({"id": [7, 8], "t": ["tea", "jam \x1b[2J"]}).prompt(dr.testing.Echo(), "Say {t}", into="said").collect()
    return tmp_path / "s"


def test_the_story_of_a_row_is_told_by_its_position_or_by_a_value(folder: Path):
    for row in ("1", "id=8"):
        story = dreamframe("why", row, "-s", folder, "--json").json
        assert (story["row"], story["values"]["said"]) == (1, "Say jam \x1b[2J")
        (call,) = [call for step in story["steps"] for told in step["rows"] for call in told["calls"]]
        assert (call["messages"][0]["content"], call["answer"], call["model"]) == ("Say jam \x1b[2J", "Say jam \x1b[2J", "echo")
    said = dreamframe("why", "id=8", "said", "-s", folder)
    assert "Say jam" in said.out
    assert "\x1b" not in said.out


def test_a_row_that_is_not_there_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DREAMFRAME_TRACEBACK")
    for row, told in (("9", "row"), ("nix", "is not a row"), ("ix=1", "no column 'ix'")):
        said = dreamframe("why", row, "-s", folder)
        assert said.code == WRONG
        assert told in said.err
