"""Some rows of a long output of plain columns: of its record batches only those that hold them are read, without pyarrow."""

from __future__ import annotations

import itertools
from bisect import bisect_right

import polars as pl

from dreamframe.store.short_rows import Columns, batches_of, checked_rows, head_of, is_plain


class LongRows:
    """The rows of an output whose bytes have their checksum."""

    def __init__(self, columns: Columns, batches: list[memoryview], starts: list[int]) -> None:
        self.schema = pl.Schema(columns)
        self._head, self._batches, self._starts = head_of(columns), batches, starts
        self._last: tuple[int, pl.DataFrame] | None = None  # the batch that was read last

    @staticmethod
    def of(data: memoryview, columns: Columns) -> LongRows | None:
        """None where the columns are not plain, or the bytes are no stream of them as this process writes it."""
        head = head_of(columns) if is_plain(columns) else None
        if head is None or data[: len(head)] != head:
            return None
        found = batches_of(data, len(head))
        if found is None:
            return None
        return LongRows(columns, [batch for batch, _ in found], list(itertools.accumulate((n for _, n in found), initial=0)))

    @property
    def height(self) -> int:
        """How many rows there are."""
        return self._starts[-1]

    def slice(self, start: int, n: int, /) -> pl.DataFrame | None:
        """n rows from a position on, fewer at the end; None where they are written otherwise than this process would."""
        stop = min(start + n, self.height)
        parts = [pl.DataFrame(schema=self.schema)]
        number = bisect_right(self._starts, start) - 1
        while start < stop:
            if (batch := self._batch(number)) is None:
                return None
            parts.append(batch.slice(start - self._starts[number], stop - start))
            number, start = number + 1, self._starts[number + 1]
        return pl.concat(parts)

    def _batch(self, number: int) -> pl.DataFrame | None:
        if self._last is None or self._last[0] != number:
            rows = checked_rows(self._head, self._batches[number])
            if rows is None or rows.height != self._starts[number + 1] - self._starts[number]:
                return None
            self._last = number, rows
        return self._last[1]
