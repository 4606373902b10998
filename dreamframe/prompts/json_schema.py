"""Shapes of answers as JSON Schema, and JSON Schema as column types: what a model is held to and where its answers go."""

from __future__ import annotations

import enum
import functools
import inspect
import json
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from dreamframe.errors import SchemaError

SAYS_TYPE = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties"}
SCALARS: dict[Any, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}
POSSIBLE = (
    "Possible: bool, int, float, a Literal, an Enum, a list of labels, fields and their types such as {'city': str}, a polars type, a pydantic model or "
    "another type that pydantic knows, JSON Schema."
)
WORDS = SAYS_TYPE | {"title", "description", "default", "examples", "items", "required", "additionalProperties", "$schema", "$id", "$defs", "definitions"}
BARE: dict[Any, str] = {  # types that say nothing of what is in them
    dict: "name its fields, e.g. schema={'city': str, 'year': int}, or give a pydantic model",
    **dict.fromkeys((list, tuple, set), "name the type of its elements, e.g. schema=list[str]"),
}
MAY_LACK = "x-may-lack"
LARGEST = sys.float_info.max
Definitions = Mapping[str, Any]  # the root of the schema, in which references point


# From shapes to JSON Schema


def is_pydantic(shape: Any) -> bool:
    """Whether pydantic reads answers of this shape: neither a plain scalar, nor labels, nor a schema in another language."""
    plain = shape in SCALARS if isinstance(shape, type) else isinstance(shape, list | tuple | Mapping)
    return not plain and not isinstance(shape, enum.EnumMeta) and typing.get_origin(shape) is not typing.Literal and not is_polars_type(shape)


def is_polars_type(shape: Any) -> bool:
    return isinstance(shape, pl.DataType) or (isinstance(shape, type) and issubclass(shape, pl.DataType))


def of_shape(shape: Any, step: str) -> dict[str, Any]:
    """The JSON Schema of a shape. Raises SchemaError for what is not a shape."""
    if isinstance(shape, type) and shape in SCALARS:
        return {"type": SCALARS[shape]}
    if isinstance(shape, enum.EnumMeta):
        return _labels([member.value for member in typing.cast(type[enum.Enum], shape)], step)
    if isinstance(shape, list | tuple):
        return _labels(list(shape), step)
    if typing.get_origin(shape) is typing.Literal:
        return _labels(list(typing.get_args(shape)), step)
    if isinstance(shape, Mapping):
        return _of_fields(shape, step) if is_fields(shape) else _checked(dict(shape), step)
    if isinstance(shape, type) and shape in BARE:
        raise SchemaError(f"{step}: schema={shape.__name__} does not say what is in it; {BARE[shape]}.")
    if is_polars_type(shape):
        return _of_polars(shape, step)
    return _of_pydantic(shape, step)


def is_fields(shape: Any) -> bool:
    """Whether a dict names fields and their types, as in {"city": str}: of JSON Schema all values are JSON, and one of its own words is among the keys.

    >>> is_fields({"city": str}), is_fields({"mood": ["good", "bad"]}), is_fields({"type": "object"}), is_fields({"enum": ["a"]})
    (True, True, False, False)
    """
    if not isinstance(shape, Mapping) or not shape or not all(isinstance(name, str) for name in shape):
        return False
    if any(not isinstance(v, str | int | float | list | tuple | Mapping | None) or is_fields(v) for v in shape.values()):
        return not shape.keys() & {"properties", "$defs", "anyOf", "oneOf", "allOf"}
    return not shape.keys() & WORDS and all(isinstance(v, list | tuple) for v in shape.values())


def _of_fields(fields: Mapping[str, Any], step: str) -> dict[str, Any]:
    """The JSON Schema of an object with these fields."""
    made = {name: of_shape(shape, f"{step}: {name!r}") for name, shape in fields.items() if _is_plain(name, shape, step)}
    return {"type": "object", "properties": made, "required": list(made), "additionalProperties": False}


def _is_plain(name: str, shape: Any, step: str) -> bool:
    """Whether JSON Schema says all there is to say of a field's shape. Raises SchemaError for types that pydantic alone can check."""
    given = [a for a in typing.get_args(shape) if a is not type(None)]
    is_union = typing.get_origin(shape) in (types.UnionType, typing.Union) and len(given) == 1
    if typing.get_origin(shape) is list or is_union:
        return all(_is_plain(name, a, step) for a in given)
    if isinstance(shape, str) or (is_pydantic(shape) and not (isinstance(shape, type) and shape in BARE)):
        say = "write the whole as a pydantic model" if not isinstance(shape, str) else "write the type itself, e.g. str, int, bool, or a list of labels"
        raise SchemaError(f"{step}: the field {name!r} of schema= is {shape!r}; {say}.")
    return True


def _labels(values: list[Any], step: str) -> dict[str, Any]:
    kinds = {type(v) for v in values}
    if len(kinds) != 1 or not kinds <= set(SCALARS) or len(set(values)) != len(values):
        raise SchemaError(f"{step}: labels must be different values of one type (text or numbers); got {values!r}.")
    return {"type": SCALARS[kinds.pop()], "enum": values}


def _checked(schema: dict[str, Any], step: str) -> dict[str, Any]:
    import jsonschema

    try:
        json.dumps(schema, allow_nan=False)
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as exc:
        raise SchemaError(f"{step}: schema= is not valid JSON Schema: {exc.message}") from exc
    except (TypeError, ValueError) as exc:
        raise SchemaError(f"{step}: schema= is not JSON: {exc}. Types of Python stand in fields, {{'city': str}}, not in JSON Schema.") from exc
    if not schema.keys() & SAYS_TYPE:
        ways = "fields and their types, e.g. {'city': str}, a pydantic model, or JSON Schema such as {'type': 'object', 'properties': …}"
        raise SchemaError(f"{step}: schema= says no type; write {ways}.")
    made = {"type": "object", **schema} if "properties" in schema else schema
    for reference in _references(made):
        resolved({"$ref": reference}, made, step)
    return made


def _references(schema: Any) -> typing.Iterator[str]:
    if isinstance(schema, list):
        for inner in schema:
            yield from _references(inner)
    elif isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for key, inner in schema.items():
            if key not in ("enum", "const", "examples", "default"):
                yield from _references(inner)


def _of_polars(shape: Any, step: str) -> dict[str, Any]:
    dtype = instance(shape)
    if isinstance(dtype, pl.Enum):
        return _labels(dtype.categories.to_list(), step)
    for kind, name in ((dtype == pl.Boolean, "boolean"), (dtype.is_integer(), "integer"), (dtype.is_float(), "number"), (dtype == pl.String, "string")):
        if kind:
            return {"type": name}
    if isinstance(dtype, pl.List):
        return {"type": "array", "items": _of_polars(dtype.inner, step)}
    if isinstance(dtype, pl.Struct) and dtype.fields:
        fields = {f.name: _of_polars(f.dtype, step) for f in dtype.fields}
        return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    raise SchemaError(f"{step}: a model cannot be asked for a {dtype}; use numbers, booleans, strings, enums, lists or structs of them.")


def _of_pydantic(shape: Any, step: str) -> dict[str, Any]:
    import pydantic

    if isinstance(shape, str) or inspect.isroutine(shape):
        raise SchemaError(f"{step}: schema={shape!r} is not an answer schema. {POSSIBLE}")
    try:
        return _of_adapter(pydantic.TypeAdapter(shape), step, shape)
    except pydantic.errors.PydanticUserError as exc:
        why = f" Pydantic says: {exc.message.partition(chr(10))[0]}" if isinstance(shape, type) or typing.get_origin(shape) else ""
        raise SchemaError(f"{step}: schema={shape!r} is not an answer schema. {POSSIBLE}{why}") from exc


def _of_adapter(adapter: Any, step: str, shape: Any, *, is_read: bool = False) -> dict[str, Any]:
    strict = _strict(adapter.json_schema(schema_generator=_marking()), is_read=is_read)
    if not strict.keys() & SAYS_TYPE:
        raise SchemaError(f"{step}: schema={shape!r} says no type; name one, e.g. int, a Literal or a pydantic model.")
    root = resolved(strict, strict)
    return {**root, "$defs": strict["$defs"]} if "$defs" in strict and root is not strict else strict


def read_as(shape: Any) -> dict[str, Any]:
    """The JSON Schema that answers of a pydantic shape must fit: that which is asked for, but for fields that are None where they are left out."""
    import pydantic

    return _of_adapter(pydantic.TypeAdapter(shape), "schema", shape, is_read=True)


@functools.cache
def _marking() -> Any:
    """Pydantic's writer of schemas, which also marks the keys that a TypedDict need not have: they have no default that could stand for them."""
    from pydantic.json_schema import GenerateJsonSchema

    class Marking(GenerateJsonSchema):
        def typed_dict_schema(self, schema: Any) -> Any:
            made, total = super().typed_dict_schema(schema), schema.get("total", True)
            absent = [name for name, field in schema["fields"].items() if not field.get("required", total)]
            return {**made, MAY_LACK: absent} if absent else made

    return Marking


def given_back(shape: Any, asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """The JSON Schema of what pydantic gives back for a shape: aliases, serialisers and computed fields may differ from what is asked for."""
    import pydantic

    if not is_pydantic(shape):
        return asked
    return dict(pydantic.TypeAdapter(shape).json_schema(mode="serialization"))


def _strict(schema: Any, *, is_names: bool = False, is_read: bool = False) -> Any:
    """Every property required and no other allowed, as the providers' strict modes want it; titles and defaults left out.

    `is_read`: what may be left out of an answer is not required: nothing but None would stand for it.
    """
    if isinstance(schema, list):
        return [_strict(s, is_read=is_read) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if is_names:  # names of properties, not of the schema language
        return {k: _strict(v, is_read=is_read) for k, v in schema.items()}
    kept = {k: v for k, v in schema.items() if k not in ("title", "default", MAY_LACK)}
    made = {k: v if k in ("enum", "const") else _strict(v, is_names=k in ("properties", "$defs"), is_read=is_read) for k, v in kept.items()}
    if "properties" in made:
        needed, absent = schema.get("required", ()), set(schema.get(MAY_LACK, ()))
        if is_read:
            absent |= {n for n, s in schema["properties"].items() if n not in needed and isinstance(s, dict) and s.get("default", "") is None}
        made |= {"required": [n for n in made["properties"] if n not in absent], "additionalProperties": False}
    return made


def without_nulls(value: Any, schema: Any, root: Definitions, fits: Callable[[Any, Any], bool]) -> Any:
    """A value without the nulls of properties that it need not have: strict modes have no other way to leave one out. `fits` tells which of several
    schemas a value is of."""
    schema = resolved(schema, root) if isinstance(schema, Mapping) else {}
    if isinstance(value, list):
        return [without_nulls(v, schema.get("items"), root, fits) for v in value]
    if not isinstance(value, Mapping):
        return value
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        if fits(made := without_nulls(value, option, root, fits), option):
            return made
    for each in schema.get("allOf", ()):
        value = without_nulls(value, each, root, fits)
    known, needed = schema.get("properties", {}), schema.get("required", ())
    return {k: without_nulls(v, known.get(k), root, fits) for k, v in value.items() if v is not None or k not in known or k in needed}


# From JSON Schema to polars


def resolved(schema: Mapping[str, Any], root: Definitions, step: str = "schema") -> Mapping[str, Any]:
    """The schema that a reference, or a list of one, stands for."""
    for _ in range(100):
        if "$ref" in schema:
            schema = _pointed_at(schema["$ref"], root, step)
        elif len(schema.get("allOf", ())) == 1 and isinstance(schema["allOf"][0], Mapping):
            schema = schema["allOf"][0]
        else:
            return schema
    raise SchemaError(f"{step}: schema= refers to itself and to nothing else.")


def _pointed_at(reference: str, root: Definitions, step: str) -> Mapping[str, Any]:
    found: Any = root
    for name in reference.removeprefix("#/").split("/"):
        found = found.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    if not reference.startswith("#/") or not isinstance(found, Mapping):
        raise SchemaError(f"{step}: schema= refers to {reference!r}, which it does not hold; write it under '$defs' and refer to '#/$defs/<name>'.")
    return found


def dtype_of(schema: Any, root: Definitions, above: tuple[str, ...] = ()) -> pl.DataType:
    """The column type of a schema. What no type can hold (free objects, recursion, mixed unions) is JSON text."""
    if not isinstance(schema, Mapping):
        return pl.String()
    if (name := schema.get("$ref")) is not None:
        return pl.String() if name in above else dtype_of(_pointed_at(name, root, "schema"), root, (*above, name))
    schema = resolved(schema, root)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _union([dtype_of(o, root, above) for o in options if not (isinstance(o, Mapping) and o.get("type") == "null")])
    if "enum" in schema or "const" in schema:
        return _of_values(schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union([dtype_of({**schema, "type": k}, root, above) for k in kind if k != "null"])
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return pl.List(dtype_of(schema["items"], root, above))
    if kind == "object" and schema.get("properties"):
        return pl.Struct({n: dtype_of(s, root, above) for n, s in schema["properties"].items()})
    plain: dict[Any, pl.DataType] = {"boolean": pl.Boolean(), "integer": pl.Int64(), "number": pl.Float64(), "null": pl.Null()}
    return plain.get(kind, pl.String())


def _of_values(values: list[Any]) -> pl.DataType:
    known = [v for v in values if v is not None]
    for kind, dtype in ((bool, pl.Boolean()), (int, pl.Int64()), (float, pl.Float64())):
        if known and all(type(v) is kind for v in known):
            return dtype
    return pl.Enum(list(dict.fromkeys(known))) if known and all(isinstance(v, str) for v in known) else pl.String()


def _union(kinds: list[pl.DataType]) -> pl.DataType:
    if not kinds:
        return pl.Null()
    if all(k == kinds[0] for k in kinds):
        return kinds[0]
    if all(k.is_numeric() for k in kinds):
        return pl.Float64()
    if all(isinstance(k, pl.Struct) for k in kinds):  # a struct of all fields; those of the other options are null
        names = dict.fromkeys(f.name for k in kinds for f in k.fields)  # type: ignore[attr-defined]
        return pl.Struct({n: _union([f.dtype for k in kinds for f in k.fields if f.name == n]) for n in names})  # type: ignore[attr-defined]
    return pl.String()


def instance(dtype: Any) -> pl.DataType:
    made = dtype() if isinstance(dtype, type) else dtype
    assert isinstance(made, pl.DataType)
    return made


# From values to columns


def reader(dtype: pl.DataType) -> Callable[[Any], Any]:
    """A function from a JSON value to what a column of a type takes: JSON text where the column is text. It raises ValueError for what does not fit."""
    if isinstance(dtype, pl.Struct):
        return _struct_reader({f.name: reader(instance(f.dtype)) for f in dtype.fields})
    if isinstance(dtype, pl.List):
        return _list_reader(reader(instance(dtype.inner)))
    if dtype.is_integer():
        return _whole_reader(dtype)
    if dtype.is_float():
        return _read_finite
    if dtype == pl.Boolean:
        return _read_truth
    return _label_reader(frozenset(dtype.categories)) if isinstance(dtype, pl.Enum) else _read_text


def _struct_reader(fields: Mapping[str, Callable[[Any], Any]]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise ValueError(f"{value!r} is not an object")  # noqa: TRY004  one error for all that does not fit
        return {name: inner(value.get(name)) for name, inner in fields.items()}

    return read


def _list_reader(inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            raise ValueError(f"{value!r} is not a list")  # noqa: TRY004
        return [inner(v) for v in value]

    return read


def _whole_reader(dtype: pl.DataType) -> Callable[[Any], Any]:
    low, high = pl.select(dtype.min().alias("low"), dtype.max().alias("high")).row(0)  # type: ignore[attr-defined]

    def read(value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
            raise ValueError(f"{value!r} is not a whole number")
        if not low <= value <= high:
            raise ValueError(f"{value:.10g} does not fit a column of {dtype}")
        return int(value)

    return read


def _read_finite(value: Any) -> Any:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= LARGEST:
        raise ValueError(f"{str(value)[:40]} is not a finite number")
    return float(value)


def _read_truth(value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    raise ValueError(f"{value!r} is neither true nor false")


def _label_reader(labels: frozenset[str]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value is None or (isinstance(value, str) and value in labels):
            return value
        raise ValueError(f"{value!r} is not one of {', '.join(map(repr, sorted(labels)))}")

    return read


def _read_text(value: Any) -> Any:
    if value is None:
        return None
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as exc:
            raise ValueError("it holds half a character (a lone surrogate)") from exc
    return text
