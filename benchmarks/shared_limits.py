"""Processes that share a limit a minute and a budget through one session folder, against a loopback server that enforces the limit.

    python -m benchmarks.shared_limits --processes 3 --rpm 600 --seconds 60

Prints what the server took as a part of what it allows, and what it refused as a part of all calls: by all processes together, by one alone, and by all
where none of them knows the limit. Then what was spent of a budget of 1.00.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.loopback.server import Bucket, Loopback

ROOT = Path(__file__).parents[1]
BURST = 10  # calls that the server takes at once


def together(server: Loopback, folder: Path, n: int, rows: int, *settings: str) -> list[dict[str, Any]]:
    """Let n processes ask, from one moment on."""
    commands = [[sys.executable, "-m", "tests.faults.limited", server.url, str(folder), f"p{i}", str(rows), *settings] for i in range(n)]
    started = [subprocess.Popen(c, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for c in commands]
    for one in started:
        assert one.stdout is not None
        assert one.stdout.readline().strip() == "ready"
    for one in started:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    return [json.loads(one.communicate()[0].splitlines()[-1]) for one in started]


def paced(n: int, rpm: float, seconds: float, *, is_shared: bool = True) -> dict[str, float]:
    """What the server took and refused, as parts."""
    with tempfile.TemporaryDirectory() as folder, Loopback(latency_s=0.2, rate=Bucket(rpm, BURST), keep=False) as server:
        rows = int(rpm / 60 * seconds / n)
        told = together(server, Path(folder), n, rows, *([f"rpm={rpm}"] if is_shared else []))
        took, refused = server.statuses.get(200, 0), server.statuses.get(429, 0)
        span_s = max(one["s"] for one in told)
        return {"used": took / (span_s * rpm / 60), "refused": refused / (took + refused), "calls": took, "seconds": span_s}


def spent(n: int, budget: float) -> dict[str, Any]:
    """What was spent of a budget: a call costs 0.002."""
    with tempfile.TemporaryDirectory() as folder, Loopback(lambda _: "x", latency_s=0.02) as server:
        told = together(server, Path(folder), n, 2000, f"budget={budget}", "concurrency=8")
        return {"budget": budget, "spent": sum(one["cost"] for one in told), "each": [one["cost"] for one in told], "said": told[0]["error"]}


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m benchmarks.shared_limits", description=__doc__)
    options.add_argument("--processes", type=int, default=3)
    options.add_argument("--rpm", type=float, default=600.0)
    options.add_argument("--seconds", type=float, default=60.0)
    given = options.parse_args()
    made: dict[str, Any] = {"processes": given.processes, "rpm": given.rpm}
    made["shared"] = paced(given.processes, given.rpm, given.seconds)
    made["alone"] = paced(1, given.rpm, given.seconds / 3)
    made["found out from refusals"] = paced(given.processes, given.rpm, given.seconds, is_shared=False)
    made["money"] = spent(given.processes, 1.0)
    print(json.dumps(made, indent=1))


if __name__ == "__main__":
    main()
