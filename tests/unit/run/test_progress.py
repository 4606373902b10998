"""Progress where nobody is looking: a line now and then, to the program's own log or, where it has none, to stderr."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.run import progress
from dreamframe.run.progress import Progress, line
from dreamframe.run.stats import RunStats, StepStats

STATS = RunStats([StepStats("done", rows=9, total=9), StepStats("mood\x1b[2J", rows=3, asked=3, total=9, failed=1)])


def told(how: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TELL_EVERY_S", 0.01)
    with Progress(STATS, how):
        time.sleep(0.05)  # the clock of the lines is the machine's


def test_a_program_that_listens_gets_lines_on_the_librarys_logger(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dreamframe"):
        told(None, monkeypatch)
    assert {r.name for r in caplog.records} == {"dreamframe"}
    assert "3/9 rows" in caplog.records[0].message
    assert "done" not in caplog.records[0].message
    assert "\x1b" not in caplog.records[0].message


def test_a_program_that_does_not_listen_gets_none(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.WARNING):
        told(None, monkeypatch)
    with caplog.at_level(logging.INFO, logger="dreamframe"):
        told(False, monkeypatch)
    assert caplog.records == []
    assert capfd.readouterr().err == ""


def test_a_run_that_has_let_no_row_through_says_that() -> None:
    assert line(RunStats([StepStats("mood")]), 1.0) == "no row is through yet"


SCRIPT = """
import time, dreamframe as dr
from dreamframe.run import progress
progress.TELL_EVERY_S = 0.05

def slow(row):
    time.sleep(0.4)
    return {"a": 1}

with dr.Session(None, progress=HOW):
    dr.frame({"t": [1, 2]}).map(slow, schema={"a": int}).collect()
"""


@pytest.mark.parametrize(("how", "says"), [("None", True), ("True", True), ("False", False)])
def test_a_job_with_a_redirected_stderr_is_not_mute(how: str, says: bool, tmp_path: Path) -> None:
    script = tmp_path / "job.py"  # what map() runs has a file to be read from
    script.write_text(SCRIPT.replace("HOW", how))
    root = str(Path(dr.__file__).parents[1])
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": root})
    assert ("dreamframe: " in done.stderr) is says
    assert ("cached" in done.stderr) is (how == "True")  # the head of the table at the end


def test_a_training_counts_steps() -> None:
    stats = RunStats([StepStats("sft", rows=1, total=3, started=0.0, logged={"loss": 1.5})])
    assert line(stats, 2.0) == "sft  loss 1.500: 1/3 steps, 0.5 steps/s, 4 s left"


def test_a_notebook_without_widgets_gets_lines_without_a_warning_or_an_empty_field(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    monkeypatch.setattr(progress, "SHOW_AFTER_S", 0)
    monkeypatch.setattr(progress, "TELL_IN_NOTEBOOK_S", 0.01)
    monkeypatch.setattr(progress, "is_watched", lambda: True)
    monkeypatch.setattr(progress.log, "hasHandlers", lambda: False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Progress(STATS, None):
            time.sleep(0.3)  # the clock of the lines is the machine's
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dreamframe: mood")
    assert "3/9 rows" in err
