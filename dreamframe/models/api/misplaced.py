"""Answers that stand where no answer should: the JSON that was asked for, among the thoughts or as the arguments of a tool, with no content beside it.

Reasoning parsers of servers take the whole answer of a held model for thoughts, and gateways turn a schema into a tool. What stands there is the answer only
where a schema was asked for and it is that schema's JSON and nothing else: thoughts are never taken for an answer in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from dreamframe.models.request import Completion, Question
from dreamframe.store.ends import STOP, THOUGHTS, TOOLS

GIVEN = frozenset({"tools", "functions"})  # settings of the user's that bring tools


def put_right(done: Completion, question: Question, calls: Iterable[Any]) -> Completion:
    """The completion with the answer in its place, if it stands among the thoughts or is what its one tool was called with.

    Thoughts of a model that calls a tool are thoughts; and where the user gave the tools, a call of one is no answer.
    """
    if question.json_schema is None or done.finish not in (STOP, TOOLS, THOUGHTS) or (done.text and done.text.strip()):
        return done
    called = list(calls)
    if called:
        found = called[0] if len(called) == 1 and GIVEN.isdisjoint(question.sampling.extras()) else None
    else:
        found = json.loads(done.extra).get("reasoning") if done.extra and done.finish != TOOLS else None
    if (text := _fitting(found, question.json_schema)) is not None:
        done.text, done.finish, done.extra = text, STOP, None
    return done


def calls_of(message: Mapping[str, Any]) -> list[Any]:
    """The arguments of the calls in a chat message."""
    calls = [(call.get("function") or {}).get("arguments") for call in message.get("tool_calls") or () if isinstance(call, Mapping)]
    if not calls and isinstance(message.get("function_call"), Mapping):
        calls = [message["function_call"].get("arguments")]
    return calls


def _fitting(found: Any, json_schema: str) -> str | None:
    """The text of an object that fits a schema; None for anything else."""
    try:
        value = json.loads(found) if isinstance(found, str) else found
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or not _validator(json_schema).is_valid(value):
        return None
    return json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=64)
def _validator(json_schema: str) -> Any:
    import jsonschema

    schema = json.loads(json_schema)
    return jsonschema.validators.validator_for(schema)(schema)
