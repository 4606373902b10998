"""Processes that share limits through a session folder: what a server refuses, what is spent, and what one that is killed had leased."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.loopback.server import Bucket, Loopback

ROOT = Path(__file__).resolve().parents[2]
WIDE = 4  # calls that each has in flight
CALL = 0.0018  # US dollars, of each answered call
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a process up to where it is ready; those that are left are ended."""
    started: list[subprocess.Popen[str]] = []

    def start(server: Loopback, folder: Path, rows: int, *settings: str) -> subprocess.Popen[str]:
        words = [sys.executable, "-m", "tests.faults.limited", server.url, str(folder), f"p{len(started)}", str(rows), *settings]
        started.append(subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for one in started:
        one.kill()
        one.communicate()


def ready(*processes: subprocess.Popen[str]) -> None:
    for one in processes:
        assert one.stdout is not None
        assert one.stdout.readline().strip() == "ready", one.communicate()[1][-3000:]


def go(*processes: subprocess.Popen[str]) -> None:
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()


def told(one: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = one.communicate(timeout=100)
    assert one.returncode == 0, err[-3000:]
    said: dict[str, Any] = json.loads(out.splitlines()[-1])
    return said


def until(server: Loopback, name: str, n: int) -> None:
    """Wait for so many calls of a process."""
    deadline = time.monotonic() + 60
    while sum(prompt.startswith(name) for prompt in server.prompts) < n:
        assert time.monotonic() < deadline, server.n_calls
        time.sleep(0.005)


def test_three_processes_at_a_limit_are_not_refused(start: Start, tmp_path: Path) -> None:
    """How much of the limit they use is a matter of unit tests in virtual time, and of `benchmarks.shared_limits`: here others use the machine."""
    with Loopback(latency_s=0.05, rate=Bucket(1800, 10), keep=False) as server:
        processes = [start(server, tmp_path, 40, "rpm=1800") for _ in range(3)]
        ready(*processes)
        go(*processes)
        took_s = max(told(one)["s"] for one in processes)
    assert server.statuses[200] == 120
    assert server.statuses.get(429, 0) < 0.03 * 120
    assert took_s > (120 - 30) / 30, "each of them alone would ask as fast"


def test_a_budget_is_one_sum_for_all_and_a_killed_process_gives_back_what_it_had_leased(start: Start, tmp_path: Path) -> None:
    with Loopback(lambda _: "x", latency_s=0.03) as server:
        processes = [start(server, tmp_path, 1000, "budget=0.8", f"concurrency={WIDE}") for _ in range(3)]
        ready(*processes)
        go(processes[0])
        until(server, "p0", 20)  # it has leased half of it
        go(*processes[1:])
        until(server, "p1", 5)
        until(server, "p2", 5)
        processes[0].send_signal(signal.SIGKILL)
        processes[0].communicate()
        said = [told(one) for one in processes[1:]]
    assert sum(one["cost"] for one in said) == pytest.approx(CALL * sum(one["calls"] for one in said))
    assert all("of the budget is left; other processes on this folder have spent $0." in one["error"] for one in said)
    spent = CALL * server.statuses[200]
    assert 0.75 < spent < 0.8 + CALL * WIDE, "what the dead one had in flight was paid for, and nobody knows"
