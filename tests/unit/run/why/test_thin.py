"""What is told of a row without looking up what all other rows were answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.steps.relational import Sample
from dreamframe.plan.steps.retrieve import Documents
from dreamframe.run.walk import Walk
from dreamframe.run.why import trace
from dreamframe.run.why.kept_rows import KeptRows
from dreamframe.run.why.stream import Stream
from dreamframe.run.why.thin import Thin, by_values, is_pick, whole
from dreamframe.testing import WordEmbedder
from tests.laws.cases import Ordinal

ROWS = dr.frame({"t": ["tea", "jam", "rye", "tea", "oat"], "n": [3, 1, 2, 5, 4], "k": ["a", "b", "a", "b", "a"]})
OTHER = dr.frame({"k": ["a", "b"], "name": ["Ann", "Bob"]})
SAID = ROWS.prompt(Ordinal(), "Sum up {t} {n}", into="said")


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> list[Stream]:
    """The streams of which every row was run again, that ask something."""
    seen: list[Stream] = []
    before = Stream._batch

    async def noted(self: Stream, order: int, start: int, source: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
        seen.append(self)
        return await before(self, order, start, source)

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


@pytest.mark.parametrize(
    "over",
    [lambda said: said.join(OTHER, on="k"), lambda said: said.filter(pl.col("n") > 1).sort("n").prompt(Ordinal(), "Shorten {said}", into="short")],
    ids=["join", "filter and sort"],
)
def test_rows_of_a_plan_over_rows_that_were_collected_before_are_told_by_these(over: Callable[[dr.Frame], dr.Frame], again: list[Stream], tmp_path: Path):
    with dr.Session(tmp_path):
        SAID.collect()
        frame = over(SAID)
        rows = frame.collect()
        stories = [frame.why(i) for i in range(rows.height)]
    assert [story.values for story in stories] == rows.to_dicts()
    assert [story.steps[0].rows[0].values["t"] for story in stories] == rows["t"].to_list()
    assert [story.calls[0].answer for story in stories] == rows["said"].to_list()
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


MANY = dr.frame({"t": [f"tea {i}" for i in range(400)], "n": [i % 7 for i in range(400)]})
DECIDED: dict[str, Callable[[dr.Frame], dr.Frame]] = {
    "a filter on an answer that is dropped": lambda said: (
        said.filter(pl.col("said").str.contains("3")).prompt(Ordinal(), "{said} {n}", into="x").with_columns(n=pl.lit(0)).select("x", "n")
    ),
    "an explode of an answer": lambda said: words(said).prompt(Ordinal(), "{w} of {t}", into="x").select("x"),
    "an explode of what a filter has left": lambda said: (
        words(said.filter(pl.col("said").str.contains("1"))).prompt(Ordinal(), "{w} of {t}").select("answer")
    ),
    "a filter on an answer, and one on the next": lambda said: (
        said.filter(pl.col("said").str.contains("1")).prompt(Ordinal(), "{said}", into="x").filter(pl.col("x").str.contains("2")).select("x")
    ),
}


def words(said: dr.Frame) -> dr.Frame:
    return said.with_columns(w=pl.col("said").str.split(" ")).explode("w")


@pytest.mark.parametrize("name", DECIDED)
def test_where_answers_decide_the_rows_those_are_looked_up_that_walked_together(name: str, again: list[Stream], tmp_path: Path):
    plan = DECIDED[name](MANY.prompt(Ordinal(), "Sum up {t}", into="said"))
    with dr.Session(tmp_path):
        rows = plan.collect()
        wanted = sorted({0, 1, rows.height // 2, rows.height - 2, rows.height - 1})
        stories = [plan.why(i) for i in wanted]
    assert [story.values for story in stories] == rows[wanted].to_dicts()
    for story in stories:
        first = story.steps[0].rows[0].values["t"]
        assert story.calls[0].messages[0]["content"] == f"Sum up {first}"
        assert story.calls[-1].answer == next(iter(story.values.values()))
    assert again == [], "no row of another batch was looked up"


def test_without_a_note_of_who_walked_together_all_rows_tell(again: list[Stream], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan = DECIDED["an explode of an answer"](MANY.prompt(Ordinal(), "Sum up {t}", into="said"))
    monkeypatch.setattr(Walk, "record", lambda *_: None)
    with dr.Session(tmp_path):
        rows = plan.collect()
        assert plan.why(100).values == rows.row(100, named=True)
    assert again != []


def test_values_tell_which_row_was_picked_where_no_other_row_has_them():
    table = pl.DataFrame({"a": ["x", "y", "x", None], "n": [1, 2, 1, 3], "f": [0.1, 0.2, 0.3, float("nan")]})
    picked = dr.frame(table).sort("n", descending=True)
    rows = picked.collect()
    out = KeptRows(rows, lambda: rows)
    assert by_values(picked.step, out, whole(table), [0]) == {3}
    assert by_values(picked.step, out, whole(table), [0, 1]) == {3, 1}
    assert by_values(picked.step, out, whole(table), [2]) is None, "two rows are alike, whatever their floats"
    assert by_values(picked.step, out, Thin(table, frozenset({"f"})), [0]) is None
    assert [is_pick(step) for step in (picked.step, picked.unique("a").step, picked.shuffle(seed=1).step, picked.group_by("a").agg(pl.len()).step)] == [
        True, True, True, False,
    ]  # fmt: skip


def test_a_sort_that_is_kept_is_not_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan = SAID.sort("said")
    with dr.Session(tmp_path):
        rows = plan.collect()
        monkeypatch.setattr(trace, "parents", lambda *_: pytest.fail("the rows were sorted again"))
        assert [plan.why(i).values for i in range(rows.height)] == rows.to_dicts()


@pytest.mark.parametrize(
    "plan",
    [
        lambda: MANY.sample(n=60, seed=2).prompt(Ordinal(), "Sum up {t}", into="said"),
        lambda: MANY.shuffle(seed=2).prompt(Ordinal(), "Sum up {t}", into="said").prompt(Ordinal(), "Shorten {said}", into="short"),
    ],
    ids=["a sample", "shuffled, and dropped"],
)
def test_rows_that_were_drawn_are_found_by_what_was_kept_of_them(plan: Callable[[], dr.Frame], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with dr.Session(tmp_path):
        frame = plan()
        rows = frame.collect()
        monkeypatch.setattr(Sample, "positions", lambda *_: pytest.fail("the rows were drawn again"))
        stories = [frame.why(i) for i in (0, rows.height // 2, rows.height - 1)]
    for story, i in zip(stories, (0, rows.height // 2, rows.height - 1), strict=True):
        assert story.values == rows.row(i, named=True)
        assert story.steps[0].rows[0].values["t"] == rows["t"][i]
        assert story.calls[0].messages[0]["content"] == f"Sum up {rows['t'][i]}"


def test_rows_that_were_drawn_among_equals_are_drawn_again(tmp_path: Path):
    plan = ROWS.select("t").shuffle(seed=2).prompt(Ordinal(), "Sum up {t}", into="said")
    with dr.Session(tmp_path):
        rows = plan.collect()
        stories = [plan.why(i) for i in range(rows.height)]
    assert [story.values for story in stories] == rows.to_dicts()
    assert sorted(story.steps[0].rows[0].row for story in stories) == [0, 1, 2, 3, 4]
    assert [story.calls[0].answer for story in stories] == rows["said"].to_list()


def test_a_search_whose_hits_are_kept_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    plan = OTHER.retrieve(SAID, query="name", text="said", by=WordEmbedder(), k=2).prompt(Ordinal(), "{name} {hits}", into="so")
    with dr.Session(tmp_path):
        rows = plan.collect()
        monkeypatch.setattr(Documents, "hits", lambda *_: pytest.fail("the documents were searched again"))
        stories = [plan.why(i) for i in range(rows.height)]
    assert [story.values for story in stories] == rows.to_dicts()
    assert [call.text for story in stories for call in story.calls if call.text in ("Ann", "Bob")] == ["Ann", "Bob"], "what was embedded is told"
    found = [{row.values["said"] for step in story.steps for row in step.rows if "said" in row.values} for story in stories]
    assert found == [{hit["text"] for hit in hits} for hits in rows["hits"]], "and which rows the documents were made of"
