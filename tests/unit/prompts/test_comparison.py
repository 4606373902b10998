"""Which of several texts comes first: the question and what is compared, requests, orders as answers."""

from __future__ import annotations

import pytest

import dreamframe as dr
from dreamframe.prompts.comparison import Order, in_two, shown, texts_of


@pytest.mark.parametrize(
    ("template", "question", "item"),
    [
        ("Which is better written? {text}", "Which is better written?", "{text}"),
        ("Which is better?\n\n{title}\n{body}", "Which is better?", "{title}\n{body}"),
        ("Which answer helps more?\nQ: {q}\nA: {a}", "Which answer helps more?", "Q: {q}\nA: {a}"),
        ("Choose the larger number: {n}", "Choose the larger number:", "{n}"),
        ("Which {{set}} is larger? {s}, {{so}}", "Which {set} is larger?", "{s}, {{so}}"),
    ],
)
def test_a_template_is_a_question_and_what_is_compared(template: str, question: str, item: str):
    assert in_two(template, step="top_k_by") == (question, item)


@pytest.mark.parametrize("template", ["{text}", "{text}\n\nWhich is better?", "Which {text} is better?", "  {text}"])
def test_a_template_that_does_not_begin_with_its_question_is_an_error_that_says_how(template: str):
    with pytest.raises(dr.errors.TemplateError, match=r"best: no question stands before the first column.*'Which is better written\? \{text\}'"):
        in_two(template, step="best")


def test_a_template_that_reads_nothing_compares_nothing():
    with pytest.raises(dr.errors.TemplateError, match="reads no column"):
        in_two("Which is better?", step="best")


@pytest.mark.parametrize("texts", [["tea", "ice"], ["a", "b", "c"], ["one\n\ntwo", "Input A", "Instruction: none"], [str(i) for i in range(12)]])
def test_what_a_request_shows_can_be_told_from_it(texts: list[str]):
    assert texts_of(shown("Which is warmer?", texts)) == texts


@pytest.mark.parametrize("text", ['{"answer": [2, 3, 1]}', "2, 3, 1", "[2] > [3] > [1]", "Input 2, Input 3, then Input 1.", "[2, 3, 1]"])
def test_an_order_is_read_in_json_and_in_words(text: str):
    assert Order.of_size(3).parse(text) == [2, 3, 1]


@pytest.mark.parametrize("text", ['{"answer": [2, 2, 1]}', "2, 3", "[1, 2, 3, 4]", "1 > 2 > 2", "none", ""])
def test_an_answer_that_leaves_one_out_or_names_one_twice_is_no_order(text: str):
    with pytest.raises(dr.errors.ParseError):
        Order.of_size(3).parse(text)
