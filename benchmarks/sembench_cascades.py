"""Cascades on two of SemBench's queries over film reviews: whether they keep what they promise, and how many rows the strong model is asked about.

    python -m benchmarks.sembench_cascades [--data FOLDER] [--rows N] [--seeds N]

The strong model answers by the labels, 7 % of them turned at random; the proxy gives its answer for as many rows as its probabilities say. Q3 counts the
positive reviews of one film, Q10 scores every review from 1 to 5. Each seed draws another sample. Ends with 1 where a promise is missed more often than
delta allows, or a run asks the strong model about as many rows as there are.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

import dreamframe as dr
from benchmarks.figures import Figure, report
from benchmarks.movie_set import ROWS, SMALL, MovieSet, made, read

NOISE, DELTA, TARGET = 0.07, 0.05, 0.9
SCORES = ("1", "2", "3", "4", "5")
SIGMAS = 3.0  # by which the share of runs that miss may exceed delta: it is one of so many seeds


@dataclass(frozen=True)
class Fakes:
    """A strong model and a proxy that agree as often as the proxy says, and the strong model's answers by text."""

    strong: dr.testing.Scripted
    proxy: dr.testing.Scripted
    said: dict[str, str]


def fakes(truth: dict[str, str], labels: tuple[str, ...], *, seed: int) -> Fakes:
    """Of answers that are right, by text. Prompts hold the text between « and »."""
    draw = random.Random(seed)
    said = {t: draw.choice([v for v in labels if v != right]) if draw.random() < NOISE else right for t, right in truth.items()}
    shares: dict[str, dict[Any, float]] = {}
    for text, answer in said.items():
        sure = 1 - draw.betavariate(0.6, 4.0) * (1 - 1 / len(labels))
        guess = answer if draw.random() < sure else draw.choice([v for v in labels if v != answer])
        shares[text] = {_key(v): sure if v == guess else (1 - sure) / (len(labels) - 1) for v in labels}

    def of(asked: str) -> str:
        return asked.partition("«")[2].partition("»")[0]

    return Fakes(
        dr.testing.Scripted(lambda asked: said[of(asked)], model="strong", temperature=0),
        dr.testing.Scripted(lambda asked: shares[of(asked)], model="proxy"),
        said,
    )


def _key(label: str) -> Any:
    return {"yes": True, "no": False}.get(label, label)


def measured(rows: pl.DataFrame, run: Callable[[int], tuple[pl.DataFrame, float]], seeds: int) -> dict[str, Any]:
    """How often runs miss, and how many rows the strong model was asked about, by the certificates of the runs."""
    with dr.Session(None, progress=False) as session:
        reached = [run(seed)[1] for seed in range(seeds)]
        asked = [int(step.told["by_strong"]) for one in session.runs() for step in one.steps if step.told]
    missed = sum(r < TARGET for r in reached) / seeds
    return {"rows": rows.height, "missed": missed, "asked": sum(asked) / len(asked), "most": max(asked), "reached": sum(reached) / seeds}


def q3(data: MovieSet, seeds: int) -> dict[str, Any]:
    """The positive reviews of a film, at least 90 % of the verdicts as the strong model has them."""
    reviews = data.of(SMALL)
    right = {t: "yes" if data.labels[t.strip()][0] else "no" for t in reviews["reviewText"]}
    models = fakes(right, ("yes", "no"), seed=3)
    expected = reviews.filter(pl.col("reviewText").replace_strict(models.said) == "yes")

    def run(seed: int) -> tuple[pl.DataFrame, float]:
        cascade = dr.Cascade(models.proxy, accuracy=TARGET, delta=DELTA, seed=seed)
        found = dr.frame(reviews).filter_by(models.strong, "Is the review positive? «{reviewText}»", cascade=cascade).collect()
        wrong = found.join(expected, on="reviewId", how="anti").height + expected.join(found, on="reviewId", how="anti").height
        return found, 1 - wrong / reviews.height

    return measured(reviews, run, seeds)


def q10(data: MovieSet, seeds: int) -> dict[str, Any]:
    """A score for every review, at least 90 % as the strong model has them."""
    reviews = data.reviews
    right = {t: str(data.labels[t.strip()][1]) for t in reviews["reviewText"]}
    models = fakes(right, SCORES, seed=10)
    expected = reviews["reviewText"].replace_strict(models.said)

    def run(seed: int) -> tuple[pl.DataFrame, float]:
        cascade = dr.Cascade(models.proxy, accuracy=TARGET, delta=DELTA, seed=seed)
        asked = dr.frame(reviews).classify(models.strong, SCORES, "reviewText", "score", prompt="Score from 1 to 5: «{reviewText}»", cascade=cascade)
        found = asked.collect()
        return found, float((found["score"].cast(pl.String) == expected).mean() or 0.0)

    return measured(reviews, run, seeds)


def figures_of(found: dict[str, dict[str, Any]], seeds: int) -> list[Figure]:
    """Of each query: the share of runs that miss, and the mean share of rows that the strong model is asked about."""
    most = DELTA + SIGMAS * (DELTA * (1 - DELTA) / seeds) ** 0.5
    figures = []
    for q, row in found.items():
        asked = f"SemBench {q} in a cascade, rows that the strong model is asked about at most"
        figures.append(Figure(f"SemBench {q} in a cascade, runs that miss {TARGET}", row["missed"], "of runs", most=most))
        figures.append(Figure(asked, row["most"] / row["rows"], "of rows", most=0.999))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seeds", type=int, default=200)
    given = parser.parse_args()
    data = made(given.rows) if given.data is None else read(given.data).smaller(given.rows)
    found = {"Q3": q3(data, given.seeds), "Q10": q10(data, given.seeds)}
    for q, row in found.items():
        share = f"{row['asked'] / row['rows']:.1%} of {row['rows']:,} rows asked of the strong model (at most {row['most'] / row['rows']:.1%})"
        print(f"{q:4}{share}, {row['missed']:.1%} of {given.seeds} runs below {TARGET}, mean {row['reached']:.3f}")
    source = "made" if given.data is None else "SemBench"
    sys.exit(not report("sembench_cascades", figures_of(found, given.seeds), data=source, queries=found))


if __name__ == "__main__":
    main()
