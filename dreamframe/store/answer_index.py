"""Where the answer of a key lies: immutable sorted generations over record batches, searched for a whole batch of keys at once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from dreamframe.arrow import array, key_array
from dreamframe.store.journal import ANSWER_SCHEMA, decode

VALUE_NAMES = ANSWER_SCHEMA.names[1:]
GROUP_ROWS = 16_384  # small record batches are put together to about this many rows


COLUMNS = pa.schema([*list(ANSWER_SCHEMA)[1:], pa.field("found", pa.bool_())])


class Source(Protocol):
    """Some answers in a row."""

    n_rows: int

    def values(self) -> pa.RecordBatch:
        """All columns but the key."""
        ...


class InMemory:
    """A record batch that is there (in memory, or memory-mapped)."""

    __slots__ = ("_batch", "n_rows")

    def __init__(self, batch: pa.RecordBatch) -> None:
        self._batch, self.n_rows = batch.select(VALUE_NAMES), batch.num_rows

    def values(self) -> pa.RecordBatch:
        return self._batch


class OnDisk:
    """A frame of a journal, decoded whenever it is read: a long run keeps only the keys of its answers in memory."""

    __slots__ = ("_mapped", "_offset", "_size", "n_rows")

    def __init__(self, mapped: pa.Buffer, offset: int, size: int, n_rows: int) -> None:
        self._mapped, self._offset, self._size, self.n_rows = mapped, offset, size, n_rows

    def values(self) -> pa.RecordBatch:
        return decode(self._mapped.slice(self._offset, self._size)).select(VALUE_NAMES)


Piece = tuple[Source, Sequence[int], Sequence[int]]


class Generation:
    """Answers with a sorted index: 16 bytes of key and 8 of position each. The first answer of a key wins."""

    def __init__(self, sources: Sequence[Source], keys: pa.Array) -> None:
        """`keys` are those of all rows of the sources, in order."""
        self.sources = list(sources)
        self.starts = [0]
        for s in self.sources:
            self.starts.append(self.starts[-1] + s.n_rows)
        self.keys = keys
        low, high = key_halves(keys)
        order = pc.sort_indices(low)  # stable: equal keys stay in order
        self._low = low.take(order)
        # One row more than `_low`: a key above all others is found there, and equals nothing.
        pad = array([0], pa.uint64())
        self._padded_low = pa.concat_arrays([self._low, pad])
        self._high = pa.concat_arrays([high.take(order), pad])
        self._order = pa.concat_arrays([order, pad])

    def __len__(self) -> int:
        return self.starts[-1]

    def find(self, low: pa.Array, high: pa.Array) -> list[int | None]:
        """The row of each key (given as its two halves), None where it is not here."""
        if len(self) == 0:
            return [None] * len(low)
        at = search_sorted(self._low, low)
        same_low = pc.equal(self._padded_low.take(at), low)
        same_high = pc.equal(self._high.take(at), high)
        if not pc.any(same_low).as_py():
            return [None] * len(low)
        halves = zip(same_low.to_pylist(), same_high.to_pylist(), self._order.take(at).to_pylist(), strict=True)
        rows: list[int | None] = [row if is_low and is_high else None for is_low, is_high, row in halves]
        if not same_low.equals(pc.and_(same_low, same_high)):
            for i in pc.indices_nonzero(pc.and_not(same_low, same_high)).to_pylist():  # half a key in common with another
                rows[i] = self._walk(at[i].as_py(), low[i].as_py(), high[i].as_py())
        return rows

    def _walk(self, at: int, low: int, high: int) -> int | None:
        while at < len(self) and self._low[at].as_py() == low:  # all keys that share their first half
            if self._high[at].as_py() == high:
                return int(self._order[at].as_py())
            at += 1
        return None

    def pieces(self, rows: Sequence[int], places: Sequence[int]) -> list[Piece]:
        """Where these rows lie: (source, rows in it, the places that they fill)."""
        if len(self.sources) == 1:
            return [(self.sources[0], rows, places)]
        found: dict[int, tuple[Source, list[int], list[int]]] = {}
        for row, place in zip(rows, places, strict=True):
            no = bisect_right(self.starts, row) - 1
            _, its_rows, its_places = found.setdefault(no, (self.sources[no], [], []))
            its_rows.append(row - self.starts[no])
            its_places.append(place)
        return list(found.values())


def answer_table(n: int, pieces: Sequence[Piece]) -> pa.Table:
    """`n` answers put together from where they lie, nulls where there is none."""
    if not pieces:
        return _nothing(n)
    order: list[int | None] = [None] * n
    if len(pieces) == 1:
        source, rows, places = pieces[0]
        values = source.values()
        for row, place in zip(rows, places, strict=True):
            order[place] = row
    else:
        values = pa.concat_batches([source.values().take(array(rows, pa.int64())) for source, rows, _ in pieces])
        for at, place in enumerate(place for _, _, places in pieces for place in places):
            order[place] = at
    indices = array(order, pa.int64())
    if values.num_rows != n or order != list(range(n)):
        values = values.take(indices)
    return pa.Table.from_arrays([*values.columns, indices.is_valid()], schema=COLUMNS)


@lru_cache(maxsize=8)
def _nothing(n: int) -> pa.Table:
    nulls = [pa.nulls(n, field.type) for field in ANSWER_SCHEMA][1:]
    return pa.Table.from_arrays([*nulls, array([False] * n, pa.bool_())], schema=COLUMNS)


def search_sorted(numbers: pa.Array, wanted: pa.Array) -> pa.Array:
    """Where each wanted number would stand among the sorted ones."""
    if hasattr(pc, "search_sorted"):  # since pyarrow 26; ten times as fast
        return pc.search_sorted(numbers, wanted)
    view = memoryview(numbers.buffers()[1]).cast("B").cast("Q")
    return array([bisect_left(view, n, 0, len(numbers)) for n in wanted.to_pylist()], pa.uint64())


def merged(first: Generation, second: Generation) -> Generation:
    """Both as one; `first` wins where both have a key."""
    return Generation([*first.sources, *second.sources], pa.concat_arrays([first.keys, second.keys]))


def generation_of(batches: Sequence[pa.RecordBatch]) -> Generation:
    """A generation of record batches, small ones put together."""
    grouped = grouped_batches(batches)
    keys = [b.column(0) for b in grouped]
    return Generation([InMemory(b) for b in grouped], pa.concat_arrays(keys) if keys else key_array([]))


def grouped_batches(batches: Sequence[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """The same rows in batches of at least GROUP_ROWS, where they were smaller."""
    out: list[pa.RecordBatch] = []
    waiting: list[pa.RecordBatch] = []
    n_rows = 0
    for batch in batches:
        waiting.append(batch)
        n_rows += batch.num_rows
        if n_rows >= GROUP_ROWS:
            out.append(joined(waiting))
            waiting, n_rows = [], 0
    if n_rows:
        out.append(joined(waiting))
    return out


def joined(batches: Sequence[pa.RecordBatch]) -> pa.RecordBatch:
    """One batch of several; the same one if it is alone."""
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def key_halves(keys: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The first and the last 8 bytes of 16-byte keys, as unsigned numbers. Nulls give arbitrary numbers."""
    buffer = keys.buffers()[1].slice(16 * keys.offset, 16 * len(keys)) if len(keys) else pa.py_buffer(b"")
    numbers = pa.Array.from_buffers(pa.uint64(), 2 * len(keys), [None, buffer])
    even, odd = _alternating(len(keys)) if len(keys) <= 1024 else _alternating.__wrapped__(len(keys))
    return numbers.take(even), numbers.take(odd)


@lru_cache(maxsize=16)
def _alternating(n: int) -> tuple[pa.Array, pa.Array]:
    """0, 2, 4 … and 1, 3, 5 …, n of each."""
    return array(range(0, 2 * n, 2), pa.int64()), array(range(1, 2 * n, 2), pa.int64())
