"""Python's cycle collector while rows stream: it looks less often, since what a row leaves behind is freed by reference counts."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

FEWEST = 5_000  # new objects between two looks at the youngest; Python's own 700 is a look for every 20 rows in flight, 20,000 costs memory
_runs = 0  # inside the block now: all in the loop's thread
_before: tuple[int, int, int] = gc.get_threshold()


@contextlib.contextmanager
def rarely_collected() -> Iterator[None]:
    """Within the block, cycles are looked for once in 5,000 new objects. What the user set stands if it is more, or no look at all.

    With the calls of 256 rows in flight, looking is a third of Python's work, and finds nothing.
    """
    global _runs, _before
    if _runs == 0:
        _before = gc.get_threshold()
    _runs += 1
    if 0 < _before[0] < FEWEST:
        gc.set_threshold(FEWEST, *_before[1:])
    try:
        yield
    finally:
        _runs -= 1
        if _runs == 0 and gc.get_threshold() == (FEWEST, *_before[1:]):  # else somebody set it meanwhile
            gc.set_threshold(*_before)
