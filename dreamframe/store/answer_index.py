"""Where the answer of a key lies: immutable sorted generations over record batches, searched for a whole batch of keys at once."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Protocol

import pyarrow as pa
import pyarrow.compute as pc

from dreamframe.store.journal import ANSWER_SCHEMA, decode

VALUE_NAMES = ANSWER_SCHEMA.names[1:]
GROUP_ROWS = 16_384  # small record batches are put together to about this many rows


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


class Generation:
    """Answers with a sorted index: 16 bytes of key and 8 of position each. The first answer of a key wins."""

    def __init__(self, sources: Sequence[Source], keys: pa.Array) -> None:
        """`keys` are those of all rows of the sources, in order."""
        self.sources = list(sources)
        self.starts = [0]
        for s in self.sources:
            self.starts.append(self.starts[-1] + s.n_rows)
        self.keys = keys
        halves = key_halves(keys)
        order = pc.sort_indices(halves[0])  # stable: equal keys stay in order
        self._low, self._high = halves[0].take(order), halves[1].take(order)
        self._order = order

    def __len__(self) -> int:
        return self.starts[-1]

    def find(self, low: pa.Array, high: pa.Array) -> list[int | None]:
        """The row of each key (given as its two halves), None where it is not here."""
        n = len(self)
        if n == 0:
            return [None] * len(low)
        at = pc.search_sorted(self._low, low, side="left")
        near = pc.min_element_wise(at, pa.scalar(n - 1, at.type))
        is_first = pc.equal(self._low.take(near), low)
        is_whole = pc.and_(is_first, pc.equal(self._high.take(near), high))
        rows: list[int | None] = pc.if_else(is_whole, self._order.take(near), None).to_pylist()
        for i in pc.indices_nonzero(pc.and_not(is_first, is_whole)).to_pylist():  # half a key in common with another
            rows[i] = self._walk(near[i].as_py(), low[i].as_py(), high[i].as_py())
        return rows

    def _walk(self, at: int, low: int, high: int) -> int | None:
        while at < len(self) and self._low[at].as_py() == low:
            if self._high[at].as_py() == high:
                return int(self._order[at].as_py())
            at += 1
        return None

    def locate(self, row: int) -> tuple[int, int]:
        """(source, row in it)."""
        source = bisect_right(self.starts, row) - 1
        return source, row - self.starts[source]


def merged(first: Generation, second: Generation) -> Generation:
    """Both as one; `first` wins where both have a key."""
    return Generation([*first.sources, *second.sources], pa.concat_arrays([first.keys, second.keys]))


def generation_of(batches: Sequence[pa.RecordBatch]) -> Generation:
    """A generation of record batches, small ones put together."""
    grouped = grouped_batches(batches)
    keys = [b.column(0) for b in grouped]
    return Generation([InMemory(b) for b in grouped], pa.concat_arrays(keys) if keys else pa.array([], pa.binary(16)))


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
    pairs = pa.FixedSizeListArray.from_arrays(numbers, 2)
    return pc.list_element(pairs, 0), pc.list_element(pairs, 1)

