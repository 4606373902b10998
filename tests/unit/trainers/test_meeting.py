"""Ranks that meet: two of them in this process, at a real store."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from dreamframe.errors import TrainingError
from dreamframe.trainers import meeting
from dreamframe.trainers.meeting import Meeting
from dreamframe.trainers.ranks import Ranks
from tests.two_processes import free_port

pytestmark = pytest.mark.models  # the store is torch's


def two() -> tuple[Meeting, Meeting]:
    port = free_port()
    first, second = (Meeting(Ranks(rank, 2, rank, 2, "127.0.0.1", port, "srun")) for rank in range(2))
    return first, second


def test_a_plan_is_waited_for_as_often_as_it_ran() -> None:
    first, second = two()
    first.ran("plan", {"error": "X"})
    first.ran("plan", {"path": "/model"})
    assert [second.wait_for("plan") for _ in range(3)] == [{"error": "X"}, {"path": "/model"}, {"path": "/model"}]


def test_a_rank_waits_until_rank_0_has_run_the_plan_or_has_ended() -> None:
    first, second = two()
    threading.Timer(0.2, lambda: first.ran("plan", {"path": "/model"})).start()
    assert second.wait_for("plan") == {"path": "/model"}
    threading.Timer(0.2, first.leave).start()
    with pytest.raises(TrainingError, match=r"rank 1 of 2 waits for a plan that rank 0 has ended without running.*run_shard"):
        second.wait_for("another plan")
    second.leave()


def test_a_training_is_refused_where_a_rank_does_not_see_its_folder(tmp_path: Path) -> None:
    first, second = two()
    waiting = threading.Thread(target=second.wait_for, args=("plan",))
    waiting.start()
    with pytest.raises(TrainingError, match=r"rank 1 of 2 on .* does not see .*must be on a disk that all ranks share"):
        first.begin_training(tmp_path / "nowhere" / "spec.json")
    first.ran("plan", {})
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_training_does_not_wait_for_a_rank_that_has_ended_or_does_not_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = two()
    monkeypatch.setattr(meeting, "JOIN_S", 0.1)
    with pytest.raises(TrainingError, match="rank 1 of 2 has not come to this training"):
        first.begin_training(tmp_path / "spec.json")
    second.leave()
    with pytest.raises(TrainingError, match="rank 1 of 2 has ended without coming to this training"):
        first.begin_training(tmp_path / "spec.json")


def test_a_worker_that_ends_is_told_to_rank_0(tmp_path: Path) -> None:
    first, second = two()
    (tmp_path / "spec.json").write_text(json.dumps({"trainer": "no.such.module:Trainer", "fields": {}, "job": {}}))
    waiting = threading.Thread(target=second.wait_for, args=("plan",))
    waiting.start()
    environment = first.environment(first.begin_training(tmp_path / "spec.json"))
    assert (environment["RANK"], environment["WORLD_SIZE"], environment["MASTER_ADDR"]) == ("0", "2", "127.0.0.1")
    while (lost := first.lost()) is None:
        waiting.join(0.05)
    first.ran("plan", {})
    waiting.join(10)
    assert lost["code"] == 1
    assert "the worker of rank 1 of 2 on" in lost["error"]
    assert "No module named 'no'" in lost["error"]
