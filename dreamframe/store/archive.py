"""A session folder as one file, and back. The same session gives the same bytes; an archive of a stranger can write nothing outside its folder."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from dreamframe.errors import CorruptFileError, MissingExtraError, SettingError
from dreamframe.store.files import Files, storage

KEPT = ("session.json", "answers", "steps", "models", "runs", "sources", "plans", "scripts")
SUFFIXES = (".tar", ".tar.gz", ".tar.zst")


def export(folder: Path, target: Path) -> Path:
    """Write everything that a stranger needs into one archive: `.tar`, `.tar.gz` or `.tar.zst`. No lock, no half-written file, no checkpoint."""
    files, kind = Files(folder), _kind(target)
    tmp = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with storage(target, "write"):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with tmp.open("wb") as raw:
                with _packing(raw, kind) as packed, tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar:
                    for path in _walk(files, files.root):
                        _add(tar, files, path)
                raw.flush()
                os.fsync(raw.fileno())
            tmp.replace(target)
        finally:
            tmp.unlink(missing_ok=True)
    return target


def unpack(archive: Path, folder: Path) -> None:
    """Write an archive's files into a new folder. Raises CorruptFileError for a member that is no plain file inside of it, and for a damaged archive."""
    if folder.exists() and any(folder.iterdir()):
        raise SettingError(f"Session.load: {folder} is not empty; name a new folder.")
    files = Files(folder)
    files.mkdir(folder)
    try:
        with archive.open("rb") as raw, _unpacking(raw, _kind(archive)) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
            for member in tar:
                _extract(tar, member, files, archive)
    except (tarfile.TarError, EOFError, gzip.BadGzipFile) as exc:
        raise CorruptFileError(f"{archive} is no whole archive of a session: {exc}") from exc


def _walk(files: Files, folder: Path) -> Iterator[Path]:
    """Every finished file, in order of name."""
    for name in files.listdir(folder):
        path = folder / name
        if name.startswith(".") or (folder == files.root and name not in KEPT):
            continue
        kind = files.kind(path)
        if kind == "dir" and name != "checkpoints":
            yield from _walk(files, path)
        elif kind == "file":
            yield path


def _add(tar: tarfile.TarFile, files: Files, path: Path) -> None:
    data = files.read_bytes(path)
    member = tarfile.TarInfo(path.relative_to(files.root).as_posix())  # no owner, no time: the same session gives the same bytes
    member.size, member.mode = len(data), 0o644
    tar.addfile(member, io.BytesIO(data))


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, files: Files, archive: Path) -> None:
    name = PurePosixPath(member.name)
    if not member.isreg() or name.is_absolute() or ".." in name.parts or not name.parts or name.parts[0] not in KEPT or "\\" in member.name:
        raise CorruptFileError(f"{archive} holds {member.name!r}, which is no plain file of a session; nothing of it was written.")
    held = tar.extractfile(member)
    assert held is not None
    path = files.root.joinpath(*name.parts)
    files.mkdir(path.parent)
    if not files.write_new(path, held.read()):
        raise CorruptFileError(f"{archive} holds {member.name!r} twice.")


def _kind(path: Path) -> str:
    for suffix in SUFFIXES:
        if path.name.endswith(suffix):
            return suffix
    raise SettingError(f"Session: {path.name} does not say how to pack; end it in {', '.join(SUFFIXES)}.")


@contextlib.contextmanager
def _packing(raw: IO[bytes], kind: str) -> Iterator[IO[bytes]]:
    if kind == ".tar":
        yield raw
    elif kind == ".tar.gz":
        with gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed:
            yield packed  # type: ignore[misc]
    else:
        with _zstandard().ZstdCompressor(level=9).stream_writer(raw, closefd=False) as packed:
            yield packed


@contextlib.contextmanager
def _unpacking(raw: IO[bytes], kind: str) -> Iterator[IO[bytes]]:
    if kind == ".tar":
        yield raw
    elif kind == ".tar.gz":
        with gzip.GzipFile(fileobj=raw, mode="rb") as plain:
            yield plain  # type: ignore[misc]
    else:
        zstandard = _zstandard()
        try:
            with zstandard.ZstdDecompressor().stream_reader(raw) as plain:
                yield plain
        except zstandard.ZstdError as exc:
            raise CorruptFileError(f"the archive is damaged: {exc}") from exc


def _zstandard() -> Any:
    try:
        import zstandard
    except ImportError as exc:
        raise MissingExtraError("zstandard", extra="hub", needed_for="A .tar.zst archive") from exc
    return zstandard
