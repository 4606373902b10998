"""The search for prompts: that it ends, what it leaves behind, and that it goes the same way in every process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from tests.unit.frame.tuning.task import asked_of, named, proposing, small, strong


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def test_a_search_that_costs_nothing_ends_all_the_same() -> None:
    llm, by = small(), proposing("Hm. Text: {text}")
    with pytest.warns(UserWarning, match="no prompt"):
        asked_of(llm).tune("right", by=by, budget=1.0)
    assert llm.calls <= 60
    assert by.calls <= 2 * 32


def test_a_session_keeps_what_was_tried_and_no_plan_of_a_trial(tmp_path: Path) -> None:
    llm, by = small(), strong()
    with dr.Session(tmp_path / "s") as session:
        first = asked_of(llm).tune("right", by=by, calls=100).candidates()
        assert session.verify() == []
        assert [(record.label, record.step) for record in session.steps()] == [("tune", "Tune")]
        assert session.plans() == []
        assert session.report(tmp_path / "report.html").stat().st_size > 1_000
        packed = session.export(tmp_path / "s.tar.gz")
    calls = llm.calls, by.calls
    with dr.Session.load(packed, tmp_path / "other", offline=True):
        assert asked_of(llm).tune("right", by=by, calls=100).candidates().equals(first)
    assert (llm.calls, by.calls) == calls


def meandering() -> pl.DataFrame:
    """A search among many candidates, none of them right."""
    by = strong(lambda asked: f"```\nTry {len(asked) % 97}. Text: {{text}}\n```")
    llm = small(lambda asked: named("code " + asked) if (len(asked) * 7 + sum(map(ord, asked))) % 3 else "x")
    return asked_of(llm).tune("right", by=by, calls=120).candidates()


def test_it_goes_the_same_way_in_another_process() -> None:
    script = "import dreamframe as dr\nfrom tests.unit.frame.tuning.test_search import meandering\nwith dr.Session(None):\n    print(meandering().write_json())"
    env = {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[4])}
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=env, capture_output=True, check=True).stdout
    here = meandering()
    assert here.height > 4
    assert told.decode().strip() == here.write_json()


def test_what_is_kept_already_changes_nothing() -> None:
    found = asked_of(small()).tune("right", by=strong(), calls=70).candidates()
    with dr.Session(None) as session:
        llm = small()
        asked_of(llm).collect()
        assert asked_of(llm).tune("right", by=strong(), calls=70).candidates().equals(found)
        assert session.usage()["from_cache"] >= 30
