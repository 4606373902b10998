"""The shape of an answer: from a Python type, labels, a pydantic model or JSON Schema to a polars type and a strict reading of the text."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import polars as pl

from dreamframe.errors import ParseError, SchemaError
from dreamframe.prompts.json_schema import (
    SCALARS,
    dtype_of,
    given_back,
    instance,
    is_fields,
    is_polars_type,
    is_pydantic,
    of_shape,
    read_as,
    reader,
    resolved,
    without_nulls,
)
from dreamframe.prompts.templates import need_whole

WRAPPED = "answer"  # providers want an object at the root: any other shape is one field of it
FENCED = re.compile(r"[a-zA-Z]*[^\S\n]*(?:\n|(?=[\[{\"]))")  # what may follow the opening of a code fence
WORDS = {"true": True, "false": False, "yes": True, "no": False}
PLAIN = {str, int, float, bool, type(None)}


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


DECODER = json.JSONDecoder(parse_constant=_refuse)


@dataclass(frozen=True)
class AnswerSchema:
    """What an answer must be. `shape` is what the user gave; the rest follows from it."""

    shape: Any
    schema: Mapping[str, Any] = field(repr=False, compare=False)  # JSON Schema of the value itself

    @classmethod
    def of(cls, shape: Any, *, step: str = "prompt") -> AnswerSchema | None:
        """The schema of bool, int, float, a Literal, an Enum, a list of labels, fields and their types, a polars type, what pydantic knows, or JSON Schema.

        None and str are not schemas. Raises SchemaError for what has no column type.

        >>> AnswerSchema.of(["good", "bad"]).dtype
        Enum(categories=['good', 'bad'])
        """
        if hasattr(shape, "to_list"):  # a column of polars or pandas: labels as often as rows have them
            shape = list(dict.fromkeys(value for value in shape.to_list() if value is not None and value == value))  # noqa: PLR0124  NaN is pandas' null
        if shape is None or shape is str or shape == pl.String:
            return None
        try:
            made = cls(of_shape(shape, step) if is_fields(shape) else shape, of_shape(shape, step))
            need_whole(made.schema, "schema=", step=step)
            dtype = made.dtype
        except RecursionError as exc:
            raise SchemaError(f"{step}: schema= is nested too deeply for a column.") from exc
        if dtype == pl.Null:  # what has no column type fails where it was written
            raise SchemaError(f"{step}: schema={shape!r} allows nothing but null.")
        return made

    @property
    def inputs(self) -> tuple[Any, ...]:
        """The frames whose rows it is made of: edges of the plan."""
        return ()

    @property
    def described(self) -> str:
        """What an answer is, in a few words."""
        return str(self.dtype)

    def key_fields(self) -> Mapping[str, object]:
        own = self.shape if is_pydantic(self.shape) else None  # validators are code of their own
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
            definitions: dict[str, Any] = {name: schema.pop(name) for name in ("$defs", "definitions") if name in schema}
            schema = {"type": "object", "properties": {WRAPPED: schema}, "required": [WRAPPED], "additionalProperties": False, **definitions}
        return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)

    @cached_property
    def dtype(self) -> pl.DataType:
        """The column's type."""
        if is_polars_type(self.shape):
            return instance(self.shape)
        held = given_back(self.shape, self.schema)
        return dtype_of(held, held)

    @cached_property
    def choices(self) -> tuple[tuple[str, Any], ...]:
        """The labels that an answer is one of, each with its value; none where it is not a choice among labels."""
        if self.schema == {"type": "boolean"}:
            return (("yes", True), ("no", False))
        return tuple(self._labels.items())

    @cached_property
    def is_quick(self) -> bool:
        """Whether reading an answer takes no code of the user's and no validation to speak of."""
        return self._adapter is None and self.schema.keys() <= {"type", "enum"} and self.schema.get("type") in SCALARS.values()

    def parse(self, text: str) -> Any:
        """The value that a text holds. Raises ParseError where it holds none; never a default.

        >>> AnswerSchema.of(int).parse('{"answer": 4}'), AnswerSchema.of(bool).parse("yes")
        (4, True)
        """
        inner = unfenced(text)
        if (bare := self._bare(inner)) is not None:
            return bare
        held = _loads(inner, whole=text)
        if self.is_wrapped and isinstance(held, Mapping) and set(held) == {WRAPPED}:
            held = held[WRAPPED]
        if isinstance(held, str) and (label := self._label(held)) is not None:
            return label
        return self.accept(held, text=text)

    def words(self, text: str) -> str | None:
        """The text that stands where the value belongs: of a server that sends JSON, and does not hold its model to the type of a field.

        >>> AnswerSchema.of(bool).words('{"answer": "Yes, it is."}'), AnswerSchema.of(bool).words('{"other": "yes"}')
        ('Yes, it is.', None)
        """
        try:
            held = DECODER.decode(unfenced(text))
        except (ValueError, RecursionError):
            return None
        found = held[WRAPPED] if self.is_wrapped and isinstance(held, Mapping) and set(held) == {WRAPPED} else None
        return found if isinstance(found, str) else None

    def _bare(self, text: str) -> Any:
        """What a text without JSON may stand for: a label itself, or yes and no."""
        if self._labels:
            return self._label(text)
        return WORDS.get(_stripped(text).casefold()) if self.schema == {"type": "boolean"} else None

    def _label(self, text: str) -> Any:
        """The one label that a text names: as it is written, else in upper or lower case, without quotes or a full stop."""
        for plain in (text.strip(), _stripped(text)):
            if plain in self._labels:
                return self._labels[plain]
        alike = self._labels_by_sound.get(_stripped(text).casefold(), ())
        return alike[0] if len(alike) == 1 else None

    @cached_property
    def _labels(self) -> dict[str, Any]:
        return {str(v): v for v in self.schema["enum"]} if self.schema.keys() == {"type", "enum"} else {}

    @cached_property
    def _labels_by_sound(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for text, label in self._labels.items():
            found.setdefault(_stripped(text).casefold(), []).append(label)
        return found

    def accept(self, value: Any, *, text: str | None = None) -> Any:
        """The value, if it is of this shape, as the column takes it. Raises ParseError otherwise."""
        if type(value) not in PLAIN:
            value = _as_json(value, text)
        if not self._is_plainly_right(value):
            value = self._valid(value, text)
        if self._adapter is not None:
            value = self._through_pydantic(value, text)
        try:
            return self._read(value)
        except (ValueError, OverflowError, RecursionError) as exc:
            raise ParseError(f"not the shape that was asked for: {exc}", text=text) from exc

    @cached_property
    def _read(self) -> Callable[[Any], Any]:
        """From a JSON value to what the column takes."""
        return reader(self.dtype)

    @cached_property
    def _is_plainly_right(self) -> Callable[[Any], bool]:
        """A quick yes for scalars and labels; what it does not know is validated in full."""
        kinds = {"boolean": (bool,), "integer": (int,), "number": (float, int), "string": (str,)}.get(str(self.schema.get("type")), ())
        if self._labels:
            labels = list(self._labels.values())
            return lambda value: type(value) in kinds and value in labels
        if self._adapter is not None and '"properties"' not in json.dumps(self.schema):
            return lambda _: True  # pydantic says it; only records may be filled up with defaults
        return (lambda value: type(value) in kinds) if self.schema.keys() == {"type"} else lambda _: False

    @cached_property
    def _validator(self) -> Any:
        import jsonschema
        from referencing import Registry

        schema = dict(self.schema) if self._adapter is None else read_as(self.shape)
        return jsonschema.validators.validator_for(schema)(schema, registry=Registry())  # an empty registry: no reference is fetched from the net

    def _valid(self, value: Any, text: str | None) -> Any:
        """The value as it fits the JSON Schema, null for what may be left out being read as left out. Also what pydantic reads: it would fill in
        defaults for what the answer leaves out."""
        import jsonschema

        held = self._validator
        try:
            if held.is_valid(value):
                return value
            made = without_nulls(value, held.schema, held.schema, lambda v, option: held.evolve(schema=option).is_valid(v))
            if made != value and held.is_valid(made):
                return made
            error = jsonschema.exceptions.best_match(held.iter_errors(value))
        except RecursionError as exc:
            raise ParseError("the answer is nested too deeply", text=text) from exc
        at = "".join(f" at {p!r}" for p in error.absolute_path)
        raise ParseError(f"not the shape that was asked for{at}: {error.message[:300]}", text=text)

    @cached_property
    def _adapter(self) -> Any:
        """Pydantic's reader of the shape, for types that carry validators of their own."""
        if not is_pydantic(self.shape):
            return None
        from pydantic import TypeAdapter

        return TypeAdapter(self.shape)

    def _through_pydantic(self, value: Any, text: str | None) -> Any:
        import pydantic

        try:
            made = self._adapter.validate_json(json.dumps(value), strict=True)
            held = self._adapter.dump_python(made, mode="json", by_alias=True)
        except pydantic.ValidationError as exc:
            raise ParseError(_first_error(exc.errors()), text=text) from exc
        except BaseException as exc:  # a validator or serialiser of the user's may raise anything
            raise ParseError(f"the validators of {self.shape!r} failed: {type(exc).__name__}: {exc}", text=text) from exc
        return _sets_in_order(held, self.schema, self.schema) if "uniqueItems" in self.json_schema else held

    def to_series(self, name: str, values: Iterable[Any]) -> pl.Series:
        """What parse and accept gave (None for missing ones) as a column."""
        return pl.Series(name, list(values), dtype=self.dtype, strict=True)


def unfenced(text: str) -> str:
    """What stands in a code fence, where that is all of the text. Its end may be missing: stop= may have cut it off."""
    held = text.strip()
    if not held.startswith("```") or (opening := FENCED.match(held, 3)) is None:
        return text
    return held[opening.end() :].removesuffix("```").strip()


def _stripped(text: str) -> str:
    return text.strip().strip("\"'.").strip()


def _as_json(value: Any, text: str | None) -> Any:
    """What parse= may give (models, enums, dates, sets …) as JSON has it."""
    import pydantic_core

    if isinstance(value, enum.Enum):
        return value.value
    try:
        return pydantic_core.to_jsonable_python(value, by_alias=True)
    except (pydantic_core.PydanticSerializationError, ValueError, RecursionError) as exc:
        raise ParseError(f"a {type(value).__name__} is not JSON: {exc}", text=text) from exc


def _sets_in_order(value: Any, schema: Any, root: Mapping[str, Any]) -> Any:
    """Sets have no order of their own: sorted by their JSON text, they are the same in every process."""
    schema = resolved(schema, root) if isinstance(schema, Mapping) else {}
    if isinstance(value, Mapping):
        properties = schema.get("properties", {})
        return {k: _sets_in_order(v, properties.get(k), root) for k, v in value.items()}
    if isinstance(value, list):
        inner = [_sets_in_order(v, schema.get("items"), root) for v in value]
        return sorted(inner, key=lambda v: json.dumps(v, sort_keys=True)) if schema.get("uniqueItems") else inner
    return value


def _first_error(errors: list[Any]) -> str:
    shown = [f"{'.'.join(map(str, e['loc'])) or 'the answer'}: {e['msg']}" for e in errors[:3]]
    return "not the shape that was asked for: " + "; ".join(shown)


def _loads(text: str, *, whole: str) -> Any:
    try:
        return DECODER.decode(text)
    except RecursionError as exc:
        raise ParseError("the answer is nested too deeply", text=whole) from exc
    except ValueError as exc:
        raise ParseError(f"the answer is not JSON: {exc}", text=whole) from exc
