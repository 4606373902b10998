"""Rows that are no files on this disk: of addresses, bytes and open files. They are read when the plan is built, and keyed by what was read."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from dreamframe.errors import DreamframeError, MissingExtraError, OfflineError, PlanError
from dreamframe.identity.owned import own_rows
from dreamframe.plan.steps.ailing import said
from dreamframe.plan.steps.scanners import scan_held
from dreamframe.plan.steps.source import ReadTable
from dreamframe.run.active import current

WAIT_S = 60  # for a server to say anything


def read_elsewhere(format: str, sources: Iterable[Any], options: Mapping[str, Any]) -> ReadTable:
    """The rows of files of a format that are addresses, bytes or open files."""
    held = list(sources)
    where = ", ".join(public(s) if isinstance(s, str) else name_of(s) for s in held)
    at = " ".join(s for s in held if isinstance(s, str))
    return read_now(f"scan_{format}", lambda: scan_held(format, [_content(format, s, options) for s in held], dict(options)), where=where, at=at)


def local_path(source: Any) -> Any:
    """A path as text, also one that is written as a file:// address; anything else as it is."""
    if isinstance(source, os.PathLike):
        source = os.fspath(source)
    return unquote(urlsplit(source).path) if isinstance(source, str) and source.lower().startswith("file://") else source


def is_elsewhere(source: Any) -> bool:
    """Whether a source is an address, what a file holds, or an open file."""
    return isinstance(source, (bytes, bytearray, memoryview)) or hasattr(source, "read") or (isinstance(source, str) and "://" in source)


def public(address: str) -> str:
    """An address without its login and its query, which may hold secrets.

    >>> public("https://me:pw@host/x.csv?token=abc")
    'https://host/x.csv'
    """
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")) if parts.scheme else address


def name_of(source: Any) -> str:
    name = getattr(source, "name", None)
    return Path(name).name if isinstance(name, str) else f"a {type(source).__name__}"


def _content(format: str, source: Any, options: Mapping[str, Any]) -> bytes | str:
    """What an open file or a web address holds; the address itself of what polars knows to reach."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source)
    if not isinstance(source, str):
        given = source.read()
        return given.encode() if isinstance(given, str) else bytes(given)
    if "://" not in source:  # a file beside sources that are not files
        return Path(source).expanduser().read_bytes()
    if source.lower().startswith(("http://", "https://")) and "storage_options" not in options:
        return _downloaded(source)  # polars wants servers that send parts of files, which many do not
    if format == "json":
        raise PlanError(f"scan_json: polars reads JSON arrays from disk and from the web, not from {public(source)}. Use JSON lines, or download it first.")
    return source


def _downloaded(address: str) -> bytes:
    import urllib.request  # takes its time, and is seldom needed

    parts = urlsplit(address)
    request = urllib.request.Request(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment="")))
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        request.add_unredirected_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=WAIT_S) as reply:
        return bytes(reply.read())


def read_now(who: str, read: Callable[[], Any], *, where: str, at: str = "") -> ReadTable:
    """The rows that are read, as a source; what goes wrong as an error of ours. `at` is the address, which errors of others may repeat."""
    if "://" in at and not at.startswith("sqlite://") and current().source_context.is_offline:
        raise OfflineError(f"{who}: {where} is not on this machine, and offline=True allows no download.")
    try:
        rows = read()
    except DreamframeError:
        raise
    except ImportError as exc:
        named = re.search(r"'([\w.-]+)'", str(exc))
        raise MissingExtraError(exc.name or (named[1] if named else "deltalake" if who == "scan_delta" else "a package"), extra=None, needed_for=who) from exc
    except Exception as exc:  # noqa: BLE001  drivers and servers of others: whatever goes wrong, it is what was asked to be read
        told = said(exc)
        for address in at.split():
            told = told.replace(address, public(address)).replace(urlsplit(address).query or "\0", "…")
        raise PlanError(f"{who}: {where}: {type(exc).__name__}: {told}") from None
    if isinstance(rows, dict):
        raise PlanError(f"{who}: {where} has several sheets: {', '.join(map(repr, rows))}. Name one: sheet_name=….")
    return ReadTable(data=own_rows(rows), origin=where)
