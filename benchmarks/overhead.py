"""What dreamframe costs beside the calls themselves: CPU per row of a one-prompt run at zero latency, over that of a bare aiohttp program.

`python -m benchmarks.overhead` prints JSON: CPU per row of both (the slope between the small and the large run, so that imports cancel out) and
their ratio. The server runs in another process. Both programs do the same calls and write Parquet; dreamframe also keeps its journal.
"""

from __future__ import annotations

import argparse
import json

from benchmarks.servers import measure, server

MOST = 1.5


def slope(kind: str, url: str, sizes: tuple[int, int], concurrency: int, repeat: int) -> dict[str, float]:
    """CPU milliseconds per row between the two sizes: the least of a few measurements, since a busy machine only ever adds."""
    least = {n: min(measure("ask_rows", kind, url, n, concurrency)["cpu_s"] for _ in range(repeat)) for n in sizes}
    small, large = sizes
    return {"cpu_ms_per_row": 1000 * (least[large] - least[small]) / (large - small), **{f"cpu_s_{n}": least[n] for n in sizes}}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--sizes", type=int, nargs=2, default=(1_000, 10_000))
    options.add_argument("--concurrency", type=int, default=256)
    options.add_argument("--repeat", type=int, default=3)
    given = options.parse_args()
    with server("--answer", "fox") as running:
        found = {kind: slope(kind, running.url, tuple(given.sizes), given.concurrency, given.repeat) for kind in ("bare", "dreamframe")}
    ratio = found["dreamframe"]["cpu_ms_per_row"] / found["bare"]["cpu_ms_per_row"]
    print(json.dumps({**found, "ratio": ratio, "most": MOST, "holds": ratio <= MOST}, indent=1))


if __name__ == "__main__":
    main()
