"""What a program may take, and what became of it."""

from __future__ import annotations

import math
import numbers
import re
from dataclasses import dataclass
from typing import Any

from dreamframe.errors import SettingError

UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
LEAST_MEMORY = 64 * 10**6  # bytes: Python itself takes some 30 MB of addresses
LANGUAGES = ("python", "bash")


@dataclass(frozen=True)
class Limits:
    """Of one program. Sizes are in bytes; memory is that of each of its processes."""

    timeout_s: float = 5.0
    memory: int = 512 * 10**6
    processes: int = 64
    open_files: int = 256
    file_size: int = 64 * 10**6
    kept_output: int = 64 * 2**10  # of stdout, and of stderr: more is not kept
    most_output: int = 16 * 2**20  # more ends it


@dataclass(frozen=True)
class Ran:
    """What became of a program: `ok` when it, and its tests, came to their end. `error` says which limit ended it, or how it failed."""

    ok: bool
    stdout: str
    stderr: str
    error: str | None
    seconds: float


def bytes_of(memory: Any, *, where: str) -> int:
    """A size: whole bytes, or a text such as "512MB" or "1GiB".

    >>> from dreamframe.models.sandbox.limits import bytes_of
    >>> bytes_of("512MB", where="run_code"), bytes_of("1 GiB", where="run_code")
    (512000000, 1073741824)
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(memory).lower()) if isinstance(memory, str | int) and not isinstance(memory, bool) else None
    if found is None or found[2] not in UNITS:
        raise SettingError(f"{where}: memory={memory!r} is not a size; write memory='512MB', or a whole number of bytes.")
    size = int(float(found[1]) * UNITS[found[2]])
    if size < LEAST_MEMORY:
        raise SettingError(f"{where}: memory={memory!r} is less than the 64 MB that Python itself takes.")
    return size


def seconds_of(timeout: Any, *, where: str) -> float:
    """A number of seconds above 0."""
    if isinstance(timeout, bool) or not isinstance(timeout, numbers.Real) or not 0 < float(timeout) < math.inf:
        raise SettingError(f"{where}: timeout={timeout!r} is not a number of seconds above 0.")
    return float(timeout)
