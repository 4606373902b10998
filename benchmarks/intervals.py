"""How often the intervals of `df.evaluate` hold the truth: data drawn a thousand times from models whose figures are known."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import polars as pl

from dreamframe.measure import metrics as m
from dreamframe.measure.metric import Metric

Draw = Callable[[np.random.Generator, int], pl.DataFrame]
LARGE = 2_000_000  # rows that stand for all rows, where the truth is not known in closed form


@dataclass(frozen=True)
class Case:
    """A metric, how its rows are drawn, and how many."""

    metric: Metric
    draw: Draw
    n: int
    truth: float | None = None  # None: that of very many rows


SHARES, RIGHT = np.array([0.5, 0.25, 0.15, 0.1]), np.array([0.9, 0.8, 0.7, 0.6])  # of four labels: how frequent, and how often found


def labels(generator: np.random.Generator, n: int) -> pl.DataFrame:
    """Four labels, the rare ones more often mistaken."""
    gold = generator.choice(4, n, p=SHARES)
    right = generator.random(n) < RIGHT[gold]
    said = np.where(right, gold, (gold + generator.integers(1, 4, n)) % 4)
    return pl.DataFrame({"p": said, "g": gold}).cast(pl.String)


def yes_or_no(generator: np.random.Generator, n: int) -> pl.DataFrame:
    """A positive row in three, found with 80 %; one false alarm in eight."""
    gold = generator.random(n) < 1 / 3
    return pl.DataFrame({"p": generator.random(n) < np.where(gold, 0.8, 0.125), "g": gold})


def numbers(generator: np.random.Generator, n: int) -> pl.DataFrame:
    """Skewed truths with errors that have heavy tails."""
    gold = generator.gamma(3.0, 1.0, n)
    return pl.DataFrame({"p": gold + 0.7 * generator.standard_t(8, n), "g": gold})


def scores(generator: np.random.Generator, n: int) -> pl.DataFrame:
    """Scores of positive rows one standard deviation above the others."""
    gold = generator.random(n) < 0.3
    return pl.DataFrame({"s": generator.normal(gold.astype(float), 1.0), "g": gold})


def overconfident(generator: np.random.Generator, n: int) -> pl.DataFrame:
    """Probabilities between 0.5 and 1 of answers that are right less often than that."""
    p = 0.5 + 0.5 * generator.beta(2, 1, n)
    return pl.DataFrame({"s": p, "g": generator.random(n) < 0.5 + 0.7 * (p - 0.5)})


def calibrated(generator: np.random.Generator, n: int) -> pl.DataFrame:
    """Probabilities that come true as often as they say."""
    p = generator.beta(2, 1, n)
    return pl.DataFrame({"s": p, "g": generator.random(n) < p})


def raters(generator: np.random.Generator, n: int) -> pl.DataFrame:
    """Three raters of a scale from 1 to 4, the third of whom leaves out every fifth row."""
    truth = generator.integers(1, 5, n)
    one, two, three = (np.clip(truth + generator.choice([-1, 0, 1], n, p=[0.15, 0.7, 0.15]), 1, 4) for _ in range(3))
    left_out = generator.random(n) < 0.2
    return pl.DataFrame({"a": one, "b": two, "c": three}).with_columns(c=pl.when(pl.Series(~left_out)).then("c"))


SAID = SHARES * RIGHT + ((SHARES * (1 - RIGHT)).sum() - SHARES * (1 - RIGHT)) / 3  # a mistake is each other label as often
F1 = 2 * SHARES * RIGHT / (SHARES + SAID)
CASES: dict[str, Case] = {
    "accuracy": Case(m.accuracy("p", "g"), labels, 200, float((SHARES * RIGHT).sum())),
    "precision, binary": Case(m.precision("p", "g"), yes_or_no, 200, (0.8 / 3) / (0.8 / 3 + 0.125 * 2 / 3)),
    "recall, binary": Case(m.recall("p", "g"), yes_or_no, 200, 0.8),
    "F1, binary": Case(m.f1("p", "g"), yes_or_no, 200, 1.6 / (1.6 + 0.25 + 0.2)),
    "precision, macro": Case(m.precision("p", "g", average="macro"), labels, 300, float((SHARES * RIGHT / SAID).mean())),
    "recall, macro": Case(m.recall("p", "g", average="macro"), labels, 300, float(RIGHT.mean())),
    "F1, macro": Case(m.f1("p", "g", average="macro"), labels, 300, float(F1.mean())),
    "F1, weighted": Case(m.f1("p", "g", average="weighted"), labels, 300, float((SHARES * F1).sum())),
    "mean absolute error": Case(m.mean_absolute_error("p", "g"), numbers, 200),
    "root mean squared error": Case(m.root_mean_squared_error("p", "g"), numbers, 200, 0.7 * (8 / 6) ** 0.5),
    "r2": Case(m.r2("p", "g"), numbers, 200, 1 - 0.49 * (8 / 6) / 3),
    "Pearson": Case(m.pearson("p", "g"), numbers, 200, (3 / (3 + 0.49 * 8 / 6)) ** 0.5),
    "Spearman": Case(m.spearman("p", "g"), numbers, 200),
    "ROC-AUC": Case(m.roc_auc("s", "g"), scores, 200, 0.7602499389065233),
    "average precision": Case(m.average_precision("s", "g"), scores, 200),
    "calibration error, overconfident": Case(m.expected_calibration_error("s", "g"), overconfident, 1_000, 0.1),
    "calibration error, calibrated": Case(m.expected_calibration_error("s", "g"), calibrated, 1_000, 0.0),
    "Brier score": Case(m.brier("s", "g"), overconfident, 200),
    "log loss": Case(m.log_loss("s", "g"), overconfident, 200),
    "mean": Case(m.mean("g"), numbers, 200, 3.0),
    "Cohen's kappa": Case(m.cohen_kappa("a", "b"), raters, 200),
    "Cohen's kappa, quadratic": Case(m.cohen_kappa("a", "b", weights="quadratic"), raters, 200),
    "Fleiss' kappa": Case(m.fleiss_kappa("a", "b", "c"), raters, 200),
    "Krippendorff's alpha": Case(m.krippendorff_alpha("a", "b", "c"), raters, 200),
    "Krippendorff's alpha, ordinal": Case(m.krippendorff_alpha("a", "b", "c", level="ordinal"), raters, 200),
    "Krippendorff's alpha, interval": Case(m.krippendorff_alpha("a", "b", "c", level="interval"), raters, 200),
}


@cache
def truth(name: str) -> float:
    """The figure of all rows."""
    case = CASES[name]
    if case.truth is not None:
        return case.truth
    found = case.metric.of(case.draw(np.random.default_rng(12_345), LARGE)).value
    assert found is not None
    return found


def covered(name: str, *, simulations: int = 1_000, draws: int = 1_000, confidence: float = 0.95) -> int:
    """How many of so many intervals hold the truth."""
    case, true, found = CASES[name], truth(name), 0
    for seed in range(simulations):
        low, high = case.metric.of(case.draw(np.random.default_rng(seed), case.n)).interval(confidence, seed=seed, draws=draws)
        found += low is not None and high is not None and low <= true <= high
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1_000)
    parser.add_argument("names", nargs="*", default=list(CASES))
    asked = parser.parse_args()
    print("| figure | n | truth | intervals that hold it | s |\n|---|---|---|---|---|")
    for name in asked.names:
        began = time.perf_counter()
        share = covered(name, simulations=asked.simulations) / asked.simulations
        print(f"| {name} | {CASES[name].n:,} | {truth(name):.4f} | {100 * share:.1f} % | {time.perf_counter() - began:.1f} |", flush=True)


if __name__ == "__main__":
    main()
