"""The proxy on the way to an address, as the environment names it: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, and NO_PROXY for what goes straight."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.models.api.address import without_login

PORTS = {"http": 80, "https": 443}
SOCKS = ("socks5", "socks5h", "socks4", "socks4a")
SOCKS_PORT = 1080
KINDS = ("http", "https", *SOCKS)


class Proxy(NamedTuple):
    """A proxy, and the variable that names it."""

    url: str
    named_by: str

    @property
    def is_socks(self) -> bool:
        return urlsplit(self.url).scheme in SOCKS

    @property
    def libraries(self) -> tuple[str, ...]:
        """What speaks to it."""
        return ("aiohttp", "aiohttp_socks") if self.is_socks else ("aiohttp",)

    def __repr__(self) -> str:
        return f"{self.named_by}={without_login(self.url)!r}"


def unmet(url: str) -> tuple[MissingExtraError, ...]:
    """What the proxy on the way to an address needs, and what is not installed of it. What is no proxy is told when it is used."""
    try:
        proxy = proxy_of(url)
    except SettingError:
        return ()
    return tuple(lacks(proxy, name) for name in (proxy.libraries if proxy is not None else ()) if importlib.util.find_spec(name) is None)


def lacks(proxy: Proxy | None, library: str) -> MissingExtraError:
    """The error for a library that is not there."""
    is_socks = library == "aiohttp_socks"
    return MissingExtraError(library.replace("_", "-"), extra="socks" if is_socks else "proxy", needed_for=f"the {'SOCKS ' * is_socks}proxy {proxy!r}")


def proxy_of(url: str) -> Proxy | None:
    """The proxy that requests to an address go through; None where they go straight. Raises SettingError for one that is not an address."""
    import urllib.request

    parts = urlsplit(url)
    host, port = (parts.hostname or "").rstrip("."), parts.port or PORTS.get(parts.scheme, 0)
    proxies = urllib.request.getproxies()
    kind = parts.scheme if proxies.get(parts.scheme) else "all"
    told = (proxies.get(kind) or "").strip()
    if not told or not host or goes_straight(proxies.get("no", ""), host, port):
        return None
    named_by = next((name for name in (f"{kind}_proxy", f"{kind.upper()}_PROXY") if os.environ.get(name)), f"{kind} proxy of this system")
    if named_by.lower() not in map(str.lower, os.environ) and urllib.request.proxy_bypass(host):
        return None  # the settings of Windows and macOS have their own list of exceptions
    return Proxy(_address(told, named_by), named_by)


def _address(told: str, named_by: str) -> str:
    """The address of a proxy, with its scheme: without one it is http, as for every other tool."""
    kind, _, place = told.rstrip("/").partition("://") if "://" in told else ("http", "", told)
    kind = "socks5" if kind.lower() == "socks" else kind.lower()  # as the settings of GNOME write it
    address = f"{kind}://{place}"
    try:
        parts = urlsplit(address)
        is_one, port = parts.scheme in KINDS and bool(parts.hostname), parts.port
    except ValueError:
        is_one, port = False, None
    if not is_one:
        possible = "'http://proxy:3128', or one that begins with https://, socks5:// or socks5h://"
        raise SettingError(f"{named_by}={without_login(told)!r} is not the address of a proxy. Give one like {possible}.")
    return address if port is not None or parts.scheme not in SOCKS else f"{address}:{SOCKS_PORT}"


def goes_straight(no_proxy: str, host: str, port: int) -> bool:
    """Whether NO_PROXY names a host: by its name, a domain above it, its address or a network, each also with a port.

    >>> [goes_straight(listed, "api.corp.com", 443) for listed in ("corp.com", ".corp.com", "*.corp.com", "corp.com:443", "corp.com:80", "orp.com", "*")]
    [True, True, True, True, False, False, True]
    >>> goes_straight("10.0.0.0/8, ::1", "10.2.3.4", 80), goes_straight("[::1]:80", "::1", 80), goes_straight("10.0.0.0/8", "11.2.3.4", 80)
    (True, True, False)
    """
    return any(_names(entry, host.lower(), port) for entry in re.split(r"[\s,]+", no_proxy.lower()) if entry)


def _names(entry: str, host: str, port: int) -> bool:
    if entry == "*":
        return True
    place = entry.partition("://")[2].partition("/")[0] or entry
    ported = re.fullmatch(r"(\[.*\]|[^:\[\]]*):(\d+)", place)
    if ported is not None and int(ported[2]) != port:
        return False
    name = (ported[1] if ported else place).strip("[]")
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False)
    except ValueError:
        pass  # one of them is a name
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))
