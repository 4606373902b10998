"""Deep plans: how long a chain of trivial polars steps takes to build, explain and collect, beside the same chain in plain polars.

    python -m benchmarks.deep_plans [steps]

Prints one line of JSON: medians over rounds, in CPU seconds; `ratio` is collect of a plan that was built over build and collect in plain polars.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import polars as pl

import dreamframe as dr

ROUNDS = 5
VERBS: dict[str, Callable[[Any], Any]] = {
    "with_columns": lambda frame: frame.with_columns(x=pl.col("x") + 1),
    "filter": lambda frame: frame.filter(pl.col("x") > 0),
}


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, which a busy machine leaves alone, and what the work gave."""
    began = time.process_time()
    made = work()
    return time.process_time() - began, made


def chain(frame: Any, verb: str, n: int) -> Any:
    """n steps of a verb over a frame."""
    for _ in range(n):
        frame = VERBS[verb](frame)
    return frame


def measure(verb: str, n: int, rounds: int = ROUNDS) -> dict[str, float]:
    """Seconds of each part, the median of several rounds; both sides in every round, so that a busy machine slows both."""
    rows = pl.DataFrame({"x": [1, 2]})
    found: list[dict[str, float]] = []
    with dr.Session(None, progress=False):
        dr.frame(rows).collect()  # the loop's thread is there
        for _ in range(rounds):
            plain, expected = timed(lambda: chain(rows.lazy(), verb, n).collect())
            build, df = timed(lambda: chain(dr.frame(rows), verb, n))
            explain, _ = timed(df.explain)
            collect, made = timed(df.collect)
            assert made.equals(expected)
            found.append({"plain": plain, "build": build, "explain": explain, "collect": collect, "ratio": collect / plain})
    return {name: round(median(f[name] for f in found), 4) for name in found[0]}


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    print(json.dumps({"benchmark": "deep_plans", "steps": n, "polars": pl.__version__, **{verb: measure(verb, n) for verb in VERBS}}))


if __name__ == "__main__":
    main()
