"""Where an answer ends: the chat template's closing token, and stops that name special tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from dreamframe.models.local.chat_template import chat_template, closing_token
from dreamframe.models.local.ends import Stops, end_ids
from tests.micro import CHATML, micro_tokenizer


@pytest.mark.parametrize(
    ("template", "closing"),
    [
        (CHATML, "<|im_end|>"),
        (chat_template("### {{prompt}}\n### "), "<|im_end|>"),  # the tokenizer's own end
        ("{% for m in messages %}{{ m['content'] }} {% endfor %}", None),
        ("{% for m in messages %}{{ m['content'] }}\n</s>{% endfor %}", "</s>"),
        ("{{ raise_exception('no') }}", None),
        ("{{ messages[0]['content'] }}", None),
    ],
)
def test_the_token_that_closes_an_answer_is_told_by_trying(template: str, closing: str | None) -> None:
    assert closing_token(micro_tokenizer(), template) == closing


def test_an_answer_ends_with_the_tokens_of_config_tokenizer_and_template() -> None:
    tokenizer = micro_tokenizer()
    ids = {t: tokenizer.convert_tokens_to_ids(t) for t in ("<pad>", "</s>", "<|im_end|>")}
    closed = "{% for m in messages %}{{ m['content'] }}</s>{% endfor %}"
    assert end_ids(tokenizer, SimpleNamespace(eos_token_id=[ids["<pad>"]]), closed) == set(ids.values())
    assert end_ids(tokenizer, SimpleNamespace(eos_token_id=None), None) == {ids["<|im_end|>"]}


def decode(tokenizer: Any, tokens: list[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=True))


@pytest.mark.parametrize(
    ("stops", "is_met", "text"),
    [
        (["<|im_start|>"], True, "warm "),
        (["m <|im_start|>"], True, "war"),
        (["tea"], True, "warm "),
        (["<|im_start|>", "wa"], True, ""),
        (["</s>"], False, "warm tea"),
        (["bread"], False, "warm tea"),
    ],
)
def test_a_stop_may_name_a_special_token(stops: list[str], is_met: bool, text: str) -> None:
    tokenizer = micro_tokenizer()
    ids = tokenizer("warm <|im_start|>tea", add_special_tokens=False)["input_ids"]
    found = Stops(tokenizer, stops, lambda tokens: decode(tokenizer, list(tokens)))
    assert (found.is_met(ids), found.cut(ids)) == (is_met, text)
