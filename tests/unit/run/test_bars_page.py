"""Progress in a notebook: one output that is drawn anew, without widgets or scripts, and that says at the end what the run came to."""

from __future__ import annotations

import sys
import time
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from dreamframe.run import progress
from dreamframe.run.bars_page import page
from dreamframe.run.board import Board
from dreamframe.run.progress import Progress
from dreamframe.run.stats import RunStats, StepStats
from tests.unit.run.test_bars import moment

STATS = RunStats([StepStats("<b>mood</b>", rows_in=3, asked=3, total=9, failed=1)])


def test_a_page_holds_all_lines_and_nothing_that_runs():
    told = page(moment(10, notes=tuple(f"library: {i}" for i in range(5))))
    assert told.count("<tr>") == 11
    assert told.count('class="bar"') == 10
    assert "and 2 more notes" in told
    assert "<script" not in told
    hostile = page(Board(STATS).look(time.monotonic()))
    assert "<b>" not in hostile
    assert "&lt;b&gt;mood" in hostile


def test_a_notebook_has_one_output_that_is_drawn_anew_and_ends_with_what_the_run_came_to(monkeypatch: pytest.MonkeyPatch):
    drawn: list[str] = []
    made: list[object] = []

    class Handle:
        def update(self, shown: str) -> None:
            drawn.append(shown)

    def display(shown: str, *, display_id: bool) -> Any:
        assert display_id
        drawn.append(shown)
        made.append(Handle())
        return made[-1]

    kernel = ModuleType("IPython.display")
    vars(kernel).update(HTML=str, display=display)
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", kernel)
    monkeypatch.setitem(sys.modules, "ipykernel", ModuleType("ipykernel"))
    monkeypatch.setattr(progress, "SHOW_AFTER_S", 0.01)
    monkeypatch.setattr(progress, "EVERY_S", 0.01)
    with Progress(STATS, None):
        time.sleep(0.1)  # the clock of the looks is the machine's
    assert len(made) == 1
    assert len(drawn) > 2
    assert "3 model calls, 1 row failed · 1 s" in drawn[-1]
    assert "3 model calls" not in drawn[0]


def test_a_marimo_notebook_has_the_table_once_the_run_is_over(monkeypatch: pytest.MonkeyPatch):
    shown: list[str] = []
    marimo = ModuleType("marimo")
    vars(marimo).update(running_in_notebook=lambda: True, Html=str, output=SimpleNamespace(append=shown.append))
    monkeypatch.setitem(sys.modules, "marimo", marimo)
    monkeypatch.setattr(progress, "SHOW_AFTER_S", 0.01)
    for wanted in (None, False):
        with Progress(STATS, wanted):
            time.sleep(0.05)  # the clock of the looks is the machine's
            assert shown == [] or wanted is False
    assert len(shown) == 1
    assert "3 model calls, 1 row failed · 1 s" in shown[0]


def test_a_step_that_asked_nobody_has_a_bar_of_its_own_colour():
    steps = [StepStats("said", total=4, rows_in=4, asked=4, model="m"), StepStats("filter", total=4, rows_in=4, place=1)]
    made = page(Board(RunStats(steps)).look(time.monotonic()), end="done")
    assert made.count('<i class="dim" style="width:100.0%">') == 1  # the filter's
    assert made.count('<i style="width:100.0%">') == 1
