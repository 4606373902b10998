"""Progress where nobody is looking: a line now and then, to the program's own log or, where it has none, to stderr."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

import dreamframe as dr
from dreamframe.run import progress
from dreamframe.run.board import Board
from dreamframe.run.drawing import told
from dreamframe.run.progress import Progress
from dreamframe.run.stats import RunStats, StepStats

STATS = RunStats([StepStats("done", rows=9, rows_in=9, total=9), StepStats("mood\x1b[2J", rows=3, rows_in=3, asked=3, total=9, failed=1)])


def run_for_a_while(how: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TELL_EVERY_S", 0.01)
    with Progress(STATS, how):
        time.sleep(0.05)  # the clock of the lines is the machine's


def test_a_program_that_listens_gets_lines_on_the_librarys_logger(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="dreamframe"):
        run_for_a_while(None, monkeypatch)
    assert {r.name for r in caplog.records} == {"dreamframe"}
    assert "3/9 rows" in caplog.records[0].message
    assert "done" not in caplog.records[0].message
    assert "\x1b" not in caplog.records[0].message


def test_a_program_that_does_not_listen_gets_none(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    with caplog.at_level(logging.WARNING):
        run_for_a_while(None, monkeypatch)
    with caplog.at_level(logging.INFO, logger="dreamframe"):
        run_for_a_while(False, monkeypatch)
    assert caplog.records == []
    assert capfd.readouterr().err == ""


def test_a_run_that_has_let_no_row_through_says_that() -> None:
    assert told(Board(RunStats([StepStats("mood")])).look(time.monotonic())) == "no row is through yet; in all 1 s"


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
    assert ("  rows\n" in done.stderr) is (how == "True")  # the head of the table at the end
    assert bool(re.search(r"0 model calls · \d+ s", done.stderr)) is says  # what it came to


def test_a_training_counts_steps() -> None:
    stats = RunStats([StepStats("sft", rows=1, total=3, unit="steps", started=0.0, logged={"loss": 1.5})])
    assert told(Board(stats).look(2.0)).startswith("sft: 1/3 steps, 0.50 steps/s, loss 1.500, 4 s left; in all ")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("width", "height"), [(120, 34), (62, 24), (80, 9)])
def test_a_terminal_shows_the_run_and_keeps_the_whole_table_at_its_end(width: int, height: int, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "SHOW_AFTER_S", 0.01)
    monkeypatch.setattr(progress, "EVERY_S", 0.01)
    for name, value in {"COLUMNS": width, "LINES": height, "TERM": "xterm", "NO_COLOR": 1}.items():
        monkeypatch.setenv(name, str(value))
    steps = [StepStats(f"a_step_of_the_plan_{i}", place=i, model="m", total=2_000, rows_in=1_000, asked=1_000) for i in range(10)]
    with Progress(RunStats([*steps, *STATS.steps]), None):
        time.sleep(0.4)  # the clock of the looks is the machine's
    frames = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "\n", re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()))  # colours are nothing, moves end a line
    assert "\x1b" not in frames
    drawn = frames.split("\n")
    assert max(len(line) for line in drawn) <= width
    end = next(i for i, line in enumerate(drawn) if line.startswith("10,003 model calls, 1 row failed"))
    assert sum(line.startswith("a_step") for line in drawn[end - 13 : end]) == 10
    assert ("more: 1 done, " in frames) is (height == 9)
