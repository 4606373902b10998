"""Answers told from thoughts, and the answers of earlier sessions, which were kept as their providers sent them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import AnswerError
from dreamframe.models.answer import MARKS, are_plain, as_read, usable, without_thoughts
from dreamframe.models.api.wire import Dialect
from dreamframe.models.request import Completion, Question
from dreamframe.store.ends import ENDS
from tests.asking import requests
from tests.loopback.served import chat, last, message, response, run, said, text
from tests.storing import open_answers

SAID = {"text": pl.String, "data": pl.Binary, "finish": pl.String}


@pytest.mark.parametrize(
    ("given_", "answer", "thoughts"),
    [
        ("8", "8", None),
        ("<think>1 to 10?</think>8", "8", "1 to 10?"),
        ("\n<think>\n1 to 10?\n</think>\n\n8\n", "8\n", "1 to 10?"),
        ("<think></think>8", "8", ""),
        ("<think>\n\n</think>\n\n8", "8", ""),
        ("<think>never done", "", "never done"),
        ("<think>", "", ""),
        ("1 to 10?</think>8", "8", "1 to 10?"),
        ("</think>\n\n8", "8", ""),
        ('On "1 to 10", I say "8".</think>\n8', "8", 'On "1 to 10", I say "8".'),
        ("<think>a</think><think>b</think>8", "8", "a\n\nb"),
        ("<think>a <think>b</think> c</think> 8", "8", "a <think>b\n\nc"),
        ("<think>it ends with `</think>`, so</think>8", "8", "it ends with `</think>`, so"),
        ("[THINK]hm[/THINK]8", "8", "hm"),
        ("hm[/THINK]8", "8", "hm"),
        ("◁think▷hm◁/think▷8", "8", "hm"),
        ("<seed:think>hm</seed:think>8", "8", "hm"),
        ("I think that 8 > 7.", "I think that 8 > 7.", None),
        ("Write `</think>` at the end.", "Write `</think>` at the end.", None),
        ('The tags are "<think>" and "</think>".', 'The tags are "<think>" and "</think>".', None),
        ("Use <think> and </think>.", "Use <think> and </think>.", None),
        ('{"html": "a</think>b"}', '{"html": "a</think>b"}', None),
        ('["</think>"]', '["</think>"]', None),
        ("<thinking>asked for</thinking>8", "<thinking>asked for</thinking>8", None),
    ],
)
def test_thoughts_are_told_from_the_answer(given_: str, answer: str, thoughts: str | None) -> None:
    assert without_thoughts(given_) == (answer, thoughts)
    done = Completion(given_)
    assert done.text == answer
    assert (json.loads(done.extra)["reasoning"] if done.extra else "") == (thoughts or "")
    assert Completion(done.text).text == answer, "an answer that crosses to another process stays as it is"


PIECES = [*(mark for marks in MARKS for mark in marks), "`", '"', "8", " ", "\n", "a", "{"]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_what_is_left_after_the_thoughts_has_none(written: str) -> None:
    left = without_thoughts(written)[0]
    assert without_thoughts(left) == (left, None)
    assert written.endswith(left)


@pytest.mark.parametrize("endless", ["<think></think>", "</think>", "<think>", "`</think>`", "<think>`</think>`", "[THINK]</think>"], ids=repr)
def test_marks_without_end_are_read_in_no_time(endless: str) -> None:
    began = time.process_time()
    Completion(endless * 50_000 + "8")
    assert time.process_time() - began < 1.0


def test_thoughts_that_came_apart_and_in_the_text_are_kept_together() -> None:
    done = Completion("<think>b</think>8", thoughts="a", extra='{"logprobs": [1]}')
    assert (done.text, json.loads(done.extra or "")) == ("8", {"reasoning": "a\n\nb", "logprobs": [1]})
    assert Completion(None, thoughts="é\ud800").extra == '{"reasoning": "é�"}'


def test_looking_for_thoughts_costs_little() -> None:
    long = "I think that tea > coffee. " * 40
    taken = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(1000):
            Completion(long)
        taken.append((time.process_time() - began) / 1000)
    assert min(taken) < 10e-6  # seconds an answer


# Whatever reads an answer


def thinking(n: int, b: dict[str, Any]) -> Any:
    asked = last(b)
    answer = {"Rate": "8", "Is it": "I cannot tell.", "Which": "bad", "Count": '{"answer": 4}'}.get(asked.split(":")[0], "Tea.")
    return chat(f"<think>The scale is 1 to 10. Yes, it is long, and good.</think>\n{answer}")


@pytest.mark.parametrize(
    ("verb", "value"),
    [
        (lambda df, m: df.rank_by(m, "Rate: {t}"), 8.0),
        (lambda df, m: df.prompt(m, "Which: {t}", schema=["good", "bad"]), "bad"),
        (lambda df, m: df.classify(m, ["good", "bad"], "t", prompt="Which: {t}"), "bad"),
        (lambda df, m: df.prompt(m, "Count: {t}", schema=int), 4),
        (lambda df, m: df.prompt(m, "Sum up: {t}"), "Tea."),
        (lambda df, m: df.prompt(m, "Rate: {t}", parse=float, schema=float), 8.0),
        (lambda df, m: df.group_by(k=pl.lit(1)).reduce_by(m, "{t}"), "Tea."),
    ],
    ids=["rank_by", "schema of labels", "classify", "schema", "plain", "parse", "reduce_by"],
)
def test_no_verb_reads_the_thoughts(verb: Any, value: Any) -> None:
    seen = run(thinking, verb=verb)
    assert (seen.answers, seen.failures, len(seen.calls)) == ([value], [], 1)


def test_a_verdict_is_not_read_out_of_thoughts() -> None:
    with pytest.raises(dr.errors.RowsFailedError, match="neither a yes nor a no"):
        run(thinking, verb=lambda df, m: df.filter_by(m, "Is it: {t}"))


@pytest.mark.parametrize(
    ("make", "llm", "reply"),
    [
        (dr.Anthropic, {"max_tokens": 9}, message(text("<think>1 to 10?</think>8"))),
        (dr.Anthropic, {"max_tokens": 9}, message({"type": "thinking", "thinking": "1 to 10?"}, text("8"))),
        (dr.OpenAI, {"api": "responses"}, response(said({"type": "output_text", "text": "1 to 10?</think>8"}))),
        (dr.OpenAI, {"api": "completions"}, {"choices": [{"text": "1 to 10?</think>8", "finish_reason": "stop"}]}),
        (dr.OpenAI, {}, chat("8", reasoning_content="1 to 10?")),
        (dr.OpenAI, {}, chat("8", reasoning="1 to 10?")),
        (dr.OpenAI, {"api": "responses"}, response({"type": "reasoning", "summary": [text("1 to 10?")]}, said({"type": "output_text", "text": "8"}))),
        (dr.Mistral, {}, chat([{"type": "thinking", "thinking": [text("1 to 10?")]}, text("8")])),
        (dr.Gemini, {}, chat("<thought>1 to 10?\n</thought>8", extra_content={"google": {"thought": True}})),
    ],
    ids=[
        "anthropic in the text", "anthropic", "responses in the text", "completions", "reasoning_content", "reasoning", "summaries of responses", "mistral",
        "gemini",
    ],
)
def test_thoughts_of_every_protocol_are_no_part_of_the_answer(make: Any, llm: Any, reply: Any) -> None:
    assert run(lambda n, b: reply, make=make, llm=llm, verb=lambda df, m: df.rank_by(m, "{t}")).answers == [8.0]
    thoughts = run(lambda n, b: reply, make=make, llm=llm, verb=lambda df, m: df.rank_by(m, "{t}", reasoning="thoughts").select("score", "thoughts"))
    assert thoughts.answers == ["1 to 10?"]
    model = make("m", base_url="http://here", **llm)
    api = llm.get("api", "chat")
    done = model.wire(Question(llm=model, sampling=model.sampling), Dialect(api=api)).read(json.dumps(reply).encode(), place="here")
    assert (done.text, json.loads(done.extra or "")) == ("8", {"reasoning": "1 to 10?"})


def test_a_model_in_this_process_is_read_likewise() -> None:
    llm = dr.testing.Scripted(lambda _: "The scale is 1 to 10.</think>8")
    with dr.Session(None):
        assert dr.frame({"t": ["a"]}).rank_by(llm, "{t}").collect()["score"].to_list() == [8.0]


# Answers of earlier sessions


OLD = [  # text and finish as they were kept, and what is read of them: None for a failed row, "asked" for a new call
    ("fine", "stop", "fine"),
    ("<think>1 to 10?</think>8", "stop", "8"),
    ("<think>1 to 10", "stop", None),
    ("", "stop", None),
    (None, "stop", None),
    (None, "length", None),
    ("half", "MAX_TOKENS", None),
    (None, "content_filter", None),
    ("no", "refusal", None),
    ("x", "tool_calls", None),
    ("half", "sensitive", None),
    ("half", "error", "asked"),
    ("half", "insufficient_system_resource", "asked"),
    ("half", "a word of theirs", "asked"),
]


def kept(folder: Path, llm: Any) -> None:
    """A session folder with the answers of an earlier session."""
    asked = requests(Question(llm=llm, sampling=llm.sampling), [f"q{i}" for i in range(len(OLD))])
    answers = open_answers(folder)
    for request, (held, finish, _) in zip(asked, OLD, strict=True):
        answers.append(request.key, held, None, finish, 1, 1, 0, 0, "m", None)
    answers.close()


def test_kept_answers_are_read_as_they_would_be_kept_today(tmp_path: Path) -> None:
    llm = dr.testing.Scripted(lambda prompt: "asked")
    kept(tmp_path, llm)
    df = dr.frame({"t": [f"q{i}" for i in range(len(OLD))]}).prompt(llm, "{t}", on_error="null")
    for _ in range(3):  # the last time after the journals were merged
        with dr.Session(tmp_path, progress=False) as session:
            assert df.collect()["answer"].to_list() == [value for _, _, value in OLD]
            session.gc()
    assert llm.calls == [value for _, _, value in OLD].count("asked"), "what broke off is asked for once"


ANSWERS = st.tuples(st.sampled_from([None, "", " ", "a", "<think>b", "b</think>a"]), st.sampled_from([None, *ENDS, "hm"]))


@given(st.lists(ANSWERS, max_size=6))
def test_a_batch_is_judged_as_its_rows_are(rows: list[tuple[str | None, str | None]]) -> None:
    answers = as_read(pl.DataFrame([(t if f is not None else None, None, f) for t, f in rows], schema=SAID, orient="row"))
    good = []
    for held, finish in answers.select("text", "finish").iter_rows():
        try:
            good.append(finish is None or (usable(held, finish, max_tokens=None) == held and finish == "stop"))
        except AnswerError:
            good.append(False)
    assert are_plain(answers) == all(good)
    assert as_read(answers).equals(answers)
