"""Schemas as grammars: what small models are asked for, and how the answer becomes JSON again."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from dreamframe.answer_schema import AnswerSchema
from dreamframe.llms.constrained import constraint


def of(shape: Any) -> Any:
    schema = AnswerSchema.of(shape)
    assert schema is not None
    return schema, constraint(schema.json_schema)


@pytest.mark.parametrize(
    ("shape", "said", "value"),
    [
        pytest.param(Literal["good", "bad"], "bad", "bad", id="label"),
        pytest.param(['a "quoted" one', "other"], 'a "quoted" one', 'a "quoted" one', id="label with quotes"),
        pytest.param(bool, "Yes", True, id="yes"),
        pytest.param(bool, "No", False, id="no"),
        pytest.param(int, "-4", -4, id="integer"),
        pytest.param(float, "0.5", 0.5, id="number"),
    ],
)
def test_a_bare_value_becomes_the_json_that_the_schema_asks_for(shape: Any, said: str, value: Any) -> None:
    schema, held = of(shape)
    assert schema.parse(held.as_json(said)) == value


def test_a_label_is_asked_for_bare() -> None:
    assert of(Literal["good", "bad"])[1].grammar == '%llguidance {}\nstart: "good" | "bad"'


def test_an_object_is_asked_for_as_compact_json() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "string"}}, "required": ["a", "b"]}
    held = constraint(json.dumps(schema))
    assert held.as_json('{"a": 1, "b": "x"}') == '{"a": 1, "b": "x"}'
    assert '"whitespace_flexible": false' in held.grammar


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "object", "properties": {"a": {"enum": ["x"]}}}, id="optional"),
        pytest.param({"type": "object", "properties": {"a": {"enum": ["x"]}}, "required": ["a"], "additionalProperties": True}, id="more allowed"),
        pytest.param({"type": "object", "properties": {"a": {"enum": ["x", 1]}}, "required": ["a"]}, id="mixed labels"),
        pytest.param({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}, id="free text"),
        pytest.param({"type": "array", "items": {"type": "integer"}}, id="array"),
    ],
)
def test_whatever_is_more_than_one_plain_value_stays_json(schema: dict[str, Any]) -> None:
    held = constraint(json.dumps(schema))
    assert held.key is None
    assert held.as_json("{}") == "{}"


def test_a_text_that_was_cut_stays_as_it_is() -> None:
    assert of(Literal["good", "bad"])[1].as_json("goo") == "goo"
