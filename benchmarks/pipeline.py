"""One prompt, and two in a row: how near a run comes to waiting for the server alone, and to both stages working at once.

`python -m benchmarks.pipeline` prints JSON. The server answers each call in 200 ms; 256 calls may be in flight at each model. The ideal of one prompt is
waves of 256 calls; of two with one model, all calls at 256 at a time; of two with a model each, the longer stage and one more answer. Wall times hold on
an idle machine only: the ratio says how much of the run was not waiting for the server.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, report
from benchmarks.servers import measure, server

MOST = {"one stage": 1.08, "two stages, one model": 1.08, "two stages, two models": 1.08}
LATENCY_S, CONCURRENCY = 0.2, 256


def run(url: str, n: int, stages: str) -> dict[str, Any]:
    """One measured run, in this process; a first small one opens connections and imports."""
    import dreamframe as dr

    first = second = dr.OpenAI("a", base_url=url, concurrency=CONCURRENCY)
    if stages == "two stages, two models":
        second = dr.OpenAI("b", base_url=url + "/", concurrency=CONCURRENCY, timeout_s=299)  # a client of its own

    def plan(rows: range) -> dr.Frame:
        df = dr.frame({"i": rows}).prompt(first, "Say {i}", into="said")
        return df if stages == "one stage" else df.prompt(second, "Again: {said}", into="again")

    with tempfile.TemporaryDirectory() as folder, dr.Session(Path(folder), progress=False) as session:
        plan(range(-CONCURRENCY, 0)).collect()
        began = time.perf_counter()
        plan(range(n)).collect()
        wall_s = time.perf_counter() - began
        steps = session._running.stats[-1].steps
    assert steps[0].last_answered is not None
    assert steps[-1].first_asked is not None
    return {"wall_s": wall_s, "overlap_s": steps[0].last_answered - steps[-1].first_asked}


def ideal_s(n: int, stages: str) -> float:
    """What the run would take if nothing but the server took time."""
    waves = math.ceil(n / CONCURRENCY)
    return {"one stage": waves, "two stages, one model": 2 * n / CONCURRENCY, "two stages, two models": waves + 1}[stages] * LATENCY_S


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=2_000)
    options.add_argument("--rounds", type=int, default=11)
    options.add_argument("--measured", nargs=2, metavar=("URL", "STAGES"), help="run once in this process (used by the benchmark itself)")
    given = options.parse_args()
    if given.measured:
        print(json.dumps(run(given.measured[0], given.rows, given.measured[1])))
        return
    figures, begun = [], []
    for stages, most in MOST.items():
        with server("--latency", str(LATENCY_S), "--answer", "fox") as running:
            rounds = [measure("pipeline", "--measured", running.url, stages, "--rows", given.rows) for _ in range(given.rounds)]
        name = f"{given.rows:,} calls at 200 ms, 256 in flight, {stages}"
        figures.append(Figure(name, statistics.median(r["wall_s"] for r in rounds), "s", ideal_s(given.rows, stages), "waiting", most=most))
        begun.append(min(r["overlap_s"] for r in rounds))
    figures.append(Figure("time that two stages worked at once", min(begun[1:]), "s", least=0.01))
    sys.exit(not report("pipeline", figures))


if __name__ == "__main__":
    main()
