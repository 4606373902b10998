"""Top-k by comparisons: questions of ours beside merge sort and all pairs, and what is found by a judge who errs, beside scores.

    python -m benchmarks.top_k [--rows 1000] [--k 10] [--seeds 10]

A planted order, and a judge who names the wrong one of two rows in 10 % of the pairs, always the same ones. Scores are 1 to 10 by the tenth of the order
that a row stands in, and one in ten is drawn at random. The calls are counted at the model. Ends with 1 where more is asked than is allowed, or where
a judge who never errs does not find the best k in their order.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import sys
from collections.abc import Callable
from statistics import mean

import dreamframe as dr
from benchmarks.figures import Figure, report
from dreamframe.prompts.comparison import texts_of

ERRS = 0.1
ASK = "Which is better written? {text}"


def drawn(text: str) -> float:
    """A number from 0 to 1 that a text alone decides."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def comparing(quality: dict[str, int], errs: float, seed: int) -> Callable[[str], str]:
    """A judge of two texts, or of a window: it orders by wins in all pairs, of which some are wrong."""

    def wins(one: str, two: str) -> bool:
        first, second = sorted((one, two))
        return (quality[one] > quality[two]) != (drawn(f"{seed} {first} {second}") < errs)

    def answer(asked: str) -> str:
        texts = texts_of(asked)
        if len(texts) == 2:
            return f"Input {'A' if wins(*texts) else 'B'}"
        order = sorted(range(len(texts)), key=lambda i: -sum(wins(texts[i], other) for other in texts if other != texts[i]))
        return json.dumps([i + 1 for i in order])

    return answer


def scoring(quality: dict[str, int], errs: float, seed: int) -> Callable[[str], str]:
    def answer(asked: str) -> str:
        text = asked.removeprefix("Rate ")
        luck = drawn(f"{seed} {text}")
        return str(1 + int(luck / errs * 10) if luck < errs else 1 + quality[text] * 10 // len(quality))

    return answer


def tried(n: int, k: int, seed: int, *, window: int | None = None, errs: float = 0.0, scores: bool = False) -> tuple[int, float, bool]:
    """Calls, the share of the best k that are found, and whether they are in their order."""
    texts = [f"text {i}" for i in range(n)]
    order = texts.copy()
    random.Random(seed).shuffle(order)
    quality = {text: n - 1 - i for i, text in enumerate(order)}
    llm = dr.testing.Scripted((scoring if scores else comparing)(quality, errs, seed))
    rows = dr.frame({"text": texts})
    with dr.Session(None):
        best = rows.top_k_by(llm, "Rate {text}", k, scale=(1, 10)) if scores else rows.top_k_by(llm, ASK, k, compare=True, window=window)
        found = best.collect()["text"].to_list()
    return llm.calls, len(set(found) & set(order[:k])) / k, found == order[:k]


def main(args: list[str]) -> int:
    parser = argparse.ArgumentParser()
    for name, default in (("rows", 1_000), ("k", 10), ("seeds", 10)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args(args)
    n, k, seeds = given.rows, given.k, range(given.seeds)
    ways = {"two at a time": {}, "windows of 10": {"window": 10}, "scores": {"scores": True}}
    found = {(way, errs): [tried(n, k, seed, errs=errs, **settings) for seed in seeds] for way, settings in ways.items() for errs in (0.0, ERRS)}
    pairs, windows = (mean(calls for calls, _, _ in found[way, 0.0]) for way in ("two at a time", "windows of 10"))
    figures = [
        Figure("calls two at a time", pairs, "calls", floor=2 * n + k * math.log2(max(2, k)), over="2 n + k log2 k", most=1.0),
        Figure("beside merge sort", pairs, "calls", floor=n * math.log2(n), over="n log2 n", most=0.25),
        Figure("beside all pairs", pairs, "calls", floor=n * (n - 1) / 2, over="n (n - 1) / 2", most=0.01),
        Figure("calls in windows of 10", windows, "calls", floor=pairs, over="two at a time", most=0.2),
        *(
            Figure(f"recall@{k}, {way}, {errs:.0%} wrong", mean(r for _, r, _ in tries), "share", least=None if errs or way == "scores" else 1.0)
            for (way, errs), tries in found.items()
        ),
    ]
    is_right = all(right for way in ("two at a time", "windows of 10") for _, _, right in found[way, 0.0])
    return 0 if report("top_k", figures, rows=n, k=k, seeds=given.seeds, is_right=is_right) and is_right else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
