"""Joins of the nearest pairs: fewer calls, no match that is none, and as many of the matches as were promised."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest

import dreamframe as dr

TOPICS = [f"{a} {b}" for a in ("red", "blue", "old", "new", "fast") for b in ("car", "house", "song", "dish", "law", "town")]
FILLED = ["the", "of", "very", "today", "about", "with", "and", "some", "much", "again"]
WORDS = dr.testing.WordEmbedder(size=128)
QUESTION = "Is <{text}> about <{topic}>?"


def written(i: int) -> str:
    draw = Random(i)
    return " ".join([draw.choice(FILLED), draw.choice(TOPICS), *(draw.choice(FILLED) for _ in range(3)), f"n{i}"])


TEXTS = [written(i) for i in range(60)]


def is_about(asked: str) -> str:
    text, topic = re.findall("<(.*?)>", asked)
    return "yes" if topic in text else "no"


def joined(llm: dr.testing.Scripted, texts: list[Any] = TEXTS, topics: list[Any] = TOPICS, **settings: Any) -> dr.Frame:
    return dr.frame({"text": texts, "n": range(len(texts))}).join_by(dr.frame({"topic": topics}), llm, QUESTION, **settings)


def near(**settings: Any) -> dr.Nearest:
    return dr.Nearest(WORDS, **{"recall": 0.8, "delta": 0.1, **settings})


def test_pairs_far_apart_are_not_asked_and_most_matches_are_found(tmp_path: Path):
    llm = dr.testing.Scripted(is_about, temperature=0)
    with dr.Session(tmp_path) as session:
        plan = joined(llm, block=near())
        rows = plan.collect()
        n_calls = llm.calls
        assert n_calls < 0.6 * 1_800
        with dr.Session(None):
            every = joined(dr.testing.Scripted(is_about, temperature=0)).collect()
        assert rows.schema == every.schema == plan.schema
        assert rows.height >= 0.8 * every.height
        assert rows.equals(every.join(rows, on=["n", "topic"], how="semi", maintain_order="left"))
        assert re.search(r"CERTIFY recall ≥ 0.8 .* · 1,800 rows, \d+ sampled, \d+ decided by the proxy \(no below 0\.\d+\)", plan.explain())
        plan.collect()
        assert session.runs()[-1].calls == 0
        joined(llm).collect()
        assert llm.calls == 1_800  # what was asked are kept answers of the join without a block


def test_rows_without_a_text_have_no_match_and_empty_sides_no_pairs():
    for texts, topics in (([*TEXTS, None], [*TOPICS, None]), ([], TOPICS), (TEXTS, [])):
        llm = dr.testing.Scripted(is_about, temperature=0)
        with dr.Session(None):
            made = joined(llm, texts, topics, block=near()).collect()
        assert made.select("text", "topic").null_count().row(0) == (0, 0)


def test_a_join_with_itself_asks_each_pair_once():
    rows = dr.frame({"text": TEXTS[:20]})
    llm = dr.testing.Scripted(lambda asked: "yes" if asked.count("red") == 2 else "no")
    with dr.Session(None):
        rows.join_by(rows, llm, "<{text}> and <{text_right}>", block=near(), symmetric=True).collect()
    assert llm.calls <= 210


def test_wrong_settings_are_refused():
    llm = dr.testing.Scripted(is_about)
    wrong: list[tuple[dict[str, Any], str]] = [({"recall": 1.0}, "recall=1.0 is not between"), ({"labels": -1}, "labels=-1"), ({"seed": "x"}, "seed='x'")]
    for settings, message in wrong:
        with pytest.raises(dr.errors.SettingError, match=re.escape(message)):
            near(**settings)
    with pytest.raises(dr.errors.SettingError, match=re.escape("block=dr.Nearest(…), asked= and cascade= are three ways to take fewer calls")):
        joined(llm, block=near(), asked="labels")
    with pytest.raises(dr.errors.SettingError, match=re.escape("it reads no column of the right side")):
        dr.frame({"text": ["a"]}).join_by(dr.frame({"topic": ["b"]}), llm, "{text}?", block=near())
    plan = joined(dr.testing.Echo(), block=near())  # type: ignore[arg-type]
    assert dr.from_json(plan.to_json()).explain() == plan.explain()


def test_the_nearest_are_ranked_for_each_left_row():
    with dr.Session(None):
        plan = joined(dr.testing.Scripted(is_about), ["red car", "blue song today"], block=near())
        ranks = next(step for step in plan.step.walk() if step.label == "join_by nearest")
        rows = dr.Frame(ranks).collect().filter(pl.nth(-1) == 0)
    assert rows.select("text", "topic").rows() == [("red car", "red car"), ("blue song today", "blue song")]
