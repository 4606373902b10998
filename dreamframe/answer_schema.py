"""The shape of an answer: from a Python type, labels, a pydantic model or JSON Schema to a polars type and a strict reading of the text."""

from __future__ import annotations

import enum
import json
import re
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from dreamframe.errors import ParseError, SchemaError

WRAPPED = "answer"  # providers want an object at the root: any other shape is one field of it
FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)
SAYS_TYPE = {"type", "enum", "const", "anyOf", "oneOf", "allOf", "$ref", "properties"}
WORDS = {"true": True, "false": False, "yes": True, "no": False}


@dataclass(frozen=True)
class AnswerSchema:
    """What an answer must be. `shape` is what the user gave; the rest follows from it."""

    shape: Any
    schema: Mapping[str, Any] = field(repr=False, compare=False)  # JSON Schema of the value itself

    @classmethod
    def of(cls, shape: Any, *, step: str = "prompt") -> AnswerSchema | None:
        """The schema of bool, int, float, a Literal, an Enum, a list of labels, a pydantic model, any type that pydantic knows, or JSON Schema.

        None and str are no schema. Raises SchemaError for what has no column type.

        >>> AnswerSchema.of(["good", "bad"]).dtype
        Enum(categories=['good', 'bad'])
        """
        if shape is None or shape is str or shape == pl.String:
            return None
        made = cls(shape, _json_schema(shape, step))
        made.dtype  # noqa: B018  what has no column type fails where it was written
        return made

    def key_fields(self) -> Mapping[str, object]:
        own = self.shape if isinstance(self.shape, type) else None  # a model's validators are code of its own
        return {"json_schema": self.json_schema, "dtype": str(self.dtype), "shape": own}

    @cached_property
    def is_wrapped(self) -> bool:
        """Whether the value travels as the one field of an object."""
        return self.schema.get("type") != "object"

    @cached_property
    def json_schema(self) -> str:
        """Canonical JSON text of the schema that the model is held to: always an object."""
        schema = dict(self.schema)
        if self.is_wrapped:
            definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
            schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED], "additionalProperties": False, **definitions}
        return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def dtype(self) -> pl.DataType:
        """The column's type."""
        return _dtype(self.schema, self.schema.get("$defs", {}), ())

    @cached_property
    def _adapter(self) -> Any:
        """Pydantic's reader of the shape, for types that carry validators of their own."""
        from pydantic import TypeAdapter

        return TypeAdapter(self.shape)

    def parse(self, text: str) -> Any:
        """The value that a text holds. Raises ParseError where it holds none; never a default.

        >>> AnswerSchema.of(int).parse('{"answer": 4}'), AnswerSchema.of(bool).parse("yes")
        (4, True)
        """
        held = _loads(text, bare=self._bare(text))
        if self.is_wrapped and isinstance(held, Mapping) and set(held) == {WRAPPED}:
            held = held[WRAPPED]
        return self.accept(held, text=text)

    def _bare(self, text: str) -> Any:
        """What a text without JSON may stand for: a label itself, or yes and no."""
        plain = text.strip().strip("\"'.").strip()
        if labels := self.schema.get("enum"):
            found = [v for v in labels if str(v).casefold() == plain.casefold()]
            return found[0] if len(found) == 1 else None
        return WORDS.get(plain.casefold()) if self.schema.get("type") == "boolean" else None

    def accept(self, value: Any, *, text: str | None = None) -> Any:
        """The value, if it is of this shape. Raises ParseError otherwise."""
        import jsonschema

        if _is_pydantic(self.shape):
            import pydantic

            try:
                return self._adapter.dump_python(self._adapter.validate_json(json.dumps(_plain(value)), strict=True), mode="json")
            except pydantic.ValidationError as exc:
                raise ParseError(_first_error(exc.errors()), text=text) from exc
        try:
            jsonschema.validate(_plain(value), dict(self.schema))
        except jsonschema.ValidationError as exc:
            at = "".join(f" at {p!r}" for p in exc.absolute_path)
            raise ParseError(f"not the shape that was asked for{at}: {exc.message[:300]}", text=text) from exc
        return self._in_range(_plain(value), text)

    def _in_range(self, value: Any, text: str | None) -> Any:
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ParseError(f"{value} does not fit a column of {self.dtype}", text=text)
        return value

    def to_series(self, name: str, values: Iterable[Any]) -> pl.Series:
        """Accepted values (None for missing ones) as a column."""
        dtype = self.dtype
        return pl.Series(name, [None if v is None else _fit(v, dtype) for v in values], dtype=dtype, strict=True)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _first_error(errors: list[Any]) -> str:
    shown = [f"{'.'.join(map(str, e['loc'])) or 'the answer'}: {e['msg']}" for e in errors[:3]]
    return "not the shape that was asked for: " + "; ".join(shown)


def _loads(text: str, *, bare: Any) -> Any:
    if bare is not None:
        return bare
    fenced = FENCE.match(text)
    try:
        return json.loads(fenced.group(1) if fenced else text, parse_constant=_refuse)
    except ValueError as exc:
        raise ParseError(f"the answer is not JSON: {exc}", text=text) from exc


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


# From shapes to JSON Schema


def _is_pydantic(shape: Any) -> bool:
    """Whether pydantic reads answers of this shape: neither a plain scalar, nor labels, nor a schema in another language."""
    plain = shape in (bool, int, float) if isinstance(shape, type) else isinstance(shape, list | tuple | dict)
    return not plain and not isinstance(shape, enum.EnumMeta) and typing.get_origin(shape) is not typing.Literal and not _is_polars_type(shape)


def _is_polars_type(shape: Any) -> bool:
    return isinstance(shape, pl.DataType) or (isinstance(shape, type) and issubclass(shape, pl.DataType))


def _json_schema(shape: Any, step: str) -> dict[str, Any]:
    scalars = {bool: "boolean", int: "integer", float: "number"}
    if shape in scalars if isinstance(shape, type) else False:
        return {"type": scalars[shape]}
    if isinstance(shape, enum.EnumMeta):
        return _labels([m.value for m in shape], step)
    if isinstance(shape, list | tuple):
        return _labels(list(shape), step)
    if typing.get_origin(shape) is typing.Literal:
        return _labels(list(typing.get_args(shape)), step)
    if isinstance(shape, Mapping):
        return _checked(dict(shape), step)
    if _is_polars_type(shape):
        return _of_polars(shape, step)
    return _of_pydantic(shape, step)


def _labels(values: list[Any], step: str) -> dict[str, Any]:
    kinds = {type(v) for v in values}
    known: dict[type, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
    if len(kinds) != 1 or not kinds <= set(known) or len(set(values)) != len(values):
        raise SchemaError(f"{step}: labels must be different values of one type (text or numbers); got {values!r}.")
    return {"type": known[kinds.pop()], "enum": values}


def _checked(schema: dict[str, Any], step: str) -> dict[str, Any]:
    import jsonschema

    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as exc:
        raise SchemaError(f"{step}: schema= is not valid JSON Schema: {exc.message}") from exc
    if not schema.keys() & SAYS_TYPE:
        raise SchemaError(f"{step}: schema= says no type; write JSON Schema such as {{'type': 'object', 'properties': …}}, or a pydantic model.")
    return {"type": "object", **schema} if "properties" in schema else schema


def _of_polars(shape: Any, step: str) -> dict[str, Any]:
    dtype = shape() if isinstance(shape, type) else shape
    if isinstance(dtype, pl.Enum):
        return _labels(dtype.categories.to_list(), step)
    for kind, name in ((dtype == pl.Boolean, "boolean"), (dtype.is_integer(), "integer"), (dtype.is_float(), "number"), (dtype == pl.String, "string")):
        if kind:
            return {"type": name}
    if isinstance(dtype, pl.List):
        return {"type": "array", "items": _of_polars(dtype.inner, step)}
    if isinstance(dtype, pl.Struct):
        fields = {f.name: _of_polars(f.dtype, step) for f in dtype.fields}
        return {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False}
    raise SchemaError(f"{step}: a model cannot be asked for a {dtype}; use numbers, booleans, strings, enums, lists or structs of them.")


def _of_pydantic(shape: Any, step: str) -> dict[str, Any]:
    import pydantic

    try:
        schema = pydantic.TypeAdapter(shape).json_schema()
    except pydantic.errors.PydanticUserError as exc:
        raise SchemaError(
            f"{step}: schema={shape!r} is no answer schema. Possible: bool, int, float, a Literal, an Enum, a list of labels, a pydantic model, JSON Schema."
        ) from exc
    strict = _strict(schema)
    if not strict.keys() & SAYS_TYPE:
        raise SchemaError(f"{step}: schema={shape!r} says no type; name one, e.g. int, a Literal or a pydantic model.")
    root = _resolved(strict, strict.get("$defs", {}))
    return {**root, "$defs": strict["$defs"]} if "$defs" in strict and root is not strict else strict


def _strict(schema: Any, *, is_names: bool = False) -> Any:
    """Every property required and no other allowed, as the providers' strict modes want it; titles and defaults left out."""
    if isinstance(schema, list):
        return [_strict(s) for s in schema]
    if not isinstance(schema, dict):
        return schema
    if is_names:  # names of properties, not of the schema language
        return {k: _strict(v) for k, v in schema.items()}
    made = {k: _strict(v, is_names=k in ("properties", "$defs")) for k, v in schema.items() if k not in ("title", "default")}
    if "properties" in made:
        made |= {"required": list(made["properties"]), "additionalProperties": False}
    return made


# From JSON Schema to polars


def _resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = definitions[schema["$ref"].rpartition("/")[2]]
    return schema["allOf"][0] if len(schema.get("allOf", ())) == 1 else schema


def _dtype(schema: Mapping[str, Any], definitions: Mapping[str, Any], above: tuple[str, ...]) -> pl.DataType:
    """The column type of a schema. What no type can hold (free objects, recursion, mixed unions) is JSON text."""
    if (name := schema.get("$ref")) is not None:
        return pl.String() if name in above else _dtype(_resolved(schema, definitions), definitions, (*above, name))
    schema = _resolved(schema, definitions)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return _union([_dtype(o, definitions, above) for o in options if o.get("type") != "null"])
    if "enum" in schema or "const" in schema:
        return _of_values(schema.get("enum", [schema.get("const")]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return _union([_dtype({**schema, "type": k}, definitions, above) for k in kind if k != "null"])
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        return pl.List(_dtype(schema["items"], definitions, above))
    if kind == "object" and schema.get("properties"):
        return pl.Struct({n: _dtype(s, definitions, above) for n, s in schema["properties"].items()})
    plain: dict[Any, pl.DataType] = {"boolean": pl.Boolean(), "integer": pl.Int64(), "number": pl.Float64(), "null": pl.Null()}
    return plain.get(kind, pl.String())


def _of_values(values: list[Any]) -> pl.DataType:
    known = [v for v in values if v is not None]
    for kind, dtype in ((bool, pl.Boolean()), (int, pl.Int64()), (float, pl.Float64())):
        if known and all(type(v) is kind for v in known):
            return dtype
    return pl.Enum(known) if known and all(isinstance(v, str) for v in known) else pl.String()


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


def _fit(value: Any, dtype: pl.DataType) -> Any:
    """A JSON value as polars wants it for a type: what is JSON text in the column is written as such."""
    if value is None:
        return None
    if isinstance(dtype, pl.Struct):
        return {f.name: _fit(value.get(f.name), _instance(f.dtype)) for f in dtype.fields}
    if isinstance(dtype, pl.List):
        return [_fit(v, _instance(dtype.inner)) for v in value]
    if dtype == pl.String:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if dtype == pl.Float64:
        return float(value)
    if dtype == pl.Int64:
        return int(value)
    return value


def _instance(dtype: Any) -> pl.DataType:
    made = dtype() if isinstance(dtype, type) else dtype
    assert isinstance(made, pl.DataType)
    return made
