"""Prompt templates: text with `{column}` in it. The columns read, and vectorised rendering."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Mapping
from functools import cache, reduce
from typing import Any, NamedTuple

import polars as pl

from dreamframe.errors import ColumnNotFoundError, SchemaError, SettingError, TemplateError
from dreamframe.redaction.visible import HALF, visible

BRACE = re.compile(r"[{}]")
QUOTED = re.compile(r'\{("(?:[^"\\]|\\.)*")\}')  # a column whose name holds braces, or nothing but blanks: its name as JSON
HELP = "Write {column}; for a brace itself write {{ or }}."
SIGNS = (  # what str.format would do with a name, and what to write instead
    (":", "a format", "Format the column first, e.g. .with_columns(pl.col('x').round(2)), or pass x=pl.col('x').… to dr.prompt."),
    ("!", "a conversion", "Values are written as text already."),
    (".", "an attribute", "Take the field out first: dr.prompt(llm, '{x}', x=pl.col('s').struct.field('x')), or .unnest('s')."),
    ("[", "an index", "Take the element out first: dr.prompt(llm, '{x}', x=pl.col('l').list.get(0))."),
)


class Piece(NamedTuple):
    """A part of a template: literal text, or the name of a column."""

    text: str
    is_column: bool


@cache
def pieces(template: str, step: str = "prompt") -> tuple[Piece, ...]:
    """Cut a template into literal texts and columns. Raises TemplateError for anything but `{column}`, or `{"column"}` where a name holds braces.

    >>> pieces("Sum up {body} as {{json}}.")
    (Piece(text='Sum up ', is_column=False), Piece(text='body', is_column=True), Piece(text=' as {json}.', is_column=False))
    """
    found: list[Piece] = []
    text, at = "", 0
    while (brace := BRACE.search(template, at)) is not None:
        start = brace.start()
        text += template[at:start]
        if template[start : start + 2] in ("{{", "}}"):
            text, at = text + template[start], start + 2
            continue
        if template[start] == "}":
            raise TemplateError(f"{step}: a single }} stands at {_near(template, start)}. {HELP}")
        if (quoted := QUOTED.match(template, start)) is not None and (name := _quoted(quoted[1])) is not None:
            found += [Piece(text, False)] * bool(text) + [Piece(name, True)]
            text, at = "", quoted.end()
            continue
        end = BRACE.search(template, start + 1)
        if end is None:
            raise TemplateError(f"{step}: a {{ is not closed at {_near(template, start)}. {HELP}")
        if template[end.start()] == "{":
            raise TemplateError(f"{step}: a brace stands inside {{…}} at {_near(template, start)}. {HELP}")
        if text:
            found.append(Piece(text, False))
        found.append(Piece(_name(template[start + 1 : end.start()], template, start, step), True))
        text, at = "", end.end()
    if text + template[at:]:
        found.append(Piece(text + template[at:], False))
    return tuple(found)


def _name(name: str, template: str, at: int, step: str) -> str:
    if not name.strip():
        raise TemplateError(f"{step}: {{}} at {_near(template, at)} names no column. {HELP}")
    return name


def _quoted(text: str) -> str | None:
    """The name that stands in quotes, if it can stand in no other way."""
    try:
        name = str(json.loads(text))
    except ValueError:
        return None
    return name if BRACE.search(name) or not name.strip() else None


def placeholder(column: str) -> str:
    """What stands for a column in a template, whatever the column is called.

    >>> placeholder("review.text"), placeholder("a}b")
    ('{review.text}', '{"a}b"}')
    """
    return f"{{{json.dumps(column, ensure_ascii=False)}}}" if BRACE.search(column) or not column.strip() else f"{{{column}}}"


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:60]}…"


def _near(template: str, at: int) -> str:
    return f"position {at}: {template[max(0, at - 10) : at + 20]!r}"


def columns(template: str, step: str = "prompt") -> tuple[str, ...]:
    """The columns that a template reads, in order of first use.

    >>> columns("{a} or {b}? {a}")
    ('a', 'b')
    """
    return tuple(dict.fromkeys(p.text for p in pieces(template, step) if p.is_column))


def check(template: str, schema: pl.Schema, *, step: str) -> None:
    """Raise TemplateError, ColumnNotFoundError or SchemaError where rows of a schema cannot fill a template."""
    for name in columns(template, step):
        if name not in schema:
            if name.lstrip()[:1] in ('"', "'", "[") or "\n" in name:
                told = f"{{{_short(name)}}}"
                raise TemplateError(f"{step}: {told} is no column. Braces that the model is to read, as of JSON, are doubled: {{{told}}}.")
            for what in (f"{{{name}}} holds {what}, and a template takes columns only. {instead}" for sign, what, instead in SIGNS if sign in name):
                raise TemplateError(f"{step}: {what}")
            raise ColumnNotFoundError(name, columns=schema.names(), step=step)
        if not _is_writable(schema[name]):
            raise SchemaError(f"{step}: column {name!r} has type {schema[name]}, which is not text. Cast it first, or give images in dr.Chat.")


def _is_writable(dtype: Any) -> bool:
    """Whether values of a type can be written as text."""
    if isinstance(dtype, pl.List | pl.Array):
        return _is_writable(dtype.inner)
    if isinstance(dtype, pl.Struct):
        return all(_is_writable(f.dtype) for f in dtype.fields)
    return dtype not in (pl.Binary, pl.Object)


def render(template: str, rows: pl.DataFrame) -> pl.Series:
    """Fill a template with each row: one string a row, null where a column that it reads is null.

    Numbers, dates, durations and truth values are written as polars writes them; lists and structs as JSON.

    >>> render("{a} is {b}", pl.DataFrame({"a": ["x", None], "b": [1, 2]})).to_list()
    ['x is 1', None]
    """
    parts = pieces(template)
    read = {name: as_text(rows.get_column(name)) for name in columns(template)}
    if not read:
        return pl.repeat("".join(p.text for p in parts), rows.height, dtype=pl.String, eager=True).alias("prompt")
    texts = [read[p.text] if p.is_column else pl.Series([p.text]) for p in parts]
    return reduce(operator.add, texts).alias("prompt")  # column by column: a query costs more than the few rows of a batch


def as_text(column: pl.Series) -> pl.Series:
    """A column as strings, nulls as nulls."""
    if isinstance(column.dtype, pl.List | pl.Array | pl.Struct):
        values = column.to_list()
        valid = column.is_not_null().to_list()
        texts = [json.dumps(v, ensure_ascii=False, default=str) if ok else None for v, ok in zip(values, valid, strict=True)]
        return pl.Series(column.name, texts, dtype=pl.String)
    if isinstance(column.dtype, pl.Duration):  # polars casts none
        return column.dt.to_string("polars")
    return column.cast(pl.String)


def need_whole(value: object, what: str, *, step: str) -> None:
    """Raise SettingError for a text that holds half of a surrogate pair: no server, no file and no key takes it. Looks into lists and dicts."""
    if isinstance(value, str):
        if not value.isascii() and (half := HALF.search(value)) is not None:
            raise SettingError(
                f"{step}: {what} holds half of a surrogate pair ({visible(half.group())} at position {half.start()}), which is no character. "
                "Read the text as UTF-8, or leave it out: text.encode('utf-16', 'surrogatepass').decode('utf-16', 'replace')."
            )
    elif isinstance(value, Mapping):
        need_whole((*value, *value.values()), what, step=step)
    elif isinstance(value, (tuple, list)):
        for held in value:
            need_whole(held, what, step=step)


def literal(text: str) -> str:
    """A text as a template that gives it word for word.

    >>> columns(literal("a set {1, 2}"))
    ()
    """
    return text.replace("{", "{{").replace("}", "}}")


def renamed(template: str, names: Mapping[str, str]) -> str:
    """The template with columns read under other names."""
    made = [
        placeholder(names.get(p.text, p.text)) if p.is_column else literal(p.text) for p in pieces(template)
    ]
    return "".join(made)
