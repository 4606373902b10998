"""Counting free cores."""

from __future__ import annotations

import os

import pytest

from dreamframe.models.local.cores import SAMPLE_S, allowed_cores, free_cores


def stat(idle: int, busy: int) -> str:
    return f"cpu  {busy} 0 0 {idle} 0 0 0 0 0 0\ncpu0 0 0 0 0\n"


@pytest.mark.parametrize(
    ("idle_share", "expected"),
    [pytest.param(1.0, allowed_cores(), id="idle"), pytest.param(0.0, 1, id="busy")],
)
def test_idle_cores_are_counted_and_one_is_always_left(idle_share: float, expected: int) -> None:
    ticks = 100 * (os.cpu_count() or 1)
    readings = iter([stat(1000, 1000), stat(1000 + int(ticks * idle_share), 1000 + int(ticks * (1 - idle_share)))])
    assert free_cores(read=lambda: next(readings), sleep=lambda _: None, own_s=lambda: 0.0) == expected


def test_what_this_process_uses_counts_as_free() -> None:
    ticks = 100 * (os.cpu_count() or 1)
    readings = iter([stat(1000, 1000), stat(1000, 1000 + ticks)])
    spent = iter([0.0, SAMPLE_S * (os.cpu_count() or 1)])
    assert free_cores(read=lambda: next(readings), sleep=lambda _: None, own_s=lambda: next(spent)) == allowed_cores()


def test_without_proc_all_allowed_cores_count_as_free() -> None:
    def read() -> str:
        raise FileNotFoundError("/proc/stat")

    assert free_cores(read=read, sleep=lambda _: None) == allowed_cores()
