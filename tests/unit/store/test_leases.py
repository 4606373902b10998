"""Claims and leases: one owner at a time, taken over when the owner ends or stops."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dreamframe.store import leases
from dreamframe.store.answers import Answers
from dreamframe.store.files import Files
from dreamframe.store.layout import open_folder
from dreamframe.store.leases import Claims
from dreamframe.store.models import Models
from tests.storing import give, key_of, open_answers, step_key, texts

KEYS = [key_of(n) for n in range(5)]


def claims(folder: Path) -> Claims:
    return Claims(Files(folder), folder / "locks")


def test_a_row_is_claimed_by_one(tmp_path: Path) -> None:
    one, two = claims(tmp_path), claims(tmp_path)
    assert one.take(KEYS[:3]) == [True] * 3
    assert one.take(KEYS[:3]) == [True] * 3  # its own
    assert two.take(KEYS) == [False, False, False, True, True]
    one.release(KEYS[:2])
    assert two.take(KEYS) == [True, True, False, True, True]
    one.close()
    assert two.take(KEYS) == [True] * 5


def test_releasing_what_is_not_ours_changes_nothing(tmp_path: Path) -> None:
    one, two = claims(tmp_path), claims(tmp_path)
    one.take(KEYS)
    two.release(KEYS)
    assert two.take(KEYS) == [False] * 5


def test_a_claim_ends_when_the_answer_can_be_read_by_others(tmp_path: Path) -> None:
    one, two = open_answers(tmp_path), open_answers(tmp_path)
    assert one.claim(KEYS[:2]) == [True, True]
    assert two.claim(KEYS[:2]) == [False, False]
    give(one, [0])
    one.flush()
    assert two.claim(KEYS[:2]) == [True, False]
    two.refresh()
    assert texts(two, [0]) == ["answer 0"]
    one.release(KEYS[:2])
    assert two.claim(KEYS[:2]) == [True, True]
    one.close()
    two.close()


def test_a_claim_outlasts_a_release_until_its_answer_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = open_answers(tmp_path), open_answers(tmp_path)
    monkeypatch.setattr(one, "_drain", lambda: None)  # the disk takes its time
    one.claim(KEYS)
    give(one, [0])
    one.release(KEYS)
    assert two.claim(KEYS) == [False, True, True, True, True]
    monkeypatch.undo()
    one.close()
    assert two.claim(KEYS) == [True] * 5
    two.close()


@pytest.mark.parametrize("memory", [True, False], ids=["in memory", "no locks on this disk"])
def test_where_nobody_can_be_excluded_everything_is_ours(tmp_path: Path, memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "row_locks", lambda self, path: None)
    answers = answers_in_memory(tmp_path) if memory else open_answers(tmp_path)
    assert answers.claim(KEYS) == [True] * 5
    answers.release(KEYS)
    answers.close()


def answers_in_memory(tmp_path: Path) -> Answers:
    return Answers(Files(tmp_path), None)


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
