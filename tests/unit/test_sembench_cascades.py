"""The benchmark of cascades on SemBench's queries, over a small set and a few seeds."""

from __future__ import annotations

from benchmarks.movie_set import made
from benchmarks.sembench_cascades import TARGET, figures_of, q3, q10


def test_the_promise_is_kept_and_fewer_reviews_are_asked_about_than_there_are() -> None:
    data, seeds = made(600), 3
    found = {"Q3": q3(made(1_600), seeds), "Q10": q10(data, seeds)}
    assert all(figure.holds for figure in figures_of(found, seeds))
    assert all(row["reached"] > TARGET and 0 < row["asked"] < row["rows"] for row in found.values())
