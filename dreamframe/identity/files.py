"""Digests of files by their bytes, with a memo by their stat."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from pathlib import Path
from threading import Lock

import xxhash

from dreamframe.errors import FingerprintError, SourceChangedError

BLOCK = 1 << 20  # bytes read at once
TRIES = 8
RACY_S = 2.0  # a file written less than this before it was read may change again within the clock's grain
WRITEBACK_S = 45.0  # and through a mapping, for as long as a page was not written out: Linux does so after 30 s, looking every 5 s


class FileMemo:
    """Digests of files by their stat, so that an unchanged large file is not read twice.

    A digest is kept only if the file was at rest when it was read, for `rest_s` seconds: a change within the clock's grain would leave no trace in the
    stat (git calls such entries racy). What a program writes through a mapping of a file in memory (tmpfs) never leaves one, and is not seen.
    """

    def __init__(self, rest_s: float | None = None) -> None:
        self.rest_s = rest_s  # RACY_S if not given
        self._known: dict[tuple[object, ...], str] = {}
        self._lock = Lock()

    def get(self, stat: tuple[object, ...]) -> str | None:
        with self._lock:
            return self._known.get(stat)

    def keep(self, stat: tuple[object, ...], digest: str) -> None:
        with self._lock:
            self._known[stat] = digest


def file_digest(path: str | Path, memo: FileMemo | None = None) -> str:
    """32 hex characters for the bytes of a file; its path and times do not count.

    Raises OSError where it cannot be read, SourceChangedError where it is written to again and again.
    """
    with Path(path).open("rb") as file:
        for _ in range(TRIES):
            before = os.fstat(file.fileno())
            if memo is not None and (known := memo.get(_stat(before))) is not None:
                return known
            began = time.time()
            digest = xxhash.xxh3_128()
            file.seek(0)
            while block := file.read(BLOCK):
                digest.update(block)
            if _stat(os.fstat(file.fileno())) == _stat(before):
                break  # else it was written to while it was read: read it again
        else:
            raise SourceChangedError(f"{path} changes while it is read. Copy it first, or run again when it is complete.")
    found = str(digest.hexdigest())
    if memo is not None and began - max(before.st_mtime, before.st_ctime) > (RACY_S if memo.rest_s is None else memo.rest_s):
        memo.keep(_stat(before), found)
    return found


def content_of(path: Path) -> str:
    """32 hex characters for a file's bytes, or for the names and bytes of all files of a folder; where they lie does not count.

    Raises FingerprintError for what is not there, or cannot be read.
    """
    try:
        if not path.is_dir():
            return file_digest(path, _named())
        found = [f"{file.relative_to(path).as_posix()} {file_digest(file, _named())}" for file in _files_below(path)]
    except OSError as exc:
        raise FingerprintError(f"{path} in depends= cannot be read ({exc.strerror or exc}), so its content cannot be told. Give paths that exist.") from exc
    return str(xxhash.xxh3_128_hexdigest("\n".join(["folder", *found]).encode("utf-8", "surrogateescape")))


def _files_below(folder: Path) -> list[Path]:
    """All files, through links to folders too (each once); but for what Python compiled."""
    found: list[Path] = []
    seen: set[str] = set()
    for here, inner, names in os.walk(folder, followlinks=True, onerror=_raise):
        real = os.path.realpath(here)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        inner[:] = [n for n in inner if n != "__pycache__"]
        found += [file for name in names if (file := Path(here, name)).is_file() or file.is_symlink()]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise error


@lru_cache(maxsize=1)
def _named() -> FileMemo:
    """Digests of the files that functions depend on, by stat: they are asked for in every run."""
    return FileMemo()


def _stat(s: os.stat_result) -> tuple[object, ...]:
    return s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns
