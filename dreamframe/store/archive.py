"""A session folder as one file. The same session gives the same bytes; its last member lists all others with their checksums."""

from __future__ import annotations

import contextlib
import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import xxhash

from dreamframe.errors import MissingExtraError, SettingError
from dreamframe.store.files import Files, storage
from dreamframe.store.layout import sealed, warn
from dreamframe.store.members import DEEPEST, KEPT, is_member
from dreamframe.store.whole_files import whole_file

SUFFIXES = (".tar", ".tar.gz", ".tar.zst")
CONTENTS = "contents.json"  # the last member: files → bytes and checksum. Archives of former versions have none


def export(files: Files, target: Path, *, models: bool = True) -> Path:
    """Write everything that a stranger needs into one archive: `.tar`, `.tar.gz` or `.tar.zst`. No lock, no half-written file, no checkpoint; without
    `models`, no trained model.

    Files that no session writes are left out, with one warning.
    """
    kind = kind_of(target)
    listed: dict[str, dict[str, Any]] = {}
    left_out: list[str] = []
    with storage(target, "write"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as made, made.open("wb") as raw, _writing(raw, kind) as tar:
            for path in _walk(files, files.root):
                name = path.relative_to(files.root).as_posix()
                if not models and name.startswith("models/"):
                    continue
                if is_member(name):
                    listed[name] = _add(tar, files, path, name)
                else:
                    left_out.append(name)
            contents = sealed({"format": 1, "files": listed})
            tar.addfile(_info(CONTENTS, len(contents)), io.BytesIO(contents))
    if left_out:
        shown = ", ".join(map(repr, left_out[:5])) + (f" and {len(left_out) - 5} more" if len(left_out) > 5 else "")
        warn(f"Session.export: left out what no session writes: {shown}")
    return target


def _walk(files: Files, folder: Path) -> Iterator[Path]:
    """Every finished file, in order of name."""
    for name in files.listdir(folder):
        path = folder / name
        if name.startswith(".") or (folder == files.root and name not in KEPT):
            continue
        kind = files.kind(path)
        if kind == "dir" and name != "checkpoints" and len(path.parts) - len(files.root.parts) <= DEEPEST:
            yield from _walk(files, path)
        elif kind == "file":
            yield path


def _add(tar: tarfile.TarFile, files: Files, path: Path, name: str) -> dict[str, Any]:
    """Write one file, piece by piece; gives what the list says of it. What a living writer adds meanwhile is not part of it."""
    size = files.size(path)
    with files.reading(path) as read:
        pieces = _Pieces(read)
        tar.addfile(_info(name, size), pieces)  # type: ignore[arg-type]
    return {"bytes": size, "xxh3_128": pieces.digest.hexdigest()}


def _info(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)  # no owner, no time: the same session gives the same bytes
    member.size, member.mode = size, 0o644
    return member


class _Pieces:
    """A file as tarfile reads it, which keeps the checksum of what was read."""

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read, self._at = read, 0
        self.digest = xxhash.xxh3_128()

    def read(self, n: int) -> bytes:
        data = self._read(self._at, n)
        self._at += len(data)
        self.digest.update(data)
        return data


def kind_of(path: Path) -> str:
    """How an archive is packed, by its name. Raises SettingError for another ending."""
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise SettingError(f"Session: {path.name} does not say how to pack; end it in {', '.join(SUFFIXES)}.")


@contextlib.contextmanager
def _writing(raw: IO[bytes], kind: str) -> Iterator[tarfile.TarFile]:
    with _packing(raw, kind) as packed, tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
        yield tar


@contextlib.contextmanager
def _packing(raw: IO[bytes], kind: str) -> Iterator[IO[bytes]]:
    if kind == ".tar":
        yield raw
    elif kind == ".tar.gz":
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
            yield packed  # type: ignore[misc]
    else:
        with zstandard().ZstdCompressor(level=9, write_checksum=True).stream_writer(raw, closefd=False) as packed:
            yield packed


def zstandard() -> Any:
    """The library. Raises MissingExtraError where it is not installed."""
    try:
        import zstandard as library
    except ImportError as exc:
        raise MissingExtraError("zstandard", extra="hub", needed_for="A .tar.zst archive") from exc
    return library
