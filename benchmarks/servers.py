"""What benchmarks share: the loopback server and the measured programs, each in a process of its own."""

from __future__ import annotations

import contextlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class Server:
    """A loopback server in another process; its counters once it has stopped."""

    def __init__(self, options: Sequence[str]) -> None:
        command = [sys.executable, "-m", "tests.loopback", *options]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url: str = json.loads(self._process.stdout.readline())["url"]
        self.counters: dict[str, Any] = {}

    def stop(self) -> None:
        said, _ = self._process.communicate(timeout=30)  # closes its stdin, which ends it
        self.counters = json.loads(said)


@contextlib.contextmanager
def server(*options: str) -> Iterator[Server]:
    running = Server(options)
    try:
        yield running
    finally:
        running.stop()


def measure(program: str, *arguments: object, timeout_s: float = 600) -> dict[str, Any]:
    """Run `python -m benchmarks.<program>` with arguments: the JSON object that it prints as its last line, and `process_cpu_s` of all of it, start and end."""
    command = [sys.executable, "-m", f"benchmarks.{program}", *map(str, arguments)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout_s, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {**found, "process_cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}
