"""Looking at the first rows of a plan pays for what is shown, and the run of the whole plan reuses it: counted at a server."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from tests.loopback import Loopback

ROWS, SHOWN = 300, 7


def reply(body: dict[str, Any]) -> str:
    prompt = body["messages"][-1]["content"]
    draw = random.Random(prompt)
    if "even" in prompt:
        return draw.choice(("Yes", "No"))
    return str(draw.randint(1, 10)) if "Rate" in prompt else f"{draw.randint(0, 99)} of {prompt}"


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(reply) as found:
        yield found


def rows() -> dr.Frame:
    return dr.frame({"i": range(ROWS), "g": [i // 6 for i in range(ROWS)], "t": [f"row {i // 2}" for i in range(ROWS)]})


TOPICS = dr.frame({"topic": ["tea", "rain", "rivers"]})
# name → (plan, calls that showing its first rows may take; None: as many as the whole)
PLANS: dict[str, tuple[Callable[[Any], dr.Frame], int | None]] = {
    "prompts": (lambda llm: rows().prompt(llm, "Say {t}", into="a").prompt(llm, "More of {a}", into="b"), 2 * SHOWN),
    "sampled three times": (lambda llm: rows().prompt(llm, "Say {t}", into="a", n=3, temperature=1.0), 3 * SHOWN),
    "exploded": (lambda llm: rows().prompt(llm, "Say {t}", into="a", n=3, temperature=1.0).explode("a").prompt(llm, "More of {a}", into="b"), 4 * SHOWN + 6),
    "filtered by an answer": (lambda llm: rows().prompt(llm, "Say {t}", into="a").filter(pl.col("a").str.len_chars() % 2 == 0), ROWS // 2),
    "filtered by a model": (lambda llm: rows().filter_by(llm, "Is {t} even?").prompt(llm, "Say {t}", into="a"), 2 * 128),
    "joined": (lambda llm: rows().prompt(llm, "Say {t}", into="a").join(dr.frame({"g": [0, 1]}), on="g"), 12),
    "joined by a model": (lambda llm: rows().select("t").join_by(TOPICS, llm, "Is {t} even with {topic}?"), 3 * 128),
    "grouped": (lambda llm: rows().prompt(llm, "Say {t}", into="a").group_by("g").agg(pl.col("a").first()), None),
    "grouped and summed up": (lambda llm: rows().group_by("g").reduce_by(llm, "Sum up {t}", into="a"), None),
    "without doubles": (lambda llm: rows().prompt(llm, "Say {t}", into="a").dedup("t").prompt(llm, "More of {a}", into="b"), None),
    "unique": (lambda llm: rows().unique("t").prompt(llm, "Say {t}", into="a"), SHOWN),
    "until": (lambda llm: rows().prompt(llm, "Rate {t}", schema=int, into="r").until(40, where=pl.col("r") > 5), ROWS // 2),
    "ranked": (lambda llm: rows().rank_by(llm, "Rate {t} from 1 to 10", scale=(1, 10)).prompt(llm, "Say {t}", into="a"), ROWS // 2 + SHOWN),
    "the best": (lambda llm: rows().top_k_by(llm, "Rate {t} from 1 to 10", 20, scale=(1, 10)).prompt(llm, "Say {t}", into="a"), ROWS // 2 + SHOWN),
    "sorted by the source": (lambda llm: rows().prompt(llm, "Say {t}", into="a").sort("i", descending=True), SHOWN),
    "a branch": (lambda llm: rows().with_columns(a=pl.when(pl.col("i") > 3).then(dr.prompt(llm, "Say {t}"))), SHOWN),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_is_shown_is_paid_for_once(name: str, server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    plan, most = PLANS[name]
    df = plan(dr.OpenAI("m", base_url=server.url, api_key="k", temperature=0))

    def calls(run: Callable[[], Any]) -> int:
        before = server.n_calls
        run()
        return server.n_calls - before

    with dr.Session(None):
        whole = calls(df.collect)
        expected = df.collect()
    with dr.Session(None):
        looks = [calls(lambda: df.show(SHOWN)), calls(lambda: df.preview(SHOWN)), calls(lambda: df.head(SHOWN).collect())]
        assert looks[1:] == [0, 0]
        assert 0 < looks[0] <= (whole if most is None else most)
        assert looks[0] + calls(df.collect) == whole
        assert df.collect().equals(expected) or "sampled" in name or name == "exploded"
    capsys.readouterr()
