"""One program in a process of its own: started, watched, ended with all that it started, and what became of it."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamframe.models.sandbox.limits import Limits, Ran
from dreamframe.models.sandbox.walls import Walls

if TYPE_CHECKING:
    import subprocess

START_S = 60.0  # until the program begins: a machine may be busy
TRIES, PAUSE_S = 20, 0.005  # looks for what a program left behind
MARK = "DREAMFRAME_PROGRAM"
BASH = "import os, sys\ncode, tests = {!r}, {!r}\nos.execv('/bin/bash', ['bash', '-c', code + (chr(10) + tests if tests else '')])"
CHUNK = 65_536


@cache
def _inside() -> str:
    return Path(__file__).with_name("inside.py").read_text(encoding="utf-8")


@dataclass
class Watched:
    """What a program has said so far."""

    limits: Limits
    begun: float | None = None
    report: bytes = b""

    def __post_init__(self) -> None:
        self.kept = {"stdout": bytearray(), "stderr": bytearray()}
        self.size = {"stdout": 0, "stderr": 0}

    def take(self, name: str, data: bytes) -> None:
        """Bytes of one of its pipes."""
        if name == "report":
            self.report = (self.report + data)[:CHUNK]
            if data and self.begun is None:
                self.begun = time.monotonic()
            return
        self.size[name] += len(data)
        self.kept[name] += data[: max(0, self.limits.kept_output - len(self.kept[name]))]

    def text(self, name: str) -> str:
        """One of its outputs; where it was cut, that is said at the end."""
        more = self.size[name] - len(self.kept[name])
        return self.kept[name].decode("utf-8", "replace") + (f"\n[{name} is cut: {more:,} more bytes]" if more else "")

    def why_now(self, started: float) -> str | None:
        """The limit that ends it now."""
        now = time.monotonic()
        if max(self.size.values()) > self.limits.most_output:
            return f"output: more than {self.limits.most_output:,} bytes"
        if self.begun is None:
            return f"start: the process did not begin within {START_S:g} s" if now - started > START_S else None
        return f"time: no end within {self.limits.timeout_s:g} s" if now - self.begun > self.limits.timeout_s else None


def run(code: str, *, tests: str | None = None, language: str = "python", limits: Limits | None = None, walls: Walls) -> Ran:
    """Run a program behind these walls. Raises OSError where no process can be started."""
    import subprocess
    import tempfile

    limits = limits or Limits()
    word = os.urandom(16).hex()
    with contextlib.ExitStack() as held:
        folder, owner = walls.folder(held)
        read_end, write_end = os.pipe()
        held.callback(os.close, read_end)
        job = held.enter_context(tempfile.TemporaryFile())
        job.write(_job(code, tests, language, limits, walls, fd=write_end, word=word))
        job.seek(0)
        try:
            process = subprocess.Popen(
                walls.command([*_python(), "-c", _inside()], folder, owner, limits), stdin=job, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd=folder, env=_environment(walls.home(folder), word), start_new_session=True, **_inherited(write_end),
            )  # fmt: skip
        finally:
            os.close(write_end)
        seen = Watched(limits)
        started = time.monotonic()
        try:
            why = _watch(process, read_end, seen, started)
            ended = time.monotonic()
        finally:
            end(process, None if walls.has_view else word)
            _drain(process, read_end, seen)
        error = why or _verdict(seen, process, word, limits, language)
        seconds = max(0.0, ended - (seen.begun or started))
        return Ran(error is None, seen.text("stdout"), seen.text("stderr"), error, seconds)


def _job(code: str, tests: str | None, language: str, limits: Limits, walls: Walls, *, fd: int, word: str) -> bytes:
    """As inside.py reads it: a line of numbers, the code, and, after one more character, its tests."""
    of_system = {
        "AS": limits.memory, "CPU": math.ceil(limits.timeout_s) + 1, "FSIZE": limits.file_size, "NOFILE": limits.open_files, "CORE": 0,
        **({"NPROC": limits.processes} if walls.counts_processes else {}),
    }  # fmt: skip
    if language == "bash":
        code, tests = BASH.format(code, tests), None
    text, more = (t.encode("utf-8", "surrogatepass") for t in (code, "" if tests is None else f" {tests}"))
    return f"{fd} {word} {len(text)} {' '.join(f'{name}={most}' for name, most in of_system.items())}\n".encode() + text + more


def _python() -> list[str]:
    return [sys.executable, "-s", "-P", "-B", "-X", "utf8"]


def _environment(home: str, word: str) -> dict[str, str]:
    """All that it inherits. `word[:8]` marks its processes; the whole word is not among it."""
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    needed = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    path = needed if os.name == "posix" else {k: os.environ[k] for k in ("PATH", "SYSTEMROOT") if k in os.environ}
    return {**path, **one, "HOME": home, "TMPDIR": home, "TEMP": home, "LANG": "C.UTF-8", "PYTHONHASHSEED": "0", MARK: word[:8]}


def _inherited(fd: int) -> dict[str, Any]:
    return {"pass_fds": (fd,)} if os.name == "posix" else {"close_fds": False}


def _watch(process: subprocess.Popen[bytes], report: int, seen: Watched, started: float) -> str | None:
    """Read what it says until it ends; the limit that is to end it, if one is."""
    import selectors

    with selectors.DefaultSelector() as chosen, contextlib.ExitStack() as held:
        for name, source in (("stdout", process.stdout), ("stderr", process.stderr), ("report", report)):
            fd = source if isinstance(source, int) else source.fileno()  # type: ignore[union-attr]
            os.set_blocking(fd, False)
            chosen.register(fd, selectors.EVENT_READ, name)
        pause = 0.01
        if hasattr(os, "pidfd_open"):
            pid = os.pidfd_open(process.pid)
            held.callback(os.close, pid)
            chosen.register(pid, selectors.EVENT_READ, "end")
            pause = 0.1
        while True:
            for key, _ in chosen.select(pause):
                if key.data == "end":
                    return None
                if (data := _read(key.fd)) == b"":
                    chosen.unregister(key.fd)
                seen.take(key.data, data or b"")
            if process.poll() is not None:
                return None
            if (why := seen.why_now(started)) is not None:
                return why


def _read(fd: int) -> bytes | None:
    """What is there; b"" at its end, None when nothing is there now."""
    try:
        return os.read(fd, CHUNK)
    except BlockingIOError:
        return None


def _drain(process: subprocess.Popen[bytes], report: int, seen: Watched) -> None:
    """What is left in the pipes; a process that outlives it may hold them open, so nobody waits for their end."""
    for name, source in (("stdout", process.stdout), ("stderr", process.stderr), ("report", report)):
        fd = source if isinstance(source, int) else source.fileno()  # type: ignore[union-attr]
        for _ in range(64):
            if not (data := _read(fd)):
                break
            seen.take(name, data)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def end(process: subprocess.Popen[bytes], word: str | None) -> None:
    """End it, and all that it started: with the namespace that they are in, or (by the word that marks them) as far as they can be found."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        mark = f"{MARK}={(word or '')[:8]}".encode()
        known: set[int] = set()
        for _ in range(TRIES if word else 0):  # one may start another meanwhile
            left, ended, is_becoming = _marked(mark, since=process.pid)
            if not left and not is_becoming and ended <= known:
                break
            known |= ended
            if is_becoming:
                time.sleep(PAUSE_S)
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _marked(mark: bytes, *, since: int) -> tuple[list[int], set[int], bool]:
    """Processes that inherited the mark, but for `since` itself; younger ones that have ended, which may have started others unseen; and whether one is
    just becoming another program, and has no environment for a moment."""
    found, ended, is_becoming = [], set(), False
    for entry in Path("/proc").glob("[0-9]*/environ"):
        pid = int(entry.parent.name)
        if pid == since:
            continue
        try:
            held = entry.read_bytes()
            if mark in held:
                found.append(pid)
            elif not held and pid > since:
                if b") Z " in (entry.parent / "stat").read_bytes():
                    ended.add(pid)
                else:
                    is_becoming = is_becoming or _has_program(entry.parent)
        except (FileNotFoundError, ProcessLookupError):
            ended.add(pid)
        except OSError:
            continue  # somebody else's
    return found, ended, is_becoming


def _has_program(process: Path) -> bool:
    """Whether it is more than a thread of the kernel."""
    try:
        return bool(os.readlink(process / "exe"))
    except FileNotFoundError:
        return False


def _verdict(seen: Watched, process: subprocess.Popen[bytes], word: str, limits: Limits, language: str) -> str | None:
    """How it failed; None if it came to its end, and its tests too."""
    for line in seen.report.decode("utf-8", "replace").splitlines():
        said, _, error = line.partition(" ")
        if said == word:
            return f"{error} (the limit is {limits.memory / 1e6:g} MB for each process)" if "memory: " in error else error or None
    code = process.returncode or 0
    if language == "bash" and code == 0:
        return None
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if number == getattr(signal, "SIGXCPU", -1):
        return f"cpu time: more than {math.ceil(limits.timeout_s) + 1} s"
    if number in {int(s) for s in signal.Signals}:
        return f"signal: ended by {signal.Signals(number).name}"
    return f"exit: it ended by itself with code {code} before the end was reached" if language == "python" else f"exit: code {code}"
