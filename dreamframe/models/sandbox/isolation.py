"""What isolates programs on this system, found by trying: a program that tries to reach out of each kind of walls tells what held."""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from dreamframe.models.sandbox.limits import Limits
from dreamframe.models.sandbox.process import run
from dreamframe.models.sandbox.walls import Walls, possible

HELD = {  # what may hold → in words, and what it means where it does not
    "network": ("no network", "a program can reach the network"),
    "hidden": ("no sight of files but Python's and the system's", "a program can read this user's files"),
    "read_only": ("no writing outside its own folder", "a program can change this user's files"),
    "processes": ("at most 64 processes", "a program can start as many processes as this user"),
    "memory": ("limited memory", "the memory of a program is not limited"),
    "apart": ("no reach for other processes, and none that outlives it", "a program can end this user's processes, and one that hides may outlive its row"),
}
TRIAL = """
import json, os, socket, sys, time
held = {}
with socket.socket() as s:
    s.settimeout(2)
    held["network"] = s.connect_ex(("127.0.0.1", PORT)) != 0 and [name for _, name in socket.if_nameindex() if name != "lo"] == []
def readable(path):
    try:
        return bool(open(path, "rb").read(1))
    except OSError:
        return False
held["hidden"] = not readable(SECRET) and not readable("/proc/%d/environ" % PARENT)
held["read_only"] = not any(os.access(p, os.W_OK) for p in (os.path.dirname(SECRET), sys.prefix, sys.base_prefix, "/usr", "/var/tmp"))
try:
    bytearray(MEMORY)
    held["memory"] = False
except MemoryError:
    held["memory"] = True
def ended(pid):
    try:
        os.kill(pid, 0)
        return False
    except OSError:
        return True
try:
    held["apart"] = NAMESPACE not in (None, os.readlink("/proc/self/ns/pid")) and ended(PARENT)
except OSError:
    held["apart"] = False
children = []
try:
    while len(children) < MOST:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        children.append(pid)
except OSError:
    pass
held["processes"] = 8 < len(children) < MOST
for pid in children:
    os.kill(pid, 9)
print(json.dumps(held))
"""


@dataclass(frozen=True)
class Isolation:
    """Walls, and what was seen to hold behind them."""

    walls: Walls
    held: frozenset[str]

    @property
    def missing(self) -> tuple[str, ...]:
        """What does not hold, in the order of HELD."""
        return tuple(name for name in HELD if name not in self.held)

    def __str__(self) -> str:
        has = "; ".join(HELD[name][0] for name in HELD if name in self.held) or "nothing but a limit of time and of output"
        lacks = "; ".join(HELD[name][1] for name in self.missing)
        told = f" Not held on this system: {lacks}." if lacks else ""
        return f"each program runs in a process of its own, by {self.walls.name}: {has}.{told}"


def tried(walls: Walls) -> Isolation | None:
    """What holds behind these walls; None where no program runs there at all."""
    import socket
    import tempfile

    limits = Limits(timeout_s=20.0, memory=256 * 10**6)
    with tempfile.TemporaryDirectory(prefix="dreamframe-secret-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        secret = Path(folder, "secret")
        secret.write_text("s", encoding="utf-8")
        for path in (folder, secret):  # as most files of a user are
            os.chmod(path, 0o755)
        port = server.getsockname()[1]
        given = {"PORT": port, "SECRET": str(secret), "PARENT": os.getpid(), "MEMORY": 2 * limits.memory, "MOST": limits.processes + 16}
        given["NAMESPACE"] = _namespace()
        head = "".join(f"{name} = {value!r}\n" for name, value in given.items())
        try:
            made = run(head + TRIAL, limits=limits, walls=walls)
            found = json.loads(made.stdout) if made.ok else None
        except (OSError, ValueError):
            return None
    return Isolation(walls, frozenset(name for name in HELD if found.get(name))) if isinstance(found, dict) else None


def _namespace() -> str | None:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        return None


_chosen: list[Isolation] = []
_choosing = threading.Lock()


def chosen() -> Isolation:
    """The best isolation of this system, found once in each process of ours. Some tenths of a second."""
    with _choosing:
        if not _chosen:
            found: list[Isolation] = []
            for walls in possible():
                if (one := tried(walls)) is not None:
                    found.append(one)
                    if not one.missing:
                        break
            _chosen.append(max(found, key=lambda one: len(one.held), default=Isolation(Walls(), frozenset())))
        return _chosen[0]
