"""How many processor cores are free for an engine in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

SAMPLE_S = 0.1  # how long the load is watched before a model is loaded


def allowed_cores() -> int:
    """The cores that this process may use: its affinity, cut by the container's quota where there is one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


def free_cores(
    *,
    read: Callable[[], str] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    own_s: Callable[[], float] = time.process_time,
) -> int:
    """The cores that no other process used just now, at least one, at most those allowed.

    Threads beyond them spin against each other and are slower than fewer. `read` gives the text of /proc/stat; where there is none, all allowed
    cores count as free. What this process itself uses (`own_s`, in CPU seconds) counts as free: it is about to wait for the model.
    """
    read = read or Path("/proc/stat").read_text
    try:
        before, own = _jiffies(read()), own_s()
        sleep(SAMPLE_S)
        after, own = _jiffies(read()), own_s() - own
    except (OSError, ValueError):
        return allowed_cores()
    idle, total = after[0] - before[0], max(1, after[1] - before[1])
    share = min(1.0, idle / total + own / (SAMPLE_S * (os.cpu_count() or 1)))
    return max(1, min(allowed_cores(), round(share * (os.cpu_count() or 1))))


def _jiffies(stat: str) -> tuple[int, int]:
    """Idle and total time of all cores, in the kernel's ticks."""
    fields = [int(n) for n in stat.splitlines()[0].split()[1:9]]  # user nice system idle iowait irq softirq steal
    return fields[3] + fields[4], sum(fields)
