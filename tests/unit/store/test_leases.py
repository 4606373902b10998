"""Leases: one owner at a time, taken over when the owner ends or stops."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dreamframe.store import leases
from dreamframe.store.files import Files
from dreamframe.store.layout import open_folder
from dreamframe.store.models import Models
from tests.storing import step_key


def models_in(folder: Path) -> Models:
    files = Files(folder)
    return Models(files, open_folder(files))


def test_a_model_is_trained_by_one(tmp_path: Path) -> None:
    one, two = models_in(tmp_path), models_in(tmp_path)
    assert one.lease(step_key(1))
    assert not one.lease(step_key(1))  # another run of this session
    assert not two.lease(step_key(1))
    assert two.lease(step_key(2))
    one.release(step_key(1))
    one.release(step_key(1))
    assert two.lease(step_key(1))
    for models in (one, two):
        for n in (1, 2):
            models.release(step_key(n))


def test_nobody_waits_for_a_training_whose_owner_is_stopped(tmp_path: Path) -> None:
    """It is trained beside the owner, in another folder."""
    one, two = models_in(tmp_path), models_in(tmp_path)
    assert one.lease(step_key(1))
    workdir = one.workdir(step_key(1), "SFT")
    then = time.time() - leases.STALE_S - 1
    os.utime(tmp_path / "locks" / f"model-{step_key(1)}", (then, then))
    assert two.lease(step_key(1))
    assert two.workdir(step_key(1), "SFT") != workdir
    two.release(step_key(1))
    one.release(step_key(1))


def test_the_owner_of_a_lease_shows_that_it_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touched: list[Path] = []
    monkeypatch.setattr(leases, "BEAT_S", 0.001)
    files = Files(tmp_path)
    monkeypatch.setattr(files, "touch", touched.append)
    held = leases.lease(files, tmp_path / "locks" / "x")
    assert held is not None
    while len(touched) < 3:
        held._ended.wait(0.001)
    held.release()
    assert set(touched) == {tmp_path / "locks" / "x"}


def test_a_training_that_failed_goes_on_in_its_folder(tmp_path: Path) -> None:
    models = models_in(tmp_path)
    assert models.lease(step_key(1))
    workdir = models.workdir(step_key(1), "SFT")
    assert models.workdir(step_key(1), "SFT") == workdir
    models.release(step_key(1))
    assert models_in(tmp_path).workdir(step_key(1), "SFT") == workdir  # a later session of this process
