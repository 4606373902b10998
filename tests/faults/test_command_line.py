"""`cat rows.csv | dreamframe prompt - … > out.csv`, stopped by Ctrl-C and run again, as a shell does it: only the rest is asked. And a reader that goes."""

from __future__ import annotations

import select
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import polars as pl

import dreamframe as dr
from dreamframe.view.guard import NOBODY_READS, STOPPED
from tests.loopback.server import Loopback

ROOT = Path(__file__).resolve().parents[2]
ROWS, QUICK = 60, 25  # rows; those whose answer comes before Ctrl-C does


def start(server: Loopback, folder: Path) -> subprocess.Popen[str]:
    words = ["prompt", "-", "Say {i}", "--llm", "openai/m", "--base-url", server.url, "--into", "said", "--yes", "-s", str(folder / "s")]
    with (folder / "rows.csv").open() as rows, (folder / "out.csv").open("w") as out:
        return subprocess.Popen([sys.executable, "-m", "dreamframe", *words], cwd=ROOT, stdin=rows, stdout=out, stderr=subprocess.PIPE, text=True)


def answered(server: Loopback) -> list[str]:
    return [call.prompt for call in list(server.calls) if call.status == 200]


def test_after_ctrl_c_only_the_rest_is_asked(tmp_path: Path):
    pl.DataFrame({"i": range(ROWS)}).write_csv(tmp_path / "rows.csv")
    with Loopback(latency_s=lambda call: 0.05 if call.ordinal < QUICK or server.n_calls > ROWS else 30.0) as server:
        running = start(server, tmp_path)
        deadline = time.monotonic() + 60
        while (len(answered(server)) < QUICK or server.n_calls < ROWS) and running.poll() is None and time.monotonic() < deadline:
            select.select([], [], [], 0.01)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
        assert said == f"Stopped. {QUICK} answers were paid for and kept in '{tmp_path / 's'}': the same command asks for the rest.\n"
        assert (running.returncode, (tmp_path / "out.csv").read_text()) == (STOPPED, "")
        n = server.n_calls
        again = start(server, tmp_path)
        _, said = again.communicate(timeout=60)
        assert (again.returncode, said) == (0, f"{ROWS} rows · {ROWS - QUICK} asked, {QUICK} kept · price unknown · session {tmp_path / 's'}\n")
        assert server.n_calls - n == ROWS - QUICK
        assert Counter(answered(server)) == Counter(f"Say {i}" for i in range(ROWS))
    made = pl.read_csv(tmp_path / "out.csv")
    assert made.equals(pl.DataFrame({"i": range(ROWS)}).with_columns(said=pl.format("Say {}", "i")))


def test_a_reader_that_goes_away_ends_the_command_without_a_word(tmp_path: Path):
    pl.DataFrame({"i": range(20_000)}).write_csv(tmp_path / "rows.csv")
    with dr.Session(tmp_path / "s"):
        dr.scan_csv(tmp_path / "rows.csv").prompt(dr.testing.Echo(), "Say {i}").collect()
    words = [sys.executable, "-m", "dreamframe", "show", "-s", str(tmp_path / "s")]
    running = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout is not None
    running.stdout.readline()
    running.stdout.close()
    assert running.stderr is not None
    assert (running.stderr.read(), running.wait(60)) == ("", NOBODY_READS)
