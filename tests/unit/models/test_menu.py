"""Questions that are answered by one letter of a menu: what is sent, and what is read."""

from __future__ import annotations

import json

import pytest

import dreamframe as dr
from dreamframe.errors import ParseError
from dreamframe.models.menu import LEAST, LETTERS, read_weighed, shares_of, weighed, with_menu, without_menu
from dreamframe.models.request import Question

LABELS = ("good", "good enough", "bad")


def test_the_menu_of_a_chat_stands_below_its_last_message():
    talk = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hm?"}, {"role": "user", "content": [{"type": "text", "text": "Good?"}]}]
    made = json.loads(with_menu(json.dumps(talk), LABELS, form="messages"))
    assert made[:2] == talk[:2]
    assert made[2]["content"][0] == talk[2]["content"][0]
    assert made[2]["content"][1]["text"].endswith("A. good\nB. good enough\nC. bad")
    answered = json.loads(with_menu(json.dumps(talk[:2]), LABELS, form="messages"))
    assert [m["role"] for m in answered] == ["user", "assistant", "user"]


def test_a_prompt_is_found_again_above_its_menu():
    for prompt in ("Which?", "", "Which?\n\n", "A. good\nB. good enough\nC. bad"):
        assert without_menu(with_menu(prompt, LABELS, form="text"), LABELS) == prompt


def test_shares_of_the_menu_are_told_with_what_is_beside_it():
    read = read_weighed(weighed(LABELS, [0.1, 0.4, 0.3]), LABELS)
    assert (read.label, read.probability, read.outside) == ("good enough", pytest.approx(0.5), pytest.approx(0.2))
    assert read.all == pytest.approx({"good": 0.125, "good enough": 0.5, "bad": 0.375})


def test_of_equally_likely_labels_the_first_is_the_answer():
    assert read_weighed(weighed(LABELS, [0.2, 0.4, 0.4]), LABELS).label == "good enough"


@pytest.mark.parametrize("on_menu", [0.0, LEAST * 0.9])
def test_an_answer_that_is_hardly_on_the_menu_is_none(on_menu: float):
    with pytest.raises(ParseError, match=f"have {on_menu:.1%} of the probability, less than 5%; it would begin with 'Well'"):
        read_weighed(weighed(LABELS, [on_menu, 0.0, 0.0], said="Well"), LABELS)
    assert read_weighed(weighed(LABELS, [LEAST * 1.01, 0.0, 0.0]), LABELS).probability == 1.0


@pytest.mark.parametrize(
    "text", [None, "", "A", "{}", '{"label": "good", "score": 0.5}', "[1]", '{"label": "good", "score": 1, "all": [["good", 1]], "outside": 0}']
)
def test_what_does_not_weigh_the_labels_is_not_an_answer(text: str | None):
    with pytest.raises(ParseError):
        read_weighed(text, LABELS)


def test_a_script_gives_probabilities_by_label():
    assert shares_of(("yes", "no"), {True: 0.7}) == [0.7, 0.0]
    assert shares_of(("1", "2"), {1: 0.1, 2: 0.9}) == [0.1, 0.9]
    for wrong in ({"maybe": 1.0}, {"yes": 0.7, "no": 0.7}, {"yes": -0.1}):
        with pytest.raises(ValueError, match=r"is not one of|are not probabilities"):
            shares_of(("yes", "no"), wrong)


def test_a_menu_is_part_of_the_question_where_there_is_one():
    asked = Question(llm=dr.OpenAI("gpt-4o-mini"))
    assert b"labels" not in asked.key_prefix
    other = [Question(llm=dr.OpenAI("gpt-4o-mini"), labels=labels).key_prefix for labels in (("a", "b"), ("b", "a"), ("a",))]
    assert len({asked.key_prefix, *other}) == 4


def test_letters_are_told_apart():
    assert len(set(LETTERS)) == 26
