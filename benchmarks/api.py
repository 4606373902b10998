"""Models behind APIs: CPU per row and memory of long runs, and how a server's limit is used. Servers run in processes of their own.

`python -m benchmarks.api` prints JSON: each figure with what it must be. `--only` chooses some. What a call costs is in `overhead`, waiting in `pipeline`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable

from benchmarks.figures import Figure, report
from benchmarks.servers import measure, server


def scale(rounds: int) -> list[Figure]:
    """CPU per row and memory of 100k rows. Each round runs 10k rows five times before and five times after the 100k, so that both meet the machine's moods."""
    ratios, costs, rss = [], [], 0.0
    with server("--answer", "fox") as running:

        def run(n: int, times: int = 5) -> dict[str, float]:
            each = [measure("ask_rows", "dreamframe", running.url, n, 256) for _ in range(times)]
            return {"cpu_s": statistics.fmean(e["cpu_s"] for e in each), "rss_mb": max(e["rss_mb"] for e in each)}

        for _ in range(rounds):
            small, before, large, after = run(1_000), run(10_000), run(100_000, 1), run(10_000)
            middle_s, rss = (before["cpu_s"] + after["cpu_s"]) / 2, max(rss, large["rss_mb"])
            to_10k, to_100k = (middle_s - small["cpu_s"]) / 9_000, (large["cpu_s"] - middle_s) / 90_000
            ratios.append(to_100k / to_10k)
            costs.append([1000 * to_10k, 1000 * to_100k])
        bare = measure("ask_rows", "bare", running.url, 100_000, 256)["rss_mb"]
    short, long = (statistics.median(each) for each in zip(*costs, strict=True))
    return [
        Figure("CPU a row, 100,000 rows", long, "ms", short, "10,000 rows", most=1.1, median_ratio=statistics.median(ratios)),
        Figure("peak memory, 100,000 rows", rss, "MB", bare, "bare aiohttp", most=1.5),
    ]


def rate(rounds: int, burst: int = 10) -> list[Figure]:  # noqa: ARG001  one run says it
    """A server with 600 calls a minute that refuses bursts, and nothing configured."""
    n = 500
    with server("--rpm", "600", "--burst", str(burst), "--latency", "0.05", "--answer", "fox") as running:
        measure("ask_rows", "dreamframe", running.url, n, 256)  # which asserts that no row is lost
    seconds = {int(s): statuses for s, statuses in running.counters["seconds"].items()}
    later = [statuses for s, statuses in seconds.items() if 10 <= s < max(seconds) - 1]
    taken, refused = sum(s.get("200", 0) for s in later), sum(s.get("429", 0) for s in later)
    return [
        Figure("of 600 calls a minute, used", taken / (10 * len(later)), "of all", least=0.9),
        Figure("of 600 calls a minute, refused", refused / (taken + refused), "of all", most=0.03),
    ]


BENCHMARKS: dict[str, Callable[[int], list[Figure]]] = {"scale": scale, "rate": rate}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="+", choices=sorted(BENCHMARKS), default=list(BENCHMARKS))
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    sys.exit(not report("api", [figure for name in given.only for figure in BENCHMARKS[name](given.rounds)]))


if __name__ == "__main__":
    main()
