"""The address of a server, kept without what must not be told of it: its user and password, and its query."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from dreamframe.errors import SettingError
from dreamframe.models.api.variant import choosing
from dreamframe.redaction.secret import MASK, Secret, SecretPart


class Address(SecretPart):
    """The text of an address without login and query; both go along with it, out of sight, so that they are kept where settings are copied.

    >>> Address.of_parts("http://host/v1", userinfo="me:pw", query="key=k")
    'http://host/v1'
    """

    userinfo: str | None
    query: str | None
    __slots__ = ("query", "userinfo")

    @classmethod
    def of_parts(cls, text: str, *, userinfo: str | None, query: str | None, shown: str | None = None) -> Address:
        """`shown` is the text without a secret that also stands elsewhere in the settings."""
        made = cls(text, name="base_url")
        made.shown = text if shown is None else shown
        made.userinfo = Secret(userinfo, name="userinfo") if userinfo else None
        made.query = Secret(query, name="query") if query else None
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return _made, (str(self), self.userinfo, self.query, self.shown)


def _made(text: str, userinfo: str | None, query: str | None, shown: str) -> Address:
    return Address.of_parts(text, userinfo=userinfo, query=query, shown=shown)


@dataclass(frozen=True)
class Untold:
    """The headers of settings that a plan told of: what they and the query chose is known as a digest, and there is nothing to send."""

    variant: str

    def __bool__(self) -> bool:
        return False


def address_of(given: str, *, who: str) -> str:
    """An address as settings keep it: in lower case up to its path, an `Address` where it has a login or a query.

    Raises SettingError, without what may be a password in it, for a text that is not an address.
    """
    if isinstance(given, Address):
        return given
    if not isinstance(given, str):
        raise SettingError(f"{who}: base_url={given!r} is not an address like 'http://localhost:8000/v1'.")
    parts = split(given, who=who)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingError(f"{who}: base_url={without_login(given)!r} is not an address like 'http://localhost:8000/v1'.")
    userinfo, _, place = parts.netloc.rpartition("@")
    text = urlunsplit((parts.scheme, place.lower(), parts.path.rstrip("/"), "", ""))
    return Address.of_parts(text, userinfo=userinfo, query=parts.query) if userinfo or parts.query else text


def identity_of(given: str, *, who: str) -> str:
    """What stands for an address, in the form in which `address_of` keeps one: the same address in other words finds the same answers, and no login or
    key is kept. Of its query stays what chooses an answer; a text that is not an address stays as it is.

    >>> identity_of("https://me:pw@Old.example.com/v1/?api-key=k", who="OpenAI"), identity_of("ours", who="OpenAI")
    ('https://old.example.com/v1', 'ours')
    """
    if not isinstance(given, str):
        raise SettingError(f"{who}: identity={given!r} is not a text. Give the address that the server had, or a name of your own for it.")
    try:
        address = address_of(given, who=who)
    except SettingError:
        return given
    query = choosing(address.query or "") if isinstance(address, Address) else ""
    return f"{address!s}?{query}" if query else str(address)


def split(address: str, *, who: str) -> SplitResult:
    """The parts of an address. Raises SettingError, without what may be a password in it, for a text that has none."""
    try:
        parts = urlsplit(address)
        _ = parts.port  # none where a password has a slash in it: the rest of it is then no port
        return parts
    except ValueError:
        pass  # its words show the address
    raise SettingError(f"{who}: base_url={without_login(address)!r} is not an address like 'http://localhost:8000/v1'.")


def without_login(address: str) -> str:
    """An address, or what was meant to be one, without user, password and query.

    >>> without_login("htp:/me:pw@host/v1?key=k"), without_login("token@host")
    ('htp:/***@host/v1?***', '***@host')
    """
    place, mark, _ = address.partition("?")
    before, at, after = place.rpartition("@")
    scheme = re.match(r"[a-zA-Z][a-zA-Z0-9+.-]*:/+", before)
    shown = f"{scheme[0] if scheme else ''}{MASK}@{after}" if at else place
    return f"{shown}?{MASK}" if mark else shown
