"""The one asyncio loop of a process, in a thread of its own, so that scripts, notebooks and servers behave alike."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import os
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import Any, Generic, TypeVar, cast

from dreamframe.errors import ForkedError
from dreamframe.run import active

T = TypeVar("T")
SIGNAL_S = 0.1  # how long Ctrl-C may go unnoticed
SETTLE_S = 10.0  # how long a run that was cancelled may take to put away what came back: it may be busy with a query that nobody can stop
MOST_READY = 4  # finished batches that wait for the one who reads them
THREAD = "dreamframe-loop"
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner = 0  # the process that started the loop


def the_loop() -> asyncio.AbstractEventLoop:
    """The process's loop, started at the first call. Raises ForkedError as `check_not_forked`."""
    global _loop, _owner
    check_not_forked()
    with _lock:
        if _loop is None or _loop.is_closed():
            loop = contextvars.Context().run(_new_loop)  # it lives on when whoever asked first is gone
            threading.Thread(target=_serve, args=(loop,), name=THREAD, daemon=True).start()
            _loop, _owner = loop, os.getpid()
        return _loop


def _new_loop() -> asyncio.AbstractEventLoop:
    """uvloop's where it is installed: it takes half the time for a call."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return cast("asyncio.AbstractEventLoop", uvloop.new_event_loop())


def check_not_forked() -> None:
    """Raise ForkedError in a child of a process that had run a plan: polars' threads and locks are not there, and it would hang without a word."""
    if _loop is not None and _owner != os.getpid():
        raise ForkedError(
            f"this process ({os.getpid()}) was forked from one that had run a plan ({_owner}), and polars hangs in such a child. "
            'Start processes with multiprocessing.get_context("spawn"), or fork before the first run.'
        )


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    while True:
        try:
            loop.run_forever()
            return
        except (SystemExit, KeyboardInterrupt):  # raised by a task: it is told who waits for that one, and all others go on
            continue


class Job(Generic[T]):
    """A coroutine that runs in the loop, seen from another thread."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._is_over = threading.Event()
        self.future: Future[T] = active.lent(lambda: asyncio.run_coroutine_threadsafe(self._tracked(), the_loop()))

    async def _tracked(self) -> T:
        try:
            return await self._coroutine
        except Exception:
            if self.is_given_up:  # nobody is there to hear of it, and asyncio would print it
                raise asyncio.CancelledError from None
            raise
        finally:
            self._is_over.set()

    @property
    def is_given_up(self) -> bool:
        """Whether whoever waited for it has cancelled it."""
        future: Future[T] | None = getattr(self, "future", None)  # it may run before it has one
        return future is not None and future.cancelled()

    def result(self) -> T:
        """The result, awaited in short turns: a signal that another thread receives does not wake a thread that waits for ever."""
        while True:
            try:
                return self.future.result(SIGNAL_S)
            except TimeoutError:
                if self.future.done():  # the coroutine's own
                    return self.future.result()

    def cancel(self) -> None:
        """Cancel the coroutine, and return when it has put away what came back, or after SETTLE_S."""
        if self.future.cancel():  # else it is over
            self.settled()

    def settled(self) -> None:
        """Return when the coroutine has ended, also one that was cancelled; or after SETTLE_S."""
        if not is_here():
            self._is_over.wait(SETTLE_S)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the loop and wait for its result, from any other thread.

    Ctrl-C cancels the coroutine, waits until it has put away what came back (a second Ctrl-C does not wait), and raises KeyboardInterrupt.
    """
    if is_here():
        coroutine.close()
        raise RuntimeError("a dreamframe call was made inside dreamframe's own event loop; use the async form there")
    job = Job(coroutine)
    try:
        return job.result()
    except KeyboardInterrupt:
        job.cancel()
        raise


class _End:
    """Stands behind the last item."""


class Handover(Generic[T]):
    """Items that are made in the loop and taken in another thread; no more than MOST_READY wait to be taken."""

    def __init__(self, items: Callable[[], AsyncGenerator[T, None]]) -> None:
        self._items = items
        self._ready: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        self._room = asyncio.Semaphore(MOST_READY)

    async def fill(self) -> None:
        """Make all items; the maker waits while nobody takes them."""
        try:
            async with contextlib.aclosing(self._items()) as items:
                async for item in items:
                    await self._room.acquire()
                    self._ready.put(item)
        finally:
            self._ready.put(_End())

    def taken(self, job: Job[None]) -> Iterator[T]:
        """The items in order, awaited in short turns so that Ctrl-C is noticed. Raises what ended `job`, which fills."""
        while True:
            try:
                item = self._ready.get(timeout=SIGNAL_S)
            except queue.Empty:
                if job.future.done():  # it was cancelled before it began
                    job.future.result()
                continue
            if isinstance(item, _End):
                job.result()
                return
            the_loop().call_soon_threadsafe(self._room.release)
            yield item


async def run_from(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the process's loop and await it in the caller's own. When cancelled, it has put away what came back."""
    job = Job(coroutine)
    try:
        return await asyncio.wrap_future(job.future)
    except asyncio.CancelledError:
        await asyncio.to_thread(job.settled)
        raise


def is_here() -> bool:
    """Whether this is the loop's own thread."""
    return threading.current_thread().name == THREAD


def _stop() -> None:
    if _loop is not None and _owner == os.getpid() and _loop.is_running():
        _loop.call_soon_threadsafe(_loop.stop)


atexit.register(_stop)
