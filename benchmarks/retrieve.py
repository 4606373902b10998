"""Exact search beside one matrix product and argpartition by hand: `python -m benchmarks.retrieve`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

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
    parser.add_argument("--rounds", type=int, default=5)
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
    print(f"{given.queries} queries in {given.docs} x {given.dim}, k={given.k}, best of {given.rounds}")
    print(f"by hand  {min(hand):.3f} s")
    print(f"ours     {min(ours):.3f} s   {min(ours) / min(hand):.2f}x   (limit 1.2x; the same documents: {agree:.2%})")


if __name__ == "__main__":
    main()
