"""A cascade that is killed, in its sample or after it, goes on where it was: the same rows, and nothing asked twice but what was in flight."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

ROOT = Path(__file__).resolve().parents[2]
ROWS, CONCURRENCY = 240, 8


def start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen([sys.executable, "-m", "tests.faults.killed_cascade", str(folder), str(ROWS)], cwd=ROOT, stderr=subprocess.PIPE)


def asked(folder: Path) -> list[str]:
    calls = folder / "calls"
    return calls.read_text().splitlines() if calls.exists() else []


@pytest.mark.slow
def test_a_cascade_that_is_killed_asks_again_only_what_was_in_flight(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole")
    assert whole.wait(90) == 0, whole.communicate()[1].decode()
    expected, n_asked = pl.read_parquet(tmp_path / "whole" / "out.parquet"), len(asked(tmp_path / "whole"))
    assert n_asked < ROWS
    for at in (10, n_asked - 10):
        folder = tmp_path / f"killed at {at}"
        running = start(folder)
        deadline = time.monotonic() + 60
        while len(asked(folder)) < at and running.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        running.kill()
        running.communicate()
        before = len(asked(folder))
        again = start(folder)
        assert again.wait(90) == 0, again.communicate()[1].decode()
        assert pl.read_parquet(folder / "out.parquet").equals(expected)
        assert before >= at
        assert len(asked(folder)) - len(set(asked(folder))) <= 2 * CONCURRENCY, "in flight, and answered within the last 20 ms"
        assert len(set(asked(folder))) == n_asked
