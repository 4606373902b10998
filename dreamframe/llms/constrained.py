"""Constrained decoding for models in this process: a JSON schema as a grammar of llguidance, which both engines know.

llguidance is the choice because llama.cpp has it built in: one grammar, the same answers from both engines, and a token's mask costs microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

COMPACT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}  # small models lose themselves in free white space
YES_NO = {"Yes": True, "No": False}  # what a model would say by itself
NUMBERS = ("integer", "number")
BOUNDS = {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}
MOST = 10**18 - 1  # whole numbers that fit a column of 64 bits, by their digits


@dataclass(frozen=True)
class Constraint:
    """A grammar, and how what was written under it becomes the JSON that the schema asks for."""

    grammar: str
    key: str | None = None  # the answer is the bare value of this one key
    values: Mapping[str, Any] | None = None  # text → value; None: the text is JSON

    def as_json(self, text: str) -> str:
        """The whole JSON answer. Text that the length limit cut stays as it is."""
        if self.key is None:
            return text
        if self.values is not None:
            return json.dumps({self.key: self.values[text]}, ensure_ascii=False) if text in self.values else text
        return f'{{"{self.key}": {text}}}'


@lru_cache(maxsize=256)
def constraint(json_schema: str) -> Constraint:
    """The constraint of a schema.

    An object with one required label, yes-or-no or number is asked for as the bare value: a small model answers a question far better than it
    fills in a form (moods of ten reviews by a 135M model: one label for all as JSON, seven right bare).
    """
    schema = json.loads(json_schema)
    key, value = _only(schema)
    if key is not None and (labels := _labels(value)):
        choices = {str(label): label for label in labels}
        return Constraint(_choice(choices), key, choices)
    if key is not None and value.get("type") == "boolean":
        return Constraint(_choice(YES_NO), key, YES_NO)
    if key is not None and value.get("type") in NUMBERS:
        bounds = {"minimum": -MOST, "maximum": MOST} if value["type"] == "integer" and not BOUNDS & set(value) else {}
        return Constraint(_json({**value, **bounds}), key)
    return Constraint(_json(schema))


@lru_cache(maxsize=256)
def refusal(json_schema: str) -> str:
    """Why a schema's grammar cannot be decoded under; empty where it can. llama.cpp itself would go on without a grammar and say nothing."""
    try:
        from llguidance import LLMatcher
    except ImportError:
        return ""  # then only the reading of the answer tells
    return str(LLMatcher.validate_grammar(constraint(json_schema).grammar))


def _only(schema: Mapping[str, Any]) -> tuple[str | None, Mapping[str, Any]]:
    """The one property of an object and its schema, where there is just one and it is required."""
    properties = schema.get("properties")
    if not isinstance(properties, dict) or len(properties) != 1:
        return None, {}
    ((key, value),) = properties.items()
    plain = schema.get("additionalProperties") is not True and set(schema) <= {"type", "properties", "required", "additionalProperties", "title", "$defs"}
    if not plain or schema.get("required") != [key] or not isinstance(value, dict) or json.dumps(key) != f'"{key}"':
        return None, {}
    return key, value


def _labels(value: Mapping[str, Any]) -> list[str]:
    labels = [value["const"]] if "const" in value else value.get("enum") or []
    return labels if all(isinstance(label, str) and label and "\n" not in label for label in labels) else []


def _choice(choices: Mapping[str, Any]) -> str:
    return "%llguidance {}\nstart: " + " | ".join(json.dumps(label, ensure_ascii=False) for label in choices)


def _json(schema: Mapping[str, Any]) -> str:
    return f"%llguidance {{}}\nstart: %json {json.dumps({'x-guidance': COMPACT, **schema})}"
