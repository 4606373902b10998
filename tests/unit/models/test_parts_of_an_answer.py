"""Replies that hold more than the answer: what is said on the way to it, several choices, thoughts in tags of the model's own."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from dreamframe.models.local.chat_tokens import has_channels, text_of_tokens
from dreamframe.models.request import Completion
from tests.loopback.served import chat, response, run, said
from tests.micro import micro_tokenizer

RESPONSES: dict[str, Any] = {"api": "responses"}
HARMONY = "<|channel|>analysis<|message|>The scale is 1 to 10. Yes.<|end|><|start|>assistant<|channel|>final<|message|>8"
TAGS = ("thinking", "thought", "reasoning", "Reflection", "scratchpad")


def part(text: str, **more: Any) -> dict[str, Any]:
    return {**said({"type": "output_text", "text": text}), **more}


def test_what_is_said_on_the_way_is_no_part_of_a_response() -> None:
    way, end = part("The scale is 1 to 10.", phase="commentary"), part("8", phase="final_answer")
    assert run(lambda n, b: response(way, end), llm=RESPONSES).answers == ["8"]
    alone = run(lambda n, b: response(way), llm=RESPONSES)
    assert (alone.answers, alone.failures[0][0]) == ([None], "RefusedError")


def test_a_message_that_is_not_whole_is_no_answer_in_a_response_that_is() -> None:
    seen = run(lambda n, b: response(part("The capital of Fra", status="incomplete")), llm=RESPONSES)
    assert (seen.answers, seen.failures[0][0]) == ([None], "AnswerError")


def test_the_first_of_several_choices_is_the_one_that_is_named_so() -> None:
    second, first = ({**chat(t)["choices"][0], "index": i} for t, i in (("second", 1), ("first", 0)))
    assert run(lambda n, b: {"choices": [second, first]}).answers == ["first"]
    assert run(lambda n, b: {"choices": [chat(t)["choices"][0] for t in ("first", "second")]}).answers == ["first"]


@pytest.mark.parametrize("tag", TAGS)
def test_a_verdict_is_not_read_out_of_thoughts_in_tags(tag: str) -> None:
    thoughts = f"<{tag}>The scale is 1 to 10. Yes, or Response A.</{tag}>\n"
    ranked = run(lambda n, b: chat(thoughts + "8"), verb=lambda df, m: df.rank_by(m, "Rate {t}"))
    assert ranked.answers == [8.0]
    assert run(lambda n, b: chat(thoughts + "no"), verb=lambda df, m: df.filter_by(m, "Is it? {t}")).answers == []
    judged = run(lambda n, b: chat(thoughts + "Response B"), verb=lambda df, m: df.with_columns(u="t").judge(m, a="t", b="u", swap="never"))
    assert judged.answers == ["b"]
    cut = run(lambda n, b: chat(f"<{tag}>The scale is 1 to 10"), verb=lambda df, m: df.rank_by(m, "Rate {t}", on_error="null"))
    assert (cut.answers, cut.failures[0][0]) == ([None], "ParseError")


def test_tags_that_were_asked_for_stay_in_the_text_and_reach_the_users_parse() -> None:
    given = "<thinking>asked for</thinking>8"
    assert run(lambda n, b: chat(given)).answers == [given]
    assert run(lambda n, b: chat(given), parse=lambda t: t.partition("</thinking>")[0]).answers == ["<thinking>asked for"]


def test_channels_that_nothing_took_apart_are_thoughts_and_answer() -> None:
    assert run(lambda n, b: chat(HARMONY)).answers == ["8"]
    assert run(lambda n, b: chat(HARMONY), verb=lambda df, m: df.rank_by(m, "Rate {t}")).answers == [8.0]
    assert run(lambda n, b: chat(HARMONY.partition("<|end|>")[0])).failures[0][0] == "RefusedError"




def test_a_local_models_channels_are_seen_although_their_marks_are_special_tokens() -> None:
    tokenizer = copy.deepcopy(micro_tokenizer())
    assert not has_channels(tokenizer)
    tokenizer.add_tokens(["<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|return|>"], special_tokens=True)
    assert has_channels(tokenizer)
    tokens = tokenizer(HARMONY + "<|return|>")["input_ids"]
    assert Completion(text_of_tokens(tokenizer, tokens, with_channels=True)).text == "8"
    assert Completion(text_of_tokens(tokenizer, tokens, with_channels=False)).text != "8"
