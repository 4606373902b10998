"""A session folder out of an archive, maybe a stranger's or a damaged one: all of it, byte for byte, or nothing."""

from __future__ import annotations

import contextlib
import gzip
import json
import unicodedata
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import xxhash

from dreamframe.errors import CorruptFileError
from dreamframe.store.archive import CONTENTS, kind_of, zstandard
from dreamframe.store.care import verify
from dreamframe.store.files import Files
from dreamframe.store.layout import Layout, check_manifest, is_damaged, warn
from dreamframe.store.members import is_member
from dreamframe.store.tape import Member, Tape
from dreamframe.store.whole_files import whole_folder

FREE = 1 << 30  # bytes that any archive may unfold to
RATIO = 200  # times its own size: rows and answers come to some 10, the same answer over and over to 100
MOST = 1 << 40  # bytes; more is to be said by who loads it
SMALLEST = 4096  # bytes that a file counts at least, which is what a disk gives it
MOST_LISTED = 256 << 20  # bytes of the list of contents, which is read whole


def unpack(archive: Path, folder: Path, *, max_bytes: int | None = None) -> None:
    """Write an archive's files into a new folder, which is there when all of them are, and as they were exported.

    Raises CorruptFileError for a damaged archive, for what export does not write, and for one that unfolds to more than `max_bytes` (without:
    to more than 1 GiB and 200 times its own size, or 1 TiB); SettingError where the folder is not empty.
    """
    kind, limit = kind_of(archive), _Limit(archive, max_bytes)
    with whole_folder(folder, who="Session.load") as staged:
        try:
            with archive.open("rb") as raw, _unfolding(raw, kind) as plain:
                has_list = _Staging(Files(staged), limit).take(Tape(plain.read, limit.count))
        except _damage(kind) as exc:
            raise CorruptFileError(f"{archive} is not a whole archive of a session: {exc}; nothing of it was kept.") from exc
        files = Files(staged)
        check_manifest(files, Layout(staged), called=str(archive))
        problems = [] if has_list else verify(files, Layout(staged))
    for problem in problems[:5]:
        warn(f"Session.load: {archive} was exported by a former version, without a list of its files; {problem.path}: {problem.what}")


class _Limit:
    """How much an archive may unfold to."""

    def __init__(self, archive: Path, most: int | None) -> None:
        self._archive, self._n = archive, 0
        self._most = most if most is not None else min(MOST, max(FREE, RATIO * archive.stat().st_size))

    def count(self, n: int) -> None:
        """Take note of bytes. Raises CorruptFileError for the one that is too many."""
        self.allow(n)
        self._n += n

    def allow(self, n: int) -> None:
        """Raises CorruptFileError if so many more would be too many: a member says how long it is before it is written."""
        if self._n + n > self._most:
            raise CorruptFileError(
                f"it unfolds to more than {self._most:,} bytes, and has {self._archive.stat().st_size:,}; "
                "if you trust who made it, load it with a larger max_bytes="
            )


class _Staging:
    """The folder that the files are written into."""

    def __init__(self, files: Files, limit: _Limit) -> None:
        self._files, self._limit = files, limit
        self._names: dict[str, str] = {}  # as a disk may see a name that does not tell cases apart → the name
        self._folders: set[str] = set()
        self._written: dict[str, dict[str, Any]] = {}

    def take(self, tape: Tape) -> bool:
        """Write every member; whether the archive had a list of them. Raises CorruptFileError where they are not those of the list."""
        listed: Mapping[str, Any] | None = None
        for member in tape.members():
            if listed is not None:
                raise CorruptFileError(f"it holds {member.name[:200]!r} behind its list of contents")
            if member.name == CONTENTS:
                listed = _listed(member)
                continue
            self._check_name(member.name)
            self._limit.allow(member.size)
            self._limit.count(max(0, SMALLEST - member.size))
            self._written[member.name] = self._write(member)
        if listed is not None and listed != self._written:
            other = [name for name in sorted({*listed, *self._written}) if listed.get(name) != self._written.get(name)]
            raise CorruptFileError(f"{other[0]!r} is missing or not as it was exported ({len(other)} of {len(self._written)} files)")
        return listed is not None

    def _check_name(self, name: str) -> None:
        if not is_member(name):
            raise CorruptFileError(f"it holds {name[:200]!r}, which is not a plain file of a session")
        seen = unicodedata.normalize("NFC", unicodedata.normalize("NFKC", name).casefold())
        if seen in self._names:
            other = self._names[seen]
            raise CorruptFileError(f"it holds {name!r} twice" if other == name else f"it holds {name!r} and {other!r}, one file to some disks")
        above = {"/".join(seen.split("/")[:i]) for i in range(1, seen.count("/") + 1)}
        if seen in self._folders or above & self._names.keys():
            raise CorruptFileError(f"it holds {name!r} as a file and as a folder")
        self._names[seen] = name
        self._folders |= above

    def _write(self, member: Member) -> dict[str, Any]:
        path = self._files.root.joinpath(*member.name.split("/"))
        self._files.mkdir(path.parent)
        handle, digest = self._files.append(path), xxhash.xxh3_128()
        try:
            for block in member.blocks:
                handle.write(block)
                digest.update(block)
        finally:
            handle.close()
        return {"bytes": member.size, "xxh3_128": digest.hexdigest()}


def _listed(member: Member) -> Mapping[str, Any]:
    if member.size > MOST_LISTED:
        raise CorruptFileError("its list of contents is too long")
    try:
        record = json.loads(b"".join(member.blocks))
    except RecursionError as exc:
        raise CorruptFileError("its list of contents is damaged") from exc
    if not isinstance(record, dict) or is_damaged(record, must=True) or not isinstance(record.get("files"), dict):
        raise CorruptFileError("its list of contents is damaged")
    found: Mapping[str, Any] = record["files"]
    return found


@contextlib.contextmanager
def _unfolding(raw: IO[bytes], kind: str) -> Iterator[IO[bytes]]:
    """The bytes of the tar archive, up to the end of the file, so that its checksum is reached."""
    if kind == ".tar":
        yield raw
    elif kind == ".tar.gz":
        with gzip.GzipFile(fileobj=raw, mode="rb") as plain:
            yield plain  # type: ignore[misc]
    else:
        with zstandard().ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False) as plain:
            yield plain


def _damage(kind: str) -> tuple[type[Exception], ...]:
    """What reading raises for a damaged archive."""
    more = (zstandard().ZstdError,) if kind == ".tar.zst" else ()
    return (CorruptFileError, EOFError, gzip.BadGzipFile, zlib.error, ValueError, OverflowError, *more)
