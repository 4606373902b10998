"""Reads a tar archive as `archive.export` writes it, block by block: nothing is read whole, nothing after the end is left unread, nothing is skipped."""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

from dreamframe.errors import CorruptFileError

BLOCK = 512  # bytes, of which a tar archive consists
CHUNK = 1 << 20
MOST_PAX = 64 << 10  # bytes of a pax header, which is read whole; ours hold a name and a size
PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)


class Member(NamedTuple):
    """A file of an archive. Its bytes are to be read before the next member."""

    name: str
    size: int
    blocks: Iterator[bytes]


class Tape:
    """The members of an archive, one after another; `read` gives its bytes, unfolded. Raises CorruptFileError for what export does not write."""

    def __init__(self, read: Callable[[int], bytes], count: Callable[[int], None]) -> None:
        self._read, self._count = read, count  # count: told of bytes before they are taken on

    def members(self) -> Iterator[Member]:
        """Ends when the archive's end was seen, and nothing but zeros behind it."""
        longer: dict[str, str] = {}
        while (block := self._exactly(BLOCK)) != bytes(BLOCK):
            try:
                info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
            except (tarfile.TarError, ValueError) as exc:
                raise CorruptFileError(f"a header is damaged: {exc}") from exc
            if info.type == tarfile.XHDTYPE and not longer and 0 < info.size <= MOST_PAX:
                longer = _pax(self._exactly(_padded(info.size))[: info.size])
                continue
            name, size = longer.get("path", info.name), int(longer.get("size", info.size))
            longer = {}
            if info.type not in PLAIN or size < 0:
                raise CorruptFileError(f"it holds {name[:200]!r}, which is not a plain file of a session")
            yield Member(name, size, self._data(size))
        if longer:
            raise CorruptFileError("it ends after a header of a file that does not follow")
        n_zeros = BLOCK
        while rest := self._some(CHUNK):
            if rest.count(0) != len(rest):
                raise CorruptFileError("it goes on behind its end")
            n_zeros += len(rest)
        if n_zeros < 2 * BLOCK:
            raise CorruptFileError("its end is cut off")

    def _data(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            some = self._some(min(left, CHUNK))
            if not some:
                raise CorruptFileError("it is cut off")
            left -= len(some)
            yield some
        self._exactly(_padded(size) - size)

    def _some(self, n: int) -> bytes:
        some = self._read(n)
        self._count(len(some))
        return some

    def _exactly(self, n: int) -> bytes:
        parts: list[bytes] = []
        while n:
            some = self._some(n)
            if not some:
                raise CorruptFileError("it is cut off")
            parts.append(some)
            n -= len(some)
        return b"".join(parts)


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _pax(data: bytes) -> dict[str, str]:
    """The records of a pax header: a name too long for a tar header, a size too large for it. Nothing else is of a session."""
    found: dict[str, str] = {}
    try:
        while data:
            n = int(data[: data.index(b" ")])
            key, is_there, value = data[data.index(b" ") + 1 : n - 1].decode().partition("=")
            if n > len(data) or data[n - 1 : n] != b"\n" or key not in ("path", "size") or not is_there or key in found:
                raise ValueError(key[:80])
            found[key] = str(int(value)) if key == "size" else value
            data = data[n:]
    except ValueError as exc:
        raise CorruptFileError(f"a pax header is not one of a session: {exc}") from exc
    return found
