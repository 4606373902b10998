"""Programs that do harm: each ends within its limits, which says which; and what is said to hold on this system holds."""

from __future__ import annotations

import os
import socket
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.sandbox.isolation import HELD, Isolation, chosen, tried
from dreamframe.models.sandbox.limits import Limits, Ran
from dreamframe.models.sandbox.process import run
from dreamframe.models.sandbox.walls import possible

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits are POSIX's")
SOON = Limits(timeout_s=1.0)
GRANDCHILD = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv("/bin/sleep", ["sleep", "{seconds}"])
    os._exit(0)
print("out")
"""


def ran(code: str, **more: object) -> Ran:
    return run(code, limits=more.pop("limits", SOON), walls=chosen().walls, **more)  # type: ignore[arg-type]


HARM = {
    "fork bomb": ("import os\nwhile True: os.fork()", ("time: ", "processes: ")),
    "threads": ("import threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=(9,)).start()", ("processes: ", "memory: ")),
    "10 GB": ("x = bytearray(10**10)", ("memory: MemoryError (the limit is 512 MB",)),
    "endless loop": ("while True: pass", ("time: no end within 1 s",)),
    "sleep": ("import time; time.sleep(100)", ("time: no end within 1 s",)),
    "output": ("while True: print('x' * 10_000)", ("output: more than 16,777,216 bytes",)),
    "a large file": ("f = open('x', 'wb')\nfor _ in range(8): f.write(bytes(10**7))", ("file size: ", "disk: ")),
    "open files": ("f = [open('/dev/null') for _ in range(1000)]", ("open files: ",)),
    "signals": ("import signal, time\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\ntime.sleep(100)", ("time: ",)),
    "segfault": ("import ctypes; ctypes.string_at(0)", ("signal: ended by SIGSEGV",)),
    "NUL": ("x = '\0'", ("SyntaxError: ", "ValueError: ")),
    "surrogates": ("x = '\ud800'", ("UnicodeEncodeError: ",)),
    "ends itself": ("import os; os._exit(0)", ("exit: it ended by itself with code 0",)),
}


@pytest.mark.parametrize(("code", "says"), HARM.values(), ids=HARM)
def test_what_does_harm_ends_within_its_limits_and_says_which(code: str, says: tuple[str, ...]):
    if "fork" in code and "processes" not in chosen().held:
        pytest.skip("processes are not counted apart here, and that is said")
    started = time.monotonic()
    made = ran(code, limits=Limits(timeout_s=1.0) if says[0].startswith("time") else Limits(timeout_s=20.0))
    assert not made.ok
    assert made.error is not None
    assert made.error.startswith(says)
    assert time.monotonic() - started < 60
    assert len(made.stdout) < 2 * SOON.kept_output


@pytest.fixture(scope="module")
def walls() -> list[Isolation]:
    found = [tried(w) for w in possible()]
    return [one for one in found if one is not None]


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file that every user of this machine may read, as most files are."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "secret")
        made.write_text("hunter2")
        for path in (Path(folder), made):
            path.chmod(0o755)
        yield made


def test_what_is_said_to_hold_holds_behind_each_kind_of_walls(walls: list[Isolation], secret: Path):
    assert walls
    for one in walls:
        reads = run(f"print(open({str(secret)!r}).read())", walls=one.walls)
        assert reads.ok == ("hidden" not in one.held), one
        assert ("hunter2" in reads.stdout) == reads.ok
        of_parent = run(f"print(open('/proc/{os.getpid()}/environ').read())", walls=one.walls)
        assert "hidden" not in one.held or not of_parent.ok
        with socket.create_server(("127.0.0.1", 0)) as server:
            reaches = run(f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}), timeout=3)", walls=one.walls)
        assert reaches.ok == ("network" not in one.held), one
        kills = run(f"import os; os.kill({os.getpid()}, 0)", walls=one.walls)
        assert "apart" not in one.held or not kills.ok
        assert all((HELD[name][0] if name in one.held else HELD[name][1]) in str(one) for name in HELD)


def test_a_grandchild_that_hides_does_not_outlive_its_row(walls: list[Isolation]):
    for i, one in enumerate(walls):
        seconds = f"{4_000 + i}.{os.getpid()}"
        made = run(GRANDCHILD.format(seconds=seconds), walls=one.walls)
        assert made.stdout == "out\n"
        deadline = time.monotonic() + 10
        while seconds in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout:
            assert time.monotonic() < deadline, one
            time.sleep(0.05)


def test_of_many_that_hide_at_once_none_outlives_its_row(walls: list[Isolation]):
    """While they are looked for, one ends after it has started the next, and one becomes another program."""
    seconds = f"5000.{os.getpid()}"
    for one in walls:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _, one=one: run(GRANDCHILD.format(seconds=seconds), walls=one.walls), range(60)))
        deadline = time.monotonic() + 10
        while left := subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout.count(seconds):
            assert time.monotonic() < deadline, (one, left)
            time.sleep(0.05)


def test_a_program_inherits_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-not-to-be-seen")
    made = ran("import os, sys; print(os.environ, os.listdir('.'), os.listdir('/proc/self/fd') if os.path.isdir('/proc/self') else '', sys.stdin.read())")
    assert made.ok
    assert "sk-not-to-be-seen" not in made.stdout
    assert " [] " in made.stdout


@pytest.mark.parametrize("cheat", ["exit(0)", "import os; os._exit(0)", "raise SystemExit", "def f(): return 2"])
def test_no_test_is_passed_by_ending_early(cheat: str):
    assert not ran(cheat, tests="assert f() == 1").ok
    assert ran("def f(): return 1", tests="assert f() == 1").ok


def test_bash_has_the_same_limits():
    assert ran("echo $((1 + 1))", language="bash") == Ran(ok=True, stdout="2\n", stderr="", error=None, seconds=pytest.approx(0, abs=30))  # type: ignore[arg-type]
    assert ran("exit 3", language="bash").error == "exit: code 3"
    assert ran("while true; do :; done", language="bash").error == "time: no end within 1 s"


def test_what_does_not_hold_is_told_on_first_use_and_rows_keep_their_order(tmp_path: Path):
    rows = dr.frame({"code": [f"print({i})" if i != 3 else None for i in range(12)]})
    with dr.Session(tmp_path), warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        made = rows.run_code("code").collect()
    assert [r and r["stdout"] for r in made["run"]] == [None if i == 3 else f"{i}\n" for i in range(12)]
    said = [str(w.message) for w in told if issubclass(w.category, dr.RunWarning)]
    assert len(said) == bool(chosen().missing)
    assert all(HELD[name][1] in said[0] for name in chosen().missing)


def test_a_second_run_runs_nothing(tmp_path: Path):
    rows = dr.frame({"code": ["import time; print(time.time_ns())"]}).run_code("code")
    with dr.Session(tmp_path):
        first = rows.collect()
        assert first.equals(rows.collect())
    with dr.Session(tmp_path):
        assert pl.DataFrame(rows.collect()).equals(pl.DataFrame(first))
