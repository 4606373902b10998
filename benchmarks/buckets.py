"""A session in a bucket of a loopback S3 server beside one in a folder: the first run, opening, a warm run. `python -m benchmarks.buckets` prints JSON."""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import dreamframe as dr
from tests.loopback import bucket

ROWS, TIMES = 2_000, 7


def rows() -> dr.Frame:
    return dr.frame({"t": [f"tea {i}" for i in range(ROWS)]}).prompt(dr.testing.Echo(), "First {t}", into="a").prompt(dr.testing.Echo(), "{a}!", into="b")


def first(at: str) -> None:
    with dr.Session(at, progress=False):
        rows().collect()


def opened(at: str) -> None:
    with dr.Session(at, progress=False, offline=True):
        pass


def again(at: str) -> None:
    with dr.Session(at, progress=False, offline=True):
        rows().collect()


def seconds(work: Callable[[], None]) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def main() -> None:
    with bucket.serving() as endpoint, tempfile.TemporaryDirectory() as tmp:
        bucket.make(endpoint, "sessions")
        os.environ |= {"AWS_ENDPOINT_URL": endpoint, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_REGION": "us-east-1"}
        times: dict[str, list[float]] = {}
        for i in range(TIMES):  # in turn, so that what else the machine does meets both
            for where, at in {"folder": str(Path(tmp) / f"out{i}"), "bucket": f"s3://sessions/out{i}"}.items():
                os.environ["DREAMFRAME_CACHE"] = str(Path(tmp) / "cache")
                for what in (first, opened, again):
                    times.setdefault(f"{where} {what.__name__}", []).append(seconds(lambda what=what, at=at: what(at)))
                if where == "bucket":
                    os.environ["DREAMFRAME_CACHE"] = str(Path(tmp) / f"other{i}")
                    times.setdefault("bucket on another machine", []).append(seconds(lambda at=at: again(at)))
    middle = {name: statistics.median(found) for name, found in times.items()}
    ratios = {f"{what}: bucket / folder": round(middle[f"bucket {what}"] / middle[f"folder {what}"], 2) for what in ("first", "opened", "again")}
    print(json.dumps({"rows": ROWS, "milliseconds": {name: round(1000 * s, 1) for name, s in middle.items()}, "ratio": ratios}, indent=2))


if __name__ == "__main__":
    main()
