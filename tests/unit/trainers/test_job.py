"""The rows and the log of one training."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dreamframe.errors import TrainingError
from dreamframe.trainers.job import TrainJob, fit_length, read_rows, write_log


def job_in(folder: Path) -> TrainJob:
    return TrainJob(rows=folder / "rows.arrow", workdir=folder, out=folder / "out")


def test_rows_without_a_value_are_left_out_where_it_is_needed(tmp_path: Path) -> None:
    pl.DataFrame({"prompt": ["a", None, "c"], "hint": [None, "x", None]}).write_ipc(tmp_path / "rows.arrow")
    job = job_in(tmp_path)
    assert read_rows(None, job, who="SFT") is None
    kept = read_rows(job.rows, job, who="SFT", nullable=["hint"])
    assert kept is not None
    assert kept["prompt"].to_list() == ["a", "c"]
    assert job.notes == ["SFT: 1 of 3 rows hold a null and were left out (rows 1)."]


def test_when_every_row_is_too_long_none_is_left(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="none is left"):
        fit_length(pl.DataFrame({"x": ["a", "b"]}), [5, 6], limit=4, policy="drop", who="SFT", job=job_in(tmp_path))


def test_the_log_has_a_column_for_every_number(tmp_path: Path) -> None:
    write_log([{"step": 1, "loss": 2.0, "note": "x"}, {"step": 2, "eval_loss": 1.5, "epoch": 0.5}], tmp_path / "log.arrow")
    read = pl.read_ipc(tmp_path / "log.arrow")
    assert read.columns == ["step", "epoch", "eval_loss", "loss"]
    assert read["step"].to_list() == [1, 2]
    assert read["loss"].to_list() == [2.0, None]
