"""Two ranks of one script, both in this process: what each is given, and which of them writes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import RunError, SettingError
from dreamframe.trainers.meeting import met
from tests.two_processes import free_port

pytestmark = pytest.mark.models  # they meet at a store of torch's
ROWS = {"t": ["tea", "jam", "rain"]}
SAID = [f"no {t}" for t in ROWS["t"]]


@pytest.fixture
def session_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[..., dr.Session]]:
    """The session of a rank. Afterwards both leave, as at the end of their scripts."""
    port = free_port()

    def of(rank: int, folder: Path | None) -> dr.Session:
        for name, value in {"RANK": rank, "WORLD_SIZE": 2, "LOCAL_RANK": rank, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}.items():
            monkeypatch.setenv(name, str(value))
        return dr.Session(folder, progress=False)

    yield of
    first, second = (met(session_of_rank._running.together._ranks) for session_of_rank in (of(0, None), of(1, None)))
    second.leave()
    first.leave()
    assert not (tmp_path / "s" / ".ranks").exists()


def plan(llm: Any = None) -> dr.Frame:
    return dr.frame(ROWS).prompt(llm or dr.testing.Echo(), "no {t}", into="said")


def in_thread(work: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def test_the_others_are_given_the_rows_that_rank_0_made(session_of: Any, tmp_path: Path) -> None:
    first, second = session_of(0, tmp_path / "s"), session_of(1, tmp_path / "s")
    with second:
        assert not (tmp_path / "s").exists()  # it is rank 0 that makes it
    leading = in_thread(lambda: [first.collect(plan()), list(first.batches(plan())), asyncio.run(first.collect_async(plan()))])
    assert second.collect(plan())["said"].to_list() == SAID
    assert pl.concat(second.batches(plan()))["said"].to_list() == SAID
    assert asyncio.run(second.collect_async(plan()))["said"].to_list() == SAID
    leading.join(20)
    assert first.usage()["calls"] == 3  # by one of them, once
    assert second.usage()["calls"] == 0


def test_so_they_are_its_failed_rows_and_its_error(session_of: Any, tmp_path: Path) -> None:
    first, second = session_of(0, tmp_path / "s"), session_of(1, tmp_path / "s")
    failing = dr.testing.Failing(when="no jam".__eq__)
    holes = dr.frame(ROWS).prompt(failing, "no {t}", into="said", on_error="null")

    def lead() -> None:
        first.collect(holes)
        with pytest.raises(RunError):
            first.collect(plan(failing))

    leading = in_thread(lead)
    assert second.collect(holes)["said"].to_list() == ["no tea", None, "no rain"]
    with pytest.raises(RunError, match=r"rank 0 of this script: RowsFailedError: (?s:.*)refused by the testing model"):
        second.collect(plan(failing))
    leading.join(20)


def test_they_are_given_the_model(session_of: Any, tmp_path: Path) -> None:
    first, second = session_of(0, tmp_path / "s"), session_of(1, tmp_path / "s")
    labelled = dr.frame({"text": ["good tea", "bad rye"], "mood": ["+", "-"]}).embed(dr.testing.WordEmbedder(), "text", into="vector")
    step = labelled.train(dr.LogisticRegression(), embedding="vector", label="mood").step
    made: list[Any] = []
    leading = in_thread(lambda: made.append(first.fit(step)))
    given = second.fit(step)
    leading.join(20)
    assert made == [given]
    assert Path(made[0].path).is_dir()
    assert second.training_record(step)["trainer"] == "LogisticRegression"


def test_a_folder_that_another_rank_does_not_see_is_named(session_of: Any, tmp_path: Path) -> None:
    first, second = session_of(0, tmp_path / "s"), session_of(1, tmp_path / "s")
    first.collect(plan())
    for file in (tmp_path / "s" / ".ranks").rglob("*.arrow"):
        file.unlink()
    with pytest.raises(SettingError, match=r"Session: rank 0 has left .*\.arrow, and .* does not see it: it must be on a disk that all ranks share"):
        second.collect(plan())


def test_a_shard_is_run_by_each_rank_for_itself(session_of: Any, tmp_path: Path) -> None:
    sessions = [session_of(rank, tmp_path / "s") for rank in range(2)]
    assert sum(session.run_shard(plan(), i, 2).asked for i, session in enumerate(sessions)) == 3
