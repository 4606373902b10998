"""What is there of dreamframe on other systems: in a process without `fcntl`, hard links, `fdatasync`, flags of `open`, `/proc` and CPU sets.

That is not a Windows, nor a macOS: docs/about/limits.md says what it leaves open.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HIDDEN = """
import errno, fcntl, os, sys, types
import asyncio, subprocess, polars  # which ask what system this is, and hear the truth
flock, LOCK, FREE = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_UN
sys.modules["fcntl"] = sys.modules["resource"] = None
os.process_cpu_count = os.cpu_count  # which is Python's own, from 3.13 on, and asks for the affinity
for name in ("link", "fdatasync", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "sched_getaffinity", "statvfs", "getuid", "geteuid", "killpg"):
    if hasattr(os, name):
        delattr(os, name)
os.supports_follow_symlinks = {os.stat}

def no_proc(event, args):
    if event in ("open", "os.listdir", "os.scandir") and args and str(args[0]).startswith("/proc"):
        raise FileNotFoundError(errno.ENOENT, "there is no /proc here", str(args[0]))

sys.addaudithook(no_proc)
"""
WINDOWS = """
msvcrt = types.ModuleType("msvcrt")
msvcrt.LK_NBLCK, msvcrt.LK_UNLCK = 2, 0

def locking(fd, mode, n_bytes):
    "Windows' own: it locks bytes from where the file stands, and gives EACCES where another holds them."
    assert (os.lseek(fd, 0, os.SEEK_CUR), n_bytes) == (2**31 - 2, 1)
    try:
        flock(fd, LOCK if mode == msvcrt.LK_NBLCK else FREE)
    except BlockingIOError:
        raise PermissionError(errno.EACCES, "Permission denied") from None

msvcrt.locking = locking
sys.modules["msvcrt"] = msvcrt
"""
RUN = """
import json
import dreamframe as dr
import polars as pl
from dreamframe.store.files import Files
from pathlib import Path

llm = dr.testing.Scripted(lambda asked: "yes" if "tea" in asked else "no")
rows = dr.frame({"text": ["green tea", "rain", "black tea"]})
drinks = rows.filter(dr.prompt(llm, "Is it a drink? {text}")).map(lambda row: row["text"].upper(), into="loud", schema=str)
with dr.Session(None):
    in_memory = drinks.collect().rows()
with dr.Session("./output") as session:
    kept = drinks.collect().rows()
    drinks.write_csv("rows.csv")
    damaged = session.verify()
files = Files(Path("./output"))
one = files.lock(Path("./output/lock").absolute())
other = files.lock(Path("./output/lock").absolute())
excludes = one.is_held and other is None
one.release()
again = files.lock(Path("./output/lock").absolute())
print(json.dumps([in_memory == kept, kept, session.usage()["calls"], damaged, excludes, again is not None]))
"""


def told(code: str, folder: Path) -> list[object]:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


@pytest.mark.parametrize("locks", [WINDOWS, ""], ids=["locks of Windows", "no locks"])
def test_a_plan_runs_and_is_kept_where_the_parts_of_linux_are_missing(locks: str, tmp_path: Path):
    rows = [["green tea", "GREEN TEA"], ["black tea", "BLACK TEA"]]
    assert told(HIDDEN + locks + RUN, tmp_path) == [True, rows, 3, [], bool(locks), True]
    assert told(HIDDEN + locks + RUN, tmp_path) == [True, rows, 0, [], bool(locks), True]


def test_what_was_kept_there_is_read_here_and_asked_by_nobody(tmp_path: Path):
    there = told(HIDDEN + WINDOWS + RUN, tmp_path)
    assert told(RUN, tmp_path) == [*there[:2], 0, [], True, True]
