"""Memory of long runs: what a run holds does not grow with its rows, whatever takes them, and 20 runs in one process leave nothing behind.

`python -m benchmarks.memory` prints JSON. Peak resident memory of `scan → with_columns → prompt (echo) → sink_parquet` at 50,000 and 1,000,000 rows, each
in a process of its own; the same for sink_csv, sink_ndjson and collect_batches at fewer rows (`--quick` leaves the million out); answers of 100 kB, of
which 256 come in half a second; the most rows that were between source and consumer at once; and threads, descriptors and memory after 20 runs. What grows
with the rows is the index of their keys: 20 bytes for an answer, and 16 for a request that the run has numbered.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import resource
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from benchmarks.servers import measure

SIZES = (50_000, 1_000_000)
FEWER = (50_000, 200_000)
LONG = (2_000, 6_000)  # rows whose answers have 100 kB
LONG_BYTES = 100_000
MOST_MB = 60  # from the small run to the large one
MOST_LEFT_MB = 15  # after 20 runs
MOST_BYTES_PER_ROW = 400  # at fewer rows, beyond those in flight: allocators take steps
MOST_IN_FLIGHT = 4_096  # rows
TAKERS = ("sink_parquet", "sink_csv", "sink_ndjson", "collect_batches")


def peak_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def run(n: int, taker: str, answer_bytes: int = 0) -> dict[str, Any]:
    """One run in this process."""
    import polars as pl

    import dreamframe as dr
    from dreamframe.testing import Scripted

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pl.concat([pl.LazyFrame({"i": [0]}).select(i=pl.int_range(at, min(at + 10_000, n))) for at in range(0, n, 10_000)]).sink_parquet(path)
        llm = Scripted(lambda prompt: prompt + "." * answer_bytes, model="echo", latency_s=0.5 if answer_bytes else 0.0)
        llm.log.keep = False
        text = pl.format("row {} says hello to everybody who reads it", "i")
        df = dr.scan_parquet(path).with_columns(text=text).prompt(llm, "{text}").filter(pl.col("answer").str.contains("it"))
        done = most = 0
        with dr.Session(Path(folder) / "session", progress=False):
            if taker == "collect_batches":
                for batch in df.collect_batches():
                    done += batch.height
                    most = max(most, llm.calls - done + batch.height)
                assert done == n
            else:
                getattr(df, taker)(Path(folder) / "out")
        assert llm.calls == n
    return {"rows": n, "peak_rss_mb": peak_mb(), **({"most_rows_in_flight": most} if most else {})}


def held() -> dict[str, float]:
    """What this process holds now."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    return {"threads": threading.active_count(), "descriptors": len(os.listdir("/proc/self/fd")), "rss_mb": resident}


def again(n: int, runs: int, url: str | None = None) -> dict[str, Any]:
    """Many runs in this process, each in a session of its own: what is held after the third and after the last. The first ones fill caches."""
    import dreamframe as dr
    from dreamframe.testing import Echo

    early: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(runs):
            llm = dr.OpenAI("m", base_url=url) if url else Echo()
            if isinstance(llm, Echo):
                llm.log.keep = False
            with dr.Session(Path(folder) / f"session-{i}", progress=False):
                dr.frame({"i": range(n)}).prompt(llm, f"{i}: {{i}}").sink_parquet(Path(folder) / "out.parquet")
            del llm
            early = held() if i == 2 else early
    return {"early": early, "late": held(), "runs": runs}


def compared(small: dict[str, Any], large: dict[str, Any]) -> dict[str, Any]:
    """Two runs side by side."""
    more = large["peak_rss_mb"] - small["peak_rss_mb"]
    return {"small": small, "large": large, "more_mb": more, "bytes_per_row": more * 2**20 / (large["rows"] - small["rows"])}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="leave the million rows out")
    options.add_argument("--measured", nargs=3, metavar=("ROWS", "TAKER", "BYTES"), help="run once in this process (used by the benchmark itself)")
    options.add_argument("--again", nargs=2, type=int, metavar=("ROWS", "RUNS"), help="run so often in this process (used by the benchmark itself)")
    given = options.parse_args()
    if given.measured:
        print(json.dumps(run(int(given.measured[0]), given.measured[1], int(given.measured[2]))))
        return
    if given.again:
        print(json.dumps(again(*given.again)))
        return
    found = {taker: compared(*(measure("memory", "--measured", n, taker, 0) for n in FEWER)) for taker in TAKERS}
    holds = {taker: made["bytes_per_row"] <= MOST_BYTES_PER_ROW for taker, made in found.items()}
    found["answers of 100 kB"] = compared(*(measure("memory", "--measured", n, "sink_parquet", LONG_BYTES) for n in LONG))
    holds["answers of 100 kB"] = found["answers of 100 kB"]["more_mb"] <= MOST_MB
    holds["rows in flight"] = found["collect_batches"]["large"]["most_rows_in_flight"] <= MOST_IN_FLIGHT
    found["20 runs"] = left = measure("memory", "--again", 500, 20)
    early, late = left["early"], left["late"]
    holds["20 runs"] = all(late[kind] <= early[kind] for kind in ("threads", "descriptors")) and late["rss_mb"] <= early["rss_mb"] + MOST_LEFT_MB
    if not given.quick:
        found["1,000,000 rows"] = compared(*(measure("memory", "--measured", n, "sink_parquet", 0, timeout_s=1800) for n in SIZES))
        holds["1,000,000 rows"] = found["1,000,000 rows"]["more_mb"] <= MOST_MB
    print(json.dumps({**found, "holds": holds}, indent=1))
    sys.exit(not all(holds.values()))


if __name__ == "__main__":
    main()
