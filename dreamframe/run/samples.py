"""The numbers of samples: the k-th occurrence of a request in a step is sample k, in input order, whatever is answered first and wherever it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence


class Samples:
    """Numbers the requests of one step in one run, batch by batch in input order."""

    def __init__(self) -> None:
        self._seen: dict[bytes, int] = {}  # request → samples of it so far
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
        seen, samples = self._seen, []
        for key in keys:
            samples.append(k := seen.get(key, 0) if key is not None else 0)
            if key is not None:
                seen[key] = k + 1
        self._next += 1
        if (waiting := self._waiting.pop(self._next, None)) is not None and not waiting.done():
            waiting.set_result(None)
        return samples
