"""Thoughts as a column beside the answers, on every verb that asks; where there are none, after a repair, and of answers that were kept before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import DuplicateColumnError, SettingError

ROWS = dr.frame({"t": ["tea"], "u": ["rain"]})
VERBS: dict[str, tuple[Any, str]] = {
    "prompt": (lambda df, llm, **more: df.prompt(llm, "{t}", **more), "Hot."),
    "extract": (lambda df, llm, **more: df.extract(llm, {"type": "object", "properties": {"c": {"type": "string"}}}, "t", **more), '{"c": "Bern"}'),
    "classify": (lambda df, llm, **more: df.classify(llm, ["hot", "cold"], "t", **more), "hot"),
    "filter_by": (lambda df, llm, **more: df.filter_by(llm, "Is {t} hot?", **more), "yes"),
    "rank_by": (lambda df, llm, **more: df.rank_by(llm, "Rate {t}", **more), "7"),
    "top_k_by": (lambda df, llm, **more: df.top_k_by(llm, "Rate {t}", 1, **more), "7"),
    "score": (lambda df, llm, **more: df.score(llm, {"taste": "good"}, "t", **more), '{"taste": 4}'),
    "judge": (lambda df, llm, **more: df.judge(llm, a="t", b="u", swap="random", **more), "Input A"),
    "join_by": (lambda df, llm, **more: df.select("t").join_by(df.select("u"), llm, "{t} with {u}?", **more), "yes"),
    "generate": (lambda df, llm, **more: dr.generate(llm, "Hi", n=1, **more), "Hot."),
}


def thinks(answer: str) -> dr.testing.Scripted:
    return dr.testing.Scripted(lambda _: f"<think>Let me see.</think>\n{answer}")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_asks_tells_the_thoughts_in_a_column_of_their_own(verb: str) -> None:
    call, answer = VERBS[verb]
    with dr.Session(None):
        plain = call(ROWS, thinks(answer)).collect()
        told = call(ROWS, thinks(answer), reasoning="thoughts").collect()
    assert told["thoughts"].to_list() == ["Let me see."]
    assert told.drop("thoughts").equals(plain)


def test_samples_have_lists_of_thoughts_and_what_told_none_has_a_null() -> None:
    with dr.Session(None):
        df = ROWS.prompt(dr.testing.Scripted(["<think>a</think>1", "2", "<think>c</think>3"]), "{t}", n=3, reasoning="thoughts")
        assert df.schema["thoughts"] == pl.List(pl.String)
        row = df.collect().row(0, named=True)
    assert dict(zip(row["answer"], row["thoughts"], strict=True)) == {"1": "a", "2": None, "3": "c"}


def test_a_verdict_both_ways_has_the_thoughts_of_both_questions() -> None:
    with dr.Session(None):
        out = ROWS.judge(thinks("Input A"), a="t", b="u", swap="both", reasoning="why").collect()
    assert out.select("why", "why_swapped", "winner").row(0) == ("Let me see.", "Let me see.", "tie")


def test_a_repaired_answer_goes_with_the_thoughts_of_its_turn_and_a_failed_row_with_the_last_ones() -> None:
    said = ["<think>first</think>many", "<think>second</think>more", "<think>third</think>4", "<think>fourth</think>lots"]
    with dr.Session(None):
        df = dr.frame({"t": ["a", "b"]}).prompt(dr.testing.Scripted(said), "{t}", schema=int, reasoning="thoughts", on_error="null")
        assert df.collect().rows() == [("a", 4, "third"), ("b", None, "fourth")]


def test_thoughts_of_answers_that_are_kept_cost_no_call_and_do_not_move_their_keys(tmp_path: Path) -> None:
    llm = thinks("Hot.")
    plain, told = ROWS.prompt(llm, "{t}"), ROWS.prompt(llm, "{t}", reasoning="thoughts")
    with dr.Session(tmp_path):
        plain.collect()
    with dr.Session(tmp_path, offline=True):
        assert told.collect()["thoughts"].to_list() == ["Let me see."]
    assert len(llm.log.requests) == 1


def test_thoughts_that_an_earlier_session_kept_within_the_text_are_told(tmp_path: Path) -> None:
    llm = dr.testing.Echo()
    told = ROWS.prompt(llm, "{t}", reasoning="thoughts")
    with dr.Session(tmp_path) as session:
        told.collect()
        (key,) = session.answers()["key"].to_list()
    with dr.Session(tmp_path / "old") as session:
        session.stores.answers.append(bytes.fromhex(key), "<think>hm</think>Hot.", None, "stop", 1, 1, 0, 0, "m", json.dumps({"attempts": 1}))
        assert told.collect().select("answer", "thoughts").row(0) == ("Hot.", "hm")


def test_a_step_that_reads_the_thoughts_is_counted_and_explained_before_it_runs() -> None:
    llm, other = thinks("Hot."), dr.testing.Echo("other")
    df = ROWS.prompt(llm, "{t}", reasoning="thoughts").prompt(other, "Shorten: {thoughts}", into="short")
    with dr.Session(None):
        assert df.estimate().calls == 2
        assert df.collect()["short"].to_list() == ["Shorten: Let me see."]
        assert "Shorten: Let me see." in str(df.why(0))
        assert df.estimate().calls == 0


def test_the_name_is_looked_at_when_the_plan_is_built() -> None:
    llm = dr.testing.Echo()
    with pytest.raises(SettingError, match=r"^prompt: reasoning=True is not a name.*reasoning='thoughts'.*reasoning_effort"):
        ROWS.prompt(llm, "{t}", reasoning=True)  # type: ignore[arg-type]
    with pytest.raises(DuplicateColumnError):
        ROWS.prompt(llm, "{t}", reasoning="u")
    with pytest.raises(SettingError, match="Write reasoning='thoughts'"):
        ROWS.prompt(llm, "{t}", thoughts="why")
    with pytest.raises(SettingError, match=r"^prompt: reasoning= adds a column"):
        dr.prompt(llm, "{t}", reasoning="thoughts")
    with pytest.raises(SettingError, match=r"reasoning=.*df\.why"):
        ROWS.top_k_by(llm, "Rate {t}", 1, compare=True, reasoning="thoughts")


def test_thoughts_in_the_messages_of_a_conversation_stand_apart_and_are_not_sent_back() -> None:
    llm = dr.testing.Scripted(lambda asked: f"<think>I think of {asked}</think>So: {asked}")
    user = dr.testing.Scripted(lambda _: "<think>bored</think>More", model="user")
    with dr.Session(None):
        df = dr.frame({"q": ["tea"]}).converse(llm, "{q}", user=user, max_turns=2, reasoning="reasoning_content")
        (messages,) = df.collect()["messages"].to_list()
        plain = dr.frame({"q": ["tea"]}).converse(llm, "{q}", user=user, max_turns=2).collect()["messages"].to_list()[0]
    assert [(m["content"], m["reasoning_content"]) for m in messages] == [
        ("tea", None), ("So: tea", "I think of tea"), ("More", None), ("So: More", "I think of More"),
    ]  # fmt: skip
    assert [{k: m[k] for k in ("role", "content")} for m in messages] == plain
    assert len(llm.log.requests) == 2, "the conversation without its thoughts is the same one"
    with pytest.raises(SettingError, match="cannot be the name of the thoughts in a message"):
        dr.frame({"q": ["tea"]}).converse(llm, "{q}", reasoning="content")
