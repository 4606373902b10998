"""Curves of trainings that go on, were stopped or have failed, out of the log of their run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.run.stats import MOST_LEARNT, RunStats
from dreamframe.session.page.routes import ROUTES
from dreamframe.session.page.trainings import unfinished
from dreamframe.testing import Echo
from tests.sessions import held

KEY, MODEL = "ab" * 16, "cd" * 16
RUN = "20990101T000000-1-abcdef01.jsonl"


def training(folder: Path, *lines: dict[str, Any], losses: tuple[float, ...] = (2.0, 1.5, 1.25)) -> None:
    """A run that trains, as its log has it."""
    with dr.Session(folder):
        dr.frame({"t": ["tea"]}).prompt(Echo(), "{t}").collect()
    progress = {"event": "progress", "label": "sft", "key": KEY, "model": "tiny", "rows": len(losses), "total": 9, "cost": 0.0}
    logged = [{"event": "logged", "key": KEY, "label": "sft", "values": {"step": i + 1.0, "loss": x, "eval_loss": 3.0}} for i, x in enumerate(losses)]
    (folder / "runs" / RUN).write_text("".join(json.dumps(line) + "\n" for line in ({"event": "begin", "plans": ["sft"]}, progress, *logged, *lines)))


def test_the_curve_of_a_training_that_goes_on_is_what_its_run_has_logged_so_far(tmp_path: Path) -> None:
    training(tmp_path)
    (told,) = ROUTES["overview"](held(tmp_path), {})["trainings"]
    assert (told["label"], told["is_live"], told["step"], told["total"], told["loss"]) == ("sft", True, 3, 9, 1.25)
    (line,) = ROUTES["overview"](held(tmp_path), {})["plans"][0]["steps"]
    assert (line["describe"], line["step"], line["state"]) == ("TRAIN sft ← tiny", "Train", "asked")
    columns = ROUTES["curves"](held(tmp_path), {"model": told["name"]})["columns"]
    assert (columns["step"], columns["loss"]) == ([1, 2, 3], [2, 1.5, 1.25])
    assert columns["eval_loss"] == [3, None, None], "where it was found"


def test_a_training_that_has_become_a_model_is_not_told_twice(tmp_path: Path) -> None:
    training(tmp_path, {"event": "model", "key": KEY, "model": MODEL})
    assert unfinished(held(tmp_path)) == []


def test_one_that_was_stopped_is_told_as_such(tmp_path: Path) -> None:
    training(tmp_path, {"event": "run", "calls": 0, "cached": 0, "trained": 0, "reused": 0, "failed": 0})
    assert [t["is_live"] for t in unfinished(held(tmp_path))] == [False]
    with pytest.raises(SettingError, match="there is no training"):
        ROUTES["curves"](held(tmp_path), {"model": f"{RUN}:none"})
    assert '"loss":[2.0,1.5,1.25]' in dr.Session.existing(tmp_path).report(tmp_path / "r.html").read_text()


def test_a_run_tells_a_training_in_few_lines_with_its_last_and_without_what_is_no_number() -> None:
    stats = RunStats()
    step = stats.step("sft", key=KEY)
    for i in range(1, 1001):
        step.learns({"step": float(i), "total": 1000.0, "loss": 1 / i, "grad_norm": float("nan")})
    lines = stats.learnt()
    assert len(lines) <= MOST_LEARNT
    assert lines[-1] == {"event": "logged", "key": KEY, "label": "sft", "values": {"step": 1000.0, "loss": 0.001}}
    assert (step.rows, step.total, stats.learnt()) == (1000, 1000, [])
