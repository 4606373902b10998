"""The address of a provider's server as the environment names it, by the variable that the provider's own client reads."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit, urlunsplit

from dreamframe.errors import SettingError
from dreamframe.models.api.address import address_of, without_login

HERE = re.compile(r"^(http://)(127\.0\.0\.1|\[::1\])(?=:)")
HOST = re.compile(r"[\w.%:-]+")
BLANK = " \t\r\n\"'"  # around it, as Ollama takes them off: files of variables leave the quotes
EVERYWHERE = ("0.0.0.0", "::")  # what a server listens on: whoever asks it asks this machine


def address_variable(kind: type) -> str:
    """The variable of a class that has an address of its own; "" where the class that has the address names none, so that no provider reads another's."""
    owner = next((c for c in kind.__mro__ if "address" in vars(c) or "address_variable" in vars(c)), kind)
    return str(vars(owner).get("address_variable", ""))


def named_address(kind: type) -> str | None:
    """The address that the environment names for the models of a class, as `base_url=` would keep it; None where it names none, or the provider's own.

    Raises SettingError, with the variable's name, for what is not an address.
    """
    variable = address_variable(kind)
    told = os.environ.get(variable, "").strip(BLANK) if variable else ""
    if not told:
        return None
    own = str(getattr(kind, "address", ""))
    try:
        found = address_of(_whole(told, kind, own), who=variable)
        if not HOST.fullmatch(urlsplit(str(found)).hostname or ""):
            raise ValueError(told)
    except (SettingError, ValueError):
        raise SettingError(f"{variable}={without_login(told)!r} is not an address like {own or 'https://my-resource.openai.azure.com'!r}.") from None
    is_plain = not getattr(found, "userinfo", None) and not getattr(found, "query", None)
    return None if is_plain and own.rstrip("/") in (str(found), HERE.sub(r"\1localhost", str(found))) else found


def _whole(told: str, kind: type, own: str) -> str:
    """The address with what may be left out of this variable: the path, and for hosts (OLLAMA_HOST=gpu1) the scheme and the port."""
    parts = urlsplit(own)
    if getattr(kind, "is_named_by_host", False):
        return _with_port(told, parts.port, parts.path)
    given = urlsplit(told)
    if getattr(kind, "adds_path", False) and given.path in ("", "/"):
        return urlunsplit((given.scheme, given.netloc, parts.path, given.query, ""))
    return told


def _with_port(told: str, port: int | None, own: str) -> str:
    """The address of a host: `own`, the path of the protocol, comes after its path, if it has one."""
    scheme, mark, rest = told.partition("://")
    scheme, rest = (scheme.lower(), rest) if mark else ("http", told)
    place, _, path = rest.partition("/")
    login, at, place = place.rpartition("@")
    given = urlsplit(f"//[{place}]" if place.count(":") > 1 and "[" not in place else f"//{place}")
    host, named = given.hostname or "localhost", given.port
    host = "localhost" if host in EVERYWHERE else f"[{host}]" if ":" in host else host
    port = named or ({"http": 80, "https": 443}.get(scheme, port) if mark else port)
    path = path.strip("/")
    path = "" if path == "api" else path  # of Ollama's own protocol
    below = f"/{path}" if path else ""
    return f"{scheme}://{login}{at}{host}:{port}{below if below.endswith(own) else below + own}"
