"""Shapes of answers as users give them, with texts that each reads and texts that it refuses."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional

import polars as pl
import pydantic
from typing_extensions import TypedDict


class Mood(enum.Enum):
    GOOD = "good"
    BAD = "bad"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Inner(pydantic.BaseModel):
    n: int
    tags: list[str]


class Outer(pydantic.BaseModel):
    mood: Mood
    inner: Inner | None
    rows: list[Inner]
    more: dict[str, int]


class Tree(pydantic.BaseModel):
    name: str
    children: list[Tree]


class Cat(pydantic.BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(pydantic.BaseModel):
    kind: Literal["dog"]
    name: str


class Filled(pydantic.BaseModel):
    score: int = 5
    note: str | None = None


class Renamed(pydantic.BaseModel):
    price: int = pydantic.Field(alias="price in euro")

    @pydantic.computed_field
    def twice(self) -> int:
        return 2 * self.price


class Checked(pydantic.BaseModel):
    even: int
    tag: Annotated[str, pydantic.AfterValidator(str.upper)]

    @pydantic.field_validator("even")
    @classmethod
    def is_even(cls, v: int) -> int:
        if v % 2:
            raise ValueError("must be even")
        return v


class Typed(TypedDict):
    a: int
    b: list[bool]


class Empty(TypedDict, total=False):
    b: int


class Lacking(TypedDict):
    a: int
    phone: NotRequired[str]
    inner: NotRequired[Empty]


class Pair(NamedTuple):
    a: int
    b: str


@dataclass
class Record:
    a: int
    b: Mood


INNER = pl.Struct({"n": pl.Int64, "tags": pl.List(pl.String)})
OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}}, "required": ["a"]}
LEFT_OUT = {
    "type": "object",
    "properties": {
        "a": {"type": "integer"},
        "b": {"type": "string", "default": "x"},
        "c": {"enum": ["x", "y"]},
        "d": {"type": "array", "items": {"type": "object", "properties": {"e": {"type": "integer"}}, "additionalProperties": False}},
    },
    "required": ["a"],
    "additionalProperties": False,
}
BOOK = {"type": "object", "properties": {"isbn": {"type": "string"}, "pages": {"type": "integer"}}, "required": ["isbn"], "additionalProperties": False}
FILM = {"type": "object", "properties": {"title": {"type": "string"}, "year": {"type": "integer"}}, "required": ["title"], "additionalProperties": False}
TREE = {"$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}}}
# Shape, its column type, (text, value) that it reads, texts that it refuses
SHAPES: dict[str, tuple[Any, pl.DataType, list[tuple[str, Any]], list[str]]] = {
    "bool": (
        bool,
        pl.Boolean(),
        [("true", True), ('{"answer": false}', False), (" Yes.\n", True), ("NO", False), ('"yes"', True), ("```json\ntrue\n```", True)],
        ["maybe", "yes, I think", "1", "null", '{"answer": null}', '{"answer": "yes please"}', "", "[]", '{"answer": true, "why": "x"}'],
    ),
    "int": (
        int,
        pl.Int64(),
        [("4", 4), ('{"answer": -4}', -4), ("4.0", 4), (f"{2**63 - 1}", 2**63 - 1), ("```\n7\n```", 7)],
        ["4.5", "four", "true", '"4"', "null", f"{2**63}", f"{-(2**63) - 1}", "1e400", "9" * 5000, "NaN", "4 apples", "[4]", '{"a": 4}', "{}"],
    ),
    "float": (float, pl.Float64(), [("4", 4.0), ('{"answer": 0.25}', 0.25), ("-1e-3", -0.001)], ["1e400", "NaN", "Infinity", '"1"', "true", "null"]),
    "labels": (
        ["good", "bad", "so so"],
        pl.Enum(["good", "bad", "so so"]),
        [("good", "good"), ('{"answer": "bad"}', "bad"), ("Good.", "good"), ('"SO SO"', "so so"), ("```\nbad\n```", "bad"), ('{"answer": "GOOD"}', "good")],
        ["goodish", "", "good or bad", '{"label": "good"}', '{"answer": "goodish"}', "null", "[]"],
    ),
    "labels that differ in case": (["a", "A"], pl.Enum(["a", "A"]), [("a", "a"), ("A", "A"), ('"A"', "A")], ["b"]),
    "labels with signs": (["A.", "'b'"], pl.Enum(["A.", "'b'"]), [("A.", "A."), ('{"answer": "\'b\'"}', "'b'"), ("a", "A."), ("B", "'b'")], ["C."]),
    "numbers as labels": ([1, 2, 3], pl.Int64(), [("2", 2), ('{"answer": 3}', 3), ("2.0", 2)], ["4", "1.5", "true", '"two"']),
    "fractions as labels": ([0.5, 1.0], pl.Float64(), [("0.5", 0.5), ("1", 1.0)], ["2"]),
    "Literal": (Literal["yes", "no"], pl.Enum(["yes", "no"]), [("Yes", "yes"), ('{"answer": "no"}', "no")], ["true", "maybe"]),
    "Enum": (Mood, pl.Enum(["good", "bad"]), [("bad", "bad"), ('{"answer": "good"}', "good")], ["GREAT", "1"]),
    "IntEnum": (Level, pl.Int64(), [("1", 1), ('{"answer": 2}', 2)], ["3", "LOW"]),
    "polars Int8": (pl.Int8, pl.Int8(), [("127", 127), ("-128", -128)], ["128", "-129", "1.5"]),
    "polars UInt64": (pl.UInt64(), pl.UInt64(), [(f"{2**64 - 1}", 2**64 - 1)], ["-1", f"{2**64}"]),
    "polars Float32": (pl.Float32, pl.Float32(), [("0.5", 0.5)], ["x"]),
    "polars Enum": (pl.Enum(["x", "y"]), pl.Enum(["x", "y"]), [("x", "x")], ["z"]),
    "polars List": (pl.List(pl.Int16), pl.List(pl.Int16), [("[1, 2]", [1, 2]), ('{"answer": []}', [])], ["[40000]", "[null]", "1"]),
    "polars Struct": (
        pl.Struct({"a": pl.Int8, "b": pl.List(pl.String)}),
        pl.Struct({"a": pl.Int8, "b": pl.List(pl.String)}),
        [('{"a": 1, "b": ["x"]}', {"a": 1, "b": ["x"]})],
        ['{"a": 1}', '{"a": 1, "b": [], "c": 2}', '{"a": 300, "b": []}', "[]"],
    ),
    "Optional": (Optional[int], pl.Int64(), [("null", None), ('{"answer": 3}', 3), ('{"answer": null}', None)], ["x", "1.5", "[]"]),  # noqa: UP045
    "a constrained number": (Annotated[int, pydantic.Field(ge=1, le=5)], pl.Int64(), [("5", 5)], ["0", "6"]),
    "a union of numbers": (int | float, pl.Float64(), [("1", 1.0), ("1.5", 1.5)], ["x"]),
    "a union of kinds": (int | str, pl.String(), [('{"answer": 1}', "1"), ('{"answer": "x"}', "x")], ["x", "[1]"]),
    "a list": (list[int], pl.List(pl.Int64), [("[1, 2]", [1, 2]), ('{"answer": [3]}', [3]), ("[]", [])], ['["x"]', "1", "[null]", f"[{2**63}]"]),
    "a list of labels in a list": (list[Mood], pl.List(pl.Enum(["good", "bad"])), [('["good"]', ["good"])], ['["great"]']),
    "a set": (set[str], pl.List(pl.String), [('["b", "a", "c"]', ["a", "b", "c"])], ["1"]),
    "a dict": (dict[str, int], pl.String(), [('{"a": 1}', '{"a": 1}')], ['{"a": "x"}', "[]"]),
    "a tuple": (tuple[int, str], pl.String(), [('[1, "x"]', '[1, "x"]')], ["[1]", '["x", 1]']),
    "a date": (dt.date, pl.String(), [('"2024-02-29"', "2024-02-29")], ['"2023-02-29"', '"soon"']),
    "a decimal": (Decimal, pl.String(), [('"1.20"', "1.20")], ['"x"']),
    "a model": (
        Outer,
        pl.Struct({"mood": pl.Enum(["good", "bad"]), "inner": INNER, "rows": pl.List(INNER), "more": pl.String}),
        [
            (
                '{"mood": "bad", "inner": null, "rows": [{"n": 1, "tags": ["é"]}], "more": {"x": 1}}',
                {"mood": "bad", "inner": None, "rows": [{"n": 1, "tags": ["é"]}], "more": '{"x": 1}'},
            )
        ],
        [
            '{"mood": "bad", "inner": null, "rows": []}',
            '{"mood": "ok", "inner": null, "rows": [], "more": {}}',
            '{"mood": "bad", "inner": null, "rows": [{"n": 1}], "more": {}}',
            '{"mood": "bad", "inner": null, "rows": [], "more": {}, "else": 1}',
            '{"mood": "bad", "inner": {"n": 1.5, "tags": []}, "rows": [], "more": {}}',
            f'{{"mood": "bad", "inner": {{"n": {2**63}, "tags": []}}, "rows": [], "more": {{}}}}',
            '{"mood": "bad", "inner": {"n": 1, "tags": ["\\ud800"]}, "rows": [], "more": {}}',
        ],
    ),
    "a model that holds itself": (
        Tree,
        pl.Struct({"name": pl.String, "children": pl.List(pl.String)}),
        [('{"name": "a", "children": [{"name": "b", "children": []}]}', {"name": "a", "children": ['{"name": "b", "children": []}']})],
        ['{"name": "a"}', '{"name": "a", "children": [{}]}'],
    ),
    "a union of models": (
        Cat | Dog,
        pl.Struct({"kind": pl.String, "lives": pl.Int64, "name": pl.String}),
        [('{"answer": {"kind": "cat", "lives": 9}}', {"kind": "cat", "lives": 9, "name": None})],
        ['{"kind": "cow"}', '{"kind": "cat", "name": "x"}'],
    ),
    "a model with defaults": (
        Filled,
        pl.Struct({"score": pl.Int64, "note": pl.String}),
        [('{"score": 1, "note": null}', {"score": 1, "note": None}), ('{"score": 1}', {"score": 1, "note": None})],
        ["{}", '{"note": "x"}', '{"score": null, "note": "x"}'],
    ),
    "a model with other names": (
        Renamed,
        pl.Struct({"price in euro": pl.Int64, "twice": pl.Int64}),
        [('{"price in euro": 2}', {"price in euro": 2, "twice": 4})],
        ['{"price": 2}', '{"price in euro": 2, "twice": 5}'],
    ),
    "a model with validators": (
        Checked,
        pl.Struct({"even": pl.Int64, "tag": pl.String}),
        [('{"even": 2, "tag": "x"}', {"even": 2, "tag": "X"})],
        ['{"even": 3, "tag": "x"}'],
    ),
    "TypedDict": (Typed, pl.Struct({"a": pl.Int64, "b": pl.List(pl.Boolean)}), [('{"a": 1, "b": [true]}', {"a": 1, "b": [True]})], ['{"a": 1}']),
    "TypedDict that may lack a key": (
        Lacking,
        pl.Struct({"a": pl.Int64, "phone": pl.String, "inner": pl.Struct({"b": pl.Int64})}),
        [(t, {"a": 1, "phone": None, "inner": None}) for t in ('{"a": 1}', '{"a": 1, "phone": null}', '{"a": 1, "phone": null, "inner": null}')]
        + [('{"a": 1, "phone": "x", "inner": {"b": null}}', {"a": 1, "phone": "x", "inner": {"b": None}})],
        ["{}", '{"a": null}', '{"a": 1, "phone": 5}', '{"a": 1, "fax": null}'],
    ),
    "dataclass": (Record, pl.Struct({"a": pl.Int64, "b": pl.Enum(["good", "bad"])}), [('{"a": 1, "b": "bad"}', {"a": 1, "b": "bad"})], ['{"a": 1}']),
    "NamedTuple": (Pair, pl.String(), [('[1, "x"]', '[1, "x"]')], ["[1]"]),
    "JSON Schema": (
        OBJECT,
        pl.Struct({"a": pl.Int64, "b": pl.String}),
        [('{"a": 1}', {"a": 1, "b": None}), ('{"a": 2, "b": "x", "c": 3}', {"a": 2, "b": "x"})],
        ['{"b": "x"}', '{"a": "x"}', "[]", '{"a": 1, "b": 2}'],
    ),
    "JSON Schema with fields that may be left out": (
        LEFT_OUT,
        pl.Struct({"a": pl.Int64, "b": pl.String, "c": pl.Enum(["x", "y"]), "d": pl.List(pl.Struct({"e": pl.Int64}))}),
        [(t, {"a": 1, "b": None, "c": None, "d": None}) for t in ('{"a": 1}', '{"a": 1, "b": null, "c": null, "d": null}')]
        + [('{"a": 1, "d": [{"e": null}, {}, {"e": 2}]}', {"a": 1, "b": None, "c": None, "d": [{"e": None}, {"e": None}, {"e": 2}]})],
        ['{"a": null}', '{"b": null}', '{"a": 1, "d": [null]}', '{"a": 1, "z": null}', '{"a": 1, "b": 2}'],
    ),
    "JSON Schema of one of two that leave out fields": (
        {"oneOf": [{"$ref": "#/$defs/book"}, {"$ref": "#/$defs/film"}], "$defs": {"book": BOOK, "film": FILM}},
        pl.Struct({"isbn": pl.String, "pages": pl.Int64, "title": pl.String, "year": pl.Int64}),
        [
            ('{"answer": {"isbn": "1", "pages": null}}', {"isbn": "1", "pages": None, "title": None, "year": None}),
            ('{"answer": {"title": "t", "year": null}}', {"isbn": None, "pages": None, "title": "t", "year": None}),
        ],
        ['{"answer": {"isbn": null, "pages": 3}}', '{"answer": {"isbn": "1", "year": null}}'],
    ),
    "JSON Schema of an array": ({"type": "array", "items": {"enum": ["x", "y"]}}, pl.List(pl.Enum(["x", "y"])), [('["x"]', ["x"])], ['["z"]']),
    "JSON Schema with bounds": ({"type": "integer", "minimum": 1}, pl.Int64(), [("1", 1)], ["0"]),
    "JSON Schema that refers": (
        {**TREE, "$ref": "#/$defs/node"},
        pl.Struct({"v": pl.Int64, "next": pl.String}),
        [('{"answer": {"v": 1, "next": {"v": 2}}}', {"v": 1, "next": '{"v": 2}'})],
        ['{"v": "x"}'],
    ),
    "JSON Schema of old": (
        {"definitions": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/definitions/n"}},
        pl.List(pl.Int64),
        [("[1]", [1])],
        ["[true]"],
    ),
    "JSON Schema that allows anything in a field": (
        {"type": "object", "properties": {"x": True}, "additionalProperties": False},
        pl.Struct({"x": pl.String}),
        [('{"x": [1]}', {"x": "[1]"})],
        ["1"],
    ),
    "a constant": ({"const": "x"}, pl.Enum(["x"]), [('"x"', "x")], ['"y"']),
    "labels or null": ({"enum": ["x", None]}, pl.Enum(["x"]), [('"x"', "x"), ("null", None)], ['"y"']),
}
