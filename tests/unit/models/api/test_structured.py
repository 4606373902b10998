"""Strict modes: what a provider is asked for allows what the user's schema allows, and what comes back is what the user's schema says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.models.api.structured import is_strictable, nullable, strict
from dreamframe.prompts.answer_schema import AnswerSchema
from tests.loopback.served import chat, message, run, text
from tests.unit.prompts.answer_shapes import SHAPES

SCALARS: list[tuple[dict[str, Any], Any]] = [
    ({"type": "integer"}, 1),
    ({"type": "string", "description": "d"}, "x"),
    ({"type": ["boolean", "null"]}, True),
    ({"type": "string", "enum": ["x", "y"]}, "y"),
    ({"enum": ["x", "y"]}, "x"),
    ({"const": "x"}, "x"),
    ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 3),
    ({"$ref": "#/$defs/known"}, {"k": 1}),
]
KNOWN = {"known": {"type": "object", "properties": {"k": {"type": "integer"}, "l": {"type": "string"}}, "required": ["k"], "additionalProperties": False}}


@st.composite
def objects(draw: st.DrawFn, depth: int = 2) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A schema of an object; a value of it with some fields left out; the same value with null for what was left out."""
    properties, needed, value, full = {}, [], {}, {}
    for name in draw(st.lists(st.sampled_from(["a", "b", "type", "required"]), min_size=1, max_size=3, unique=True)):
        if depth and draw(st.booleans()):
            schema, held, filled = draw(objects(depth - 1))
            if draw(st.booleans()):
                schema, held, filled = {"type": "array", "items": schema}, [held], [filled]  # type: ignore[assignment]
        else:
            schema, held = draw(st.sampled_from(SCALARS))
            filled = {**held, "l": None} if isinstance(held, dict) else held
        properties[name] = schema
        if is_needed := draw(st.booleans()):
            needed.append(name)
        if is_needed or draw(st.booleans()):
            value[name], full[name] = held, filled
        else:
            full[name] = None
    more = {"required": needed} if needed or draw(st.booleans()) else {}
    return {"type": "object", "properties": properties, "additionalProperties": False, **more}, value, full


@given(objects())
def test_what_may_be_left_out_may_be_null_in_a_strict_mode_and_is_read_as_left_out(case: tuple[dict[str, Any], dict[str, Any], dict[str, Any]]) -> None:
    schema, value, full = case
    schema = {**schema, "$defs": KNOWN}
    assert is_strictable(schema)
    asked = strict(schema)
    for made in walk(asked):
        assert set(made.get("required", ())) == set(made.get("properties", {}))
    jsonschema.Draft202012Validator.check_schema(asked)
    jsonschema.validate(full, asked)
    held = AnswerSchema.of(schema)
    assert held is not None
    assert held.parse(json.dumps(full)) == held.parse(json.dumps(value))


def walk(schema: Any) -> list[dict[str, Any]]:
    """Every object of a schema."""
    if isinstance(schema, list):
        return [found for s in schema for found in walk(s)]
    if not isinstance(schema, dict):
        return []
    own = [schema] if schema.get("type") == "object" else []
    inner = [*schema.get("properties", {}).values(), *schema.get("$defs", {}).values(), schema.get("items"), schema.get("anyOf")]
    return own + walk(inner)


@pytest.mark.parametrize(
    ("schema", "made"),
    [
        ({"type": "string"}, {"type": ["string", "null"]}),
        ({"type": ["string", "integer"]}, {"type": ["string", "integer", "null"]}),
        ({"type": "string", "enum": ["a"]}, {"type": ["string", "null"], "enum": ["a", None]}),
        ({"enum": ["a"]}, {"anyOf": [{"enum": ["a"]}, {"type": "null"}]}),
        ({"anyOf": [{"type": "string"}, {"$ref": "#/$defs/x"}]}, {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/x"}, {"type": "null"}]}),
        ({"$ref": "#/$defs/x"}, {"anyOf": [{"$ref": "#/$defs/x"}, {"type": "null"}]}),
        ({"type": ["string", "null"]}, {"type": ["string", "null"]}),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (True, True),
    ],
    ids=str,
)
def test_a_schema_that_may_be_null(schema: Any, made: Any) -> None:
    assert nullable(schema) == made


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]},
        {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"type": "object", "properties": {"b": {"type": "integer"}}}]},
        {"type": "object", "properties": {"a": {"type": "integer"}}, "allOf": [{"properties": {"a": {"minimum": 3}}}]},
        {"type": "object", "properties": {"a": {"type": "object"}}},
    ],
    ids=["needs what it does not name", "several at once", "another over it", "open"],
)
def test_what_a_strict_mode_would_change_is_asked_for_as_it_is(schema: dict[str, Any]) -> None:
    assert not is_strictable(schema)


PHONE = {"type": "object", "properties": {"name": {"type": "string"}, "phone": {"type": "string"}}, "required": ["name"]}


class Person(pydantic.BaseModel):
    name: str
    phone: str | None = None


@pytest.mark.parametrize("said", ['{"name": "Ann"}', '{"name": "Ann", "phone": null}', '```json\n{"name": "Ann"}\n```'])
@pytest.mark.parametrize("shape", [PHONE, Person], ids=["json schema", "pydantic"])
@pytest.mark.parametrize("make", [dr.OpenAI, dr.Anthropic, dr.DeepSeek], ids=lambda m: m.__name__)
def test_a_field_that_is_left_out_or_null_is_read_at_once(make: Any, shape: Any, said: str) -> None:
    reply = message(text(said)) if make is dr.Anthropic else chat(said)
    seen = run(lambda n, b: reply, make=make, schema=shape)
    assert (seen.answers, len(seen.calls)) == ([{"name": "Ann", "phone": None}], 1)


def test_a_field_that_may_be_left_out_goes_out_as_one_that_may_be_null() -> None:
    seen = run(lambda n, b: chat('{"name": "Ann", "phone": null}'), schema=PHONE)
    sent = seen.calls[0]["response_format"]["json_schema"]
    assert sent["strict"] is True
    assert sent["schema"]["properties"] == {"name": {"type": "string"}, "phone": {"type": ["string", "null"]}}
    assert sent["schema"]["required"] == ["name", "phone"]


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_strict_mode_asks_for_is_valid_json_schema(name: str) -> None:
    made = AnswerSchema.of(SHAPES[name][0])
    assert made is not None
    schema = json.loads(made.json_schema)
    if is_strictable(schema):
        jsonschema.Draft202012Validator.check_schema(strict(schema))
