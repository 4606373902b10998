"""Entering a session: it is the active one from then on, or not at all."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.run.active import current


def test_a_session_that_cannot_be_entered_is_not_left_active():
    Path("newer").mkdir()
    Path("newer/session.json").write_text(json.dumps({"format": 99}))
    before = current()
    with pytest.raises(dr.errors.SessionFormatError), dr.Session("newer"):
        pass
    assert current() is before


def test_a_session_that_was_not_entered_runs_frames_and_their_steps():
    session = dr.Session("mine")
    frame = dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said")
    for plan in (frame, frame.step):
        assert session.collect(plan)["said"].to_list() == ["tea"]
        assert session.collect_all([plan])[0].height == asyncio.run(session.collect_async(plan)).height == sum(b.height for b in session.batches(plan)) == 1
        assert session.failures(plan).is_empty()
    assert session.usage()["calls"] == 1


def test_a_tilde_is_the_home_folder_unless_a_folder_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "home").mkdir()
    with dr.Session("~/runs") as session:
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}").collect()
    assert session.folder == tmp_path / "home/runs"
    session.export("~/run.tar.gz")
    assert dr.Session.load("~/run.tar.gz", "~/copy").folder == tmp_path / "home/copy"
    assert dr.Session.existing("~/copy").steps()
    assert not (tmp_path / "~").exists()
    Path("~/old").mkdir(parents=True)  # what was kept there is still found
    assert dr.Session("~/old").folder == tmp_path / "~/old"
