"""Exact search beside one matrix product and argpartition by hand: `python -m benchmarks.retrieve`."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.figures import Figure, report
from dreamframe.models.vectors import nearest, unit


def by_hand(queries: Any, docs: Any, k: int) -> Any:
    """What one writes without a library: every score, then the k best of each row."""
    scores = queries @ docs.T
    return np.argpartition(scores, -k, axis=1)[:, -k:]


def seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--docs", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=11)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    docs = unit(random.standard_normal((given.docs, given.dim), dtype=np.float32))
    queries = unit(random.standard_normal((given.queries, given.dim), dtype=np.float32))
    ours, hand = [], []
    for _ in range(given.rounds):  # in turn, so that a busy machine is busy for both
        ours.append(seconds(lambda: nearest(queries, docs, given.k)))
        hand.append(seconds(lambda: by_hand(queries, docs, given.k)))
    found = np.sort(nearest(queries, docs, given.k)[0], axis=1)
    agree = float((found == np.sort(by_hand(queries, docs, given.k), axis=1)).mean())
    name = f"{given.docs:,} x {given.dim} searched exactly, {given.queries:,} queries, k={given.k}"
    ratio = statistics.median(mine / its for mine, its in zip(ours, hand, strict=True))
    figure = Figure(name, statistics.median(ours), "s", statistics.median(hand), "numpy by hand", most=1.2, median_ratio=ratio)
    sys.exit(not report("retrieve", [figure], same_documents=agree))


if __name__ == "__main__":
    main()
