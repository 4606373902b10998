"""Values of rows as JSON that a browser can show: long texts cut, numbers that JavaScript cannot hold as text, pictures as data."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping
from typing import Any

import polars as pl

SHORT, WHOLE = 600, 1_000_000  # characters of a text in a table, and in a record
ITEMS, ALL = 12, 5_000  # of a list
LARGEST = 1 << 53  # whole numbers that JavaScript tells apart
MOST_PICTURE, MOST_INSIDE = 1 << 20, 16_384  # bytes of a picture, and of one inside a struct or a list in a table
PICTURES = {b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}
KINDS = {"String": "text", "Categorical": "label", "Enum": "label", "Boolean": "bool", "List": "list", "Array": "list", "Struct": "fields"}
KINDS |= {"Binary": "bytes"}
DEEPEST = 12  # structs and lists, one in another


def cell(value: Any, *, whole: bool = False, depth: int = 0) -> Any:
    """One value: None, a bool, a number, a text, or an object that says what it is by its one key.

    `{"cut": text, "n": characters}` is the begin of a text, `{"num": text}` a number that JSON has not, `{"list": […], "n": items}`, `{"fields": [[name,
    value], …]}`, `{"bytes": n}`, `{"picture": "data:…"}` and `{"text": …}` of anything else: dates, durations.

    >>> cell("tea"), cell(float("nan")), cell([1, 2])
    ('tea', {'num': 'NaN'}, {'list': [1, 2], 'n': 2})
    """
    if value is None or isinstance(value, (bool, int, float)):
        return _number(value)
    if isinstance(value, str):
        most = WHOLE if whole else SHORT
        return value if len(value) <= most else {"cut": value[:most], "n": len(value)}
    if isinstance(value, bytes):
        return {"bytes": len(value)} if depth and not whole and len(value) > MOST_INSIDE else _bytes(value)
    if depth >= DEEPEST:
        return {"text": "…"}
    if isinstance(value, Mapping):
        return {"fields": [[str(k), cell(v, whole=whole, depth=depth + 1)] for k, v in value.items()]}
    if isinstance(value, pl.Series):
        value = value.to_list()
    if isinstance(value, (list, tuple)):
        most = ALL if whole else ITEMS
        return {"list": [cell(v, whole=whole, depth=depth + 1) for v in value[:most]], "n": len(value)}
    return {"text": str(value)[:SHORT]}


def _number(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {"num": "NaN" if math.isnan(value) else "∞" if value > 0 else "-∞"}
    return {"num": str(value)} if type(value) is int and abs(value) >= LARGEST else value


def _bytes(value: bytes) -> Any:
    kind = next((kind for magic, kind in PICTURES.items() if value.startswith(magic)), None)
    if kind == "webp" and value[8:12] != b"WEBP":
        kind = None
    if kind is None or len(value) > MOST_PICTURE:
        return {"bytes": len(value)}
    return {"picture": f"data:image/{kind};base64,{base64.b64encode(value).decode()}"}


def kind_of(dtype: pl.DataType) -> str:
    """What a column is, in a word that the page knows: number, text, label, yes or no, time, list, fields, vector, bytes.

    >>> kind_of(pl.Int64()), kind_of(pl.Array(pl.Float32, 3)), kind_of(pl.Boolean())
    ('number', 'vector', 'bool')
    """
    if dtype.is_numeric():
        return "number"
    if isinstance(dtype, pl.Array) and dtype.inner.is_float():
        return "vector"
    if dtype.is_temporal():
        return "time"
    return KINDS.get(dtype.base_type().__name__, "other")
