"""Reviews of films in the shape of SemBench's movie scenario: made of seeded words, or read from a folder; and a server that answers by the labels."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from tests.loopback import Loopback, replies
from tests.loopback.server import Call

TWICE, SMALL = "ant_man_and_the_wasp_quantumania", "taken_3"  # the film whose reviews are all there twice, and the one with few positive ones
ROWS, MOVIES = 2_000, 105
WORDS = ("story", "cast", "music", "light", "pace", "plot", "hero", "sequel", "scene", "humour", "heart", "script", "noise", "charm", "ending", "villain")
SAYS = {True: ("bright", "a joy", "superb", "moving"), False: ("dull", "a slog", "a mess", "hollow")}
COLUMNS = ("id", "reviewId", "originalScore", "scoreSentiment", "reviewText")


@dataclass(frozen=True)
class MovieSet:
    """Reviews and films, as SemBench names their columns."""

    reviews: pl.DataFrame  # id, reviewId, originalScore, scoreSentiment, reviewText
    movies: pl.DataFrame  # id, audienceScore and others
    labels: dict[str, tuple[bool, int]] = field(default_factory=dict)  # text → whether it is positive, and its score from 1 to 5

    def __post_init__(self) -> None:
        for text, sentiment, score in self.reviews.select("reviewText", "scoreSentiment", "originalScore").iter_rows():
            is_positive = sentiment == "POSITIVE"
            self.labels[text.strip()] = is_positive, stars(score, is_positive)

    def of(self, movie: str) -> pl.DataFrame:
        """The reviews of a film."""
        return self.reviews.filter(pl.col("id") == movie)

    def smaller(self, rows: int) -> MovieSet:
        """About so many reviews: of each film the first ones, with all their doubles."""
        share = rows / self.reviews.height
        first = pl.col("reviewText").rank("dense").over("id") <= (pl.col("reviewText").n_unique().over("id") * share).ceil()
        return self if share >= 1 else MovieSet(self.reviews.filter(first), self.movies)


def stars(score: str | None, is_positive: bool) -> int:
    """A critic's score, as one from 1 to 5."""
    found = re.match(r"([\d.]+)/([\d.]+)$", score or "")
    return max(1, min(5, round(float(found[1]) / float(found[2]) * 5))) if found and float(found[2]) else 4 if is_positive else 2


def made(rows: int = ROWS, *, seed: int = 0) -> MovieSet:
    """Reviews of seeded words: one film's all twice, another's with few positive ones, the rest mostly positive, some scores missing."""
    draw = random.Random(seed)
    n_twice, n_small, n_other = round(rows * 0.064), round(rows * 0.0595), round(rows * 0.8085)
    others = [f"film_{i}" for i in range(max(1, round(MOVIES * rows / ROWS) - 2))]
    plan = [(TWICE, i < n_twice * 0.516) for i in range(n_twice)] + [(SMALL, i % 9 == 4) for i in range(n_small)]
    plan += [(others[i] if i < len(others) else draw.choice(others), draw.random() < 0.83) for i in range(n_other)]
    one = [_review(draw, i, movie, is_positive) for i, (movie, is_positive) in enumerate(plan)]
    one += [*one[: n_twice + 1], *one[len(one) - max(0, rows - len(one) - n_twice - 1) :]]
    draw.shuffle(one)
    films = pl.DataFrame({"id": [TWICE, SMALL, *others]})
    reviews = pl.DataFrame(one, schema=dict.fromkeys(COLUMNS, pl.String) | {"reviewId": pl.Int64}, orient="row")
    liked = reviews.group_by("id").agg((pl.col("scoreSentiment") == "POSITIVE").mean() * 100).rename({"scoreSentiment": "audienceScore"})
    return MovieSet(reviews, films.join(liked, on="id", how="left", maintain_order="left"))


def _review(draw: random.Random, i: int, movie: str, is_positive: bool) -> tuple[Any, ...]:
    most = draw.randint(10, 40)
    text = f"No. {i}: {' '.join(draw.choices(WORDS, k=most))}. All in all, {draw.choice(SAYS[is_positive])}."
    score = None if draw.random() < 0.29 else f"{draw.choice((4, 4.5, 5) if is_positive else (1, 1.5, 2))}/5"
    return movie, i, score, "POSITIVE" if is_positive else "NEGATIVE", text


def read(folder: Path) -> MovieSet:
    """Reviews.csv and Movies.csv of SemBench, as they are."""
    reviews, movies = (pl.read_csv(folder / name, infer_schema_length=None) for name in ("Reviews.csv", "Movies.csv"))
    return MovieSet(reviews.select(*COLUMNS), movies.unique("id", keep="first", maintain_order=True))


def answer(data: MovieSet, body: dict[str, Any]) -> str:
    """What the labels say to a request. Reviews stand between « and » in it."""
    prompt = replies.prompt_of(body)
    texts: Sequence[str] = [t.strip() for t in re.findall("«(.*?)»", prompt, re.S)]
    asked = json.dumps(body.get("response_format", {}))
    is_positive, score = data.labels[texts[0]]
    if len(texts) == 2:
        said: Any = (is_positive == data.labels[texts[1]][0]) == ("SAME" in prompt)
    else:
        said = score if "Score from" in prompt else is_positive
    if isinstance(said, bool) and '"boolean"' not in asked:
        said = ("positive" if said else "negative") if '"enum"' in asked else "yes" if said else "no"
    return json.dumps({"answer": said}) if asked != "{}" else str(said)


@contextmanager
def oracle(data: MovieSet) -> Iterator[Loopback]:
    """A server that is never wrong, and bills a token for every four characters."""

    def told(call: Call) -> None:
        said = answer(data, call.body)
        n_in, n_out = len(call.prompt) // 4, max(1, len(said) // 4)
        call.send(200, {**replies.chat(call.body, said), "usage": {"prompt_tokens": n_in, "completion_tokens": n_out, "total_tokens": n_in + n_out}})

    with Loopback(fault=lambda _: told, keep=False) as server:
        yield server
