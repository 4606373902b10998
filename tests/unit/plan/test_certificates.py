"""What a sample certifies, as a row of columns: who decides which rows by it, and in which order rows are drawn."""

from __future__ import annotations

from random import Random
from typing import Any

import polars as pl

from dreamframe.measure.certify import Certifier
from dreamframe.measure.promise import Promise
from dreamframe.plan.certificates import CERTIFICATE, certificate_of, decided, digests, likely_of, sampled_order, score_of

PROMPTS = pl.Series([f"row {i}" for i in range(200)])
LIKELY = pl.Series([0.5 + abs(i - 100) / 201 for i in range(200)])
GUESS = pl.Series([i > 100 for i in range(200)])
ROWS = pl.DataFrame({"guess": GUESS, "likely": LIKELY})


def certified(**targets: Any) -> tuple[dict[str, Any], Any]:
    scores = ROWS.select(score_of("guess", "likely", is_own="accuracy" in targets)).to_series().to_list()
    certifier = Certifier(scores, sampled_order(PROMPTS, 0), Promise(**targets), sampled_order(PROMPTS, "0 again"))
    while wanted := certifier.wanted():
        certifier.tell({i: "accuracy" in targets or i > 100 for i in wanted})
    outcome = certifier.outcome()
    made = certificate_of(outcome, PROMPTS, is_open=False)
    assert made.schema == pl.Schema(CERTIFICATE)
    return made.row(0, named=True), outcome


def answers(known: dict[str, Any]) -> list[bool | None]:
    return decided(ROWS, PROMPTS, known, guess="guess", likely="likely").to_list()


def test_rows_are_decided_as_the_outcome_of_the_sample_says() -> None:
    for targets in ({"accuracy": 0.8}, {"recall": 0.8}, {"precision": 0.8}, {"recall": 0.8, "precision": 0.8}):
        known, outcome = certified(**targets)
        expected: list[bool | None] = [None] * 200
        for i in outcome.own:
            expected[i] = GUESS[i]
        for i in outcome.yes:
            expected[i] = True
        for i in outcome.no:
            expected[i] = False
        assert answers(known) == expected
        assert known["by_proxy"] == 200 - expected.count(None) > 0
        assert known["by_strong"] == expected.count(None)


def test_an_open_certificate_decides_nothing() -> None:
    _, outcome = certified(accuracy=0.8)
    known = certificate_of(outcome, PROMPTS, is_open=True).row(0, named=True)
    assert answers(known) == [None] * 200
    assert (known["by_proxy"], known["by_strong"]) == (0, 200)


def test_rows_of_the_sample_and_rows_that_ask_nothing_are_not_the_proxys() -> None:
    known, outcome = certified(accuracy=0.8)
    assert set(known["drawn"]) == {digests(PROMPTS)[i] for i in outcome.labelled}
    nothing = decided(ROWS, pl.Series([None] * 200, dtype=pl.String), known, guess="guess", likely="likely")
    assert nothing.null_count() == 200


def test_the_order_of_drawing_is_that_of_contents_and_seed() -> None:
    turned = Random(5).sample(range(200), 200)
    order = sampled_order(PROMPTS, 3)
    assert [PROMPTS[i] for i in order] == [PROMPTS[turned][i] for i in sampled_order(PROMPTS[turned], 3)]
    assert order != sampled_order(PROMPTS, 4)
    assert sorted(order) == list(range(200))
    twice = sampled_order(pl.Series(["a", "a", None, None]), 0)
    assert sorted(twice) == [0, 1, 2, 3]


def test_how_likely_an_answer_is_that_was_made_of_the_proxys() -> None:
    rows = pl.DataFrame({"guess": [True, False, True], "likely": [0.75, 0.75, 0.75]})
    made = rows.select(likely_of(pl.Series([True, True, None]), "guess", "likely")).to_series()
    assert made.to_list() == [0.75, 0.25, None]
