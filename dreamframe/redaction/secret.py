"""A text that must not be told: it is used like any other, and what prints it, or a record around it, shows stars."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from typing import Any

MASK = "***"
SURE = {"password", "passwd", "passphrase", "secret", "secrets", "credential", "credentials", "authorization", "apikey", "cookie", "bearer", "jwt", "webhook"}
OF_KEY = {"api", "access", "account", "admin", "app", "auth", "client", "encryption", "function", "functions", "hub", "license", "licence", "master"}
OF_KEY |= {"private", "project", "root", "secret", "service", "session", "shared", "signing", "ssh", "storage", "subscription"}
NO_TOKEN = {"bos", "cls", "continuation", "end", "eos", "eot", "first", "image", "last", "mask", "max", "min", "n", "new", "next", "num", "pad", "sep"}
NO_TOKEN |= {"special", "start", "stop", "unk"}
HARMLESS_HEADERS = {"accept", "accept-encoding", "accept-language", "anthropic-beta", "anthropic-version", "connection", "content-type", "http-referer"}
HARMLESS_HEADERS |= {"openai-beta", "referer", "user-agent", "x-title"}
HARMLESS_QUERY = {"alt", "api-version", "beta", "deployment", "limit", "location", "model", "page", "project", "region", "v", "version"}


def words_of(name: str) -> list[str]:
    """`awsSecret_Access-key` → aws, secret, access, key."""
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def is_secret_name(name: object) -> bool:
    """Whether something of this name is a secret: a setting, a header, a variable.

    >>> [is_secret_name(n) for n in ("aws_secret_access_key", "X-Api-Key", "hub_token", "max_tokens", "eos_token", "sort_key", "author")]
    [True, True, True, False, False, False, False]
    """
    words = words_of(name) if isinstance(name, str) and len(name) < 200 else []
    if not words:
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if SURE & set(words) or "".join(words).endswith(("apikey", "password", "passwd", "authtoken", "accesstoken", "privatekey")):
        return True
    if last == "token" or (last == "tokens" and before in ("api", "auth", "access", "bearer")):
        return before not in NO_TOKEN
    if last in ("key", "keys") or (last == "id" and before == "key"):
        return bool(OF_KEY & set(words[:-1]))
    return last in ("auth", "pass", "pw", "pwd", "sas") or (last in ("sig", "signature") and len(words) < 3)


class Secret(str):
    """A text that `repr` does not show, that no plan holds, and that is taken out of every error. `name` is what to hand over where a plan is read."""

    name: str
    __slots__ = ("name",)

    def __new__(cls, text: str, *, name: str = "secret") -> Secret:
        made = super().__new__(cls, text)
        made.name = name
        return made

    def __repr__(self) -> str:
        return repr(MASK)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (type(self), str(self), self.name)


class SecretPart(Secret):
    """A text with a secret somewhere in it: `repr` shows the rest."""

    shown: str
    __slots__ = ("shown",)

    @classmethod
    def of(cls, text: str, *, name: str, shown: str) -> SecretPart:
        """`shown` is the text without the secret."""
        made = cls(text, name=name)
        made.shown = shown
        return made

    def __repr__(self) -> str:
        return repr(self.shown)

    def __reduce__(self) -> tuple[Any, ...]:
        return _made_part, (str(self), self.name, self.shown)


class SecretJson(Secret):
    """A JSON object with secrets in it: `repr` shows the rest."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(plain_json(masked(json.loads(self))))

    def secrets(self) -> list[Secret]:
        """The secrets in it."""
        return secrets_within(hidden(json.loads(self)))


def _made(cls: type[Secret], text: str, name: str) -> Secret:
    return cls(text, name=name)


def _made_part(text: str, name: str, shown: str) -> SecretPart:
    return SecretPart.of(text, name=name, shown=shown)


def hide_fields(record: Any) -> None:
    """Make the texts of a record's secret fields Secrets: nothing that prints its `vars`, or `dataclasses.asdict` of it, shows them."""
    for f in dataclasses.fields(record):
        value = getattr(record, f.name) if f.metadata.get("secret") else None
        if isinstance(value, str) and not isinstance(value, Secret):
            object.__setattr__(record, f.name, Secret(value, name=f.name))
        elif isinstance(value, tuple):
            object.__setattr__(record, f.name, tuple((name, Secret(str(text), name=name)) for name, text in value))


def plain_json(value: Any) -> str:
    """The text in which pass-through arguments travel."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def hidden(value: Any, name: str = "") -> Any:
    """The value with each text that stands under a secret's name as a Secret.

    >>> hidden({"user": "me", "password": "x"})
    {'user': 'me', 'password': '***'}
    """
    if isinstance(value, str):
        return Secret(value, name=name) if is_secret_name(name) and value and not isinstance(value, Secret) else value
    if isinstance(value, Mapping):
        return {k: hidden(v, _inherited(str(k), name)) for k, v in value.items()} if type(value) is dict else value
    if type(value) is tuple and len(value) == 2 and is_secret_name(value[0]) and isinstance(value[1], str):
        return value[0], hidden(value[1], value[0])
    if type(value) in (list, tuple):
        return type(value)(hidden(v, name) for v in value)
    return value


def _inherited(name: str, above: str) -> str:
    """What an entry goes by: all that stands under a secret's name is secret, and so is every header that is not a known one."""
    is_header = above.lower().endswith("headers") and name.lower() not in HARMLESS_HEADERS
    return name if is_secret_name(name) or not (is_header or is_secret_name(above)) else f"{name} token"


def hidden_json(text: str, name: str) -> str:
    """Canonical JSON whose `repr` hides its secrets; the text itself where it holds none."""
    if isinstance(text, Secret):
        return text
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return SecretJson(text, name=name) if secrets_within(hidden(found)) else text


def masked(value: Any) -> Any:
    """The value with stars for each of its secrets, as plain texts."""
    if isinstance(value, dict):
        return {k: masked(v) for k, v in hidden(value).items()}
    if isinstance(value, (list, tuple)):
        return [masked(v) for v in hidden(value)]
    return MASK if isinstance(value, Secret) else value


def secrets_within(value: Any) -> list[Secret]:
    """Every Secret inside lists, tuples and dicts."""
    if isinstance(value, SecretJson):
        return value.secrets()
    if isinstance(value, Secret):
        return [] if isinstance(value, SecretPart) else [value]
    if value is None or isinstance(value, (str, bytes, int, float)):
        return []
    if isinstance(value, Mapping):
        return [s for v in value.values() for s in secrets_within(v)]
    return [s for v in value for s in secrets_within(v)] if isinstance(value, (list, tuple, set, frozenset)) else []
