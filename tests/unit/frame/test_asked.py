"""Joins asked otherwise than pair by pair: the same rows for fewer calls, checked on some pairs, and pairs where the check fails. Never silent."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr

TOPICS = ["sport", "food", "travel", "music", "law", "war"]
TEXTS = [f"doc {i} about {TOPICS[i % 6]} and {TOPICS[(i * 5 + 1) % 6]}" for i in range(40)]
QUESTION = "Is '{text}' about {topic}?"


def offered(asked: str) -> list[str]:
    return [line[2:] for line in asked.splitlines() if line.startswith("- ")]


def honest(asked: str) -> str:
    """Answers alike however it is asked."""
    if "For which of them" in asked:
        return json.dumps({"answer": [v for v in offered(asked) if v in asked.split("?", maxsplit=1)[0]]})
    found = re.match(r"Is '(.*)' about (\w+)\?", asked)
    assert found, asked
    return "yes" if found[2] in found[1] else "no"


def eager(asked: str) -> str:
    """Says of every value that it applies."""
    return json.dumps({"answer": offered(asked)}) if "For which of them" in asked else honest(asked)


def shy(asked: str) -> str:
    """Says of no value that it applies."""
    return json.dumps({"answer": []}) if "For which of them" in asked else honest(asked)


def mute(asked: str) -> str:
    return "I cannot say." if "For which of them" in asked else honest(asked)


def scripted(script: Callable[[str], str] = honest, **settings: Any) -> dr.testing.Scripted:
    return dr.testing.Scripted(script, **{"temperature": 0, **settings})


def joined(llm: dr.testing.Scripted, texts: list[str] = TEXTS, topics: list[str] = TOPICS, **settings: Any) -> dr.Frame:
    return dr.frame({"text": texts, "n": range(len(texts))}).join_by(dr.frame({"topic": topics}), llm, QUESTION, **settings)


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


@pytest.mark.parametrize("temperature", [0, None])
def test_labels_give_the_rows_of_pairs_for_fewer_calls(temperature: float | None):
    texts = [*TEXTS, *TEXTS[:3]]  # samples of equal requests are numbered as where pairs are asked
    llm = scripted(temperature=temperature)
    rows = joined(llm, texts, asked="labels").collect()
    assert llm.calls == 40 + 50
    pairs = joined(llm, texts).collect()
    n_pairs = len(set(texts) if temperature == 0 else texts) * 6
    assert llm.calls == 40 + n_pairs  # the checked pairs are kept answers of the join as it is written without asked=
    assert rows.equals(pairs)
    assert (rows.schema, rows.height) == (pairs.schema, 86)


def test_lists_are_cut_and_blocks_are_honoured():
    topics = [f"{topic} {i}" for topic in TOPICS for i in range(7)]
    texts = [f"doc {i} about {topics[i]} and {topics[-i - 1]}" for i in range(20)]
    llm = scripted(said)
    rows = joined(llm, texts, topics, asked="labels", check=10).collect()
    assert llm.calls == 20 * 3 + 10  # 42 topics, 20 a call
    assert rows["topic"].to_list() == [t for text in texts for t in topics if t in text]
    blocked = joined(llm, texts, topics, asked="labels", check=10, block=pl.col("topic").str.starts_with("law")).collect()
    assert blocked.equals(rows.filter(pl.col("topic").str.starts_with("law")))


def said(asked: str) -> str:
    if "For which of them" in asked:
        return json.dumps({"answer": [v for v in offered(asked) if v in asked.split("?", maxsplit=1)[0]]})
    found = re.match(r"Is '(.*)' about (.+)\?", asked)
    assert found, asked
    return "yes" if found[2] in found[1] else "no"


@pytest.mark.parametrize("script", [eager, shy], ids=["all apply", "none applies"])
def test_where_the_check_fails_every_pair_is_asked_and_it_is_said(script: Callable[[str], str]):
    llm = scripted(script)
    plan = joined(llm, asked="labels")
    with pytest.warns(dr.RunWarning, match="join_by: lists of labels agree with .* checked pairs .*: each of 240 pairs is asked"):
        rows = plan.collect()
    assert llm.calls == 40 + 240
    assert rows.equals(joined(scripted()).collect())
    assert "each of 240 pairs is asked" in plan.explain()
    assert "each of 240 pairs is asked" in plan.card()


def test_equal_pairs_that_are_asked_after_all_have_the_samples_of_pairs():
    texts = [*TEXTS, *TEXTS[:3]]
    llm = scripted(shy, temperature=None)
    with pytest.warns(dr.RunWarning):
        joined(llm, texts, asked="labels").collect()
    assert llm.calls == 40 + 43 * 6
    joined(llm, texts).collect()
    assert llm.calls == 40 + 43 * 6


def test_an_error_may_be_wanted_instead():
    llm = scripted(eager)
    with pytest.raises(dr.errors.AgreementError, match=r"^join_by: lists of labels agree with .* of 50 checked pairs .*0.9 wanted.*asked='pairs'"):
        joined(llm, asked="labels", otherwise="raise").collect()
    assert llm.calls == 40 + 50


def test_what_cannot_be_offered_or_read_is_asked_as_pairs():
    llm = scripted(said)
    topics = [*TOPICS, "x" * 300, " "]
    rows = joined(llm, [*TEXTS, None], [*topics, None], asked="labels", check=10)  # type: ignore[list-item]
    assert rows.collect().equals(joined(scripted(said), [*TEXTS, None], [*topics, None]).collect())  # type: ignore[list-item]
    assert llm.calls == 40 + 10 + 2 * 40
    llm = scripted(mute)
    rows = joined(llm, asked="labels")
    assert rows.collect().equals(joined(scripted()).collect())
    assert llm.calls == 40 + 240
    assert "240 of which have no guess" in rows.explain()
    assert "no pair could be checked: each of 240 pairs is asked" in rows.explain()


def test_a_list_that_saves_nothing_is_not_asked():
    llm = scripted()
    rows = joined(llm, topics=["sport"], asked="labels").collect()
    assert llm.calls == 40
    assert rows.height == sum("sport" in text for text in TEXTS)


def test_an_edit_asks_about_what_is_new():
    llm = scripted()
    joined(llm, asked="labels").collect()
    before = llm.calls
    edited = joined(llm, [*TEXTS[:7], "doc 7 about war", *TEXTS[8:]], asked="labels")
    assert edited.collect().filter(n=7)["topic"].to_list() == ["war"]
    assert llm.calls - before <= 1 + 6  # a list, and those of its pairs that are drawn to be checked
    joined(llm, asked="labels").collect()
    edited.collect()
    assert llm.calls - before <= 1 + 6


def test_samples_of_a_check_do_not_hang_on_the_order_of_rows():
    llm = scripted()
    joined(llm, asked="labels").collect()
    before = llm.calls
    joined(llm, TEXTS[::-1], asked="labels").collect()
    assert llm.calls == before


# An attribute of each side


def mood(asked: str) -> str:
    """The mood of a review, or whether those of two differ."""
    moods = ["positive" if int(n) % 3 else "negative" for n in re.findall(r"review (\d+)", asked)]
    if asked.startswith("What is the sentiment?"):
        return json.dumps({"answer": moods[0]})
    return "yes" if moods[0] != moods[1] else "no"


REVIEWS = pl.DataFrame({"i": range(128), "text": [f"review {i}" for i in range(128)]})
OPPOSITE = dr.Attribute("sentiment", ["positive", "negative"], pl.col("left") != pl.col("right"))


def test_an_attribute_of_each_row_takes_128_calls_instead_of_8128():
    llm = scripted(mood)
    reviews = dr.frame(REVIEWS)
    asked = "Do '{text}' and '{text_right}' disagree?"
    rows = reviews.join_by(reviews, llm, asked, block=pl.col("i") < pl.col("i_right"), asked=OPPOSITE)
    made = rows.collect()
    assert llm.calls == 128 + 50
    assert made.columns == ["i", "text", "i_right", "text_right"]
    assert made.select("i", "i_right").rows() == [(i, j) for i in range(128) for j in range(i + 1, 128) if (i % 3 == 0) != (j % 3 == 0)]
    assert "labels of sentiment agree with 50 of 50 checked pairs" in rows.explain()
    rows.collect()
    assert llm.calls == 128 + 50


def test_an_attribute_that_is_not_what_is_asked_for_is_found_out():
    same = dr.Attribute("sentiment", ["positive", "negative"], pl.col("left") == pl.col("right"))
    llm = scripted(mood)
    few = dr.frame(REVIEWS.head(12))
    rows = few.join_by(few, llm, "Do '{text}' and '{text_right}' disagree?", asked=same, symmetric=True)
    with pytest.warns(dr.RunWarning, match="labels of sentiment agree with 0 of"):
        made = rows.collect()
    assert made.height == 2 * 4 * 8
    assert llm.calls == 12 + 12 * 13 // 2  # equal questions are one, whichever of the two comes first


def test_the_question_of_an_attribute_may_be_the_users_and_reads_what_the_prompt_reads():
    seen: list[str] = []
    llm = dr.FunctionLLM(lambda asked: seen.append(asked) or "good" if asked.startswith("How") else "yes", temperature=0)  # type: ignore[func-returns-value]
    left, right = dr.frame({"k": [1], "a": ["tea"], "b": ["hot"]}), dr.frame({"k": [1], "c": ["jam"], "d": ["unread"]})
    kind = dr.Attribute("taste", ["good", "bad"], pl.col("left") == pl.col("right"), question="How is it {so far}?")
    left.join_by(right, llm, "Do {a} and {b} go with {c} at {k}?", block="k", asked=kind, check=10).collect()
    assert sorted(seen) == ["How is it {so far}?\n\na: tea\nb: hot\nk: 1", "How is it {so far}?\n\nc: jam\nk: 1"]


# What is wrong is said where it is written

WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another word": ({"asked": "label"}, "join_by: asked='label' is not one of 'pairs', 'labels'. Did you mean 'labels'?"),
    "something else": ({"asked": 3}, "join_by: asked= is the int 3; give 'pairs', 'labels' or a dr.Attribute"),
    "a part above one": ({"asked": "labels", "agree": 90}, "join_by: agree=90 is not a part of the checked pairs"),
    "too few pairs": ({"asked": "labels", "check": 3}, "join_by: check=3 pairs say too little about the others; give 10 or more"),
    "another end": ({"asked": "labels", "otherwise": "ask"}, "join_by: otherwise='ask' is not one of 'pairs', 'raise'"),
    "a check of pairs": ({"check": 20}, "join_by: agree=, check= and otherwise= are of a join that is not asked pair by pair"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_settings_are_refused(kind: str):
    settings, message = WRONG[kind]
    with pytest.raises(dr.errors.SettingError, match=re.escape(message)):
        joined(scripted(), **settings)


def test_a_prompt_that_does_not_fit_is_refused():
    left, right, llm = dr.frame({"a": ["x"]}), dr.frame({"b": ["y"], "c": ["z"]}), scripted()
    with pytest.raises(dr.errors.SettingError, match="offers the values of one column of the right side, and the prompt reads b, c"):
        left.join_by(right, llm, "{a} {b} {c}?", asked="labels")
    with pytest.raises(dr.errors.SettingError, match="reads no column of the right side"):
        left.join_by(right, llm, "{a}?", asked="labels")
    with pytest.raises(dr.errors.SettingError, match="is for prompts that are text"):
        left.join_by(right, llm, dr.Chat([("user", "{a} {b}?")]), asked="labels")
    with pytest.raises(dr.errors.ColumnNotFoundError, match="no column 'bb'"):
        left.join_by(right, llm, "{a} {bb}?", asked="labels")


def test_failed_lists_are_told_and_asked_again(tmp_path: Path):
    broken = tmp_path / "broken"
    broken.touch()

    def ask(asked: str) -> str:
        if "For which of them" in asked and "doc 3 " in asked and broken.exists():
            raise ValueError("no")
        return honest(asked)

    llm = dr.FunctionLLM(dr.versioned(ask, version=1), temperature=0, attempts=1)
    with dr.Session(tmp_path / "session") as session:
        plan = dr.frame({"text": TEXTS}).join_by(dr.frame({"topic": TOPICS}), llm, QUESTION, asked="labels", check=10)
        rows = plan.collect()
        assert rows.height == 80
        assert [f["step"] for f in plan.failures().to_dicts()] == ["join_by labels"]
        assert session.runs()[-1].calls == 39 + 10 + 6
        broken.unlink()
        assert plan.collect().equals(rows)
        assert session.runs()[-1].calls == 1
