"""The engine on Ray beside the local one, in one process and one run: rows a second, and what crossing to workers costs. Prints JSON.

    python -m benchmarks.ray_engine --rows 100000 --workers 2

Three plans: a column of polars behind a row step that asks nothing (trivial rows), a function of Python, and prompts of a model that answers at once. Each
is run once before it is timed, over other rows, so that no engine pays for its start. The cluster is one on this machine.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import polars as pl

import dreamframe as dr


def doubled(row: dict[str, Any]) -> dict[str, Any]:
    return {"w": 2 * row["v"]}


def worked(row: dict[str, Any]) -> dict[str, Any]:
    """Some tenths of a millisecond of Python."""
    return {"w": sum(i * i for i in range(3_000)) + row["v"]}


PLANS: dict[str, tuple[int, Callable[[dr.Frame], dr.Frame]]] = {  # name → (parts of the rows, plan)
    "trivial function": (1, lambda rows: rows.map(doubled, schema={"w": pl.Int64})),
    "function of 0.2 ms": (10, lambda rows: rows.map(worked, schema={"w": pl.Int64})),
    "prompt": (10, lambda rows: rows.prompt(dr.testing.Echo(), "Say {v}", into="said")),
}


def seconds(plan: Callable[[dr.Frame], dr.Frame], n: int, engine: Any) -> tuple[float, pl.DataFrame]:
    """How long a run over n rows takes, after one over others; and its rows."""
    with tempfile.TemporaryDirectory() as folder, dr.Session(folder, engine=engine, progress=False) as session:
        session.collect(plan(dr.frame({"v": range(-n // 10, 0)})))
        began = time.perf_counter()
        rows = session.collect(plan(dr.frame({"v": range(n)})))
        return time.perf_counter() - began, rows


def compared(rows: int, workers: int) -> dict[str, Any]:
    """The figures of all plans."""
    began = time.perf_counter()
    engine = dr.RayEngine(workers=workers)
    with dr.Session(None, engine=engine, progress=False) as session:
        session.collect(dr.frame({"v": [1]}).map(doubled, schema={"w": pl.Int64}))
    found: dict[str, Any] = {"workers": workers, "cpus": os.cpu_count(), "start_s": round(time.perf_counter() - began, 2), "plans": {}}
    for name, (part, plan) in PLANS.items():
        n = rows // part
        here_s, here = seconds(plan, n, "local")
        there_s, there = seconds(plan, n, engine)
        assert there.equals(here), f"{name}: other rows on Ray"
        rates = {"local_rows_a_second": round(n / here_s), "ray_rows_a_second": round(n / there_s)}
        found["plans"][name] = {"rows": n, **rates, "overhead_us_a_row": round(1e6 * (there_s - here_s) / n, 2)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    print(json.dumps(compared(given.rows, given.workers), indent=2))


if __name__ == "__main__":
    main()
