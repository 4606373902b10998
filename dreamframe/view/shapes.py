"""Answer schemas as words of a command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dreamframe.errors import SettingError

TYPES: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
WAYS = "Write bool, int, float, labels as good,bad, fields as city:str,age:int, JSON Schema, or the path of a .json file that holds it."


def schema_of(words: str | None) -> Any:
    """What `--schema` says, as `df.prompt(schema=)` takes it: a type, labels, fields with their types, or JSON Schema, written out or in a file.

    Raises SettingError for anything else.

    >>> schema_of("bool"), schema_of("good, bad"), schema_of("city:str,age:int")
    (<class 'bool'>, ['good', 'bad'], {'city': <class 'str'>, 'age': <class 'int'>})
    """
    if words is None or words.strip() in TYPES:
        return None if words is None else TYPES[words.strip()]
    text = words.strip()
    if text.endswith(".json"):
        return _read(text)
    if text.startswith("{"):
        return _parsed(text, of="--schema")
    parts = [part.strip() for part in text.split(",")]
    fields = [tuple(side.strip() for side in part.split(":")) for part in parts]
    if all(len(field) == 2 and field[1] in TYPES for field in fields):
        return {name: TYPES[kind] for name, kind in fields}
    if len(parts) > 1 and all(parts):
        return parts
    raise SettingError(f"--schema {words!r} is not a schema. {WAYS}")


def _read(path: str) -> Any:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingError(f"--schema: {path!r} cannot be read: {exc.strerror if isinstance(exc, OSError) else exc}.") from exc
    return _parsed(text, of=repr(path))


def _parsed(text: str, *, of: str) -> Any:
    try:
        made = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise SettingError(f"{of} is not JSON: {exc}. {WAYS}") from exc
    if not isinstance(made, dict):
        raise SettingError(f"{of} holds a {type(made).__name__}; JSON Schema is an object. {WAYS}")
    return made
