"""Which version of a library is installed, for the keys of functions that use it: an upgrade may change what they give."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from functools import lru_cache
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import xxhash

from dreamframe.identity.files import FileMemo, file_digest

# Module → its spec, a new one when it is loaded again, and the version of then: what is loaded stays, whatever is installed beside the process.
LOADED: dict[str, tuple[Any, str]] = {}
MEMO = FileMemo()


def library_version(top: str) -> str:
    """Name and version of what gives the module `top`; a digest of its files where nothing says its version. Empty for Python's own.

    >>> library_version("json"), library_version("polars").startswith("polars ")
    ('', True)
    """
    if top in sys.stdlib_module_names or top in sys.builtin_module_names:
        return ""
    spec = getattr(sys.modules.get(top), "__spec__", None)
    if spec is None:  # not loaded yet, or a module that somebody made
        return _found(top, _spec_of(top))
    if (known := LOADED.get(top)) is None or known[0] is not spec:
        known = LOADED[top] = spec, _found(top, spec)
    return known[1]


def _spec_of(top: str) -> Any:
    try:
        return importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None


def _found(top: str, spec: Any) -> str:
    is_namespace = spec is not None and spec.origin is None
    giving = _givers(top, is_namespace, _folders())
    return "; ".join(sorted(giving)) if giving else _of_files(spec)


@lru_cache(maxsize=1024)
def _givers(top: str, is_namespace: bool, folders: tuple[tuple[str, int], ...]) -> list[str]:  # noqa: ARG001  what it is kept for
    """The distributions that a module belongs to: several may share a namespace."""
    if not is_namespace:
        try:
            named = importlib.metadata.distribution(top)  # most are called what their module is
        except (importlib.metadata.PackageNotFoundError, ValueError):
            named = None
        if named is not None and _gives(named, top) is not False:
            return [_told(named)]
    found: dict[str, str] = {}
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", str(distribution.metadata["Name"])).lower()
        if name not in found and _gives(distribution, top):  # the first of a name is the one that Python finds
            found[name] = _told(distribution)
    return list(found.values())


def _folders() -> tuple[tuple[str, int], ...]:
    """Where distributions are looked for, with the folders' times: an installation changes them."""
    found = []
    for folder in dict.fromkeys(sys.path):
        try:
            found.append((folder, os.stat(folder or ".").st_mtime_ns))
        except OSError:
            continue
    return tuple(found)


def _gives(distribution: Distribution, top: str) -> bool | None:
    """Whether a distribution holds a module; None where it does not say what it holds."""
    if (tops := distribution.read_text("top_level.txt")) and top in tops.split():
        return True
    if record := distribution.read_text("RECORD"):
        return re.search(rf"(?m)^{re.escape(top)}[/.]", record) is not None
    return False if tops else None


def _told(distribution: Distribution) -> str:
    """Name and version, and where it came from if not from an index: what is built from a folder or a branch keeps its version when it changes."""
    told = f"{distribution.metadata['Name']} {distribution.version}"
    origin = distribution.read_text("direct_url.json")
    if not origin:
        return told
    commit = json.loads(origin).get("vcs_info", {}).get("commit_id")
    own = "\n".join(line for line in (distribution.read_text("RECORD") or "").splitlines() if not line.startswith((".", "/")) and ".dist-info/" not in line)
    return f"{told} {commit or xxhash.xxh3_128_hexdigest(own.encode())}"


def _of_files(spec: Any) -> str:
    """A digest of the module's file, or of all files of its package."""
    folders = [Path(f) for f in (getattr(spec, "submodule_search_locations", None) or ())]
    origin = getattr(spec, "origin", None)
    if not folders and (origin is None or not Path(origin).is_file()):
        return ""
    files = [p for f in folders for p in sorted(f.rglob("*")) if p.is_file() and "__pycache__" not in p.parts] or [Path(str(origin))]
    roots = {p: next((str(p.relative_to(f)) for f in folders if p.is_relative_to(f)), p.name) for p in files}
    return "files " + xxhash.xxh3_128_hexdigest("\n".join(f"{name} {file_digest(p, MEMO)}" for p, name in roots.items()).encode())
