"""Shapes of answers: every kind of shape has a schema, a column type and a strict reading; what does not fit is never a default."""

from __future__ import annotations

import datetime as dt
import enum
import json
import re
import socket
import subprocess
import sys
import time
from typing import Annotated, Any, Literal

import jsonschema
import polars as pl
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamframe.errors import ParseError, SchemaError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.prompts.answer_schema import AnswerSchema
from tests.unit.prompts.answer_shapes import OBJECT, SHAPES, Checked, Inner, Mood, Outer, Record, Renamed

RUBBISH = ["", " ", "I don't know.", "[" * 100_000, '{"answer": ' * 50_000, "{", "nul", '{"answer": }', "\ud800", '{"answer": "\\ud800"}']
RUBBISH += ["```", "```" + " " * 100_000 + "x"]
READS = [(name, text, value) for name, (_, _, reads, _) in SHAPES.items() for text, value in reads]
REFUSES = [(name, text) for name, (_, _, _, refused) in SHAPES.items() for text in refused]


def named(value: Any) -> str:
    """A test's name: without addresses, which differ between processes."""
    return re.sub(r" at 0x[0-9a-f]+", "", str(value))[:40]


def schema(shape: Any) -> AnswerSchema:
    made = AnswerSchema.of(shape)
    assert made is not None
    return made


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_has_the_column_type(name: str):
    assert schema(SHAPES[name][0]).dtype == SHAPES[name][1]


@pytest.mark.parametrize("name", SHAPES)
def test_what_a_model_is_held_to_is_valid_json_schema_of_an_object(name: str):
    made = json.loads(schema(SHAPES[name][0]).json_schema)
    jsonschema.Draft202012Validator.check_schema(made)
    assert made["type"] == "object"


@pytest.mark.parametrize(("name", "text", "value"), READS, ids=[f"{n}: {t}"[:60] for n, t, _ in READS])
def test_an_answer_is_read(name: str, text: str, value: Any):
    made = schema(SHAPES[name][0])
    found = made.parse(text)
    assert found == value
    assert type(found) is type(value)
    assert made.to_series("a", [found, None]).to_list() == [value, None]


@pytest.mark.parametrize(("name", "text"), REFUSES, ids=[f"{n}: {t}"[:60] for n, t in REFUSES])
def test_an_answer_that_does_not_fit_is_refused_with_its_text(name: str, text: str):
    with pytest.raises(ParseError) as caught:
        schema(SHAPES[name][0]).parse(text)
    assert caught.value.text == text


@pytest.mark.parametrize(
    "fenced",
    ["```json\n{}\n```", "```\n{}\n```", "```json {}```", "```{}```", " ```JSON\r\n{}\r\n```\n", "```json\n{}", "```json\n\n{}\n\n```\n\n"],
    ids=repr,
)
@pytest.mark.parametrize(("shape", "held", "value"), [(int, '{"answer": 4}', 4), (OBJECT, '{"a": 1}', {"a": 1, "b": None}), (list[int], "[1]", [1])], ids=named)
def test_json_in_a_code_fence_is_read(fenced: str, shape: Any, held: str, value: Any):
    assert schema(shape).parse(fenced.replace("{}", held)) == value


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("text", RUBBISH, ids=lambda t: repr(t[:20]))
def test_rubbish_is_a_parse_error_for_every_shape(name: str, text: str):
    with pytest.raises(ParseError):
        schema(SHAPES[name][0]).parse(text)


def test_none_and_text_are_no_schema():
    assert [AnswerSchema.of(s) for s in (None, str, pl.String, pl.String())] == [None] * 4


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ([], "labels must be different values of one type"),
        (["a", 1], "labels must be different values of one type"),
        (["a", "a"], "labels must be different values of one type"),
        ([1, True], "labels must be different values of one type"),
        ([["a"]], "labels must be different values of one type"),
        (enum.Enum("Empty", []), "labels must be different"),
        (pl.Date, "cannot be asked for a Date"),
        (pl.Decimal(10, 2), "cannot be asked for a Decimal"),
        (pl.Object, "cannot be asked for a Object"),
        (pl.List(pl.Binary), "cannot be asked for a Binary"),
        (pl.Struct([]), "cannot be asked for a Struct"),
        ({"type": "nonsense"}, "not valid JSON Schema"),
        ({"type": "object", "properties": []}, "not valid JSON Schema"),
        ({"description": "x"}, "says no type"),
        ({"type": "integer", "minimum": float("nan")}, "is not JSON"),
        ({"enum": [object()]}, "is not JSON"),
        ({"$ref": "#/$defs/nothing"}, "refers to '#/\\$defs/nothing', which it does not hold"),
        ({"type": "array", "items": {"$ref": "http://127.0.0.1:1/schema"}}, "which it does not hold"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, "refers to itself"),
        ({"type": "null"}, "nothing but null"),
        (Any, "says no type"),
        (5, "is not an answer schema"),
        ("int", "is not an answer schema"),
        (lambda x: x, "is not an answer schema"),
        (object(), "is not an answer schema"),
        (socket.socket, "is not an answer schema"),
    ],
    ids=named,
)
def test_what_is_no_schema_fails_where_it_was_written(shape: Any, says: str):
    with pytest.raises(SchemaError, match=f"^judge: .*{says}"):
        AnswerSchema.of(shape, step="judge")


def test_an_error_says_where_and_what():
    with pytest.raises(ParseError, match=r"at 'rows' at 0: 'tags' is a required property"):
        schema(Outer).parse('{"mood": "bad", "inner": null, "rows": [{"n": 1}], "more": {}}')
    with pytest.raises(ParseError, match="even: Value error, must be even"):
        schema(Checked).parse('{"even": 3, "tag": "x"}')
    with pytest.raises(ParseError, match="'ok' is not one of"):
        schema(["good", "bad"]).parse('{"answer": "ok"}')
    with pytest.raises(ParseError, match="300 does not fit a column of Int8"):
        schema(pl.Int8).parse("300")


@pytest.mark.parametrize(
    ("shape", "given_", "value"),
    [
        (Inner, Inner(n=1, tags=["x"]), {"n": 1, "tags": ["x"]}),
        (list[Inner], [Inner(n=1, tags=[])], [{"n": 1, "tags": []}]),
        (Mood, Mood.GOOD, "good"),
        (["good", "bad"], Mood.BAD, "bad"),
        (dt.date, dt.date(2024, 2, 29), "2024-02-29"),
        (float, 1, 1.0),
        (Record, Record(1, Mood.BAD), {"a": 1, "b": "bad"}),
        (OBJECT, {"a": 1}, {"a": 1, "b": None}),
        (Renamed, Renamed(**{"price in euro": 2}), None),
    ],
    ids=named,
)
def test_what_a_function_made_of_an_answer_is_accepted(shape: Any, given_: Any, value: Any):
    if value is None:  # what it gives back holds more than what was asked for
        with pytest.raises(ParseError):
            schema(shape).accept(given_)
    else:
        assert schema(shape).accept(given_) == value


@pytest.mark.parametrize("value", [object(), socket.socket, {1: {object()}}, lambda: 1, float("nan"), float("inf"), b"\xff", 1 + 2j], ids=named)
def test_what_is_no_json_is_a_parse_error(value: Any):
    for shape in (float, OBJECT, Inner):
        with pytest.raises(ParseError):
            schema(shape).accept(value)


def test_a_validator_that_breaks_is_a_parse_error():
    class Broken(pydantic.BaseModel):
        a: int

        @pydantic.field_validator("a")
        @classmethod
        def check(cls, v: int) -> int:
            raise ZeroDivisionError("oops")

    with pytest.raises(ParseError, match="ZeroDivisionError: oops"):
        schema(Broken).parse('{"a": 1}')


def test_validators_are_part_of_the_identity_and_methods_of_labels_are_not():
    class One(pydantic.BaseModel):
        a: Annotated[str, pydantic.AfterValidator(str.upper)]

    class Two(pydantic.BaseModel):
        a: Annotated[str, pydantic.AfterValidator(str.lower)]

    Two.__qualname__ = One.__qualname__
    assert schema(One).json_schema == schema(Two).json_schema
    assert fingerprint(schema(One)) != fingerprint(schema(Two))
    assert fingerprint(schema(list[One])) != fingerprint(schema(list[Two]))
    assert fingerprint(schema(Mood)) == fingerprint(schema(["good", "bad"])) == fingerprint(schema(Literal["good", "bad"]))
    assert fingerprint(schema(["good", "bad"])) != fingerprint(schema(["bad", "good"]))


def test_the_order_of_a_set_is_the_same_in_every_process():
    code = "from dreamframe.prompts.answer_schema import AnswerSchema; print(AnswerSchema.of(set[str]).parse('[\"b\", \"d\", \"a\", \"c\"]'))"
    found = {subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": s}, capture_output=True, text=True, check=True).stdout for s in "12"}
    assert found == {"['a', 'b', 'c', 'd']\n"}


# Any shape, any value


def shapes() -> st.SearchStrategy[Any]:
    plain = st.sampled_from([pl.Int64(), pl.Int8(), pl.Float64(), pl.Boolean(), pl.String(), pl.Enum(["x", "y"])])
    structs = lambda inner: st.dictionaries(st.sampled_from(["a", "b", "properties", "$ref"]), inner, min_size=1, max_size=3).map(pl.Struct)  # noqa: E731
    return st.recursive(plain, lambda inner: inner.map(pl.List) | structs(inner), max_leaves=5).filter(lambda d: d != pl.String)


def values(dtype: Any) -> st.SearchStrategy[Any]:
    if isinstance(dtype, pl.List):
        return st.lists(values(dtype.inner), max_size=3)
    if isinstance(dtype, pl.Struct):
        return st.fixed_dictionaries({f.name: values(f.dtype) for f in dtype.fields})
    plain: dict[Any, st.SearchStrategy[Any]] = {pl.Int64: st.integers(-(2**63), 2**63 - 1), pl.Int8: st.integers(-128, 127), pl.Boolean: st.booleans()}
    plain |= {pl.String: st.text(max_size=5), pl.Float64: st.floats(allow_nan=False, allow_infinity=False)}
    return plain.get(dtype.base_type(), st.sampled_from(["x", "y"]))


@given(st.data())
def test_what_fits_a_type_comes_back_from_its_column(data: st.DataObject):
    dtype = data.draw(shapes())
    made = schema(dtype)
    rows = data.draw(st.lists(values(dtype), max_size=3))
    texts = [json.dumps({"answer": v} if made.is_wrapped else v) for v in rows]
    read = [made.parse(t) for t in texts]
    assert read == rows
    column = made.to_series("a", [*read, None])
    assert (column.dtype, column.to_list()) == (dtype, [*rows, None])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
)


@given(shapes(), JSON)
def test_whatever_is_answered_fits_the_column_or_is_a_parse_error(dtype: Any, value: Any):
    made = schema(dtype)
    try:
        read = made.parse(json.dumps(value))
    except ParseError:
        return
    assert made.to_series("a", [read]).dtype == dtype


@pytest.mark.parametrize(("shape", "text"), [(int, '{"answer": 4}'), (bool, "yes"), (["good", "bad"], '{"answer": "bad"}'), (Mood, "GOOD")], ids=str)
def test_scalars_and_labels_are_read_fast(shape: Any, text: str):
    made = schema(shape)
    made.parse(text)
    taken = []
    for _ in range(5):
        began = time.process_time()
        for _ in range(1000):
            made.parse(text)
        taken.append((time.process_time() - began) / 1000)
    assert min(taken) < 30e-6  # seconds an answer
