"""What a sample of rows has certified of a proxy, as one row of plain columns: made of its outcome, read by who keeps to it, and told in words."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import polars as pl

from dreamframe.measure.certificate import Outcome

TEST = {"target": pl.String, "rows": pl.Int64, "drawn": pl.Int64, "bad": pl.Int64, "allowed": pl.Int64, "alpha": pl.Float64, "threshold": pl.Float64}
CERTIFICATE: Mapping[str, Any] = {
    "rows": pl.Int64(),
    "scored": pl.Int64(),  # the proxy failed on the others, or they have a null where the prompt reads
    "sampled": pl.Int64(),  # asked of the strong model to find the thresholds
    "by_proxy": pl.Int64(),  # rows that it decides
    "by_strong": pl.Int64(),  # rows that the strong model decides, those of the sample among them
    "own_from": pl.Float64(),  # how likely the proxy must find its answer, for it to stand
    "yes_from": pl.Float64(),  # probability of yes, from which on a row is kept without asking
    "no_below": pl.Float64(),  # and below which it is left out without asking
    "tests": pl.List(pl.Struct(TEST)),
    "drawn": pl.List(pl.UInt64()),  # digests of the questions of the sample
}
THRESHOLDS = ("own_from", "yes_from", "no_below")


def digests(prompts: pl.Series) -> list[int]:
    """64 bits of what each row asks; 0 for one that asks nothing."""
    return [0 if p is None else int.from_bytes(hashlib.sha256(p.encode("utf-8", "surrogatepass")).digest()[:8], "big") for p in prompts]


def sampled_order(prompts: pl.Series, seed: object) -> list[int]:
    """All positions in the order in which rows are drawn: by what they ask, the how-manieth of those that ask the same they are, and a seed.

    >>> rows = pl.Series(["a", "b", "c", "a"])
    >>> [rows[i] for i in sampled_order(rows, 0)] == [rows[::-1][i] for i in sampled_order(rows[::-1], 0)]
    True
    """
    seen: Counter[int] = Counter()
    turns: list[bytes] = []
    for digest in digests(prompts):
        turns.append(hashlib.sha256(f"{seed}:{seen[digest]}:{digest}".encode()).digest())
        seen[digest] += 1
    return sorted(range(len(turns)), key=lambda i: (turns[i], i))


def score_of(guess: str, likely: str, *, is_own: bool) -> pl.Expr:
    """What rows are ranked by: how likely the proxy finds its own answer, or how likely it finds a yes."""
    found = pl.col(likely)
    return (found if is_own else pl.when(pl.col(guess)).then(found).otherwise(1 - found)).alias("score")


def certificate_of(outcome: Outcome, prompts: pl.Series, *, is_open: bool) -> pl.DataFrame:
    """The row of what a sample found. `is_open`: there were no labels to find it by, so that the proxy decides nothing."""
    found = outcome.certificate
    thresholds = {name: None if is_open else getattr(found, name) for name in THRESHOLDS}
    made = {
        "rows": found.rows,
        "scored": found.scored,
        "sampled": found.labels,
        "by_proxy": 0 if is_open else found.decided,
        "by_strong": found.rows if is_open else found.strong,
        **thresholds,
        "tests": [asdict(test) for test in found.tests],
        "drawn": sorted(set(digests(prompts.gather(outcome.labelled)))),
    }
    return pl.DataFrame([made], schema=CERTIFICATE)


def decided(rows: pl.DataFrame, prompts: pl.Series, known: Mapping[str, Any], *, guess: str, likely: str) -> pl.Series:
    """The answers of the rows that the proxy decides; null where the strong model is asked."""
    is_drawn = pl.Series(digests(prompts), dtype=pl.UInt64).is_in(pl.Series(known["drawn"] or [], dtype=pl.UInt64).implode())
    is_own = known["own_from"] is not None
    made = pl.lit(None, dtype=rows.schema[guess])
    if is_own:
        made = pl.when(pl.col(likely) >= known["own_from"]).then(pl.col(guess))
    elif rows.schema[guess] == pl.Boolean:
        score, none = score_of(guess, likely, is_own=False), pl.lit(value=False)
        yes = none if known["yes_from"] is None else score >= known["yes_from"]
        no = none if known["no_below"] is None else score < known["no_below"]
        made = pl.when(yes).then(pl.lit(value=True)).when(no).then(pl.lit(value=False))
    return rows.select(pl.when(pl.lit(~(is_drawn | prompts.is_null()))).then(made).alias("decided")).to_series()


def likely_of(answers: pl.Series, guess: str, likely: str) -> pl.Expr:
    """How likely the proxy finds the answers that were made of its own; null where there is none."""
    is_given = pl.lit(answers.is_not_null())
    if answers.dtype != pl.Boolean:
        return pl.when(is_given).then(pl.col(likely))
    return pl.when(is_given).then(pl.when(pl.lit(answers) == pl.col(guess)).then(pl.col(likely)).otherwise(1 - pl.col(likely)))

