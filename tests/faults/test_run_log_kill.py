"""A run that is killed leaves a log that can be read: what had begun, how far each step was, and what had failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import dreamframe as dr

SCRIPT = """
import sys, dreamframe as dr
llm = dr.testing.Failing(when=lambda prompt: prompt.endswith("0"), latency_s=0.02, concurrency=8)
rows = dr.frame({"t": [f"row {i}" for i in range(100_000)]})
with dr.Session(sys.argv[1], progress=False):
    rows.prompt(llm, "{t}", into="said", name="answers", on_error="null").write_parquet(sys.argv[1] + "/out.parquet")
"""
LONGEST_S = 40.0


def events(folder: Path) -> list[dict[str, object]]:
    return list(dr.Session(folder).stores.log.read())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_a_killed_run_leaves_a_log_that_tells_what_it_did(tmp_path: Path):
    run = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        until = time.monotonic() + LONGEST_S
        while not any(event["event"] == "failure" for event in events(tmp_path)):
            assert run.poll() is None, "it ended by itself"
            assert time.monotonic() < until, "nothing was written while it ran"
            time.sleep(0.05)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = events(tmp_path)
    kinds = [event["event"] for event in found]
    assert kinds[0] == "begin"
    assert {"failure", "progress"} <= set(kinds)
    assert "run" not in kinds, "it did not end"
    assert [event["plans"] for event in found if event["event"] == "begin"] == [["answers"]]
    last = [event for event in found if event["event"] == "progress"][-1]
    assert last["label"] == "answers"
    assert last["failed"] == len([kind for kind in kinds if kind == "failure"])
    assert dr.Session(tmp_path).verify() == []


def test_a_run_that_ends_tells_each_failure_once_and_its_counts_at_the_end(tmp_path: Path):
    llm = dr.testing.Failing(when=lambda prompt: prompt.endswith("0"), latency_s=0.3)
    with dr.Session(tmp_path) as session:
        frame = dr.frame({"t": [f"row {i}" for i in range(400)]}).prompt(llm, "{t}", into="said", on_error="null")
        frame.collect()
        failed = frame.failures()["row"].to_list()
    found = events(tmp_path)
    assert [event["row"] for event in found if event["event"] == "failure"] == failed == list(range(0, 400, 10))
    assert [event["asked"] for event in found if event["event"] == "step"] == [session.usage()["calls"]]
    assert found[0]["event"] == "begin"
    assert {k: found[-1][k] for k in ("event", "calls", "failed")} == {"event": "run", "calls": 360, "failed": 40}


def test_the_record_of_a_run_that_was_killed_has_the_counts_that_it_wrote_last(tmp_path: Path):
    line = {"label": "a", "model": "echo", "rows_in": 8, "rows": 8, "asked": 7, "cached": 1, "failed": 0, "cost": 0.5}
    with dr.Session(tmp_path) as session:
        log = session.stores.log.begin()
        log.append({"event": "begin", "plans": ["a"]}, {"event": "progress", **line, "asked": 3}, {"event": "progress", **line})
        (record,) = session.runs()
        assert (record.is_over, record.calls, record.cached, record.cost) == (False, 7, 1, 0.5)
        log.append({"event": "step", **line, "asked": 9}, {"event": "run", "calls": 9, "cached": 1, "trained": 0, "reused": 0, "failed": 0})
        (record,) = session.runs()
        assert (record.is_over, record.calls) == (True, 9)
        log.end()


FOLLOWED = """
import sys, dreamframe as dr
llm = dr.testing.Scripted(lambda prompt: prompt, latency_s=0.05, concurrency=4)
rows = dr.frame({"t": [f"row {i}" for i in range(100_000)]})
with dr.Session(sys.argv[1], progress=False):
    rows.prompt(llm, "{t}", into="said").collect()
"""
SECOND_S = 2.0  # half a second for the first look, one between two, and the time that the machine takes for both


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs signals")
def test_another_process_follows_a_run_and_a_kill_leaves_the_log_whole_up_to_the_last_second(tmp_path: Path):
    run = subprocess.Popen([sys.executable, "-c", FOLLOWED, str(tmp_path)], env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        until = time.monotonic() + LONGEST_S
        while not (tmp_path / "session.json").exists():
            assert time.monotonic() < until, "there is no session"
            time.sleep(0.05)
        watched = dr.Session.existing(tmp_path).follow()
        counts: list[int] = []
        while len(counts) < 4:
            assert run.poll() is None, "it ended by itself"
            assert time.monotonic() < until, f"nothing was written while it ran: {counts}"
            counts += [int(event["asked"]) for event in watched.news() if event["event"] == "progress" and event.get("asked")]
            time.sleep(0.05)
        killed_at = time.time()
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    assert counts == sorted(set(counts)), "each line tells what has changed"
    last = [event for event in events(tmp_path) if event["event"] == "progress"][-1]
    assert killed_at - last["at"] < SECOND_S, "it tells of the last second"
    with dr.Session(tmp_path) as session:
        (record,) = session.runs()
        kept = session.answers()
    late_ms = int(1000 * (killed_at - SECOND_S))
    assert kept.filter(kept["at"].dt.timestamp("ms") < late_ms).height <= record.calls <= kept.height + 4 * 40
    assert (record.is_over, record.steps[0].label, record.steps[0].model) == (False, "said", "scripted")


def test_progress_is_written_by_what_has_changed_and_read_as_a_whole(tmp_path: Path):
    with dr.Session(tmp_path) as session:
        log = session.stores.log.begin()
        log.append({"event": "progress", "label": "a", "model": "echo", "rows_in": 8, "asked": 3, "cost": 0.25})
        log.append({"event": "progress", "label": "a", "asked": 7})
        (record,) = session.runs()
        log.end()
    assert (record.calls, record.cost, record.steps[0].rows_in, record.steps[0].model) == (7, 0.25, 8, "echo")


def test_a_run_that_waits_says_that_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, seconds in (("FIRST_S", 0.01), ("EVERY_S", 0.02), ("ALIVE_S", 0.05), ("SHARE", 1)):
        monkeypatch.setattr(f"dreamframe.run.events.{name}", seconds)
    with dr.Session(tmp_path):
        dr.frame({"t": ["tea"]}).prompt(dr.testing.Echo(latency_s=0.5), "{t}", into="said").collect()
    kinds = [event["event"] for event in events(tmp_path)]
    assert 2 <= kinds.count("alive") <= 10
    assert (kinds[0], kinds[-1]) == ("begin", "run")
