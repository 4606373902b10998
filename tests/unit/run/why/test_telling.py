"""The story of a row that a cascade or a head decided: its own, with what the sample of all rows certified in a line."""

from __future__ import annotations

import pytest

import dreamframe as dr

ROWS = dr.frame({"n": range(200)})


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def strong() -> dr.testing.Scripted:
    return dr.testing.Scripted(lambda asked: "yes" if int(asked.split()[0]) > 100 else "no", model="strong")


def test_a_row_of_a_cascade_tells_its_own_calls_alone_and_who_decided_it() -> None:
    small = dr.testing.Scripted(lambda asked: {True: (at := int(asked.split()[0]) / 200), False: 1 - at}, model="small")
    made = ROWS.filter_by(strong(), "{n}", cascade=dr.Cascade(small, accuracy=0.8, delta=0.2))
    height = made.collect().height
    stories = [made.why(row) for row in range(0, height, 5)]
    assert all(len(story.calls) in (1, 2) for story in stories)
    assert all("200 rows, " in str(story) and "sampled" in str(story) for story in stories)
    by_proxy = [story for story in stories if len(story.calls) == 1]
    assert by_proxy
    assert all("decided by the proxy" in str(story) and "decided by the proxy" in story._repr_html_() for story in by_proxy)
    asked = next(story for story in stories if len(story.calls) == 2)
    assert "the strong model was not asked" not in str(asked)


def test_a_row_that_a_head_decided_does_not_tell_the_rows_that_it_learnt_from() -> None:
    made = ROWS.filter_by(strong(), "{n}", distil=dr.Distil(dr.testing.WordEmbedder(), labels=60, accuracy=0.9))
    made.collect()
    story = made.why(0)
    assert len([call for call in story.calls if call.dimensions]) == 1
    assert "rows were drawn from all" in str(story)


def test_a_pair_of_the_nearest_tells_its_own_two_rows() -> None:
    left, right = dr.frame({"a": [f"cup {n} of tea" for n in range(12)]}), dr.frame({"b": [f"tea {n}" for n in range(9)]})
    llm = dr.testing.Scripted(lambda asked: "yes" if asked.split()[1] == asked.split()[-1] else "no")
    made = left.join_by(right, llm, "{a} and {b}", block=dr.Nearest(dr.testing.WordEmbedder(), recall=0.8, delta=0.2))
    rows = made.collect()
    at = rows.height - 1
    story = made.why(at)
    assert [row.values for step in story.steps if step.kind == "source" for row in step.rows] == [{"a": rows["a"][at]}, {"b": rows["b"][at]}]
    assert [call.text for call in story.calls if call.dimensions] == [rows["a"][at], rows["b"][at]]
