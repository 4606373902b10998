"""One row as a conversation, and which columns models wrote."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.session.page.record import record
from dreamframe.session.page.steps import written
from dreamframe.testing import Echo
from tests.sessions import held, said


def test_a_row_tells_what_was_asked_and_answered(tmp_path: Path) -> None:
    session = said(tmp_path)
    found = record(session, session.outputs()[0].name, 2)
    assert [(c["name"], c["value"], c["is_written"]) for c in found["columns"]] == [
        ("id", 4, False), ("t", "Tea 4", False), ("kind", "cold", False), ("said", "Say Tea 4", True),
    ]  # fmt: skip
    (turn,) = found["turns"]
    assert turn["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say Tea 4"}]
    assert (turn["column"], turn["model"], found["n"]) == ("said", "echo", 3)


def test_the_story_of_a_row_is_what_the_session_tells(tmp_path: Path) -> None:
    session = said(tmp_path)
    story = record(session, session.outputs()[0].name, 2)["story"]
    (call,) = [call for step in story["steps"] for row in step["rows"] for call in row["calls"]]
    assert [m["content"] for m in call["messages"]] == ["Be brief.", "Say Tea 4"]
    assert (call["answer"], call["tokens_out"]) == ("Say Tea 4", 1)


def test_a_row_that_was_not_asked_about_has_no_messages(tmp_path: Path) -> None:
    session = said(tmp_path)
    assert record(session, session.outputs()[0].name, 1)["turns"][0]["messages"] is None


def test_a_row_that_is_not_there_is_said(tmp_path: Path) -> None:
    session = said(tmp_path)
    with pytest.raises(SettingError, match="there is no row 3"):
        record(session, session.outputs()[0].name, 3)


def test_columns_of_models_are_known_through_renames_joins_and_plain_columns_are_not(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        asked = dr.frame({"t": ["tea"], "k": [1]}).prompt(Echo(), "{t}", into="a").rename({"a": "b"})
        asked.with_columns(c=pl.col("k") + 1).join(dr.frame({"k": [1], "d": [2]}), on="k").prompt(Echo(), "{b}", into="e").collect()
    session = held(tmp_path)
    (output,) = [o for o in session.outputs() if "e" in o.columns]
    assert written(session, output).keys() == {"b", "e"}


def test_of_a_plan_that_cannot_be_read_the_lines_of_its_steps_tell(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Scripted(["x"]), "{t}", into="an answer").collect()
    session = held(tmp_path)
    (output,) = session.outputs()
    assert written(session, output) == {"an answer": "PROMPT an answer ← scripted '{t}'"}
    assert record(session, output.name, 0)["turns"] == []
