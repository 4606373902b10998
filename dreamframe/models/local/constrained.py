"""Constrained decoding for models in this process: a JSON schema as a grammar of llguidance, which both engines know.

llguidance is the choice because llama.cpp has it built in: one grammar, the same answers from both engines, and a token's mask costs microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}  # small models lose themselves in free white space
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "const"}
MOST = 10**18 - 1  # whole numbers that fit a column of 64 bits, by their digits


@lru_cache(maxsize=256)
def grammar(json_schema: str) -> str:
    """The grammar of a schema: its JSON on one line.

    JSON also where a bare label would do: a 135M model read the moods of 40 reviews right 32 times as `{"answer": true}`, 20 times as `Yes`.
    """
    return f"%llguidance {{}}\nstart: %json {json.dumps({'x-guidance': COMPACT, **_bounded(json.loads(json_schema))})}"


def literal(text: str) -> str:
    """The grammar of one text.

    >>> print(literal('{"answer": true}'))
    %llguidance {}
    start: "{\\"answer\\": true}"
    """
    return f"%llguidance {{}}\nstart: {json.dumps(text, ensure_ascii=False)}"


@lru_cache(maxsize=256)
def refusal(json_schema: str) -> str:
    """Why a schema's grammar cannot be decoded under; empty where it can. llama.cpp itself would go on without a grammar and say nothing."""
    try:
        from llguidance import LLMatcher
    except ImportError:
        return ""  # then only the reading of the answer tells
    return str(LLMatcher.validate_grammar(grammar(json_schema)))


def _bounded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with whole numbers kept within 64 bits, where nothing else bounds them, and no fields but those it names, where it says nothing of
    others: as the strict modes of APIs take it. Small models make up fields without end."""
    held = {k: _inside(k, v) for k, v in schema.items()}
    if "properties" in held:
        held.setdefault("additionalProperties", False)
    if held.get("type") == "integer" and not BOUNDS & set(held):
        held |= {"minimum": -MOST, "maximum": MOST}
    return held


def _inside(key: str, value: Any) -> Any:
    if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
        return {k: _bounded(v) if isinstance(v, dict) else v for k, v in value.items()}
    if key in ("items", "additionalProperties") and isinstance(value, dict):
        return _bounded(value)
    if key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
        return [_bounded(v) if isinstance(v, dict) else v for v in value]
    return value
