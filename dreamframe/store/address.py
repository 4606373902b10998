"""Addresses of sessions in object stores, `s3://bucket/path`, and the folder on this machine that holds the working copy of each."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from dreamframe.errors import SettingError
from dreamframe.redaction.visible import visible

KINDS = ("s3", "gs", "az")
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}([^/].*|$)", re.DOTALL)  # one slash: as a Path writes it
_PLAIN = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._=-]+)+")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
_WHERE = (*ENDPOINTS, "AZURE_STORAGE_ACCOUNT_NAME")


@dataclass(frozen=True)
class Address:
    """Where a session lies in an object store."""

    text: str  # s3://bucket/path, without a slash at its end; it holds no key

    def folder(self) -> Path:
        """The working copy on this machine: below DREAMFRAME_CACHE, else XDG_CACHE_HOME or ~/.cache. Another server has another."""
        base = os.environ.get("DREAMFRAME_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dreamframe"
        told = "\n".join([self.text, *(f"{name}={os.environ[name].rstrip('/')}" for name in _WHERE if os.environ.get(name))])
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.text)[-48:].strip("-")
        return Path(base).expanduser().absolute() / "sessions" / f"{name}-{hashlib.sha256(told.encode()).hexdigest()[:12]}"


def address_of(folder: str | Path) -> Address | None:
    """The address that a text is; None for a folder of this machine.

    Raises SettingError for an address that holds a key or names no folder, and for stores that cannot keep a session.

    >>> from dreamframe.store.address import address_of
    >>> address_of("s3://bucket/tickets/"), address_of("./output")
    (Address(text='s3://bucket/tickets'), None)
    """
    found = _ADDRESS.fullmatch(str(folder))
    if found is None:
        return None
    kind, rest = found[1].lower(), found[2].rstrip("/")
    if any(sign in rest for sign in "@?#"):  # not shown: it may be a password, or a signature
        raise SettingError(
            f"Session: the {visible(kind)}:// address holds an '@', '?' or '#': a key does not belong into an address. "
            "Give keys in the environment (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, AZURE_STORAGE_ACCOUNT_KEY, …), and s3://bucket/path here."
        )
    shown = visible(repr(f"{kind}://{rest}"))
    if kind == "hf":
        raise SettingError(
            f"Session: {shown}: a repository of the Hub has no writes that only the first of two wins, which a shared session needs. "
            f"Use a bucket ({', '.join(f'{k}://' for k in KINDS)}), or hand the session on with session.export(archive)."
        )
    if kind not in KINDS:
        raise SettingError(f"Session: {shown}: sessions lie in a folder, or in a bucket of {', '.join(f'{k}://' for k in KINDS)}.")
    if not _PLAIN.fullmatch(rest) or any(part in (".", "..") for part in rest.split("/")):
        raise SettingError(f"Session: {shown} is not a bucket and a folder in it, of letters, digits, '.', '_', '-' and '=': {kind}://bucket/path.")
    return Address(f"{kind}://{rest}")
