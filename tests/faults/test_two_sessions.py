"""Two sessions on one folder: both right, each row paid once while locks work, at most twice without, and nobody waits for ever."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.base import steering
from dreamframe.run import training
from dreamframe.store.models import Models
from dreamframe.trainers.base import Trainer
from dreamframe.trainers.job import TrainJob
from dreamframe.trainers.roles import Roles
from tests.faults.sharer import ROWS, Named, plan

ROOT = Path(__file__).parents[2]
CALLS = 2 * ROWS


class Sharer:
    """Another session, in a process of its own."""

    def __init__(self, folder: Path, name: str, *options: str, latency_s: float = 0.01, concurrency: int = 16) -> None:
        command = [sys.executable, "-m", "tests.faults.sharer", str(folder), name, str(latency_s), str(concurrency), *options]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.expect("ready")

    def start(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def expect(self, line: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline().strip() == line

    def result(self) -> dict[str, Any]:
        out, err = self.process.communicate(timeout=120)
        assert self.process.returncode == 0, err[-3000:]
        told: dict[str, Any] = json.loads(out.splitlines()[-1])
        return told


@pytest.fixture
def sharers() -> Iterator[list[Sharer]]:
    """Those that were started are ended."""
    started: list[Sharer] = []
    yield started
    for sharer in started:
        sharer.process.kill()
        sharer.process.communicate()


def together(folder: Path, sharers: list[Sharer], *options: str) -> list[dict[str, Any]]:
    sharers += [Sharer(folder, name, *options) for name in ("one", "two")]
    for sharer in sharers:
        sharer.start()
    return [sharer.result() for sharer in sharers]


def test_each_row_is_paid_once_and_both_have_the_same_rows(tmp_path: Path, sharers: list[Sharer]) -> None:
    one, two = together(tmp_path, sharers)
    assert one["calls"] + two["calls"] == CALLS
    assert one["rows"] == two["rows"]
    assert [row[0] for row in one["rows"]] == list(range(ROWS))
    whose = {text.split()[0] for row in one["rows"] for text in row[1:]}
    assert whose == {name for name, told in (("one", one), ("two", two)) if told["calls"]}


def test_without_locks_each_row_is_paid_at_most_twice_and_both_have_the_same_rows(tmp_path: Path, sharers: list[Sharer]) -> None:
    one, two = together(tmp_path, sharers, "no-locks")
    assert CALLS < one["calls"] + two["calls"] <= 2 * CALLS
    assert max(one["calls"], two["calls"]) <= CALLS
    assert one["rows"] == two["rows"]


def test_the_rows_of_a_killed_session_are_taken_over(tmp_path: Path, sharers: list[Sharer]) -> None:
    sharers.append(Sharer(tmp_path, "one", latency_s=1000.0))
    sharers[0].start()
    sharers[0].expect("asking")
    sharers.append(Sharer(tmp_path, "two"))
    sharers[1].start()
    sharers[0].process.kill()
    told = sharers[1].result()
    assert told["calls"] == CALLS
    assert {text.split()[0] for row in told["rows"] for text in row[1:]} == {"two"}


def test_nobody_waits_for_ever_for_a_stopped_session(tmp_path: Path, sharers: list[Sharer]) -> None:
    sharers.append(Sharer(tmp_path, "one", latency_s=1000.0))
    sharers[0].start()
    sharers[0].expect("asking")
    sharers[0].process.send_signal(signal.SIGSTOP)
    sharers.append(Sharer(tmp_path, "two", "patience=0.5"))
    sharers[1].start()
    assert sharers[1].result()["calls"] == CALLS


def test_two_sessions_of_one_process_share_as_well(tmp_path: Path) -> None:
    llms = [Named(name=name, latency_s=0.01, concurrency=16) for name in ("one", "two")]
    found: dict[str, pl.DataFrame] = {}

    def work(llm: Named) -> None:
        with dr.Session(tmp_path, progress=False):
            found[llm.name] = plan(llm).collect()

    threads = [threading.Thread(target=work, args=(llm,)) for llm in llms]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["one"].equals(found["two"])
    assert sum(llm.calls for llm in llms) == CALLS


@dataclass(frozen=True)
class Patient(Trainer):
    """Trains until another session waits for the same model."""

    base: Any = "none"
    refused: Any = steering()  # set when another session is told to wait
    ways: ClassVar[tuple[Roles, ...]] = (Roles({"text": "text"}),)

    def run(self, job: TrainJob) -> dict[str, Any]:
        assert self.refused.wait(60)
        (job.out / "weights.json").write_text(job.rows.name)
        return {}


def test_two_sessions_train_a_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refused, lease = threading.Event(), Models.lease

    def noticed(self: Models, key: str) -> bool:
        is_ours = lease(self, key)
        if not is_ours:
            refused.set()
        return is_ours

    monkeypatch.setattr(Models, "lease", noticed)
    monkeypatch.setattr(training, "POLL_S", 0.01)
    folders: list[str] = []
    trained: list[int] = []

    def work() -> None:
        model = dr.frame({"text": ["a", "b"]}).train(Patient(refused=refused))
        with dr.Session(tmp_path, progress=False) as session:
            folders.append(session.fit(model.step).path)
            trained.append(session.usage()["trained"])

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(trained) == [0, 1]
    assert len(set(folders)) == 1
    assert (Path(folders[0]) / "weights.json").exists()
    assert [p.name for p in (tmp_path / "models").iterdir()] == [Path(folders[0]).name]
