"""The ten queries of SemBench's movie scenario, as a user of dreamframe would write them, and how good their rows are beside the labels."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan
from typing import Any, Literal, NamedTuple

import polars as pl

import dreamframe as dr
from benchmarks.movie_set import SMALL, TWICE, MovieSet

POSITIVE = "Is this review clearly positive?\n«{reviewText}»"
SCORE = "Score from 1 to 5 how much the reviewer liked the movie.\n«{reviewText}»"
SENTIMENT = Literal["positive", "negative"]
IS_GOOD = pl.col("scoreSentiment") == "POSITIVE"


class Query(NamedTuple):
    """One query. `quality` is of [0, 1], or a rank correlation; `right` whether a model that is never wrong gave these rows."""

    asks: str
    plan: Callable[[dr.Frame, Any], dr.Frame]
    quality: Callable[[pl.DataFrame, MovieSet], float]
    right: Callable[[pl.DataFrame, MovieSet], bool]
    at_most: Callable[[MovieSet], int]  # calls


def texts(data: MovieSet, movie: str | None = None) -> int:
    """How many reviews differ from each other."""
    return (data.reviews if movie is None else data.of(movie)).get_column("reviewText").n_unique()


def is_positive(llm: Any) -> Any:
    return dr.prompt(llm, POSITIVE, schema=bool)


def good(df: dr.Frame, llm: Any) -> dr.Frame:
    return df.filter(is_positive(llm)).head(5).select("reviewId")


def pairs(word: str) -> Callable[[dr.Frame, Any], dr.Frame]:
    def plan(df: dr.Frame, llm: Any) -> dr.Frame:
        one = df.filter(pl.col("id") == TWICE).select("id", "reviewId", "reviewText")
        two = one.rename({"reviewId": "other", "reviewText": "text"}).drop("id")
        asked = f"Do these two reviews express the {word} sentiment?\n«{{reviewText}}»\n«{{text}}»"
        return one.join_by(two, llm, asked, block=pl.col("reviewId") != pl.col("other")).head(10).select("reviewId", "other")

    return plan


def moods(df: dr.Frame, llm: Any) -> dr.Frame:
    return df.with_columns(mood=dr.prompt(llm, "Sentiment?\n«{reviewText}»", schema=SENTIMENT))


def opposite(df: dr.Frame, llm: Any) -> dr.Frame:
    one = moods(df.filter(pl.col("id") == TWICE), llm).select("id", "reviewId", "mood")
    both = one.join(one.rename({"reviewId": "other", "mood": "mood_of_other"}), on="id")
    return both.filter(pl.col("mood") != pl.col("mood_of_other")).select("reviewId", "other")


def labelled(data: MovieSet) -> pl.DataFrame:
    return data.reviews.select("reviewId", "id", good=IS_GOOD).unique("reviewId")


def pairs_of(rows: pl.DataFrame, data: MovieSet) -> pl.Series:
    """Whether both reviews of each pair are of one mind."""
    found = labelled(data)
    both = rows.join(found, on="reviewId", maintain_order="left").join(found, left_on="other", right_on="reviewId", suffix="_other", maintain_order="left")
    return both.select(pl.col("good") == pl.col("good_other")).to_series()


def f1_of_all(rows: pl.DataFrame, data: MovieSet) -> float:
    n = data.of(TWICE).select(IS_GOOD.sum().alias("yes"), (~IS_GOOD).sum().alias("no")).row(0)
    hits = int((~pairs_of(rows, data)).sum())
    return 2 * hits / max(1, rows.height + 2 * n[0] * n[1])


def share(found: pl.Series) -> float:
    return float(found.sum()) / len(found) if len(found) else 0.0


def is_good(rows: pl.DataFrame, data: MovieSet) -> pl.Series:
    return rows.join(labelled(data), on="reviewId", maintain_order="left").get_column("good")


def near(said: float, gold: float) -> float:
    return max(0.0, 1 - abs(said - gold) / max(gold, 1e-9))


def n_good(data: MovieSet, movie: str = SMALL) -> int:
    return data.of(movie).filter(IS_GOOD).height


def correlation(rows: pl.DataFrame, one: pl.Expr, two: pl.Expr) -> float:
    """Spearman's, of the rows that have both; 0 where one of them does not vary."""
    found = rows.select(a=one.cast(pl.Float64), b=two.cast(pl.Float64)).drop_nulls().select(pl.corr(pl.col("a").rank(), pl.col("b").rank())).item()
    return 0.0 if found is None or isnan(found) else float(found)


def scored(rows: pl.DataFrame, data: MovieSet) -> float:
    given = pl.col("originalScore").str.extract_groups(r"^([\d.]+)/([\d.]+)$")
    gold = data.reviews.unique("reviewId").select(
        "reviewId", gold=given.struct[0].cast(pl.Float64, strict=False) / given.struct[1].cast(pl.Float64, strict=False)
    )
    return correlation(rows.join(gold, on="reviewId"), pl.col("score"), pl.col("gold"))


def scores(data: MovieSet, reviews: pl.DataFrame) -> pl.DataFrame:
    stars = [data.labels[text.strip()][1] for text in reviews.get_column("reviewText")]
    return reviews.select("id", "reviewId", score=pl.Series(stars, dtype=pl.Int64))


def means_are_right(rows: pl.DataFrame, data: MovieSet) -> bool:
    gold = scores(data, data.reviews).group_by("id").agg(gold=pl.col("score").mean())
    both = rows.join(gold, on="id")
    return both.height == gold.height == rows.height and bool(((both["score"] - both["gold"]).abs() < 1e-9).all())


QUERIES: dict[str, Query] = {
    "Q1": Query(
        "five positive reviews",
        good,
        lambda rows, data: share(is_good(rows, data)),
        lambda rows, data: rows.height == 5 and bool(is_good(rows, data).all()),
        lambda _: 40,
    ),
    "Q2": Query(
        "five positive reviews of a film",
        lambda df, llm: good(df.filter(pl.col("id") == SMALL), llm),
        lambda rows, data: share(is_good(rows, data)),
        lambda rows, data: rows.height == min(5, n_good(data)) and bool(is_good(rows, data).all()),
        lambda data: texts(data, SMALL),
    ),
    "Q3": Query(
        "how many of a film's are positive",
        lambda df, llm: df.filter(pl.col("id") == SMALL).filter(is_positive(llm)).select(n=pl.len()),
        lambda rows, data: near(rows.item(), n_good(data)),
        lambda rows, data: bool(rows.item() == n_good(data)),
        lambda data: texts(data, SMALL),
    ),
    "Q4": Query(
        "the share of them",
        lambda df, llm: df.filter(pl.col("id") == SMALL).select(share=is_positive(llm).mean()),
        lambda rows, data: near(rows.item() or 0.0, n_good(data) / data.of(SMALL).height),
        lambda rows, data: abs(rows.item() - n_good(data) / data.of(SMALL).height) < 1e-9,
        lambda data: texts(data, SMALL),
    ),
    "Q5": Query(
        "ten pairs of one mind",
        pairs("SAME"),
        lambda rows, data: share(pairs_of(rows, data)),
        lambda rows, data: rows.height == 10 and bool(pairs_of(rows, data).all()),
        lambda _: 120,
    ),
    "Q6": Query(
        "ten pairs of opposite minds",
        pairs("OPPOSITE"),
        lambda rows, data: share(~pairs_of(rows, data)),
        lambda rows, data: rows.height == 10 and not bool(pairs_of(rows, data).any()),
        lambda _: 120,
    ),
    "Q7": Query(
        "all pairs of opposite minds",
        opposite,
        f1_of_all,
        lambda rows, data: f1_of_all(rows, data) == 1.0,
        lambda data: texts(data, TWICE),
    ),
    "Q8": Query(
        "how many of each mood",
        lambda df, llm: moods(df.filter(pl.col("id") == SMALL), llm).group_by("mood").agg(n=pl.len()),
        lambda rows, data: near(dict(rows.iter_rows()).get("positive", 0), n_good(data)),
        lambda rows, data: dict(rows.iter_rows()) == {"positive": n_good(data), "negative": data.of(SMALL).height - n_good(data)},
        lambda data: texts(data, SMALL),
    ),
    "Q9": Query(
        "a score for each review of a film",
        lambda df, llm: df.filter(pl.col("id") == TWICE).select("reviewId", score=dr.prompt(llm, SCORE, schema=int)),
        scored,
        lambda rows, data: rows.equals(scores(data, data.of(TWICE)).drop("id")),
        lambda data: texts(data, TWICE),
    ),
    "Q10": Query(
        "films by their mean score",
        lambda df, llm: df.select("id", score=dr.prompt(llm, SCORE, schema=int)).group_by("id").agg(pl.col("score").mean()),
        lambda rows, data: correlation(rows.join(data.movies, on="id"), pl.col("score"), pl.col("audienceScore")),
        means_are_right,
        texts,
    ),
}
