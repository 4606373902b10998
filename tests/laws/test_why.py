"""The story of a row is what the server saw: for every row of plans of many shapes, all requests that the row came from and no other, with nothing asked.

Every answer of the server has a number of its own, and the answers that a request is made of stand in it: so each row, and each request, names the calls
that it came from, whoever asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.run.why.story import CallTold, RowStory
from tests.laws.cases import Ordinal
from tests.laws.test_optimizer import FALLIBLE, Verb, grown
from tests.laws.test_running import TABLES
from tests.loopback.server import Loopback

NUMBER = re.compile(r"<(\d+)>")
ROWS = dr.frame({"t": ["tea", "jam", "rye", "tea", "oat", "tea", "fig", "jam"], "k": ["a", "b", "a", "a", "b", "a", "c", "b"], "n": [3, 1, 2, 5, 4, 3, 9, 8]})
NAMES = dr.frame({"k": ["a", "b", "d"], "name": ["Ann", "Bob", "Dan"]})
ASK = "Sum up {t}"


class Recording(Loopback):
    """Answers with a number and what was asked; a yes or no where one is asked for."""

    def __init__(self) -> None:
        self.told: dict[int, tuple[dict[str, Any], str]] = {}  # number of a call → what was sent, and the answer
        super().__init__(self._reply)

    def _reply(self, body: dict[str, Any]) -> str:
        asked = body["messages"][-1]["content"]
        number = len(self.told)
        said = f"<{number}> of {asked}"
        if "response_format" in body:
            said = json.dumps(int(asked[-7]) % 2 == 1)
        self.told[number] = body, said
        return said

    def of(self, number: int) -> set[int]:
        """A call, and all calls whose answers stand in its request."""
        below = {int(n) for n in NUMBER.findall(json.dumps(self.told[number][0]["messages"], ensure_ascii=False))}
        return {number, *(m for n in below for m in self.of(n))}


Shape = Callable[[Any, dr.Frame], dr.Frame]  # (model, what it was asked of the rows) → plan
GREET = "Greet."
PLANS: dict[str, Shape] = {
    "prompts below a filter and a sort": lambda llm, said: said.prompt(llm, "Shorten {said}", into="short").filter(pl.col("n") > 1).sort("n"),
    "a join of two sides that were asked": lambda llm, said: said.join(NAMES.prompt(llm, "Who is {name}?", into="who"), on="k"),
    "groups that are asked again": lambda llm, said: said.group_by("k").agg(pl.col("said").str.join(" + ")).prompt(llm, "All: {said}", into="all"),
    "an explode": lambda llm, said: said.with_columns(word=pl.col("said").str.split(" of ")).explode("word").prompt(llm, "{n} {word}", into="again"),
    "candidates until there are enough": lambda llm, said: said.until(3, where=pl.col("said").str.contains("tea"), max_candidates=8),
    "rows that repeat are left out": lambda llm, said: said.dedup("k").prompt(llm, "Once {said}", into="once"),
    "samples of a row": lambda llm, said: said.select("t", "n").prompt(llm, ASK, n=2, into="said"),
    "a filter on an answer": lambda llm, said: said.filter(pl.col("said").str.contains("tea")).prompt(llm, "Short {said}", into="short"),
    "a filter on an answer that is dropped": lambda llm, said: said.filter(pl.col("said").str.contains("e")).prompt(llm, "{said} {n}", into="x").select("x"),
    "the first that pass": lambda llm, said: said.filter(~pl.col("said").str.contains("rye")).head(3),
    "only some rows": lambda llm, said: said.with_columns(more=pl.when(pl.col("n") > 3).then(dr.prompt(llm, "More of {t}")).otherwise(None)),
    "a column that nobody reads": lambda llm, said: said.prompt(llm, "Unread {t}", into="unread").drop("unread"),
    "rows below one another": lambda llm, said: dr.concat([said, ROWS.tail(3).prompt(llm, ASK, into="said")]),
    "one answer of a group": lambda llm, said: said.group_by("k").reduce_by(llm, "Sum up: {said}", into="sum", context=400),
    "examples out of the plan": lambda llm, said: NAMES.prompt(llm, dr.FewShot(GREET, input="name", output="said", examples=pool(said)), into="hello"),
    "an answer that decides": lambda llm, said: said.filter(dr.prompt(llm, "Is {t} with {n} good?", schema=bool)),
    "a part, shuffled and repeated": lambda llm, said: said.shuffle(seed=1).shard(2, 0).repeat_to(6).prompt(llm, "On {said}", into="on"),
    "the best": lambda llm, said: said.top_k(3, by="n").unique("k").with_row_index("i"),
}


def pool(said: dr.Frame) -> dr.Frame:
    return said.head(2).select("said", name="t")


def numbers(values: object) -> set[int]:
    return {int(n) for n in NUMBER.findall(str(values))}


def shape_of(story: RowStory) -> list[str]:
    return [step.label for step in story.steps]


@pytest.fixture(scope="module")
def server() -> Iterator[Recording]:
    with Recording() as running:
        yield running


@pytest.mark.parametrize("kept", ["in a folder", "in memory"])
@pytest.mark.parametrize("name", PLANS)
def test_why_tells_what_the_server_saw(name: str, kept: str, server: Recording, tmp_path: Path):
    llm = dr.OpenAI("gpt-4o-mini", base_url=server.url)
    server.told.clear()
    plan = PLANS[name](llm, ROWS.prompt(llm, ASK, into="said"))
    with dr.Session(tmp_path if kept == "in a folder" else None) as session:
        rows = plan.collect()
        before = len(server.calls), session.usage()
        stories = [plan.why(i) for i in range(rows.height)]
        assert (len(server.calls), session.usage()) == before, "it asks nothing"
    assert len(stories) > 1
    for i, story in enumerate(stories):
        assert (story.row, story.values) == (i, rows.row(i, named=True))
        assert shape_of(story) == [step.label for step in plan.step.walk()], "the steps as they were written"
        seen = {n for held in numbers(story.values) for n in server.of(held)}
        assert {_number(call) for call in story.calls if call.answer.startswith("<")} == seen, str(story)
        for call in story.calls:
            sent = next(sent for sent, answer in server.told.values() if answer == call.answer and sent["messages"] == list(call.messages))
            assert (call.answered_by, call.is_kept, call.finish) == ("gpt-4o-mini-2026", True, "stop")
            assert ("response_format" in sent) == (call.json_schema is not None)


def _number(call: CallTold) -> int:
    return int(NUMBER.match(call.answer)[1])


@settings(max_examples=30)
@given(rows=TABLES, chain=st.lists(st.tuples(st.sampled_from(FALLIBLE), st.integers(1, 5)), min_size=1, max_size=5), in_folder=st.booleans())
def test_the_row_that_is_told_of_is_the_row_whatever_the_plan(rows: pl.DataFrame, chain: list[tuple[Verb, int]], in_folder: bool):
    plan = grown(dr.frame(rows).prompt(Ordinal(), "First {k}", into="first"), chain, 0)
    plan = plan.prompt(Ordinal(), "Last {k}", into="last") if "k" in plan.columns else plan
    with TemporaryDirectory() as folder, dr.Session(folder if in_folder else None) as session:
        try:
            made = plan.collect()
        except dr.errors.DreamframeError:  # rows failed, or there are too few to draw from
            return
        before = session.usage()
        for i in sorted({0, made.height // 2, made.height - 1}) if made.height else ():
            story = plan.why(i, most=100)
            assert pl.DataFrame([story.values], schema=made.schema).equals(made[i]), str(story)
            for step in story.steps:
                if step.kind == "asked" and step.n_rows == len(step.rows) == 1 and step.label in story.values:
                    value = story.values[step.label]
                    made_then = step.rows[0].values.get(step.label)
                    if isinstance(value, str | None) and not step.rows[0].error and not isinstance(made_then, list):  # else it was exploded
                        assert made_then == value, str(story)
                        assert not step.rows[0].calls or step.rows[0].calls[-1].answer == value, "the very sample"
        assert session.usage() == before
