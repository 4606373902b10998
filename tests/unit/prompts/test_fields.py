"""A dict of names and types as the schema of answers: the JSON Schema that it stands for, and what is no such dict."""

from __future__ import annotations

import datetime
import enum
from typing import Any, Literal

import polars as pl
import pydantic
import pytest

import dreamframe as dr
from dreamframe.errors import SchemaError
from dreamframe.prompts.answer_schema import AnswerSchema

ROWS = dr.frame({"t": ["x"]})


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Ticket(pydantic.BaseModel):
    urgent: bool


MOOD = pl.Enum(["good", "bad"])
FIELDS: dict[str, tuple[dict[str, Any], pl.Struct]] = {
    "scalars": ({"city": str, "n": int, "x": float, "ok": bool}, pl.Struct({"city": pl.String, "n": pl.Int64, "x": pl.Float64, "ok": pl.Boolean})),
    "labels": ({"a": ["good", "bad"], "b": Literal["good", "bad"], "c": Mood, "n": int}, pl.Struct({"a": MOOD, "b": MOOD, "c": MOOD, "n": pl.Int64})),
    "labels alone": ({"mood": ["good", "bad"]}, pl.Struct({"mood": MOOD})),
    "lists": ({"tags": list[str], "ids": list[int]}, pl.Struct({"tags": pl.List(pl.String), "ids": pl.List(pl.Int64)})),
    "fields of fields": ({"who": {"name": str, "age": int | None}}, pl.Struct({"who": pl.Struct({"name": pl.String, "age": pl.Int64})})),
    "polars": ({"n": pl.Int32, "s": pl.String()}, pl.Struct({"n": pl.Int32, "s": pl.String})),
    "words of JSON Schema": ({"type": str, "title": str}, pl.Struct({"type": pl.String, "title": pl.String})),
}


@pytest.mark.parametrize("case", FIELDS)
def test_fields_and_their_types_are_a_schema(case: str) -> None:
    fields, dtype = FIELDS[case]
    schema = AnswerSchema.of(fields)
    assert schema is not None
    names = {f.name for f in schema.dtype.fields}  # type: ignore[attr-defined]
    assert names == set(fields)
    if case != "polars":  # JSON knows one kind of whole number
        assert schema.dtype == dtype
    df = ROWS.prompt(dr.testing.Echo(), "{t}", schema=fields)
    assert dr.from_json(df.to_json()).step.key({}) == df.step.key({})


def test_they_are_the_json_schema_that_they_stand_for() -> None:
    held = {"city": {"type": "string"}, "mood": {"type": "string", "enum": ["a", "b"]}}
    written = {"type": "object", "properties": held, "required": ["city", "mood"], "additionalProperties": False}
    by_fields = ROWS.extract(dr.testing.Echo(), {"city": str, "mood": ["a", "b"]}, "t")
    assert by_fields.step.key({}) == ROWS.extract(dr.testing.Echo(), written, "t").step.key({})


def test_the_model_is_held_to_them() -> None:
    llm = dr.testing.Scripted(['{"city": "Bern"}', '{"city": "Bern", "n": 3}'])
    with dr.Session(None, progress=False):
        assert ROWS.extract(llm, {"city": str, "n": int}, "t").to_dicts() == [{"t": "x", "extracted": {"city": "Bern", "n": 3}}]
    assert llm.calls == 2  # the first lacked a field


WRONG: dict[str, tuple[Any, str]] = {
    "dict": (dict, r"schema=dict does not say what is in it; name its fields, e\.g\. schema=\{'city': str"),
    "list": (list, r"schema=list does not say what is in it; name the type of its elements, e\.g\. schema=list\[str\]"),
    "set": (set, "schema=set does not say"),
    "a field of any dict": ({"a": dict}, "'a': schema=dict does not say what is in it"),
    "a field that pydantic checks": ({"t": Ticket}, "the field 't' of schema= is .*Ticket.*; write the whole as a pydantic model"),
    "a list of them": ({"t": list[Ticket]}, "write the whole as a pydantic model"),
    "a date": ({"d": datetime.date}, "write the whole as a pydantic model"),
    "names of types": ({"city": "string"}, r"write fields and their types, e\.g\. \{'city': str\}"),
    "nothing": ({}, r"write fields and their types"),
    "types inside JSON Schema": ({"type": "object", "properties": {"a": str}}, r"Types of Python stand in fields"),
    "labels of a set": ({"a", "b"}, "is not an answer schema"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_says_too_little_is_refused_with_what_to_write(case: str) -> None:
    shape, said = WRONG[case]
    with pytest.raises(SchemaError, match=said):
        ROWS.prompt(dr.testing.Echo(), "{t}", schema=shape)
