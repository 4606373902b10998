"""The further turns of a request whose answer could not be used: the model is shown its answer, and what was wrong with it."""

from __future__ import annotations

import json
from typing import Any

from dreamframe.errors import ParseError
from dreamframe.models.menu import asked_below
from dreamframe.models.request import Question

REPAIR = "That answer could not be used: {error}\nAnswer again, with nothing but JSON that fits the schema."
ANEW = "Answer with nothing but JSON that fits the schema."


def turns(prompt: str, question: Question) -> list[dict[str, Any]]:
    """The messages of a request so far, without the system prompt."""
    return list(json.loads(prompt)) if question.form == "messages" else [{"role": "user", "content": prompt}]


def next_turn(talk: list[dict[str, Any]], error: ParseError) -> list[dict[str, Any]]:
    """The messages with the answer that could not be used and what was wrong with it. An empty answer is no message: then it is asked anew."""
    if error.text and error.text.strip():
        return [*talk, {"role": "assistant", "content": error.text}, {"role": "user", "content": REPAIR.format(error=error)}]
    return asked_below(talk, ANEW)
