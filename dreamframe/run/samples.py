"""The numbers of samples: the k-th occurrence of a request in a step is sample k, in input order, whatever is answered first and wherever it runs."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Sequence

import polars as pl

from dreamframe.identity.arrow import memory
from dreamframe.store.answer_index import Halves, are_merged, halves_of, keys_of

MARKS = 1 << 21  # bytes of bits, one of which is set for each sorted key: what has none was not asked before, as nearly all was not
RECENT_KEYS = 16_384  # requests that are kept in a dict; then they are sorted into arrays, which hold one in 16 bytes and not in 130


class Samples:
    """Numbers the requests of one step in one run, batch by batch in input order."""

    def __init__(self) -> None:
        self._recent: dict[bytes, int] = {}  # request → samples of it so far, where it is not among the earlier ones with one sample
        self._earlier: list[SortedKeys] = []  # the longest first
        self._marks = bytearray()
        self._most_recent = RECENT_KEYS
        self._next = 0  # the batch whose turn it is
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def go_on(self) -> None:
        """Batches are numbered from 0 again, for further rows; samples are not."""
        self._next, self._waiting = 0, {}

    async def number(self, order: int, keys: Sequence[bytes | None]) -> list[int]:
        """The sample number of each request of a batch; 0 where there is no request. Waits until all earlier batches have theirs."""
        if order < self._next:
            raise RuntimeError(f"batch {order} has its samples already: an engine numbers the batches of one call 0, 1, 2, … in input order")
        if order != self._next:
            self._waiting[order] = asyncio.get_running_loop().create_future()
            await self._waiting[order]
        seen, earlier = self._recent, self._asked_before(keys)
        samples: list[int] = []
        for key in keys:
            if key is None:
                samples.append(0)
                continue
            k = seen.get(key)
            k = int(key in earlier) if k is None else k
            samples.append(k)
            seen[key] = k + 1
        if len(seen) >= self._most_recent:
            self._sort()
        self._next += 1
        if (waiting := self._waiting.pop(self._next, None)) is not None and not waiting.done():
            waiting.set_result(None)
        return samples

    def _asked_before(self, keys: Sequence[bytes | None]) -> set[bytes]:
        """Those of some requests of which one sample is known, and no more."""
        wanted = [key for key in keys if key is not None] if self._earlier else []
        marks = self._marks
        found = zip(wanted, halves_of(wanted), strict=True) if wanted else ()
        return {
            key
            for key, halves in found
            if marks[(halves[0] >> 3) % MARKS] & (1 << (halves[0] & 7)) and any(halves in some for some in self._earlier)
        }

    def _sort(self) -> None:
        """Move what was asked once, as nearly everything is, out of the dict."""
        once = [key for key, n in self._recent.items() if n == 1]
        self._recent = {key: n for key, n in self._recent.items() if n > 1}
        self._most_recent = RECENT_KEYS + 2 * len(self._recent)
        keys = keys_of(pl.Series(once, dtype=pl.Binary)).sort("low")
        self._marks = self._marks or bytearray(MARKS)
        for low in keys["low"].to_list():
            self._marks[(low >> 3) % MARKS] |= 1 << (low & 7)
        n_all = sum(map(len, self._earlier)) + keys.height
        while self._earlier and are_merged(len(self._earlier[-1]), keys.height, n_all):
            keys = self._earlier.pop().keys.merge_sorted(keys, "low")
        self._earlier.append(SortedKeys(keys))


class SortedKeys:
    """Keys of 16 bytes in two sorted columns, for a question at a time."""

    def __init__(self, keys: pl.DataFrame) -> None:
        """`keys` are halves, as of `keys_of`, sorted by `low`."""
        self.keys = keys
        self._low, self._high = (memory(self.keys[name]).cast("Q") for name in ("low", "high"))

    def __len__(self) -> int:
        return self.keys.height

    def __contains__(self, halves: Halves) -> bool:
        low, high = halves
        at = bisect_left(self._low, low)
        while at < len(self._low) and self._low[at] == low:  # all keys that share their first half
            if self._high[at] == high:
                return True
            at += 1
        return False
