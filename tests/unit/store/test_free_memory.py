"""What was freed below something that lives on goes back to the system."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from dreamframe.store.free_memory import give_back


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not (Path("/proc/self/statm").exists() and hasattr(ctypes.CDLL(None), "malloc_trim")), reason="needs glibc")
def test_freed_memory_is_given_back() -> None:
    blocks = [os.urandom(1) * 100_000 for _ in range(1_000)]
    last = bytes(1_000)  # above them all
    before = resident()
    del blocks
    give_back()
    assert resident() <= before - 80_000_000
    assert last
