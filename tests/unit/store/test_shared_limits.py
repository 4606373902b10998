"""Limits a minute that several processes keep together: in virtual time, with files on the disk."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from dreamframe.models.base import Limits
from dreamframe.models.request import Failure, Question, Request
from dreamframe.run.calls.caller import Asker
from dreamframe.store.files import Files
from dreamframe.store.layout import SessionWarning
from dreamframe.store.locks import FileLock, NoLock
from dreamframe.store.shared_limits import STATE, SharedLimits, SharedRate
from dreamframe.testing import Echo
from tests.loopback.asking import Recorder
from tests.loopback.virtual import Metered, run_virtual

QUESTION = Question(llm=Echo())


class Process(Recorder):
    """A run of its own part in the folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.limits: SharedLimits | None = SharedLimits(Files(folder), folder / "limits")  # type: ignore[assignment]


def rate(folder: Path, **limits: float | None) -> SharedRate:
    return SharedLimits(Files(folder), folder / "limits").rate("a", **{"rpm": None, "tpm": None, **limits})


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the disk, which is the loop's where there is one, beside the time that is put here."""
    clock = [1000.0]

    def touch(_: FileLock) -> float:
        try:
            return clock[0] + asyncio.get_running_loop().time()
        except RuntimeError:
            return clock[0]

    monkeypatch.setattr(FileLock, "touch", touch)
    return clock


async def asking(server: Metered, folder: Path, who: int, n: int) -> dict[int, Failure]:
    """One of the processes asks so many rows; the failures."""
    requests = [Request(QUESTION, str(k), 0, bytes([who]) + k.to_bytes(15, "big")) for k in range(n)]
    return await Asker(server, asyncio.get_running_loop()).ask(requests, Process(folder), order=0)


def ask_together(server: Metered, folder: Path, rows: list[int]) -> float:
    """Each process asks so many rows, all from one moment on; the seconds it took."""

    async def main() -> float:
        assert await asyncio.gather(*(asking(server, folder, i, n) for i, n in enumerate(rows))) == [{}] * len(rows)
        return asyncio.get_running_loop().time()

    return run_virtual(main)


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize(("rpm", "n"), [(600, 3), (6000, 3), (60, 7)])
def test_processes_use_a_limit_together_and_are_not_refused(rpm: int, n: int, tmp_path: Path) -> None:
    server = Metered(rpm=rpm, burst=max(3, rpm / 300), limits=Limits(rpm=rpm, name="a"))
    took_s = ask_together(server, tmp_path, [rpm // n] * n)
    assert server.used(0, took_s) >= 0.95
    assert server.refusals(0, took_s) < 0.01


@pytest.mark.usefixtures("disk")
def test_a_process_alone_has_all_of_it(tmp_path: Path) -> None:
    server = Metered(rpm=600, burst=1.5, limits=Limits(rpm=600, name="a"))
    assert ask_together(server, tmp_path, [300]) == pytest.approx(30, abs=0.5)
    assert server.refused == []


@pytest.mark.usefixtures("disk")
def test_who_asks_slowly_leaves_the_rest_to_the_others(tmp_path: Path) -> None:
    """Twenty of them ask once a second, and might lease ten calls a time."""
    slow = Metered(rpm=6000, burst=30, latency_s=1.0, concurrency=1, limits=Limits(rpm=6000, name="a"))
    fast = Metered(rpm=1e9, burst=1e9, latency_s=0.0, limits=Limits(rpm=6000, name="a"))

    async def main() -> float:
        loop = asyncio.get_running_loop()
        asked = [asyncio.create_task(asking(slow, tmp_path, i, 30)) for i in range(20)]
        await asyncio.sleep(10)
        began = loop.time()
        await asking(fast, tmp_path, 99, 1000)
        took_s = loop.time() - began
        await asyncio.gather(*asked)
        return took_s

    assert run_virtual(main) < 10 / 0.75, "twenty calls a second of a hundred are those of the slow ones"


@pytest.mark.usefixtures("disk")
def test_tokens_a_minute_are_shared_too(tmp_path: Path) -> None:
    server = Metered(rpm=60_000, burst=1000, limits=Limits(tpm=6_000, name="a"))  # each call takes 20 tokens: five a second
    took_s = ask_together(server, tmp_path, [70, 70, 70])
    assert took_s == pytest.approx(42, rel=0.2)


def test_what_a_dead_process_had_leased_comes_back_with_time(disk: list[float], tmp_path: Path) -> None:
    dead, other = rate(tmp_path, rpm=600), rate(tmp_path, rpm=600)
    for _ in range(3):
        assert dead.wait_s(0.0) < 1
        dead._calls = 0
    assert 0.1 < other.wait_s(0.0) < 0.8, "behind what the others have leased"
    disk[0] += 1
    assert rate(tmp_path, rpm=600).wait_s(1.0) == 0.0


@pytest.mark.parametrize("held", [b"x", STATE.pack(1e18, 1e18), STATE.pack(math.nan, math.inf), bytes(20)])
def test_what_no_process_here_wrote_holds_nobody_up(held: bytes, tmp_path: Path) -> None:
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / "a.rate").write_bytes(held[:16])
    assert rate(tmp_path, rpm=600).wait_s(0.0) == 0.0
    assert (tmp_path / "limits" / "a.rate").stat().st_size == 16


def test_without_locks_the_limit_is_each_process_s_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Files, "lock", lambda *_, **__: NoLock())
    alone = rate(tmp_path, rpm=1)
    assert [alone.wait_s(0.0) for _ in range(3)] == [0.0] * 3


def test_a_disk_that_fails_stops_nobody_and_is_told(tmp_path: Path) -> None:
    (tmp_path / "limits").write_text("no folder")
    alone = rate(tmp_path, rpm=600)
    with pytest.warns(SessionWarning, match="rpm= and tpm= hold for this process alone"):
        assert alone.wait_s(0.0) == 0.0


def test_a_call_leases_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visits = []
    leased = SharedRate._leased
    monkeypatch.setattr(SharedRate, "_leased", lambda *a: visits.append(a) or leased(*a))
    one = rate(tmp_path, rpm=60_000)
    for _ in range(1000):
        one.wait_s(0.0)
        one.left(0.0)
    assert len(visits) < 20
