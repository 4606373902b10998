"""Python's cycle collector while rows stream: it looks less often, since what a row leaves behind is freed by reference counts."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import gc
import io
import socket
import sys
from collections.abc import Generator, Iterator
from types import CoroutineType
from typing import Any

FEWEST = 5_000  # new objects between two looks at the youngest; Python's own 700 is a look for every 20 rows in flight, 20,000 costs memory
ENDED_BY_THE_SYSTEM = (asyncio.AbstractEventLoop, asyncio.Future, socket.socket, CoroutineType, Generator)
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


def leave_cycles_to_the_system() -> None:
    """At the end of the process, have Python not look for cycles, where nothing in it has a finalizer that the system does not make up for.

    Its last looks, four of them, are there to run finalizers. Over the modules of polars and of this library they take a quarter of a warm run.
    """
    objects = gc.get_objects()
    ending = {kind for kind in set(map(type, objects)) if hasattr(kind, "__del__") and not issubclass(kind, ENDED_BY_THE_SYSTEM)}
    files = {kind for kind in ending if issubclass(kind, io.IOBase)}
    own = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    buffers = {id(part) for stream in own if stream is not None for part in (stream, getattr(stream, "buffer", None), _raw(stream))}
    if ending == files and all(each.closed or id(each) in buffers for each in objects if type(each) in files):
        gc.freeze()


def _raw(stream: Any) -> Any:
    return getattr(getattr(stream, "buffer", None), "raw", None)


atexit.register(leave_cycles_to_the_system)
