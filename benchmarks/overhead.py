"""What dreamframe costs beside the calls themselves: CPU per row of a one-prompt run at zero latency, over that of a bare aiohttp program.

`python -m benchmarks.overhead` prints JSON: CPU per row of both (the slope between the small and the large run, so that imports cancel out) and
their ratio. The server runs in another process. Both programs do the same calls and write Parquet; dreamframe also keeps its journal.
"""

from __future__ import annotations

import argparse
import json
import statistics

from benchmarks.servers import measure, server

MOST = 1.5


def pair(url: str, sizes: tuple[int, int], concurrency: int) -> dict[str, float]:
    """CPU milliseconds per row of both programs between the two sizes, measured in turns: a machine whose speed drifts drifts for both."""
    cpu = {(kind, n): measure("ask_rows", kind, url, n, concurrency)["cpu_s"] for n in sizes for kind in ("bare", "dreamframe")}
    small, large = sizes
    return {kind: 1000 * (cpu[kind, large] - cpu[kind, small]) / (large - small) for kind in ("bare", "dreamframe")}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", type=int, nargs=2, default=(1_000, 10_000))
    options.add_argument("--concurrency", type=int, default=256)
    options.add_argument("--repeat", type=int, default=5)
    given = options.parse_args()
    with server("--answer", "fox") as running:
        pairs = [pair(running.url, tuple(given.sizes), given.concurrency) for _ in range(given.repeat)]
    ratios = sorted(p["dreamframe"] / p["bare"] for p in pairs)
    ratio = statistics.median(ratios)
    print(json.dumps({"cpu_ms_per_row": pairs, "ratios": ratios, "ratio": ratio, "most": MOST, "holds": ratio <= MOST}, indent=1))


if __name__ == "__main__":
    main()
