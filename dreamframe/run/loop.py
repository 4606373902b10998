"""The one asyncio loop of a process, in a thread of its own, so that scripts, notebooks and servers behave alike."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")
SIGNAL_S = 0.1  # how long Ctrl-C may go unnoticed
_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_owner = 0  # the process that started the loop: a forked child must start its own


def the_loop() -> asyncio.AbstractEventLoop:
    """The process's loop, started at the first call."""
    global _loop, _owner
    with _lock:
        if _loop is None or _owner != os.getpid() or _loop.is_closed():
            loop = asyncio.new_event_loop()
            threading.Thread(target=_serve, args=(loop,), name="dreamframe-loop", daemon=True).start()
            _loop, _owner = loop, os.getpid()
        return _loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the loop and wait for its result, from any other thread.

    Ctrl-C cancels the coroutine, waits until it has put away what came back, and raises KeyboardInterrupt.
    """
    loop = the_loop()
    if threading.current_thread().name == "dreamframe-loop":
        coroutine.close()
        raise RuntimeError("a dreamframe call was made inside dreamframe's own event loop; use the async form there")
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return _waited(future)
    except KeyboardInterrupt:
        future.cancel()
        done = asyncio.run_coroutine_threadsafe(_settle(), loop)
        done.result(timeout=10)
        raise


def _waited(future: Future[T]) -> T:
    """The result, awaited in short turns: a signal that another thread receives does not wake a thread that waits for ever."""
    while True:
        try:
            return future.result(SIGNAL_S)
        except TimeoutError:
            if future.done():  # the coroutine's own
                return future.result()


def start(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine in the loop, from any thread."""
    return asyncio.run_coroutine_threadsafe(coroutine, the_loop())


async def run_from(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the process's loop and await it in the caller's own."""
    return await asyncio.wrap_future(start(coroutine))


async def _settle() -> None:
    """Give cancelled tasks their turn to clean up."""
    for _ in range(20):
        await asyncio.sleep(0.01)


def _stop() -> None:
    if _loop is not None and _owner == os.getpid() and _loop.is_running():
        _loop.call_soon_threadsafe(_loop.stop)


atexit.register(_stop)
