"""How often `dr.compare` finds a planted difference of five points in 800 rows, and how often one that is not there."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
import polars as pl

from dreamframe.measure import metrics as m
from dreamframe.measure.metric import Metric
from dreamframe.measure.paired import compared

NAMES = ("a", "b")


@dataclass(frozen=True)
class Case:
    """Two prompts over the same rows: what part of the rows only one of them has right."""

    metric: Metric
    only_a: float
    only_b: float


CASES: dict[str, Case] = {  # two variants of a prompt answer most rows alike; a and b are right in 80 %, or b in 85 %
    "accuracy, 5 points, 15 % of rows differ": Case(m.accuracy("p", "g"), 0.05, 0.10),
    "accuracy, 5 points, 25 % of rows differ": Case(m.accuracy("p", "g"), 0.10, 0.15),
    "accuracy, none, 15 % of rows differ": Case(m.accuracy("p", "g"), 0.075, 0.075),
    "accuracy, none, 25 % of rows differ": Case(m.accuracy("p", "g"), 0.125, 0.125),
    "macro F1, 5 points, 15 % of rows differ": Case(m.f1("p", "g", average="macro"), 0.05, 0.10),
    "macro F1, none, 15 % of rows differ": Case(m.f1("p", "g", average="macro"), 0.075, 0.075),
    "mean absolute error, none": Case(m.mean_absolute_error("p", "g"), 0.0, 0.0),
}


def drawn(case: Case, generator: np.random.Generator, n: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of two plans."""
    if case.metric.kind == "mean_absolute_error":
        gold, hard = generator.normal(0, 1, n), generator.gamma(1, 1, n)  # rows are hard for both
        said = [gold + hard * generator.normal(0, 1, n) for _ in NAMES]
    else:
        gold = generator.integers(0, 3, n)
        right_a = generator.random(n) < 0.8
        u = generator.random(n)
        right_b = np.where(right_a, u >= case.only_a / 0.8, u < case.only_b / 0.2)
        said = [np.where(right, gold, (gold + generator.integers(1, 3, n)) % 3) for right in (right_a, right_b)]
    one, other = (pl.DataFrame({"id": np.arange(n), "p": p, "g": gold}) for p in said)
    return one, other


def share_found(name: str, *, seeds: int, n: int = 800, level: float = 0.05, draws: int = 1_000) -> tuple[float, float]:
    """The share of seeds that find a difference, and the share whose interval holds the true one of accuracy."""
    case, found, held = CASES[name], 0, 0
    for seed in range(seeds):
        one, other = drawn(case, np.random.default_rng(seed), n)
        last = compared(one, other, case.metric, ["id"], NAMES, confidence=1 - level, seed=seed, draws=draws, where="compare").row(2, named=True)
        found += last["p_value"] <= level
        held += last["low"] <= case.only_b - case.only_a <= last["high"]
    return found / seeds, held / seeds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("names", nargs="*", default=list(CASES))
    asked = parser.parse_args()
    print("| planted | n | found at the level 0.05 | intervals that hold the difference |\n|---|---|---|---|")
    for name in asked.names:
        found, held = share_found(name, seeds=asked.seeds)
        told = f"{100 * held:.1f} %" if CASES[name].metric.kind != "f1" or "none" in name else "–"
        print(f"| {name} | 800 | {100 * found:.1f} % | {told} |", flush=True)


if __name__ == "__main__":
    main()
