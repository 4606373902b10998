"""Two prompts in a row: how near the whole run comes to both stages working at once.

`python -m benchmarks.pipeline` prints JSON. The server answers each call in 200 ms; 256 calls may be in flight at each model. With one model for both
steps the ideal is all calls at 256 at a time; with two, the longer stage and one more answer. Wall times hold on an idle machine only: the ratio says
how much of the run was not waiting for the server.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.servers import measure, server

MOST = 1.3
LATENCY_S, CONCURRENCY = 0.2, 256


def run(url: str, n: int, models: str) -> dict[str, Any]:
    """One measured run, in this process; a first small one opens connections and imports."""
    import dreamframe as dr

    first, second = (dr.OpenAI(name, base_url=url, concurrency=CONCURRENCY) for name in ("a", "a" if models == "one" else "b"))
    if models == "two":
        second = dr.OpenAI("b", base_url=url + "/", concurrency=CONCURRENCY, timeout_s=299)  # a client of its own

    def plan(rows: range) -> dr.Frame:
        return dr.frame({"i": rows}).prompt(first, "Say {i}", into="said").prompt(second, "Again: {said}", into="again")

    with tempfile.TemporaryDirectory() as folder, dr.Session(Path(folder), progress=False) as session:
        plan(range(-CONCURRENCY, 0)).collect()
        began = time.perf_counter()
        plan(range(n)).collect()
        wall_s = time.perf_counter() - began
        one, two = session._running.stats[-1].steps
    assert one.last_answered is not None
    assert two.first_asked is not None
    return {"wall_s": wall_s, "second_stage_began_before_first_ended_s": one.last_answered - two.first_asked}


def ideal_s(n: int, models: str) -> float:
    """What the run would take if nothing but the server took time."""
    waves = math.ceil(n / CONCURRENCY)
    return 2 * n / CONCURRENCY * LATENCY_S if models == "one" else (waves + 1) * LATENCY_S


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=2_000)
    options.add_argument("--measured", nargs=2, metavar=("URL", "MODELS"), help="run once in this process (used by the benchmark itself)")
    given = options.parse_args()
    if given.measured:
        print(json.dumps(run(given.measured[0], given.rows, given.measured[1])))
        return
    found: dict[str, Any] = {}
    for models in ("one", "two"):
        with server("--latency", str(LATENCY_S), "--answer", "fox") as running:
            measured = min((measure("pipeline", "--measured", running.url, models, "--rows", given.rows) for _ in range(3)), key=lambda m: m["wall_s"])
        ideal = ideal_s(given.rows, models)
        found[f"{models} model{'s' if models == 'two' else ''}"] = {**measured, "ideal_s": ideal, "ratio": measured["wall_s"] / ideal}
    holds = all(f["ratio"] <= MOST and f["second_stage_began_before_first_ended_s"] > 0 for f in found.values())
    print(json.dumps({**found, "most": MOST, "holds": holds}, indent=1))
    sys.exit(not holds)


if __name__ == "__main__":
    main()
