"""What is told of a row without looking up what all other rows were answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.run.why.stream import Stream
from tests.laws.cases import Ordinal

ROWS = dr.frame({"t": ["tea", "jam", "rye", "tea", "oat"], "n": [3, 1, 2, 5, 4], "k": ["a", "b", "a", "b", "a"]})
OTHER = dr.frame({"k": ["a", "b"], "name": ["Ann", "Bob"]})
SAID = ROWS.prompt(Ordinal(), "Sum up {t} {n}", into="said")


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> list[Stream]:
    """The streams of which every row was run again, that ask something."""
    seen: list[Stream] = []
    before = Stream._batch

    async def noted(self: Stream, order: int, start: int) -> tuple[pl.DataFrame, pl.Series]:
        seen.append(self)
        return await before(self, order, start)

    monkeypatch.setattr(Stream, "_batch", noted)
    return seen


@pytest.mark.parametrize(
    "plan",
    [
        lambda: SAID.prompt(Ordinal(), "Shorten {said}", into="short").filter(pl.col("n") > 1).sort("n"),
        lambda: SAID.join(OTHER, on="k"),
        lambda: SAID.group_by("k").agg(pl.col("said").str.join(" + ")),
        lambda: SAID.dedup("k"),
        lambda: dr.concat([SAID, ROWS.prompt(Ordinal(), "Other {t}", into="said")]),
        lambda: SAID.shuffle(seed=1).repeat_to(7),
        lambda: SAID.top_k(3, by="n").unique("k").with_row_index("i"),
    ],
    ids=["filter and sort", "join", "groups", "dedup", "below one another", "shuffled", "the best"],
)
def test_answers_of_other_rows_are_not_looked_up_where_they_decide_nothing(plan: Callable[[], dr.Frame], again: list[Stream], tmp_path: Path):
    with dr.Session(tmp_path):
        frame = plan()
        rows = frame.collect()
        stories = [frame.why(i) for i in range(rows.height)]
    assert [story.values for story in stories] == rows.to_dicts()
    assert [c.is_kept for story in stories for c in story.calls].count(False) == 0
    assert again == []


def test_equal_requests_keep_their_own_answers(tmp_path: Path):
    frame = ROWS.prompt(Ordinal(), "Sum up {t}", into="said").filter(pl.col("n") > 2).sort("n")
    with dr.Session(tmp_path):
        rows = frame.collect()
        assert [frame.why(i).calls[-1].answer for i in range(rows.height)] == rows["said"].to_list()
    assert rows.filter(pl.col("t") == "tea")["said"].n_unique() == 2


def test_a_row_whose_call_failed_does_not_get_the_answer_of_an_equal_one(tmp_path: Path):
    seen: list[str] = []

    def is_second(prompt: str) -> bool:
        seen.append(prompt)
        return seen.count(prompt) > 1

    frame = ROWS.prompt(dr.testing.Failing(when=is_second), "Sum up {t}", into="said", on_error="null").filter(pl.col("n") > 2)
    with dr.Session(tmp_path):
        rows = frame.collect()
        stories = [frame.why(i) for i in range(rows.height)]
    assert [story.values["said"] for story in stories] == rows["said"].to_list()
    assert [story.calls[-1].is_kept for story in stories] == rows["said"].is_not_null().to_list()
    assert rows["said"].null_count() == 1
