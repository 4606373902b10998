"""Roles: which columns a trainer learns from, and of what type they must be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError, SettingError, did_you_mean, listed

TEXT = "text"
CHAT = "chat"  # text or a list of {role, content}
MESSAGES = "messages"  # a list of {role, content}
BOOL = "bool"
NUMBER = "number"
LABEL = "label"  # text, bool, integer or enum
LABELS = "labels"  # a label, or a list of them
WORDS = "words"  # a list of text
TAGS = "tags"  # a list of labels
VECTOR = "vector"  # an array of numbers, as df.embed makes it


@dataclass(frozen=True)
class Roles:
    """One way of giving rows: role → kind of column. Those in `optional` may be absent."""

    kinds: Mapping[str, str]
    optional: tuple[str, ...] = ()

    @property
    def required(self) -> list[str]:
        return [r for r in self.kinds if r not in self.optional]


def assign(columns: Mapping[str, str], schema: pl.Schema, ways: Sequence[Roles], *, aliases: Mapping[str, str], extra: bool, who: str) -> dict[str, str]:
    """Role → column: what was given, and for roles that were not given the column of the same name.

    Raises ColumnNotFoundError, SettingError or SchemaError. With `extra`, further names are allowed and passed on.
    """
    given = {aliases.get(role, role): column for role, column in columns.items()}
    for column in given.values():
        if column not in schema:
            raise ColumnNotFoundError(column, columns=schema.names(), step=who)
    known = {role for way in ways for role in way.kinds}
    for role in given:
        if role not in known and not extra:
            raise SettingError.unknown(role, possible=known, where=f"{who} columns")
    for way in ways:
        if not extra and not set(given) <= set(way.kinds):
            continue
        whole = given | {role: role for role in way.kinds if role not in given and role in schema}
        if all(role in whole for role in way.required):
            chosen = whole if extra else {role: whole[role] for role in way.kinds if role in whole}
            for role, kind in way.kinds.items():
                if role in chosen:
                    need_kind(schema[chosen[role]], kind, role=role, column=chosen[role], who=who)
            return chosen
    raise _missing(given, schema, ways, who)


def _missing(given: Mapping[str, str], schema: pl.Schema, ways: Sequence[Roles], who: str) -> SettingError:
    options = " or ".join(", ".join(f"{r}=" for r in way.required) for way in ways)
    first = next((r for way in ways if set(given) <= set(way.kinds) for r in way.required if r not in given and r not in schema), None)
    hint = did_you_mean(first, schema.names()) if first else ""
    lacking = f" No column was given for {first!r}.{hint}" if first else ""
    return SettingError(f"{who}: it learns from the columns {options}.{lacking} The frame has {listed(schema.names())}.")


def need_kind(dtype: pl.DataType, kind: str, *, role: str, column: str, who: str) -> None:
    """Raise SchemaError where a column's type cannot play the role."""
    if not _fits(dtype, kind):
        wanted = {
            MESSAGES: "a list of messages (structs of role and content; text of JSON becomes one with .str.json_decode)",
            TEXT: "text", CHAT: "text or a list of messages (structs of role and content)", BOOL: "true or false", NUMBER: "a number",
            LABEL: "a label: text, bool, integer or enum", LABELS: "a label or a list of labels", WORDS: "a list of words",
            TAGS: "a list of labels, one a word", VECTOR: "vectors, as df.embed(embedder, 'text', into='e') makes them",
        }[kind]  # fmt: skip
        raise SchemaError(f"{who}: {role}={column!r} has type {dtype}; it must be {wanted}.")


def _fits(dtype: pl.DataType, kind: str) -> bool:
    is_text = dtype == pl.String or isinstance(dtype, pl.Enum | pl.Categorical)
    if kind in (TEXT, CHAT):
        return is_text or (kind == CHAT and _is_messages(dtype))
    if kind == MESSAGES:
        return _is_messages(dtype)
    if kind == BOOL:
        return dtype == pl.Boolean
    if kind == NUMBER:
        return dtype.is_numeric() or dtype == pl.Boolean
    if kind == LABEL:
        return is_text or dtype == pl.Boolean or dtype.is_integer()
    if kind == LABELS and _fits(dtype, LABEL):
        return True
    if kind == VECTOR:
        return isinstance(dtype, pl.Array) and _inner(dtype).is_numeric()
    return isinstance(dtype, pl.List) and _fits(_inner(dtype), TEXT if kind == WORDS else LABEL)


def _inner(dtype: pl.DataType) -> pl.DataType:
    inner = getattr(dtype, "inner", pl.Null())
    return inner() if isinstance(inner, type) else inner


def _is_messages(dtype: pl.DataType) -> bool:
    inner = _inner(dtype)
    return isinstance(dtype, pl.List) and isinstance(inner, pl.Struct) and {"role", "content"} <= {f.name for f in inner.fields}
