"""Memory that was freed, and that the C library keeps: glibc's heaps end in something small that lives on, below which hundreds of megabytes may lie free."""

from __future__ import annotations

import functools
from collections.abc import Callable


def give_back() -> None:
    """Let the system have it, where the C library knows how. Takes some milliseconds."""
    _trim()(0)


@functools.cache
def _trim() -> Callable[[int], object]:
    import ctypes  # when there is much to give back: a short run does without

    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (OSError, TypeError, AttributeError):  # another system, or another C library
        return lambda _: None
    return found
