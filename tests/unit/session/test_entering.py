"""Entering a session: it is the active one from then on, or not at all."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
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


def test_a_session_in_use_is_the_one_of_the_process_outside_every_with_until_another_is_used_or_it_is_closed(tmp_path: Path):
    before = current()
    first = dr.Session(tmp_path / "first").use()
    try:
        assert current() is first
        assert ThreadPoolExecutor(1).submit(current).result() is first
        with dr.Session(None) as inside:
            assert current() is inside
            assert ThreadPoolExecutor(1).submit(current).result() is inside
        assert current() is first
        second = dr.Session(tmp_path / "second").use().use()
        assert current() is second
        assert first._opening._stores is None  # the folder is let go
        first.close()
        assert current() is second
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(), "{t}", into="said").collect()
        assert second._opening._stores is not None
        second.close()
        assert current() is before
    finally:
        current().close()
    assert dr.Session.existing(tmp_path / "second").usage(by="step")["calls"].to_list() == [1]


def test_a_session_that_cannot_be_used_leaves_the_one_in_use():
    Path("newer").mkdir()
    Path("newer/session.json").write_text(json.dumps({"format": 99}))
    used = dr.Session(None).use()
    try:
        with pytest.raises(dr.errors.SessionFormatError):
            dr.Session("newer").use()
        assert current() is used
    finally:
        used.close()
