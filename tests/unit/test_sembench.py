"""The benchmark of SemBench's queries, over a small set: every row is right, and no more is asked than there are different reviews."""

from __future__ import annotations

import polars as pl

from benchmarks.movie_set import SMALL, TWICE, made
from benchmarks.sembench import PEERS, measured, table


def test_every_query_is_right_and_asks_no_review_twice() -> None:
    data = made(300)
    found = measured(data, "oracle")
    assert [row["query"] for row in found if not row["right"]] == []
    assert [row["query"] for row in found if row["calls"] > row["at_most"]] == []
    calls = {row["query"]: row["calls"] for row in found}
    assert calls["Q2"] + calls["Q3"] + calls["Q4"] == calls["Q8"] == data.of(SMALL)["reviewText"].n_unique() == data.of(SMALL).height - 1
    assert calls["Q7"] == calls["Q9"] == data.of(TWICE).height / 2
    assert calls["Q10"] == data.reviews["reviewText"].n_unique() < data.reviews.height
    assert max(calls["Q1"], calls["Q5"], calls["Q6"]) <= 40
    drawn = table(found)
    assert all(peer in drawn for peer in PEERS)
    assert drawn.count("failed") == 2


def test_the_set_is_in_the_shape_of_the_published_one() -> None:
    data = made()
    reviews = data.reviews
    assert (reviews.height, reviews["id"].n_unique(), data.of(TWICE).height, data.of(SMALL).height) == (2_000, 105, 256, 120)
    assert reviews["reviewText"].n_unique() == 1_864
    assert 1_430 < reviews.filter(pl.col("scoreSentiment") == "POSITIVE").height < 1_540  # 1,487 there
    assert made().reviews.equals(reviews)
    assert data.smaller(200).of(TWICE).height % 2 == 0
