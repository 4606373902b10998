"""Schemas as grammars."""

from __future__ import annotations

import json
from typing import Any

import pytest

from dreamframe.models.local.constrained import MOST, grammar, refusal
from dreamframe.prompts.answer_schema import AnswerSchema


def held(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema that the grammar of `schema` holds a model to."""
    text = grammar(json.dumps(schema))
    return dict(json.loads(text.removeprefix("%llguidance {}\nstart: %json ")))


def test_json_is_written_on_one_line() -> None:
    assert held({"type": "object"})["x-guidance"]["whitespace_flexible"] is False


@pytest.mark.parametrize(
    ("schema", "at"),
    [
        pytest.param({"type": "object", "properties": {"n": {"type": "integer"}}}, ("properties", "n"), id="property"),
        pytest.param({"type": "array", "items": {"type": "integer"}}, ("items",), id="item"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "null"}]}, ("anyOf", 0), id="alternative"),
        pytest.param({"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n"}, ("$defs", "n"), id="definition"),
    ],
)
def test_whole_numbers_stay_within_64_bits(schema: dict[str, Any], at: tuple[Any, ...]) -> None:
    found: Any = held(schema)
    for step in at:
        found = found[step]
    assert (found["minimum"], found["maximum"]) == (-MOST, MOST)


@pytest.mark.parametrize("own", [{"minimum": 1}, {"exclusiveMaximum": 9}, {"enum": [1, 2]}], ids=lambda o: next(iter(o)))
def test_bounds_of_the_schema_are_its_own(own: dict[str, Any]) -> None:
    assert held({"type": "integer", **own}) == {"x-guidance": held({})["x-guidance"], "type": "integer", **own}


def test_a_property_that_is_called_as_a_keyword_is_none() -> None:
    schema = {"type": "object", "properties": {"items": {"type": "string"}, "type": {"type": "integer"}}}
    assert held(schema)["properties"] == {"items": {"type": "string"}, "type": {"type": "integer", "minimum": -MOST, "maximum": MOST}}


@pytest.mark.parametrize("shape", [bool, int, float, ["a", "b"], list[int]], ids=str)
def test_every_plain_shape_can_be_decoded_under(shape: Any) -> None:
    schema = AnswerSchema.of(shape)
    assert schema is not None
    assert refusal(schema.json_schema) == ""


def test_what_is_no_schema_is_refused() -> None:
    assert "what" in refusal('{"type": "what"}')
