"""What of a training crosses to other processes, and what comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import SettingError, TrainingError
from dreamframe.models.base import Artefact
from dreamframe.trainers import distributed
from dreamframe.trainers.base import Chained
from dreamframe.trainers.distributed import from_spec, result_of, spec_of
from dreamframe.trainers.job import TrainJob


def length_of(completions: list[str]) -> list[int]:
    return [len(c) for c in completions]


def test_settings_cross_to_another_process_whole(tmp_path: Path) -> None:
    chained = Chained(Artefact("/a", "k"), "below")
    trainer = dr.GRPO(
        chained, rewards=[length_of, chained], reward_weights=[1, 2], peft={"r": 2}, device=["cpu", "cpu"], batch_size=16, args={"weight_decay": 0.1}
    )
    job = TrainJob(rows=tmp_path / "rows", workdir=tmp_path, out=tmp_path / "out", base=tmp_path / "base")
    there, its_job = from_spec(json.loads(json.dumps(spec_of(trainer, job))))
    assert [getattr(there, f.name) for f in fields(there) if f.name != "base"] == [getattr(trainer, f.name) for f in fields(trainer) if f.name != "base"]
    assert (its_job.rows, its_job.base, its_job.validation) == (job.rows, job.base, None)


def test_a_function_that_no_other_process_can_import_is_refused(tmp_path: Path) -> None:
    trainer = dr.GRPO("base", rewards=lambda completions: [0.0], batch_size=16, processes=2)
    with pytest.raises(SettingError, match="give a function of an importable module, or train with processes=1"):
        spec_of(trainer, TrainJob(rows=tmp_path, workdir=tmp_path, out=tmp_path))


def test_an_error_of_another_process_is_raised_here_as_what_it_was(tmp_path: Path) -> None:
    trainer, job = dr.SFT("base", processes=2), TrainJob(rows=tmp_path, workdir=tmp_path, out=tmp_path)
    (tmp_path / "workers.log").write_text("RuntimeError: the last words of a process")
    with pytest.raises(TrainingError, match=r"ended with code 1 and no result\. Their last output:\nRuntimeError: the last words"):
        result_of(trainer, job, 1)
    (tmp_path / "result.json").write_text(json.dumps({"error": "SettingError", "message": "no such folder", "notes": ["a note"]}))
    with pytest.raises(SettingError, match="no such folder"):
        result_of(trainer, job, 0)
    assert job.notes == ["a note"]
    (tmp_path / "result.json").write_text(json.dumps({"summary": {"steps": 4}, "notes": []}))
    assert result_of(trainer, job, 0) == {"steps": 4}


@dataclass(frozen=True)
class Counting:
    """Settings of a training that are not a LocalTrainer's."""

    base: Any
    rows: int = 3
    device: Any = None

    label = "Counting"
    processes = 2
    base_name = None

    def fit(self, job: TrainJob) -> dict[str, Any]:
        return {"steps": self.rows}


def test_any_settings_with_a_fit_can_be_shared_out(tmp_path: Path) -> None:
    job = TrainJob(rows=tmp_path, workdir=tmp_path, out=tmp_path)
    there, its_job = from_spec(json.loads(json.dumps(spec_of(Counting("base", rows=5, device=("cpu", "cpu")), job))))
    assert there == Counting(None, rows=5, device=("cpu", "cpu"))
    assert there.fit(its_job) == {"steps": 5}


def test_a_worker_is_ended_where_another_rank_has_lost_its_own(tmp_path: Path) -> None:
    job = TrainJob(rows=tmp_path, workdir=tmp_path, out=tmp_path)
    waits_for_its_input = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(waits_for_its_input, stdin=subprocess.PIPE) as worker:
        assert distributed._follow(worker, job, lambda: {"code": -9}) == {"code": -9}
    assert worker.returncode == 0
