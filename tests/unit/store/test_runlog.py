"""The log of a run: every event is there as soon as it is appended, and a disk that refuses leaves no half line."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from dreamframe.errors import StorageError
from dreamframe.store.files import Files
from dreamframe.store.layout import Layout
from dreamframe.store.runlog import RunLogs


def logs(folder: Path) -> RunLogs:
    return RunLogs(Files(folder), Layout(folder))


def read(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in event.items() if k not in ("run", "day")} for event in logs(folder).read()]


def test_an_event_can_be_read_while_the_run_goes_on(tmp_path: Path):
    log = logs(tmp_path).begin()
    assert read(tmp_path) == []
    log.append({"event": "begin", "plans": ["a"]})
    assert read(tmp_path) == [{"event": "begin", "plans": ["a"]}]
    log.append({"event": "failure", "row": 3}, {"event": "run", "calls": 1})
    assert [event["event"] for event in read(tmp_path)] == ["begin", "failure", "run"]
    log.end()
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_run_without_events_leaves_no_file(tmp_path: Path):
    log = logs(tmp_path).begin()
    log.append()
    log.end()
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("end", ["\u2028", "\x85", "\x0b", "\r", "\n"], ids=ascii)
def test_a_text_with_other_ends_of_lines_is_one_line(end: str, tmp_path: Path):
    logs(tmp_path).write([{"event": "failure", "message": f"a{end}b"}])
    assert read(tmp_path) == [{"event": "failure", "message": f"a{end}b"}]


def test_a_disk_that_refuses_leaves_no_half_line_and_takes_the_rest_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = logs(tmp_path).begin()
    log.append({"event": "begin", "plans": []})
    real = os.write
    given = iter([5, None])

    def short(fd: int, data: memoryview) -> int:
        n = next(given)
        if n is None:
            raise OSError(errno.ENOSPC, "no space left")
        return real(fd, data[:n])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(StorageError):
        log.append({"event": "failure", "row": 3})
    monkeypatch.undo()
    log.append({"event": "run", "calls": 1})
    log.end()
    assert [event["event"] for event in read(tmp_path)] == ["begin", "run"]


def test_runs_of_one_second_are_read_in_the_order_in_which_they_began(tmp_path: Path):
    for i in range(20):
        logs(tmp_path).begin().append({"event": "begin", "plans": [str(i)]})
    assert [event["plans"] for event in read(tmp_path)] == [[str(i)] for i in range(20)]
