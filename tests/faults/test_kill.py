"""A run that is killed or interrupted asks again only for what was in flight, and ends with the same rows."""

from __future__ import annotations

import random
import select
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from tests.loopback.server import Loopback

ROOT = Path(__file__).resolve().parents[2]
ROWS = 600
CONCURRENCY = 256


@pytest.fixture
def server() -> Iterator[Loopback]:
    draw = random.Random(0)
    with Loopback(latency_s=lambda _: draw.uniform(0.8, 2.4)) as running:
        yield running


def start(server: Loopback, folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.killed", server.url, str(folder), str(ROWS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def answered(server: Loopback) -> list[str]:
    return [c.prompt for c in list(server.calls) if c.status == 200]


def wait_for(server: Loopback, running: subprocess.Popen[bytes], n: int) -> bool:
    """Until the server has answered n requests in all; False if the program ended before."""
    deadline = time.monotonic() + 60
    while len(answered(server)) < n and time.monotonic() < deadline:
        if running.poll() is not None:
            return False
        select.select([], [], [], 0.002)
    return True


def expected() -> pl.DataFrame:
    said = [f"Say {i}" for i in range(ROWS)]
    return pl.DataFrame({"i": range(ROWS), "said": said, "again": [f"Again: {s}" for s in said]})


@pytest.mark.slow
def test_after_kill_9_only_what_was_in_flight_is_asked_again(server: Loopback, tmp_path: Path):
    draw = random.Random(1)
    asked_again: list[int] = []
    done = progress = 0
    known: set[str] = set()
    while True:
        running = start(server, tmp_path)
        alive = wait_for(server, running, done + draw.randint(120, 280))
        if alive:
            running.kill()
        _, said = running.communicate(timeout=60)
        prompts = Counter(answered(server))
        asked_again.append(sum(prompts.values()) - len(prompts) - sum(asked_again))
        progress += len(prompts) > len(known)
        known, done = set(prompts), sum(prompts.values())
        if not alive:
            assert running.returncode == 0, said.decode()
            break
    assert len(asked_again) >= 5
    assert progress >= len(asked_again) - 2  # a loop that kills before anything happens proves nothing
    assert statistics.median(asked_again) <= 16, asked_again
    assert max(asked_again) <= CONCURRENCY, asked_again
    assert pl.read_parquet(tmp_path / "out.parquet").equals(expected())


@pytest.mark.slow
def test_ctrl_c_keeps_what_came_back_and_exits_130(server: Loopback, tmp_path: Path):
    running = start(server, tmp_path)
    assert wait_for(server, running, 300)
    running.send_signal(signal.SIGINT)
    _, said = running.communicate(timeout=30)
    assert running.returncode in (-signal.SIGINT, 130)  # a shell reports both as 130
    assert b"KeyboardInterrupt" in said
    before = set(answered(server))
    again = start(server, tmp_path)
    _, said = again.communicate(timeout=60)
    assert again.returncode == 0, said.decode()
    repeated = [prompt for prompt, n in Counter(answered(server)).items() if n > 1]
    assert len(repeated) <= 48, repeated  # answers that were on the wire when the connections closed
    assert len(before) >= 300
    assert pl.read_parquet(tmp_path / "out.parquet").equals(expected())
