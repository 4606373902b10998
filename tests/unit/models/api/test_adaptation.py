"""What is asked otherwise after an error reply: of a model's limit in its provider's own words, and without moving what anything is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.api.adaptation import Adapted
from dreamframe.models.api.error_replies import ErrorReply
from dreamframe.models.api.http import Reply
from dreamframe.models.api.wire import Dialect
from dreamframe.models.llms.anthropic import Anthropic
from dreamframe.models.request import Question

LLM = Anthropic("claude-x", api_key="k")
OURS = Dialect(most_tokens=8192, names_limit=r"at most (\d+) tokens")


def after(said: str, dialect: Dialect) -> Dialect:
    """The dialect after one reply with status 400."""
    question = Question(llm=LLM)
    adapted = Adapted(dialect)
    adapted.adapt(LLM.wire(question, dialect), ErrorReply(Reply(400, {}, json.dumps({"error": {"message": said}}).encode())))
    return adapted.dialect(LLM.model, question)


def test_a_limit_is_read_in_the_words_of_the_provider() -> None:
    assert after("This model gives at most 4096 tokens.", OURS).most_tokens == 4096
    assert after("max_tokens: 8192 > 4096, which is the maximum", LLM.dialect).most_tokens == 4096


@pytest.mark.parametrize("dialect", [OURS, replace(OURS, names_limit=None), replace(OURS, most_tokens=None)], ids=["others", "none", "no number asked"])
def test_the_words_of_one_provider_say_nothing_of_another(dialect: Dialect) -> None:
    assert after("max_tokens: 8192 > 4096, which is the maximum", dialect) == dialect


def test_a_limit_that_is_not_below_the_one_asked_for_changes_nothing() -> None:
    assert after("at most 8192 tokens", OURS) == OURS


def test_how_a_provider_words_its_limit_is_not_part_of_what_a_model_is() -> None:
    """A user's own preset is hashed with its dialect: answers that it gave are found again."""
    assert fingerprint(Dialect()) == fingerprint(Dialect(names_limit="x")) == "553d1a67900fbc838845fd30d4f2caa9"
