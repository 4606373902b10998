"""Rows by state: kept, failed and why, not asked; from a failure to its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import RowsFailedError, SettingError
from dreamframe.session.page.folder import Held
from dreamframe.session.page.routes import ROUTES
from dreamframe.session.page.states import states
from dreamframe.testing import Echo
from tests.sessions import held, said


def failed(folder: Path, on_error: Any = "raise") -> tuple[Held, str]:
    """A session in which two of six rows failed, and the name of the rows of its plan."""
    asked = ["1", "four", None, "four", "5", "6"]  # the same is asked twice
    with dr.Session(folder):
        try:
            dr.frame({"t": asked}).prompt(Echo(), "{t}", schema=int, into="n", name="count", on_error=on_error).collect()
        except RowsFailedError:
            assert on_error == "raise"
    session = held(folder)
    return session, next(s["output"] for p in ROUTES["overview"](session, {})["plans"] for s in p["steps"] if s["output"])


@pytest.mark.parametrize("on_error", ["raise", "null"])
def test_rows_are_chosen_by_state_and_a_failed_one_says_why(on_error: str, tmp_path: Path) -> None:
    session, name = failed(tmp_path, on_error)
    whole = ROUTES["rows"](session, {"output": name})
    assert whole["states"] == {"failed: ParseError": 2, "kept": 4}
    assert [row[0] for row in whole["rows"]] == ["1", "four", None, "four", "5", "6"]
    for state, rows in (("failed", [1, 3]), ("failed: ParseError", [1, 3]), ("kept", [0, 2, 4, 5]), ("not asked", [])):
        assert ROUTES["rows"](session, {"output": name, "state": state})["at"] == rows
    found = ROUTES["rows"](session, {"output": name, "state": "failed", "search": "four"})
    assert (found["at"], found["marks"][0]["n"]["error"]) == ([1, 3], "ParseError")
    with pytest.raises(SettingError, match="there is no state 'good'"):
        ROUTES["rows"](session, {"output": name, "state": "good"})


def test_a_failure_leads_to_its_row_and_the_row_tells_its_story(tmp_path: Path) -> None:
    session, name = failed(tmp_path)
    (first, second) = ROUTES["failures"](session, {})["failures"]
    assert ROUTES["failed"](session, {"run": second["run"], "n": str(second["n"])}) == {"output": name, "row": 3}
    told = ROUTES["record"](session, {"output": name, "row": "3"})["story"]["steps"][-1]["rows"][0]
    assert told["error"].startswith("ParseError")
    assert told["calls"][0]["answer"] == "four"
    for run, n in ((first["run"], "9"), ("x", "0")):
        with pytest.raises(SettingError, match="no such failure"):
            ROUTES["failed"](session, {"run": run, "n": n})


def test_what_failed_once_and_was_answered_later_is_found_among_the_stored_rows(tmp_path: Path) -> None:
    rows = dr.frame({"t": ["1", "tea"]})
    with dr.Session(tmp_path):
        rows.prompt(Echo(), "Say {t}", schema=int, into="n", name="count", on_error="null").collect()
        rows.prompt(Echo(), "Say {t}", into="n", name="count").collect()
    session = held(tmp_path)
    failure = ROUTES["failures"](session, {})["failures"][1]
    assert ROUTES["failed"](session, {"run": failure["run"], "n": "1"})["row"] == 1


def test_a_row_that_no_run_has_come_to_is_not_asked(tmp_path: Path) -> None:
    _, name = failed(tmp_path)
    for log in (tmp_path / "runs").iterdir():
        log.write_text("".join(line for line in log.read_text().splitlines(keepends=True) if '"failure"' not in line))
    found = states(held(tmp_path), name)
    assert found is not None
    assert found.words.to_list() == ["kept", "not asked", "kept", "not asked", "kept", "kept"]


def test_stored_rows_have_all_their_answers(tmp_path: Path) -> None:
    session = said(tmp_path)
    assert ROUTES["rows"](session, {"output": session.outputs()[0].name})["states"] == {}


def test_a_report_has_the_states_and_leads_from_failures_to_rows(tmp_path: Path) -> None:
    failed(tmp_path / "s")
    report = dr.Session.existing(tmp_path / "s").report(tmp_path / "report.html").read_text()
    assert '"states":["kept","failed: ParseError","kept","failed: ParseError","kept","kept"]' in report
    assert report.count('"found":{"output":"plan ') == 2
