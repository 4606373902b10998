"""Code of users, run beside the event loop: in threads that nothing of ours waits for, and whatever it raises ends no loop."""

from __future__ import annotations

import contextvars
import functools
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

T = TypeVar("T")
AT_ONCE = min(32, (os.cpu_count() or 1) + 4)  # batches of one step whose function runs at once


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """A function may run a plan of its own, whose functions may run others: they would wait for each other in a small pool, and in one shared with the
    engine."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(4_096, thread_name_prefix="dreamframe-aside")


async def aside(work: Callable[[], T]) -> T:
    """What the work gives, done in a thread. What is no Exception (SystemExit, say) is raised as a RuntimeError: it belongs to who waits for it."""
    import asyncio

    return await asyncio.get_running_loop().run_in_executor(_threads(), contextvars.copy_context().run, _done, work)


def _done(work: Callable[[], T]) -> T:
    try:
        return work()
    except BaseException as exc:
        if (made := passable(exc)) is exc:
            raise
        raise made from exc


def passable(exc: BaseException) -> Exception:
    """The exception as one that a future takes and that ends nothing but who waits for it."""
    if isinstance(exc, Exception) and not isinstance(exc, StopIteration):
        return exc
    made = RuntimeError(f"{type(exc).__name__}: {exc}")
    made.__cause__ = exc
    return made
