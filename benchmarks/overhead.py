"""What dreamframe costs beside the calls themselves: CPU per row of a one-prompt run at zero latency, over that of bare programs.

`python -m benchmarks.overhead` prints JSON: CPU per row (the slope between the small and the large run, so that imports cancel out) of dreamframe, of
a bare aiohttp program, and of one over bare asyncio streams, with their ratios; `--tls` asks over TLS, `--in-flight` says how many calls at once. The
server runs in another process. All programs do the same calls and write Parquet; dreamframe also keeps its journal. They run in turns, and the median
ratio of the rounds counts: a machine whose speed drifts drifts for all.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from typing import Any

from benchmarks.figures import Figure, report
from benchmarks.servers import ROOT, measure, server

KINDS = ("bare", "streams", "dreamframe")
FLOORS = {"bare": "bare aiohttp", "streams": "bare asyncio streams"}
MOST = {"bare": 0.6, "streams": 2.5}
MOST_TLS = {"bare": 0.7}


def per_row(url: str, sizes: tuple[int, int], concurrency: int, repeat: int, kinds: tuple[str, ...] = ("bare", "dreamframe")) -> dict[str, Any]:
    """CPU milliseconds per row of each program between the two sizes, dreamframe's over each of the others, and the ratios of each round."""
    small, large = sizes
    rounds = [{(kind, n): measure("ask_rows", kind, url, n, concurrency)["cpu_s"] for n in sizes for kind in kinds} for _ in range(repeat)]
    each = [{kind: 1000 * (cpu[kind, large] - cpu[kind, small]) / (large - small) for kind in kinds} for cpu in rounds]
    over = {kind: sorted(slopes["dreamframe"] / slopes[kind] for slopes in each) for kind in kinds if kind != "dreamframe"}
    return {
        "cpu_ms_per_row": {kind: statistics.median(slopes[kind] for slopes in each) for kind in kinds},
        "ratios": over,
        "over": {kind: statistics.median(ratios) for kind, ratios in over.items()},
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", type=int, nargs=2, default=(1_000, 10_000))
    options.add_argument("--in-flight", type=int, default=256)
    options.add_argument("--rounds", type=int, default=11)
    options.add_argument("--tls", action="store_true")
    given = options.parse_args()
    if given.tls:
        os.environ["SSL_CERT_FILE"] = str(ROOT / "tests" / "loopback" / "self_signed.pem")
    most = MOST_TLS if given.tls else MOST
    with server("--answer", "fox", *(["--tls"] if given.tls else [])) as running:
        found = per_row(running.url, tuple(given.sizes), given.in_flight, given.rounds, KINDS)
    per, way = found["cpu_ms_per_row"], f"{'TLS, ' if given.tls else ''}{given.in_flight:,} in flight"
    figures = [
        Figure(f"CPU a row, {way}", per["dreamframe"], "ms", per[kind], FLOORS[kind], most=most.get(kind), median_ratio=found["over"][kind])
        for kind in KINDS
        if kind != "dreamframe"
    ]
    sys.exit(not report("overhead", figures, ratios=found["ratios"]))


if __name__ == "__main__":
    main()
