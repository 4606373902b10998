"""Ten million rows over 64 shards whose processes die, in virtual time: how much is asked twice, how long it takes, how large the journals are.

    python -m benchmarks.many_workers --rows 10000000 --workers 64

The rows are parted by the function that shards use, and the journals' bytes are those of the store; calls, deaths and the clock are made up: a call takes one
second on average, a process dies a minute, loses what it has in flight and what it wrote in the last 20 ms, and is back a minute later.
"""

from __future__ import annotations

import argparse
import heapq
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from dreamframe.plan.steps.part import part_of
from dreamframe.store.answers import GROUP_S, Row
from dreamframe.store.journal import frames

CALL_S = 1.0  # of a call, on average; they are spread as those of servers are: half of them take 0.9 s, one of a hundred 3 s
SIGMA = 0.5
DOWN_S = 60.0  # until a process that died is back


@dataclass(frozen=True)
class Simulated:
    """What the processes did."""

    rows: int
    largest: int  # rows of the largest shard
    calls: int
    deaths: int
    seconds: float  # of virtual time, until the last answer

    @property
    def asked_twice(self) -> float:
        """Share of the rows."""
        return (self.calls - self.rows) / self.rows


def simulate(n_rows: int, n_workers: int, *, width: int = 32, deaths_per_minute: float = 1.0, seed: int = 0) -> Simulated:
    """Run all shards; each has `width` calls in flight."""
    sizes = [0] * n_workers
    for i in range(n_rows):
        content = f"row {i}"
        sizes[part_of(f"{len(content)}:{content}", n_workers)] += 1
    chance = random.Random(seed)
    calls = deaths = 0
    ends = []
    for size in sizes:
        n_calls, n_deaths, end = _worker(size, width, deaths_per_minute / n_workers / 60, chance)
        calls, deaths = calls + n_calls, deaths + n_deaths
        ends.append(end)
    return Simulated(n_rows, max(sizes), calls, deaths, max(ends))


def _worker(left: int, width: int, deaths_per_s: float, chance: random.Random) -> tuple[int, int, float]:
    """Calls, deaths and the end of one shard."""
    now, calls, deaths = 0.0, 0, 0
    spread = _latencies(chance)
    while True:
        dies_at = now + chance.expovariate(deaths_per_s) if deaths_per_s else float("inf")
        in_flight = [now + next(spread) for _ in range(min(width, left))]
        heapq.heapify(in_flight)
        calls += len(in_flight)
        kept = 0
        while in_flight and in_flight[0] + GROUP_S <= dies_at:
            now = in_flight[0]
            kept += 1
            if kept + len(in_flight) - 1 < left:
                heapq.heapreplace(in_flight, now + next(spread))
                calls += 1
            else:
                heapq.heappop(in_flight)
        left -= kept
        if not left:
            return calls, deaths, now
        deaths += 1
        calls += sum(1 for end in in_flight if end <= dies_at)  # answered, not written, and their places taken by others
        now = dies_at + DOWN_S


def _latencies(chance: random.Random) -> Iterator[float]:
    """Seconds of calls, over and over the same 65,536."""
    drawn = [CALL_S * chance.lognormvariate(-SIGMA * SIGMA / 2, SIGMA) for _ in range(1 << 16)]
    while True:
        yield from drawn


def journal_bytes(n_rows: int, group: int, *, chars: int = 200) -> int:
    """What so many answers take in a journal, of which `group` are written together."""
    row: Row = (b"k" * 16, "x" * chars, None, "stop", 120, 50, 0, 0, "gpt-4o-mini", None, 1)
    return n_rows * sum(map(len, frames([row] * group))) // group


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.many_workers", description=__doc__)
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--workers", type=int, default=64)
    options.add_argument("--deaths", type=float, default=1.0, help="a minute, of all workers together")
    given = options.parse_args()
    began = time.perf_counter()
    made = simulate(given.rows, given.workers, deaths_per_minute=given.deaths)
    print(f"{made.rows:,} rows over {given.workers} shards, the largest {made.largest:,} ({made.largest * given.workers / made.rows - 1:+.2%})")
    print(f"{made.seconds / 60:,.0f} minutes, {made.deaths} deaths; asked twice: {made.calls - made.rows:,} ({made.asked_twice:.4%})")
    print(f"journals: {journal_bytes(made.rows, 1) / 1e9:.1f} GB as they are written, one by one; {journal_bytes(made.rows, 8192) / 1e9:.1f} GB compacted")
    print(f"simulated in {time.perf_counter() - began:,.0f} s")


if __name__ == "__main__":
    main()
