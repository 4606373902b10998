"""Limits below steps that give a row for each row."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

Verb = Callable[[dr.Frame], dr.Frame]


def said(**settings: object) -> dr.Frame:
    return dr.frame({"i": range(10), "t": ["tea", "jam"] * 5}).prompt(Ordinal(), "Say {t}", into="said", **settings)  # type: ignore[arg-type]


ASKS: dict[str, tuple[Verb, int]] = {
    "head": (lambda df: df.head(3), 3),
    "none": (lambda df: df.head(0), 0),
    "above columns": (lambda df: df.with_columns(n=pl.col("said").str.len_chars()).rename({"n": "m"}).head(2), 2),
    "two prompts": (lambda df: df.prompt(Ordinal(), "More of {said}", into="more").head(2), 4),
    "two limits": (lambda df: df.head(5).head(2), 2),
    "slice": (lambda df: df.slice(2, 3), 3),
    "more than there are": (lambda df: df.head(99), 10),
}


@pytest.mark.parametrize("name", ASKS)
def test_rows_beyond_a_limit_are_not_asked_about(name: str) -> None:
    verb, n = ASKS[name]
    assert calls(lambda: verb(said()))[1] == n


@pytest.mark.parametrize(
    "verb",
    [lambda df: df.sort("said").head(2), lambda df: df.filter(pl.col("said") == "").head(2), lambda df: df.with_columns(n=pl.col("said").n_unique()).head(2)],
    ids=["order", "filter that nothing passes", "over all rows"],
)
def test_a_limit_above_what_looks_at_all_rows_asks_about_all(verb: Verb) -> None:
    assert calls(lambda: verb(said())) == (10, 10)


def test_rows_that_fail_and_are_left_out_make_room_for_others() -> None:
    refusing = Ordinal(refuses=lambda prompt: prompt.endswith("0"))
    plan = lambda: dr.frame({"i": range(10)}).prompt(refusing, "Say {i}", into="said", on_error="drop").head(2)  # noqa: E731
    assert calls(plan)[1] < 9
