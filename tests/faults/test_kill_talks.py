"""Conversations with tools that are killed at any moment: no turn is asked again but what was in flight, and no call is made twice but such a one."""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.loopback.calling import results_in, sends
from tests.loopback.server import Behaviour, Call, Loopback

ROOT = Path(__file__).resolve().parents[2]
ROWS, KILLS = int(os.environ.get("TALKS", "12")), int(os.environ.get("KILLS", "3"))
TURNS = 8  # of the assistant, in each row


def answers(call: Call) -> Behaviour:
    """The assistant books what it hears and asks for a price, both at once, and then says so; the user goes on."""
    messages = call.body["messages"]
    if call.body["model"] == "user":
        return sends(call, f"More {len(messages)} of {messages[1]['content'].removeprefix('Row ')}", [])
    if messages[-1]["role"] == "tool":
        return sends(call, f"Done {len(results_in(call.body))}", [])
    said = messages[-1]["content"]
    calls = [("c1", "book", json.dumps({"item": said})), ("c2", "price", json.dumps({"item": "tea"}))]
    return sends(call, None, calls)


def started(server: Loopback, folder: Path, *more: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.talked", server.url, str(folder), str(ROWS), *more]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def asked(server: Loopback) -> Counter[str]:
    return Counter(json.dumps([c.body["model"], c.body["messages"]]) for c in list(server.calls) if c.status == 200)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def ended(running: subprocess.Popen[bytes], server: Loopback, n: int) -> bool:
    """Whether the program ended before the server had answered n more requests."""
    deadline, before = time.monotonic() + 90, len(server.calls)
    while len(server.calls) - before < n and time.monotonic() < deadline:
        if running.poll() is not None:
            return True
        select.select([], [], [], 0.002)
    return False


@pytest.mark.slow
def test_a_killed_conversation_goes_on_where_it_was(tmp_path: Path):
    draw = random.Random(0)
    n_calls = ROWS * (TURNS + TURNS // 2 - 1)  # of both models: the user speaks between two answers
    with Loopback(fault=answers, latency_s=lambda _: draw.uniform(0.0, 0.05)) as server:
        kills = 0
        while True:
            running = started(server, tmp_path)
            over = ended(running, server, draw.randint(n_calls // (KILLS + 1) // 2, n_calls // (KILLS + 1))) if kills < KILLS else False
            if kills < KILLS and not over:
                running.kill()
                kills += 1
                running.communicate()
                continue
            _, said = running.communicate(timeout=120)
            assert running.returncode == 0, said.decode()
            break
        requests = asked(server)
        assert len(requests) == n_calls
        assert sum(requests.values()) - len(requests) <= kills * ROWS, "what was in flight: a turn of each row, at most"
        booked = Counter(lines(tmp_path / "booked"))
        assert len(booked) == ROWS * TURNS // 2
        assert sum(booked.values()) - len(booked) <= kills * ROWS
        assert len(lines(tmp_path / "log")) - ROWS * TURNS // 2 <= kills * ROWS
        first, seen = pl.read_parquet(tmp_path / "out.parquet"), (len(server.calls), lines(tmp_path / "booked"), lines(tmp_path / "log"))
        (tmp_path / "out.parquet").unlink()
        for stored in (tmp_path / "session" / "steps").iterdir():  # not the rows as they were stored: turn by turn
            for file in stored.iterdir():
                file.unlink()
            stored.rmdir()
        again = started(server, tmp_path, "offline")
        _, said = again.communicate(timeout=120)
        assert again.returncode == 0, said.decode()
        assert (len(server.calls), lines(tmp_path / "booked"), lines(tmp_path / "log")) == seen, "the replay calls nobody"
        assert pl.read_parquet(tmp_path / "out.parquet").equals(first)
    assert kills == KILLS
    check_rows(first)


def check_rows(rows: pl.DataFrame) -> None:
    for row in rows.iter_rows(named=True):
        messages: list[dict[str, Any]] = row["messages"]
        assert [m["role"] for m in messages] == ["user", "assistant", "tool", "tool", "assistant"] * (TURNS // 2)
        assert [m["content"] for m in messages if m["name"] == "price"] == ["4.5"] * (TURNS // 2)
