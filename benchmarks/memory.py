"""Memory of a long run: rows of a file through with_columns → prompt (echo) → filter, batch by batch.

`python -m benchmarks.memory` prints JSON: peak resident memory at 50,000 and 200,000 rows, each in a process of its own, and the most rows that were
between source and consumer at once. The bound is on rows in flight; what grows with the table is the journal's key index, at a few dozen bytes a row.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.servers import measure

SIZES = (50_000, 200_000)
MOST_BYTES_PER_ROW = 400  # beyond the rows in flight
MOST_IN_FLIGHT = 4_096  # rows


def run(n: int) -> dict[str, Any]:
    """One run in this process."""
    import polars as pl

    import dreamframe as dr
    from dreamframe.testing import Echo

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        pl.LazyFrame({"i": pl.int_range(n, eager=True)}).sink_parquet(path, row_group_size=10_000)
        llm = Echo()
        llm.log.keep = False
        df = (
            dr.scan_parquet(path)
            .with_columns(text=pl.format("row {} says hello to everybody who reads it", "i"))
            .prompt(llm, "{text}")
            .filter(pl.col("answer").str.ends_with("it"))
        )
        done = most = 0
        with dr.Session(Path(folder) / "session", progress=False):
            for batch in df.collect_batches():
                done += batch.height
                most = max(most, llm.calls - done + batch.height)
        assert done == n
    return {"rows": n, "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "most_rows_in_flight": most}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--measured", type=int, help="run once in this process with so many rows (used by the benchmark itself)")
    given = options.parse_args()
    if given.measured:
        print(json.dumps(run(given.measured)))
        return
    small, large = (measure("memory", "--measured", n) for n in SIZES)
    per_row = (large["peak_rss_mb"] - small["peak_rss_mb"]) * 2**20 / (SIZES[1] - SIZES[0])
    holds = per_row <= MOST_BYTES_PER_ROW and large["most_rows_in_flight"] <= MOST_IN_FLIGHT
    ratio = large["peak_rss_mb"] / small["peak_rss_mb"]
    print(json.dumps({"small": small, "large": large, "bytes_per_row": per_row, "ratio": ratio, "holds": holds}, indent=1))
    sys.exit(not holds)


if __name__ == "__main__":
    main()
