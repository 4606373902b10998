"""What dreamframe costs beside the calls themselves: CPU per row of a one-prompt run at zero latency, over that of a bare aiohttp program.

`python -m benchmarks.overhead` prints JSON: CPU per row of both (the slope between the small and the large run, so that imports cancel out) and
their ratio. The server runs in another process. Both programs do the same calls and write Parquet; dreamframe also keeps its journal. They run in
turns, and the median ratio of the rounds counts: a machine whose speed drifts drifts for both.
"""

from __future__ import annotations

import argparse
import json
import statistics
from typing import Any

from benchmarks.servers import measure, server

MOST = 1.5


def per_row(url: str, sizes: tuple[int, int], concurrency: int, repeat: int) -> dict[str, Any]:
    """CPU milliseconds per row of both programs between the two sizes, their ratio, and the ratio of each round."""
    kinds, (small, large) = ("bare", "dreamframe"), sizes
    rounds = [{(kind, n): measure("ask_rows", kind, url, n, concurrency)["cpu_s"] for n in sizes for kind in kinds} for _ in range(repeat)]

    def slopes(cpu: dict[tuple[str, int], float]) -> dict[str, float]:
        return {kind: 1000 * (cpu[kind, large] - cpu[kind, small]) / (large - small) for kind in kinds}

    each = [slopes(cpu) for cpu in rounds]
    ratios = sorted(s["dreamframe"] / s["bare"] for s in each)
    return {"cpu_ms_per_row": {kind: statistics.median(s[kind] for s in each) for kind in kinds}, "ratio": statistics.median(ratios), "ratios": ratios}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", type=int, nargs=2, default=(1_000, 10_000))
    options.add_argument("--concurrency", type=int, default=256)
    options.add_argument("--repeat", type=int, default=9)
    given = options.parse_args()
    with server("--answer", "fox") as running:
        found = per_row(running.url, tuple(given.sizes), given.concurrency, given.repeat)
    print(json.dumps({**found, "most": MOST, "holds": found["ratio"] <= MOST}, indent=1))


if __name__ == "__main__":
    main()
