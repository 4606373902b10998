"""What the page reads: nothing is written, what is unchanged is not read again, and what is damaged is said."""

from __future__ import annotations

from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.session.page.folder import Held
from dreamframe.session.page.routes import ROUTES
from dreamframe.testing import Echo
from tests.sessions import failing, held, said


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (p.stat().st_mtime_ns, p.stat().st_size) for p in folder.rglob("*")}


def test_looking_changes_nothing(tmp_path: Path) -> None:
    session = said(tmp_path)
    before = files(tmp_path)
    output, plan = session.outputs()[0].name, session.plans()[0].name
    words = {"output": output, "plan": plan, "row": "0", "before": output, "after": output}
    for what in sorted(ROUTES.keys() - {"map", "curves", "cell", "failed"}):
        assert ROUTES[what](session, words) is not None
    assert files(tmp_path) == before


def test_only_what_grew_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session = said(tmp_path)
    first = session.runs()
    read: list[str] = []
    monkeypatch.setattr("dreamframe.session.page.folder.read_log", lambda files, path: (read.append(path.name), ([], []))[1])
    assert session.runs() == first
    assert read == []
    log = next((tmp_path / "runs").iterdir())
    log.write_text(log.read_text() + "\n")
    session.runs()
    assert read == [log.name]


def test_the_overview_is_sent_once_and_again_when_something_is_new(tmp_path: Path) -> None:
    session = said(tmp_path)
    told = ROUTES["overview"](session, {})
    assert ROUTES["overview"](session, {"since": told["stamp"]})["same"]
    failing(tmp_path)
    assert "same" not in ROUTES["overview"](session, {"since": told["stamp"]})


def test_an_estimate_says_what_running_again_would_ask(tmp_path: Path) -> None:
    session = said(tmp_path)
    made = ROUTES["estimate"](session, {"plan": session.plans()[0].name})
    assert ([(s["state"], s["key"]) for s in made["steps"]], made["total"]) == ([], "nothing to ask: $0")


def test_two_outputs_are_compared_value_by_value(tmp_path: Path) -> None:
    said(tmp_path)
    session = said(tmp_path, 4)
    before, after = (o.name for o in session.outputs())
    made = ROUTES["contrast"](session, {"before": before, "after": after})
    assert made["steps"]
    assert (made["n_rows"] > 0, len(made["rows"])) == (True, made["n_values"])


def test_damaged_rows_are_said_and_the_rest_is_shown(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    session = said(tmp_path)
    name = session.outputs()[0].name
    data = tmp_path / "steps" / name / "data.arrow"
    data.write_bytes(data.read_bytes()[:-9])
    with pytest.raises(SettingError, match="not as they were written"):
        ROUTES["rows"](session, {"output": name})
    assert ROUTES["overview"](session, {})["plans"]
    assert recwarn.list


@pytest.mark.parametrize(
    ("what", "words"),
    [("rows", {"output": "../x"}), ("record", {"output": "x", "row": "0"}), ("curves", {"model": ".."}), ("card", {"plan": "x"})],
)
def test_names_that_are_not_there_are_said(what: str, words: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="there is no"):
        ROUTES[what](said(tmp_path), words)


def test_a_folder_without_a_session_is_said(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="holds no session"):
        Held("x", tmp_path, opened=lambda: pytest.fail("it is opened")).check()


def test_the_rows_of_a_plan_that_is_not_whole_are_those_with_answers(tmp_path: Path) -> None:
    with dr.Session(tmp_path / "s"):
        dr.frame({"t": ["1", "tea", "3"]}).prompt(Echo(), "{t}", schema=int, into="n", on_error="null").collect()
    session = held(tmp_path / "s")
    assert session.outputs() == []
    (plan,) = ROUTES["overview"](session, {})["plans"]
    name = plan["steps"][-1]["output"]
    found = ROUTES["rows"](session, {"output": name, "where": '[["n", "null", false]]'})
    assert (found["rows"], found["n"], found["total"], found["is_part"]) == ([["1", 1], ["3", 3]], 2, 3, True)
    assert ROUTES["record"](session, {"output": name, "row": "2"})["turns"][0]["messages"] == [{"role": "user", "content": "3"}]
    report = dr.Session.existing(tmp_path / "s").report(tmp_path / "report.html", rows=2)
    assert '"rows":[["1",1],["tea",null]]' in report.read_text()


def test_rows_that_get_their_answers_later_are_there_then_and_the_former_ones_are_let_go(tmp_path: Path) -> None:
    with dr.Session(tmp_path):
        dr.frame({"t": ["1", "tea"]}).prompt(Echo(), "{t}", schema=int, into="n", on_error="drop").collect()
    session = held(tmp_path)
    name = ROUTES["overview"](session, {})["plans"][0]["steps"][-1]["output"]
    assert session.rows(name).height == 1
    failing(tmp_path)
    assert session.rows(name).height == 1
    assert len([key for key in session.known if key[0] == "at hand"]) == 1
