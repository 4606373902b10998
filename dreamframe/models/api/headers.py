"""What stands in the headers of a request, checked before anything is sent: the key, and the headers that the user gives."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from dreamframe.errors import AuthenticationError, SettingError

NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
KINDS = (str, bytes, int, float)
ITS_OWN = ("content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer")  # what a connection writes itself
AROUND = re.compile(r"""(["'])(.*)\1""")  # left by files of variables


def plain_key(given: Any, *, who: str) -> str | None:
    """A key as it travels: without the blanks and the line end that a file or a shell leaves around it. Raises SettingError for what is not a text."""
    if given is None:
        return None
    told = given.get_secret_value() if hasattr(given, "get_secret_value") else given  # pydantic's
    told = told.decode("latin-1") if isinstance(told, bytes) else told
    if not isinstance(told, str):
        raise SettingError(f"{who}: api_key= is a {type(given).__name__}, and must be a text.")
    return told.strip() if told != told.strip() else told


def check_key(key: str, *, who: str, variable: str) -> None:
    """Raise AuthenticationError for a key that no request can carry, without showing it."""
    whence = f"the environment variable {variable}" if variable else "api_key="
    if (wrapped := AROUND.fullmatch(key)) or key.lower().startswith("bearer "):
        what = f"stands in quotes ({wrapped[1]})" if wrapped else "begins with 'Bearer ', which is put before it anyway"
        raise AuthenticationError(f"{who}: the API key ({whence}) {what}. Give the key alone.")
    at = next((i for i, c in enumerate(key) if not (c.isascii() and c.isprintable())), None)
    if at is None:
        return
    what = f"the character U+{ord(key[at]):04X}" if key[at].isprintable() else f"a control character (U+{ord(key[at]):04X})"
    where = f"as number {at + 1} of {len(key)} characters"
    raise AuthenticationError(f"{who}: the API key ({whence}) has {what} in it, {where}. It was copied wrongly: give it anew.")


def header_fields(given: Any, *, who: str) -> tuple[tuple[str, str], ...]:
    """The headers of a dict, or of (name, value) pairs, as texts. Raises SettingError for one that no request can carry, without showing its value."""
    try:
        pairs = [(name, value) for name, value in (given.items() if isinstance(given, Mapping) else given)]
    except (TypeError, ValueError):
        raise SettingError(f"{who}: headers= is a {type(given).__name__}, and must be a dict like {{'X-Team': 'research'}}.") from None
    return tuple((_name(name, who), _value(name, value, who)) for name, value in pairs)


def _name(name: Any, who: str) -> str:
    told = name.decode("latin-1") if isinstance(name, bytes) else name
    if not isinstance(told, str) or not NAME.fullmatch(told):
        raise SettingError(f"{who}: headers= has the name {name!r}; a header's name is letters, digits and '-'.")
    if told.lower() in ITS_OWN:
        raise SettingError(f"{who}: headers= has {told!r}, which the connection writes itself for every request. Leave it out.")
    return told


def _value(name: Any, value: Any, who: str) -> str:
    if not isinstance(value, KINDS) or isinstance(value, bool):
        raise SettingError(f"{who}: headers= has a {type(value).__name__} as {name!r}; a header's value is a text or a number.")
    told = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    told = told.strip() if told != told.strip() else value if isinstance(value, str) else told
    if any(c in told for c in "\r\n\0") or any(ord(c) < 32 and c != "\t" for c in told):
        raise SettingError(f"{who}: headers= has a line end or another control character in {name!r}, which no request can carry.")
    return told
