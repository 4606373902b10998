"""Shards in processes of their own, on one folder and on four: one is killed, one comes late, and what is asked is asked once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.steps.part import part_of
from tests.loopback.server import Loopback

ROOT = Path(__file__).resolve().parents[2]
N, WIDE = 4, 4  # shards; calls that each has in flight
TEXTS = [f"text {i % 90}" for i in range(120)]


def dreamframe(*words: object) -> list[str]:
    return [sys.executable, "-m", "dreamframe", *map(str, words)]


def started(*words: object) -> subprocess.Popen[str]:
    env = {**os.environ, "OPENAI_API_KEY": "k"}
    return subprocess.Popen(dreamframe(*words), cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(running: Sequence[subprocess.Popen[str]]) -> list[str]:
    said = [one.communicate(timeout=100) for one in running]
    assert [one.returncode for one in running] == [0] * len(running), said
    return [out for out, _ in said]


@pytest.mark.parametrize("n_folders", [1, N], ids=["one folder", "a folder each"])
def test_four_processes_ask_once_also_when_one_is_killed_and_one_is_late(n_folders: int, tmp_path: Path):
    with Loopback(latency_s=0.15) as server:
        llm = dr.OpenAI("m", base_url=server.url, temperature=0.0, concurrency=WIDE)
        df = dr.frame({"i": range(len(TEXTS)), "t": TEXTS}).prompt(llm, "Say {t}", into="a").prompt(llm, "Sum up {a}", into="b").sort("b", "i")
        (tmp_path / "plan.json").write_text(df.to_json())
        plan = (tmp_path / "plan.json", "--allow", server.url, "--yes", "-q")
        folders = [tmp_path / str(i % n_folders) for i in range(N)]

        def shard(i: int) -> subprocess.Popen[str]:
            return started("run", *plan, "--shard", f"{i}/{N}", "-s", folders[i])

        first = [shard(i) for i in range(N - 1)]
        deadline = time.monotonic() + 60
        while server.n_calls < 60 and first[1].poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        first[1].send_signal(signal.SIGKILL)
        first[1].communicate()
        late, again = shard(N - 1), shard(1)
        ended([first[0], first[2], late, again])
        whole = folders[0]
        if n_folders > 1:
            whole = tmp_path / "all"
            (told,) = ended([started("merge", whole, *folders, "--json")])
            assert json.loads(told)["answers"] == 180
        n = server.n_calls
        ended([started("run", *plan, "-s", whole, "-o", tmp_path / "rows.parquet")])
        assert server.n_calls == n, "the run of the whole plan asks nothing"
        asked = Counter(call.prompt for call in server.calls)
    assert len(asked) == 180
    n_twice = sum(asked.values()) - len(asked)
    twice = {prompt.removeprefix("Sum up ").removeprefix("Say ") for prompt, times in asked.items() if times > 1}
    assert {part_of(f"{len(text)}:{text}", N) for text in twice} <= {1}, "all of it was the killed one's"
    assert n_twice <= 2 * WIDE, "what the killed one had in flight, or had been answered a moment before"
    expected = pl.DataFrame({"i": range(len(TEXTS)), "t": TEXTS}).with_columns(a=pl.format("Say {}", "t"))
    expected = expected.with_columns(b=pl.format("Sum up {}", "a")).sort("b", "i", maintain_order=True)
    assert pl.read_parquet(tmp_path / "rows.parquet").equals(expected)
