"""Where the answer of a key lies: immutable sorted generations over record batches, searched for a whole batch of keys at once."""

from __future__ import annotations

import itertools
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import polars as pl

from dreamframe.identity.arrow import memory
from dreamframe.store.journal import ANSWER_SCHEMA, SMALL, decode_all

if TYPE_CHECKING:
    import pyarrow as pa

VALUE_NAMES = ANSWER_SCHEMA.names()[1:]
COLUMNS = pl.Schema([*list(ANSWER_SCHEMA.items())[1:], ("found", pl.Boolean())])
GROUP_ROWS = 16_384  # small record batches are put together to about this many rows
ALIKE = 8  # a part of the index that is so many times as long as the next one is left alone
ALWAYS_MERGED = 131_072  # keys, of 20 bytes each


class AnswerBlock(Protocol):
    """Some answers in a row."""

    n_rows: int

    def take(self, rows: Sequence[int]) -> pl.DataFrame:
        """These rows, without their keys."""
        ...


class InMemory:
    """Rows as polars has them."""

    __slots__ = ("_rows", "n_rows")

    def __init__(self, rows: pl.DataFrame) -> None:
        self._rows, self.n_rows = rows.select(VALUE_NAMES), rows.height

    def take(self, rows: Sequence[int]) -> pl.DataFrame:
        return self._rows if rows == range(self.n_rows) else self._rows[rows]


class DecodedBlock:
    """A record batch of a journal (in memory, or memory-mapped)."""

    __slots__ = ("_batch", "n_rows")

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch, self.n_rows = batch.select(VALUE_NAMES), batch.num_rows

    def take(self, rows: Sequence[int]) -> pl.DataFrame:
        return pl.DataFrame(self._batch.take(pl.Series(rows, dtype=pl.Int64).to_arrow()))  # not pa.array, which imports pandas


class OnDisk:
    """Frames of a journal, decoded whenever they are read: a long run keeps the keys of its answers in memory, and where each frame lies."""

    __slots__ = ("_offsets", "_read", "_sizes", "_starts", "n_rows")

    def __init__(self, read: Callable[[int, int], bytes], frames: Sequence[tuple[int, int, int]]) -> None:
        """`read` gives some bytes of the journal from an offset; a frame is (offset, bytes, rows)."""
        self._read = read
        self._offsets, self._sizes = array("Q", [offset for offset, _, _ in frames]), array("Q", [size for _, size, _ in frames])
        self._starts = array("Q", itertools.accumulate((n for _, _, n in frames), initial=0))
        self.n_rows = self._starts[-1]

    def take(self, rows: Sequence[int]) -> pl.DataFrame:
        chosen: dict[int, int] = {}  # frame → its first row among all that are decoded
        n_decoded, places = 0, []
        for row in rows:
            no = bisect_right(self._starts, row) - 1
            if no not in chosen:
                chosen[no] = n_decoded
                n_decoded += self._starts[no + 1] - self._starts[no]
            places.append(chosen[no] + row - self._starts[no])
        return DecodedBlock(decode_all([self._read(self._offsets[no], self._sizes[no]) for no in chosen])).take(places)


Halves = tuple[int, int]  # the first and the last 8 bytes of a key
Piece = tuple[AnswerBlock, Sequence[int], Sequence[int]]


class Generation:
    """Answers with a sorted index: 16 bytes of key and 4 of position each. The first answer of a key wins."""

    def __init__(self, sources: Sequence[AnswerBlock], keys: pl.DataFrame) -> None:
        """`keys` are those of all rows of the sources: `low` and `high` halves, in order, or with their `row` and sorted by `low`."""
        self.sources = list(sources)
        self.starts = [0]
        for s in self.sources:
            self.starts.append(self.starts[-1] + s.n_rows)
        rows = keys if "row" in keys.columns else keys.with_row_index("row").sort("low")
        self.keys = rows if rows.schema["row"] == pl.UInt32 else rows.cast({"row": pl.UInt32})
        # Searched in plain Python: for a batch of a hundred keys, polars' expressions take five times as long.
        self._low, self._high = (memory(self.keys[name]).cast("Q") for name in ("low", "high"))
        self._row = memory(self.keys["row"]).cast("I")

    def __len__(self) -> int:
        return self.starts[-1]

    def find(self, wanted: Sequence[Halves]) -> list[int | None]:
        """The row of each key, None where it is not here."""
        return [self._find(low, high) for low, high in wanted]

    def _find(self, low: int, high: int) -> int | None:
        at, found = bisect_left(self._low, low), None
        while at < len(self._low) and self._low[at] == low:  # all keys that share their first half
            if self._high[at] == high and (found is None or self._row[at] < found):
                found = self._row[at]
            at += 1
        return found

    def pieces(self, rows: Sequence[int], places: Sequence[int]) -> list[Piece]:
        """Where these rows lie: (source, rows in it, the places that they fill)."""
        if len(self.sources) == 1:
            return [(self.sources[0], rows, places)]
        found: dict[int, tuple[AnswerBlock, list[int], list[int]]] = {}
        for row, place in zip(rows, places, strict=True):
            no = bisect_right(self.starts, row) - 1
            _, its_rows, its_places = found.setdefault(no, (self.sources[no], [], []))
            its_rows.append(row - self.starts[no])
            its_places.append(place)
        return list(found.values())


def answer_table(n: int, pieces: Sequence[Piece]) -> pl.DataFrame:
    """`n` answers put together from where they lie, nulls where there is none."""
    if not pieces:
        found = pl.Series("found", [False], dtype=pl.Boolean)
        return pl.DataFrame([s.new_from_index(0, n) for s in (*(pl.Series(name, [None], dtype=COLUMNS[name]) for name in VALUE_NAMES), found)])
    order: list[int | None] = [None] * n
    for at, place in enumerate(place for _, _, places in pieces for place in places):
        order[place] = at
    is_found = pl.Series("found", [at is not None for at in order], dtype=pl.Boolean)
    values = pl.concat([source.take(rows) for source, rows, _ in pieces])
    if order != list(range(values.height)):
        values = values[pl.Series(order, dtype=pl.UInt32)]
    return values.hstack([is_found])


def are_merged(n_first: int, n_second: int, n_all: int) -> bool:
    """Whether two sorted parts of an index become one, so that there are few: where the first is not much longer, and both are no more than a quarter of
    all, since merging takes their memory once more."""
    return n_first <= ALIKE * n_second and n_first + n_second <= max(ALWAYS_MERGED, n_all // 4)


def merged(first: Generation, second: Generation) -> Generation:
    """Both as one; `first` wins where both have a key. Their keys are not sorted again, which would take three times their memory for a while."""
    return Generation([*first.sources, *second.sources], first.keys.merge_sorted(second.keys.with_columns(pl.col("row") + len(first)), "low"))


def generation_of(batches: Sequence[pa.RecordBatch]) -> Generation:
    """A generation of record batches, small ones put together."""
    parts = [Generation([], keys_of(pl.Series(dtype=pl.Binary)))]
    for batch in grouped_batches(batches):
        parts.append(Generation([DecodedBlock(batch)], keys_of(pl.Series(batch.column(0)))))
        while len(parts) > 1 and len(parts[-2]) <= len(parts[-1]):  # sorted at once, all keys would take three times their memory
            parts[-2:] = [merged(*parts[-2:])]
    while len(parts) > 1:
        parts[-2:] = [merged(*parts[-2:])]
    return parts[0]


def grouped_batches(batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The same rows in batches of at least GROUP_ROWS, where they were smaller; what has many bytes stays as it is, mapped, and is not copied."""
    out: list[pa.RecordBatch] = []
    waiting: list[pa.RecordBatch] = []
    n_rows = 0
    for batch in batches:
        if batch.nbytes > SMALL:
            out += [_joined(waiting), batch] if waiting else [batch]
            waiting, n_rows = [], 0
            continue
        waiting.append(batch)
        n_rows += batch.num_rows
        if n_rows >= GROUP_ROWS:
            out.append(_joined(waiting))
            waiting, n_rows = [], 0
    if n_rows:
        out.append(_joined(waiting))
    return out


def _joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa

    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def halves_of(keys: Sequence[bytes]) -> list[Halves]:
    """Keys as they are searched for."""
    numbers = struct.unpack(f"<{2 * len(keys)}Q", b"".join(keys))
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def keys_of(keys: pl.Series) -> pl.DataFrame:
    """The first (`low`) and the last (`high`) 8 bytes of 16-byte keys, as unsigned numbers."""
    key = pl.col(keys.name)
    halves = {name: key.bin.slice(start, 8).bin.reinterpret(dtype=pl.UInt64, endianness="little") for name, start in (("low", 0), ("high", 8))}
    return keys.to_frame().select(**halves)


def whole_keys(halves: pl.DataFrame) -> pl.Series:
    """The keys of which `low` and `high` are the halves."""
    return pl.Series("key", [struct.pack("<QQ", *half) for half in halves.select("low", "high").iter_rows()], dtype=pl.Binary)
