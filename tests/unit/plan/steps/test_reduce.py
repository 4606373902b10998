"""Reducing the texts of a group by a model that reads only so much at once."""

from __future__ import annotations

import math
import random
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.request import Completion, Request
from dreamframe.plan.steps.reduce import MARKS

CONTEXT = 2048
WORDS = ["tea", "rain", "Bern", "mountain", "river", "quiet", "morning", "letter", "window", "because", "under", "seven"]


@pytest.fixture(autouse=True)
def in_memory(session: dr.Session) -> None:
    """Every test in a session of its own."""


def long_rows(n: int = 300, groups: int = 3) -> dict[str, list[str]]:
    """Texts of 100 to 2,000 words, some longer than the context by themselves."""
    draw = random.Random(7)
    texts = [" ".join(draw.choices(WORDS, k=draw.choice([100, 300, 800, 2000]))) + "." for _ in range(n)]
    return {"k": [f"group {i % groups}" for i in range(n)], "text": texts}


def summariser(words: int = 120) -> dr.testing.Scripted:
    """Answers with the last words of what it is asked."""
    return dr.testing.Scripted(lambda asked: " ".join(asked.split()[-words:]))


def asked_tokens(request: Request) -> int:
    """Tokens that a request needs: the prompt, the system prompt and the answer that it allows."""
    system = request.question.system or ""
    return math.ceil(len(request.prompt) / 3) + math.ceil(len(system) / 3) + int(request.question.sampling.max_tokens or 0)


def test_300_long_rows_never_make_a_request_over_a_context_of_2048_tokens():
    llm = summariser()
    reduced = dr.frame(long_rows()).group_by("k").reduce_by(llm, "Summarise:\n{text}", into="summary", context=CONTEXT, system="You are brief.")
    rows = reduced.collect()
    assert rows["k"].to_list() == ["group 0", "group 1", "group 2"]
    assert rows["summary"].null_count() == 0
    assert llm.calls > 100
    longest = max(asked_tokens(r) for r in llm.log.requests)
    assert longest <= CONTEXT
    assert longest > 0.9 * CONTEXT  # what fits is put in: no call too many


def test_every_word_of_every_text_is_shown_to_the_model():
    rows = {"k": ["a"] * 300, "text": [f"{'filler ' * 50}word{i} {'filler ' * (i * 3)}" for i in range(300)]}
    llm = summariser(words=1)
    dr.frame(rows).group_by("k").reduce_by(llm, "Summarise: {text}", context=512).collect()
    shown = " ".join(llm.prompts).split()
    assert [i for i in range(300) if shown.count(f"word{i}") < 1] == []


def test_a_group_that_fits_is_one_request():
    llm = summariser()
    reduced = dr.frame({"k": ["a", "b", "a"], "text": ["tea", "rain", "wind"]}).group_by("k").reduce_by(llm, "Sum up {text} of {k}", sep=" / ")
    assert reduced.columns == ["k", "answer"]
    assert reduced.collect().height == 2
    assert sorted(llm.prompts) == ["Sum up rain of b", "Sum up tea / wind of a"]


def test_tokens_are_counted_by_the_function_given():
    def words(text: str) -> int:
        return len(text.split())

    llm = summariser(words=10)
    reduced = dr.frame(long_rows(40, 1)).group_by("k").reduce_by(llm, "Summarise: {text}", context=400, count=words, max_tokens=50)
    reduced.collect()
    most = max(words(p) for p in llm.prompts)
    assert 0.9 * (400 - 50 - MARKS) < most <= 400 - 50 - MARKS


def test_a_count_that_is_not_additive_is_never_exceeded():
    """Tokenizers count a join of texts otherwise than the texts: what is sent is what was counted."""

    def count(text: str) -> int:
        return len(text.split()) + 7 * text.count("||")

    llm = summariser(words=5)
    rows = {"k": ["a"] * 60, "text": ["tea " * 9 + "rain"] * 60}
    dr.frame(rows).group_by("k").reduce_by(llm, "Sum up: {text}", context=200, count=count, sep=" || ", max_tokens=40).collect()
    assert max(count(p) for p in llm.prompts) <= 200 - 40 - MARKS


def numbered(between: str, n: int = 2000) -> str:
    return between.join(str(i) for i in range(n))


BETWEEN = {"one word": "x", "words": " été ", "stops": ". ", "lines": "\n"}
TOO_LONG = {**{kind: numbered(between) for kind, between in BETWEEN.items()}, "blanks": f"{' ' * 5000}{numbered('tea')}  "}


@pytest.mark.parametrize("text", TOO_LONG.values(), ids=TOO_LONG.keys())
def test_a_text_that_is_too_long_by_itself_is_cut_without_losing_anything(text: str):
    llm = dr.testing.Scripted(lambda asked: "ok")
    dr.frame({"k": ["a"], "text": [text]}).group_by("k").reduce_by(llm, "Sum up: {text}", context=400).collect()
    pieces = [p.removeprefix("Sum up: ") for p in llm.prompts]
    assert "".join("".join(pieces[:-1]).split()) == "".join(text.split())
    assert all(asked_tokens(r) <= 400 for r in llm.log.requests)


def test_a_second_run_asks_nothing_and_a_changed_row_asks_for_its_own_requests(tmp_path: Path):
    rows = long_rows(60, 2)
    llm = summariser()
    script = "Summarise: {text}"
    with dr.Session(tmp_path):
        first = dr.frame(rows).group_by("k").reduce_by(llm, script, context=CONTEXT).collect()
    again = dr.testing.Scripted(llm.script)
    with dr.Session(tmp_path):
        assert dr.frame(rows).group_by("k").reduce_by(again, script, context=CONTEXT).collect().equals(first)
    assert again.calls == 0
    rows["text"][-1] = "Something new."
    with dr.Session(tmp_path):
        dr.frame(rows).group_by("k").reduce_by(again, script, context=CONTEXT).collect()
    assert 0 < again.calls < llm.calls / 4


def test_batches_change_neither_requests_nor_answers():
    def run(batch_rows: int) -> tuple[list[str], list[str]]:
        llm = summariser()
        with dr.Session(None, batch_rows=batch_rows):
            answers = dr.frame(long_rows(60, 12)).group_by("k").reduce_by(llm, "Summarise: {text}", context=CONTEXT).collect()["answer"].to_list()
        return sorted(llm.prompts), answers

    assert run(1) == run(5) == run(128)


def test_nulls_and_blanks_are_left_out_and_a_group_without_texts_is_null():
    llm = summariser()
    rows = {"k": ["a", "a", "b", "c"], "text": ["tea", None, None, "  "]}
    reduced = dr.frame(rows).group_by("k").reduce_by(llm, "Sum up {text}")
    assert reduced.collect().rows() == [("a", "Sum up tea"), ("b", None), ("c", None)]
    assert llm.calls == 1


def test_answers_that_do_not_get_shorter_fail_the_group_and_say_so():
    rows = dr.frame({"k": ["long"] * 40 + ["short"], "text": ["tea " * 100] * 40 + ["rain"]})
    reduced = rows.group_by("k").reduce_by(dr.testing.Echo(), "{text}", context=600, on_error="null")
    assert reduced.collect().rows() == [("long", None), ("short", "rain")]
    assert "partial answers have" in reduced.failures()["message"].item()
    with pytest.raises(dr.errors.RowsFailedError, match="Ask for shorter answers"):
        rows.group_by("k").reduce_by(dr.testing.Echo(), "{text}", context=600).collect()


@pytest.mark.parametrize("on_error", ["null", "drop"])
def test_a_failed_request_fails_its_group_alone(on_error: str):
    llm = dr.testing.Failing(when=lambda prompt: "rain" in prompt)
    rows = {"k": ["a", "b", "a"], "text": ["tea", "rain", "wind"]}
    reduced = dr.frame(rows).group_by("k").reduce_by(llm, "{text}", on_error=on_error)
    assert [r for r in reduced.collect().rows() if r[1] is not None] == [("a", "tea\n\nwind")]
    assert reduced.collect().height == (2 if on_error == "null" else 1)
    assert reduced.failures()["error"].to_list() == ["BadRequestError"]


def test_a_refusal_fails_its_group():
    llm = dr.testing.Scripted(lambda asked: Completion(None, finish="content_filter"))
    reduced = dr.frame({"k": ["a"], "text": ["tea"]}).group_by("k").reduce_by(llm, "{text}", on_error="null")
    assert reduced.collect()["answer"].to_list() == [None]
    assert reduced.failures()["error"].to_list() == ["RefusedError"]


def test_a_question_longer_than_the_context_is_a_failed_row_and_is_never_sent():
    llm = summariser()
    rows = dr.frame({"k": ["tea " * 500, "b"], "text": ["x", "y"]}).group_by("k").reduce_by(llm, "{k}: {text}", context=300, on_error="null")
    assert rows.collect()["answer"].to_list() == [None, "b: y"]
    assert rows.failures()["error"].to_list() == ["ContextLengthError"]
    assert llm.prompts == ["b: y"]


@pytest.mark.parametrize(
    "prompt",
    [dr.Instruct("Sum up.", input="text"), dr.Chat([("system", "Of {k}."), ("user", "{text}")]), dr.Jinja("{{ k }} {{ text }}")],
    ids=["Instruct", "Chat", "Jinja"],
)
def test_every_kind_of_prompt_reduces(prompt: object):
    llm = summariser()
    reduced = dr.frame(long_rows(20, 2)).group_by("k").reduce_by(llm, prompt, context=CONTEXT)
    assert reduced.collect()["answer"].null_count() == 0
    assert max(asked_tokens(r) for r in llm.log.requests) <= CONTEXT


def test_groups_may_be_expressions_and_model_columns():
    kind = dr.testing.Scripted(lambda asked: "hot" if "tea" in asked else "wet")
    rows = dr.frame({"text": ["tea", "rain", "more tea"]})
    reduced = rows.group_by(dr.prompt(kind, "Kind of {text}?", into="kind")).reduce_by(summariser(), "{text}", into="all", sep="+")
    assert reduced.collect().rows() == [("hot", "tea+more tea"), ("wet", "rain")]


FRAME = dr.frame({"k": ["a"], "text": ["tea"], "other": ["x"]})
RAG = dr.Rag(question="text", docs=dr.frame({"text": ["tea"]}), text="text", by=dr.testing.WordEmbedder())
WRONG = {
    "a missing column": ({"prompt": "{txt}"}, dr.errors.ColumnNotFoundError, "reduce_by: no column 'txt'"),
    "two columns": ({"prompt": "{text} {other}"}, dr.errors.TemplateError, "must read one column"),
    "no column": ({"prompt": "Of {k}"}, dr.errors.TemplateError, "reads no columns of the rows"),
    "a column that is grouped by": ({"into": "k"}, dr.errors.DuplicateColumnError, "grouped by 'k'"),
    "no room": ({"context": 20}, dr.errors.SettingError, "context=20 tokens leave no room"),
    "a prompt that looks things up": ({"prompt": RAG}, dr.errors.SettingError, "looks"),
    "a setting": ({"temprature": 1}, dr.errors.SettingError, "Did you mean 'temperature'"),
    "on_error": ({"on_error": "skip"}, dr.errors.SettingError, "on_error='skip'"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_plan_is_checked_on_its_line(case: str):
    settings, error, message = WRONG[case]
    with pytest.raises(error, match=message):
        FRAME.group_by("k").reduce_by(dr.testing.Echo(), **{"prompt": "{text}", **settings})


def test_the_schema_is_known_before_anything_runs():
    reduced = FRAME.group_by("k").reduce_by(dr.testing.Echo(), "{text}", into="text")
    assert reduced.schema == {"k": pl.String, "text": pl.String}
