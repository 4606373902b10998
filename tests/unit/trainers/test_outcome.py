"""What a training came to: divergence, no steps, weights that did not move."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dreamframe as dr
from dreamframe.errors import TrainingError
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.outcome import Outcome


@pytest.fixture
def made(tmp_path: Path) -> tuple[Outcome, Any, TrainJob]:
    import torch

    job = TrainJob(rows=tmp_path / "rows.arrow", workdir=tmp_path, out=tmp_path / "out")
    job.checkpoints.mkdir()
    model = torch.nn.Linear(2, 1)
    return Outcome(dr.SFT("me/base", learning_rate=1.0), job, model), model, job


def test_a_loss_that_is_not_finite_ends_the_training_and_its_checkpoints(made: tuple[Outcome, Any, TrainJob]) -> None:
    outcome, _, job = made
    outcome.see(1, {"loss": 2.0, "grad_norm": float("nan")})
    with pytest.raises(TrainingError, match=r"SFT: the training diverged: its loss was nan at step 2\. Nothing was kept\. Give a learning_rate smaller than 1"):
        outcome.see(2, {"loss": float("nan")})
    assert not job.checkpoints.exists()
    with pytest.raises(TrainingError, match="look at the rows and at the weights of the base"):
        outcome.see(1, {"loss": float("inf")}, moved_before=False)


def test_weights_that_are_not_finite_are_refused_and_explain_an_error(made: tuple[Outcome, Any, TrainJob]) -> None:
    outcome, model, _ = made
    with pytest.raises(ValueError, match="of the library"), outcome.watched():
        raise ValueError("of the library")
    model.bias.data.fill_(float("inf"))
    with pytest.raises(TrainingError, match="1 of its tensors hold NaN or infinity, such as bias"):
        outcome.check(steps=3, log=[{"loss": 1.0}], n_rows=6)
    with pytest.raises(TrainingError, match=r"hold NaN or infinity \(ValueError: of the library\)"), outcome.watched():
        raise ValueError("of the library")


def test_no_steps_are_refused(made: tuple[Outcome, Any, TrainJob]) -> None:
    with pytest.raises(TrainingError, match="made no step: its 3 rows do not fill a batch of batch_size=8"):
        made[0].check(steps=0, log=[], n_rows=3)


def test_what_taught_nothing_is_noted(made: tuple[Outcome, Any, TrainJob]) -> None:
    outcome, model, job = made
    outcome.check(steps=2, log=[{"loss": 1.0, "grad_norm": 2.0}] * 2, n_rows=6)
    outcome.check(steps=2, log=[{"loss": 0.6931, "grad_norm": 0.0}] * 2, n_rows=6)
    model.bias.data += 1
    outcome.check(steps=2, log=[{"loss": 1.0, "grad_norm": 2.0}] * 2, n_rows=6)
    assert job.notes == [
        "SFT: no weight moved in 2 steps; the learning rate may be too small to change any.",
        "SFT: the rows taught nothing: the gradient was 0 at each of the 2 steps (the loss was 0.6931).",
    ]
