"""Memory of long runs: what a run holds does not grow with its rows, whatever takes them, and 20 runs in one process leave nothing behind.

`python -m benchmarks.memory` prints JSON. Peak resident memory of `scan → with_columns → prompt (echo) → sink_parquet` at 50,000 and 1,000,000 rows, each
in a process of its own; the same for sink_csv, sink_ndjson and collect_batches at fewer rows (`--quick` leaves the million out); a file of long rows, of
which polars by itself would read a dozen groups ahead; `write_parquet` of rows that no session keeps; answers of 100 kB, of which 256 come in half a
second; a second run over the answers of the first; the most rows that were between source and consumer at once; and threads, descriptors and memory
after 20 runs. What grows with the rows is the index of their keys: 20 bytes for an answer, and 16 for a request that the run has numbered.
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

from benchmarks.figures import Figure, report
from benchmarks.servers import measure

SIZES = (50_000, 1_000_000)
FEWER = (50_000, 200_000)
LONG = (2_000, 20_000)  # rows whose answers have 100 kB
LONG_BYTES = 100_000
MOST_MB = 60  # from the small run to the large one
MOST_LONG_MB = 400  # where answers have 100 kB: 256 of them come at once, ten times over, and wait for the disk
MOST_WARM_BYTES_PER_ROW = 150  # of a second run, without the pages of its files
MOST_ROW_MB = 300  # of 200,000 long rows, which are 400 MB: groups of rows of the written file are made meanwhile
ROW_BYTES = 2_000  # of a file of long rows
MOST_LEFT_MB = 15  # after 20 runs
MOST_BYTES_PER_ROW = 400  # at fewer rows, beyond those in flight: allocators take steps
MOST_IN_FLIGHT = 4_096  # rows
TAKERS = ("sink_parquet", "sink_csv", "sink_ndjson", "collect_batches")


def peak_mb() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Own:
    """The most memory that this process had of its own, without the pages of files that it mapped: looked at again and again while it works."""

    def __init__(self) -> None:
        self.peak_mb = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Own:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._is_over.wait(0.02):
            said = Path("/proc/self/status").read_text().partition("RssAnon:")[2]
            self.peak_mb = max(self.peak_mb, int(said.split()[0]) / 1024)


def rows_file(path: Path, n: int, row_bytes: int) -> None:
    """A Parquet file of n rows."""
    import polars as pl

    parts = [pl.LazyFrame({"i": [0]}).select(i=pl.int_range(at, min(at + 10_000, n))) for at in range(0, n, 10_000)]
    rows = pl.concat(parts)
    (rows.with_columns(long=pl.format("{}" + "." * row_bytes, "i")) if row_bytes else rows).sink_parquet(path)


def run(n: int, taker: str, answer_bytes: int = 0, row_bytes: int = 0) -> dict[str, Any]:
    """One run in this process."""
    import polars as pl

    import dreamframe as dr
    from dreamframe.testing import Scripted

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.parquet"
        measure("memory", "--file", path, n, row_bytes)
        llm = Scripted(lambda prompt: prompt + "." * answer_bytes, model="echo", latency_s=0.5 if answer_bytes else 0.0)
        llm.log.keep = False
        text = pl.format("row {} says hello to everybody who reads it", "i")
        df = dr.scan_parquet(path).with_columns(text=text).prompt(llm, "{text}").filter(pl.col("answer").str.contains("it"))
        done = most = 0
        if taker.startswith("write"):
            getattr(dr.scan_parquet(path).with_columns(text=text), taker)(Path(folder) / "out")
            return {"rows": n, "peak_rss_mb": peak_mb()}
        with dr.Session(Path(folder) / "session", progress=False):
            if taker == "collect_batches":
                for batch in df.collect_batches():
                    done += batch.height
                    most = max(most, llm.calls - done + batch.height)
                assert done == n
            else:
                getattr(df, taker)(Path(folder) / "out")
            descriptors = len(os.listdir("/proc/self/fd"))
        assert llm.calls == n
        return {"rows": n, "peak_rss_mb": peak_mb(), "descriptors": descriptors, **({"most_rows_in_flight": most} if most else {})}


def warm(folder: Path, n: int, *, asked: int) -> dict[str, Any]:
    """A run over the answers of an earlier one, row by row; the first time it asks."""
    import polars as pl

    import dreamframe as dr
    from dreamframe.testing import Echo

    llm = Echo()
    llm.log.keep = False
    rows = dr.scan_parquet(folder / "rows.parquet").with_columns(text=pl.format("row {} says hello to everybody who reads it", "i"))
    with Own() as own, dr.Session(folder / "session", progress=False):
        rows.prompt(llm, "{text}").sink_parquet(folder / "out")
    assert llm.calls == asked
    return {"rows": n, "peak_rss_mb": own.peak_mb}


def second_run(n: int) -> dict[str, Any]:
    """What the second of two runs holds, each in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        rows_file(Path(folder) / "rows.parquet", n, 0)
        measure("memory", "--warm", folder, n, n, timeout_s=1800)
        return measure("memory", "--warm", folder, n, 0, timeout_s=1800)


def held() -> dict[str, float]:
    """What this process holds now."""
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    lasting = [t for t in threading.enumerate() if not t.name.startswith("asyncio_")]  # of the loop's pool there are a handful, whoever needs them first
    return {"threads": len(lasting), "descriptors": len(os.listdir("/proc/self/fd")), "rss_mb": resident}


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


def side_by_side(sizes: tuple[int, int], taker: str, *, answer_bytes: int = 0, row_bytes: int = 0) -> dict[str, Any]:
    """A small and a large run, each in a process of its own."""
    return compared(*(measure("memory", "--measured", n, taker, answer_bytes, row_bytes, timeout_s=1800) for n in sizes))


def compared(small: dict[str, Any], large: dict[str, Any]) -> dict[str, Any]:
    """Two runs side by side."""
    more = large["peak_rss_mb"] - small["peak_rss_mb"]
    return {"small": small, "large": large, "more_mb": more, "bytes_per_row": more * 2**20 / (large["rows"] - small["rows"])}


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="leave the million rows out")
    own = "(used by the benchmark itself)"
    options.add_argument("--measured", nargs=4, metavar=("ROWS", "TAKER", "ANSWER_BYTES", "ROW_BYTES"), help=f"run once in this process {own}")
    options.add_argument("--warm", nargs=3, metavar=("FOLDER", "ROWS", "ASKED"), help=f"run once in this process, in a session that stays {own}")
    options.add_argument("--file", nargs=3, metavar=("PATH", "ROWS", "ROW_BYTES"), help=f"write the rows of a run {own}")
    options.add_argument("--again", nargs=2, type=int, metavar=("ROWS", "RUNS"), help="run so often in this process (used by the benchmark itself)")
    given = options.parse_args()
    if given.measured:
        print(json.dumps(run(int(given.measured[0]), given.measured[1], *map(int, given.measured[2:]))))
        return
    if given.warm:
        print(json.dumps(warm(Path(given.warm[0]), int(given.warm[1]), asked=int(given.warm[2]))))
        return
    if given.file:
        rows_file(Path(given.file[0]), int(given.file[1]), int(given.file[2]))
        print(json.dumps({}))
        return
    if given.again:
        print(json.dumps(again(*given.again)))
        return
    found = {taker: side_by_side(FEWER, taker) for taker in TAKERS}
    few, many = (f"{n:,}" for n in FEWER)
    figures = [Figure(f"memory a row more, {few} → {many} rows, {taker}", made["bytes_per_row"], "B", most=MOST_BYTES_PER_ROW) for taker, made in found.items()]
    found["answers of 100 kB"] = side_by_side(LONG, "sink_parquet", answer_bytes=LONG_BYTES)
    name = f"memory more, {LONG[0]:,} → {LONG[1]:,} rows, answers of 100 kB"
    figures.append(Figure(name, found["answers of 100 kB"]["more_mb"], "MB", most=MOST_LONG_MB))
    found["long rows of a file"] = side_by_side(FEWER, "sink_parquet", row_bytes=ROW_BYTES)
    found["written, not kept"] = side_by_side(FEWER, "write_parquet", row_bytes=ROW_BYTES)
    for kind in ("long rows of a file", "written, not kept"):
        figures.append(Figure(f"memory more, {few} → {many} rows of 2 kB, {kind}", found[kind]["more_mb"], "MB", most=MOST_ROW_MB))
    found["a second run"] = compared(*map(second_run, FEWER))
    figures.append(Figure(f"memory a row more, {few} → {many} rows, a second run", found["a second run"]["bytes_per_row"], "B", most=MOST_BYTES_PER_ROW))
    figures.append(Figure("most rows in flight", found["collect_batches"]["large"]["most_rows_in_flight"], "rows", most=MOST_IN_FLIGHT))
    small, large = (found["sink_parquet"][size]["descriptors"] for size in ("small", "large"))
    figures.append(Figure(f"descriptors more, {few} → {many} rows", large - small, "files", most=0))
    found["20 runs"] = left = measure("memory", "--again", 500, 20)
    early, late = left["early"], left["late"]
    figures += [Figure(f"{kind} left by 20 runs", late[kind] - early[kind], kind, most=0) for kind in ("threads", "descriptors")]
    figures.append(Figure("memory left by 20 runs", late["rss_mb"] - early["rss_mb"], "MB", most=MOST_LEFT_MB))
    if not given.quick:
        few, many = (f"{n:,}" for n in SIZES)
        found["1,000,000 rows"] = side_by_side(SIZES, "sink_parquet")
        figures.append(Figure(f"memory more, {few} → {many} rows, sink_parquet", found["1,000,000 rows"]["more_mb"], "MB", most=MOST_MB))
        found["a second run of 1,000,000"] = second = compared(*map(second_run, SIZES))
        figures.append(Figure(f"memory a row more, {few} → {many} rows, a second run", second["bytes_per_row"], "B", most=MOST_WARM_BYTES_PER_ROW))
    sys.exit(not report("memory", figures, found=found))


if __name__ == "__main__":
    main()
