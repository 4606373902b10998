"""Submissions are part of the folder: verify() reads them, gc() never removes what is not collected."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from dreamframe.store.batches import SENT, Submissions
from dreamframe.store.care import OLD_S, Kept
from tests.storing import opened


def submit(folder: Path) -> str:
    with opened(folder) as stores:
        assert stores.layout is not None
        found = Submissions(stores.files, stores.layout)
        made = found.intend(place="openai", path="/v1/chat", mark="m" * 20, keys=["00" * 16])
        found.sent(made, "batch_1")
    return made.name


def age(path: Path) -> None:
    then = time.time() - OLD_S - 60
    os.utime(path, (then, then))


def test_a_whole_submission_has_no_problem(tmp_path: Path) -> None:
    submit(tmp_path)
    with opened(tmp_path) as stores:
        assert stores.verify() == []


@pytest.mark.parametrize("suffix", [".json", SENT])
def test_a_damaged_submission_is_said_and_left(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / "batches" / f"{submit(tmp_path)}{suffix}"
    path.write_text(path.read_text().replace("openai", "opfnai").replace("batch_1", "batch_2"))
    with opened(tmp_path) as stores:
        assert f"batches/{path.name}" in [p.path for p in stores.verify()]
    assert path.exists()


def test_a_submission_that_is_not_collected_is_never_removed(tmp_path: Path) -> None:
    name = submit(tmp_path)
    for path in (tmp_path / "batches").iterdir():
        age(path)
    with opened(tmp_path) as stores:
        assert stores.gc(kept=Kept(steps=[], models=[], files=[])) == []
    assert {p.name for p in (tmp_path / "batches").iterdir()} == {f"{name}.json", f"{name}{SENT}"}


def test_what_a_kill_left_of_a_collected_batch_goes(tmp_path: Path) -> None:
    name = submit(tmp_path)
    (tmp_path / "batches" / f"{name}.json").unlink()
    left = tmp_path / "batches" / f"{name}{SENT}"
    with opened(tmp_path) as stores:
        assert stores.gc() == [], "somebody may be at it"
        age(left)
        assert [(r.path, r.why) for r in stores.gc()] == [(f"batches/{name}{SENT}", "left by an interrupted session")]
    assert not left.exists()


def test_a_temporary_file_among_submissions_goes(tmp_path: Path) -> None:
    submit(tmp_path)
    left = tmp_path / "batches" / ".x.json.1-2.tmp"
    left.touch()
    age(left)
    with opened(tmp_path) as stores:
        assert [r.path for r in stores.gc()] == ["batches/.x.json.1-2.tmp"]
