"""The secrets that a model's settings, a trainer's, and the environment hold: what no error, no file and no page may show."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from dreamframe.models.api.address import Address
from dreamframe.redaction.redactor import WINDOW, Redactor, is_random, redactor
from dreamframe.redaction.secret import HARMLESS_HEADERS, HARMLESS_QUERY, is_secret_name, secrets_within, words_of

IN_ENVIRONMENT = {"key", "keys", "token", "tokens", "secret", "secrets", "password", "passwd", "pass", "pw", "pwd", "credentials", "auth", "apikey"}

# What stands where no key is needed
NO_KEYS = {"empty", "none", "null", "not-needed", "not needed", "no-key", "no-key-required", "sk-no-key-required", "dummy", "dummy-key", "unused", "local"}
NO_KEYS |= {"localhost", "ollama", "lm-studio", "vllm", "llama.cpp", "placeholder", "test", "key", "api-key", "anything", "token-abc123"}


def secrets_in(record: Any) -> Iterator[str]:
    """The secrets of one record: of its fields that are declared secret, of its key's variable, and those inside its other settings."""
    if not dataclasses.is_dataclass(record):
        return
    for f in dataclasses.fields(record):
        value = getattr(record, f.name, None)
        if isinstance(value, Address):
            yield from of_user(value.userinfo)
            yield from of_query(value.query)
        elif not f.metadata.get("secret"):
            yield from map(str, secrets_within(value))
        elif f.name == "headers":
            yield from of_headers(dict(value or {}))
        else:
            yield from (s for s in _strings(value) if s.lower() not in NO_KEYS)
    if found := os.environ.get(str(getattr(record, "key_variable", "") or "")):
        yield found.strip()  # as it travels


def of_headers(headers: Mapping[Any, Any]) -> Iterator[str]:
    """The values of headers, whole and by their parts: `Bearer x`, `a=x; b=y`."""
    for name, value in headers.items():
        if str(name).lower() in HARMLESS_HEADERS:
            continue
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        parts = [p for p in re.split(r"[\s;,]+", text) if p]
        parts += [p.partition("=")[2] for p in parts if "=" in p.rstrip("=")]
        yield from (p for p in dict.fromkeys(parts) if len(p) >= WINDOW or (len(parts) == 1 and is_secret_name(name)))
        if is_secret_name(name) and len(parts) > 1:
            yield text  # as one


def of_user(userinfo: str | None) -> Iterator[str]:
    """The password of an address, the user where it stands for one, and both."""
    if not userinfo:
        return
    user, colon, password = userinfo.partition(":")
    for word in (password, userinfo) if colon else (userinfo,):
        yield from dict.fromkeys((word, unquote(word)))
    if is_random(user):
        yield from dict.fromkeys((user, unquote(user)))


def of_query(query: str | None) -> Iterator[str]:
    """The values of an address' query, but those that everybody may know."""
    for name, value in parse_qsl(query or "", keep_blank_values=True):
        if name.lower() not in HARMLESS_QUERY and (len(value) >= WINDOW or is_secret_name(name)):
            yield value
    for part in re.split("[&;]", query or ""):  # as it was written, too
        name, _, value = part.partition("=")
        if name.lower() not in HARMLESS_QUERY and len(value or name) >= WINDOW:
            yield value or name


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, (str, bytes)):
        yield value if isinstance(value, str) else value.decode("latin-1")
    elif isinstance(value, Mapping):
        yield from (s for inner in value.values() for s in _strings(inner))
    elif isinstance(value, (tuple, list)):
        yield from (s for inner in value for s in _strings(inner))


def secrets_around() -> Iterator[str]:
    """What the environment calls a key, passwords in its addresses, and those of the proxies."""
    for name, value in os.environ.items():
        if len(value) >= WINDOW and _may_be_secret(name) and not value.startswith(("/", "~", ".")):
            yield from _of_json(value) if value.lstrip().startswith("{") else (value.strip(),)
        if "@" in value and ("://" in value or name.lower().endswith("_proxy")):
            yield from of_user(_user_of(value if "://" in value else f"http://{value}"))


@functools.cache
def _may_be_secret(name: str) -> bool:
    return bool(set(words_of(name)) & IN_ENVIRONMENT) and name not in ("PWD", "OLDPWD")


def _user_of(address: str) -> str | None:
    try:
        return urlsplit(address).netloc.rpartition("@")[0] or None
    except ValueError:
        return None


def _of_json(text: str) -> Iterator[str]:
    """The secrets in credentials that are a JSON object."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return
    yield from (s for s in _strings(found) if is_random(s))


def redactor_of(records: Iterable[Any], *more: str | None) -> Redactor:
    """What takes the secrets of these settings, and of the environment, out of texts; and `more` that are secret."""
    secrets = dict.fromkeys([*(s for record in records for s in secrets_in(record)), *(s for s in more if s)])
    return redactor(tuple(secrets), tuple(dict.fromkeys(secrets_around())))
