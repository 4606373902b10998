"""Models behind APIs, at the floor's cost: CPU, wall time, connections, memory and rate limits, beside a bare aiohttp program in the same minutes.

`python -m benchmarks.api` prints JSON: each figure with what it must be. `--only` chooses some. Servers run in processes of their own.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.overhead import per_row
from benchmarks.servers import measure, server

Figure = dict[str, Any]


def held(value: float, *, most: float | None = None, least: float | None = None, **more: Any) -> Figure:
    bounds = {k: v for k, v in (("most", most), ("least", least)) if v is not None}
    holds = (most is None or value <= most) and (least is None or value >= least)
    return {"value": round(value, 4), **bounds, "holds": holds, **more}


def cpu(repeat: int) -> Figure:
    """CPU per row over the bare program's, cache and Parquet included: the slope between 1k and 10k rows."""
    with server("--answer", "fox") as running:
        found = per_row(running.url, (1_000, 10_000), 256, repeat)
    return {"ratio": held(found.pop("ratio"), most=0.6, **found)}


def latency(repeat: int) -> Figure:
    """2,000 prompts at 200 ms with 256 in flight: the ideal is 8 waves, 1.6 s."""
    walls, counters = [], {}
    for _ in range(repeat):
        with server("--latency", "0.2", "--answer", "fox") as running:
            walls.append(measure("ask_rows", "dreamframe", running.url, 2_000, 256)["wall_s"])
        counters = running.counters
    return {
        "wall_over_ideal": held(min(walls) / 1.6, most=1.25, wall_s=walls),
        "in_flight": held(counters["most_in_flight"], least=250, most=256),
        "connections": held(counters["connections"], most=256),
    }


def scale(repeat: int) -> Figure:
    """CPU per row and memory of 100k rows. Each round runs 10k rows five times before and five times after the 100k, so that both meet the machine's moods."""
    ratios, costs, rss = [], [], 0.0
    with server("--answer", "fox") as running:

        def run(n: int, times: int = 5) -> dict[str, float]:
            each = [measure("ask_rows", "dreamframe", running.url, n, 256) for _ in range(times)]
            return {"cpu_s": statistics.fmean(e["cpu_s"] for e in each), "rss_mb": max(e["rss_mb"] for e in each)}

        for _ in range(repeat):
            small, before, large, after = run(1_000), run(10_000), run(100_000, 1), run(10_000)
            middle_s, rss = (before["cpu_s"] + after["cpu_s"]) / 2, max(rss, large["rss_mb"])
            to_10k, to_100k = (middle_s - small["cpu_s"]) / 9_000, (large["cpu_s"] - middle_s) / 90_000
            ratios.append(to_100k / to_10k)
            costs.append([round(1000 * c, 4) for c in (to_10k, to_100k)])
        bare = measure("ask_rows", "bare", running.url, 100_000, 256)["rss_mb"]
    return {
        "cpu_per_row_100k_over_10k": held(statistics.median(ratios), most=1.1, ratios=sorted(ratios), ms_per_row=costs),
        "rss_over_bare": held(rss / bare, most=1.5, mb=[rss, bare]),
    }


def rate(repeat: int, burst: int = 10) -> Figure:  # noqa: ARG001  one run says it
    """A server with 600 calls a minute that refuses bursts, and nothing configured."""
    n = 500
    with server("--rpm", "600", "--burst", str(burst), "--latency", "0.05", "--answer", "fox") as running:
        measure("ask_rows", "dreamframe", running.url, n, 256)  # which asserts that no row is lost
    seconds = {int(s): statuses for s, statuses in running.counters["seconds"].items()}
    later = [statuses for s, statuses in seconds.items() if 10 <= s < max(seconds) - 1]
    taken, refused = sum(s.get("200", 0) for s in later), sum(s.get("429", 0) for s in later)
    return {"used": held(taken / (10 * len(later)), least=0.9, seconds=len(later)), "refused": held(refused / (taken + refused), most=0.03)}


BENCHMARKS: dict[str, Callable[[int], Figure]] = {"cpu": cpu, "latency": latency, "scale": scale, "rate": rate}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="+", choices=sorted(BENCHMARKS), default=list(BENCHMARKS))
    options.add_argument("--repeat", type=int, default=3)
    given = options.parse_args()
    print(json.dumps({name: BENCHMARKS[name](given.repeat) for name in given.only}, indent=1))


if __name__ == "__main__":
    main()
