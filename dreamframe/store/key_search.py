"""A few answers out of many: of all journals only the keys are read, and the frames that hold what is looked for. Nothing is repaired here."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import xxhash

from dreamframe.store.answer_files import NAME
from dreamframe.store.answer_index import AnswerBlock, DecodedBlock, InMemory, Piece, halves_of
from dreamframe.store.files import Files
from dreamframe.store.foreign import batch_outline
from dreamframe.store.ipc import damage
from dreamframe.store.journal import FRAME_MAGIC, HEADER, KEY_BYTES, answers_in, decode, decode_plain, header
from dreamframe.store.layout import Layout

HEAD = 2_048  # bytes that hold a frame's header and the outline of its columns
MOST_FRAMES = 16_384  # of a journal: one of more, small ones, is read faster as a whole
Read = Callable[[int, int], bytes]


class NotSearchableError(Exception):
    """A journal is not as a search needs it: it is damaged, an old one, or in very many parts. Whoever reads the whole of it can tell."""


@dataclass(frozen=True)
class _Answers:
    """The answers of a frame."""

    keys: pl.Series
    block: AnswerBlock


class Hit(NamedTuple):
    """Where an answer lies."""

    answers: _Answers
    row: int


@dataclass
class _Journal:
    path: Path
    end: int = 0  # bytes that were looked at
    keys: bytes = b""
    starts: array[int] = field(default_factory=lambda: array("Q"))  # of each frame, in rows
    offsets: array[int] = field(default_factory=lambda: array("Q"))  # of each frame, in bytes
    answers: dict[int, _Answers] = field(default_factory=dict)  # that were read, by frame
    halves: pl.Series | None = None  # the first half of each key, as a number

    def rows_like(self, keys: Collection[bytes]) -> list[int]:
        """The rows whose keys have the first half of one of `keys`, in order."""
        from nanoarrow import c_array_from_buffers, uint64  # pyarrow would do, and takes 0.1 s

        if self.halves is None:
            both: Any = c_array_from_buffers(uint64(), len(self.keys) // 8, [None, self.keys])
            self.halves = pl.Series(both).gather_every(2)
        wanted = pl.Series([low for low, _ in halves_of(list(keys))], dtype=pl.UInt64)
        return self.halves.is_in(wanted.implode()).arg_true().to_list()


class KeySearch:
    """Searches the journals of a folder as they lie there now. What others add is seen by the next search."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._folder = files, layout.answers
        self._journals: dict[str, _Journal] = {}
        self._found: dict[bytes, Hit | None] = {}  # what was looked for before

    def find(self, keys: Collection[bytes]) -> dict[bytes, Hit | None]:
        """The first answer of each key, or None. Raises NotSearchableError, and StorageError where a file cannot be read."""
        self._look()
        missing = set(keys) - self._found.keys()
        for journal in self._journals.values():
            found = self._in(journal, missing) if missing else {}
            self._found.update(found)
            missing -= found.keys()
        self._found.update(dict.fromkeys(missing))
        return {key: self._found[key] for key in keys}

    def _look(self) -> None:
        """Read the keys that are new."""
        names = [n for n in self._files.listdir(self._folder) if NAME.fullmatch(n)]
        if any(name not in names for name in self._journals):  # merged into another
            self._journals = {}
        sizes = {name: self._files.size(self._folder / name) if self._files.kind(self._folder / name) == "file" else 0 for name in names}
        if all(name in self._journals and sizes[name] == self._journals[name].end for name in names):
            return
        self._found = {}
        self._journals = {name: self._journals.get(name) or _Journal(self._folder / name) for name in names}
        for name, journal in self._journals.items():
            if sizes[name] > journal.end:
                with self._files.reading(journal.path) as read:
                    _scan(read, journal, sizes[name])

    def _in(self, journal: _Journal, keys: Collection[bytes]) -> dict[bytes, Hit]:
        """The first answer that a journal has to each key, where it has one."""
        found: dict[bytes, Hit] = {}
        for row in journal.rows_like(keys):
            key = journal.keys[row * KEY_BYTES : (row + 1) * KEY_BYTES]
            if key in keys and key not in found:
                number = bisect_right(journal.starts, row) - 1
                answers = self._answers(journal, number)
                if (at := _row_of(answers.keys, key, row - journal.starts[number])) is not None:
                    found[key] = Hit(answers, at)
        return found

    def _answers(self, journal: _Journal, number: int) -> _Answers:
        """The answers of a frame, which were checked."""
        if number not in journal.answers:
            at = journal.offsets[number]
            with self._files.reading(journal.path) as read:
                _, _, length, checksum = HEADER.unpack(read(at, HEADER.size))
                payload = read(at + HEADER.size, length)
            if xxhash.xxh3_64_intdigest(payload) != checksum:
                raise NotSearchableError("a frame does not have its checksum")
            journal.answers[number] = _read(payload)
        return journal.answers[number]


def _read(payload: bytes) -> _Answers:
    """The answers of a payload whose checksum holds."""
    if (rows := decode_plain(payload)) is not None:
        return _Answers(rows["key"], InMemory(rows))
    try:
        batch = answers_in(decode(payload))
    except damage() as exc:
        raise NotSearchableError("a frame cannot be read") from exc
    return _Answers(pl.Series(batch.column(0)), DecodedBlock(batch))


def pieces_of(hits: Sequence[Hit | None]) -> list[Piece]:
    """Where the answers for some places lie."""
    found: dict[int, tuple[AnswerBlock, list[int], list[int]]] = {}
    for place, hit in enumerate(hits):
        if hit is not None:
            _, rows, places = found.setdefault(id(hit.answers), (hit.answers.block, [], []))
            rows.append(hit.row)
            places.append(place)
    return list(found.values())


def _row_of(keys: pl.Series, key: bytes, row: int) -> int | None:
    """Where a key lies that is expected in a row; None where what was there is no answer any more."""
    if row < len(keys) and keys[row] == key:
        return row
    return keys.index_of(key)


def _scan(read: Read, journal: _Journal, size: int) -> None:
    """Add the keys of the frames up to the last whole one."""
    at = journal.end
    if at == 0:
        at = len(header())
        if size < at:
            return  # just begun
        if read(0, at) != header():
            raise NotSearchableError("its columns are not those of now")
    parts, n_rows = [journal.keys], len(journal.keys) // KEY_BYTES
    while at + HEADER.size <= size:
        head = read(at, HEAD)
        magic, zero, length, _ = HEADER.unpack_from(head)
        start = at + HEADER.size
        if magic != FRAME_MAGIC or zero:
            raise NotSearchableError("no frame begins here")
        if start + length > size:
            break  # cut: its writer is at it, or was interrupted
        keys = _keys(read, head[HEADER.size :], start, length)
        journal.starts.append(n_rows)
        journal.offsets.append(at)
        parts.append(keys)
        n_rows += len(keys) // KEY_BYTES
        at = start + length
        if len(journal.starts) > MOST_FRAMES:
            raise NotSearchableError("there are very many frames")
    journal.end, journal.keys, journal.halves = at, b"".join(parts), None


def _keys(read: Read, head: bytes, start: int, length: int) -> bytes:
    """The keys of one frame. They are believed as far as to say which frame is read."""
    try:
        outline = batch_outline(head)
    except (struct.error, IndexError):
        outline = None
    if outline is None:
        raise NotSearchableError("a message that is no plain batch of rows")
    offset, n_bytes = outline.buffers(2)  # of the first column: which are null, where each begins, and the bytes
    if n_bytes != outline.n_rows * KEY_BYTES or outline.body + offset + n_bytes > length:
        raise NotSearchableError("a key is not 16 bytes")
    return read(start + outline.body + offset, n_bytes)


