"""What every test and doctest stands on: names in doctests, a working directory of its own, no way off this machine, tests that repeat exactly."""

from __future__ import annotations

import gc
import ipaddress
import os
import re
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import settings

MEMORY = Path("/dev/shm")
ROOMY = 8 << 30  # bytes


def in_memory() -> None:
    """Keep temporary files in memory where that is plenty: sessions sync what they commit, and half of the tests would wait for a disk."""
    if "TMPDIR" in os.environ or not os.access(MEMORY, os.W_OK) or os.statvfs(MEMORY).f_flag & getattr(os, "ST_NOEXEC", 0):
        return
    there = re.search(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text("utf-8"))
    if there is not None and min(int(there[1]) << 10, shutil.disk_usage(MEMORY).free) >= ROOMY:
        os.environ["TMPDIR"] = str(MEMORY)  # for the processes that tests start, and the workers, too
        tempfile.tempdir = None


in_memory()
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ["TORCHDYNAMO_DISABLE"] = "1"  # no test compiles a model, and what peft imports would load torch's compiler in every process
os.environ["DREAMFRAME_TRACEBACK"] = "full"  # of a test that fails, every line is wanted
# The same examples in every run: a failure is then a failure of the change at hand. No deadline: the machine is shared.
settings.register_profile("dreamframe", deadline=None, derandomize=True, database=None, max_examples=40, print_blob=True)
settings.load_profile("dreamframe")

TESTS = Path(__file__).parent
SLOW = {"faults", "laws", "models"}  # folders of tests that take minutes together: `make fast` leaves them out
LOCAL_NAMES = {"localhost", "", "0.0.0.0", "::", socket.gethostname()}
MODULES = 200  # new modules that make a library: torch, transformers and trl bring thousands
IMPORTS_TORCH = re.compile(r"(?:from|import) (?:tests\.micro|torch|peft|runpy)\b")  # in a file whose tests load or train models in the worker
left: list[str] = []  # addresses outside this machine that the running test tried to reach
frozen = 0  # modules that were imported when the garbage collector was last told of what stays

_connect, _connect_ex, _getaddrinfo = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo


def is_local(host: str) -> bool:
    try:
        return host in LOCAL_NAMES or ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def refuse(sock: socket.socket, address: Any) -> None:
    """Raise unless the address is on this machine: libraries may swallow the error, so it is noted as well."""
    if sock.family in (socket.AF_INET, socket.AF_INET6) and not is_local(str(address[0])):
        left.append(f"{address[0]}:{address[1]}")
        raise ConnectionRefusedError(f"a test may not leave this machine: {address}")


def connect(self: socket.socket, address: Any) -> None:
    refuse(self, address)
    _connect(self, address)


def connect_ex(self: socket.socket, address: Any) -> int:
    refuse(self, address)
    return _connect_ex(self, address)


def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    """Names of this machine only. `*.invalid` (RFC 2606) is how a test says "no such host"."""
    name = host.decode() if isinstance(host, bytes) else str(host or "")
    if not is_local(name):
        if not name.endswith(".invalid"):
            left.append(name)
        raise socket.gaierror(socket.EAI_NONAME, f"a test may not leave this machine: {name}")
    return _getaddrinfo(host, *args, **kwargs)


def pytest_configure(config: pytest.Config) -> None:
    config.option.doctestmodules = config.pluginmanager.has_plugin("doctest")  # every example of a docstring is a test
    socket.socket.connect = connect  # type: ignore[method-assign]
    socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]
    socket.getaddrinfo = getaddrinfo


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave modules alone that hold no test and no example: looking for one imports them, and what they import (torch), or runs what a program does."""
    is_module = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if is_module and ">>>" not in collection_path.read_text("utf-8") else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(TESTS) and item.path.relative_to(TESTS).parts[0] in SLOW:
            item.add_marker(pytest.mark.slow)
    long = {item.path for item in items if item.get_closest_marker("slow") or item.get_closest_marker("models")}
    items.sort(key=lambda item: item.path not in long)  # the long files first, so that no worker is left with one when the others are done


@cache
def imports_torch(file: Path) -> bool:
    return IMPORTS_TORCH.search(file.read_text("utf-8")) is not None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give the files that import torch to every third worker while there are others: the import costs a worker more seconds than most files."""
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _assign_work_unit(self, node: Any) -> None:
            wanted = self.nodes.index(node) % 3 == 0
            found = next((file for file in self.workqueue if imports_torch(config.rootpath / file) is wanted), None)
            if found is not None:
                self.workqueue.move_to_end(found, last=False)
            super()._assign_work_unit(node)

    return Together(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu"):
        import torch  # by the one process that has such a test

        if not torch.cuda.is_available():
            pytest.skip("needs a CUDA device")


def pytest_collection_finish() -> None:
    freeze()


@pytest.hookimpl(trylast=True)
def pytest_runtest_logfinish() -> None:
    if len(sys.modules) > frozen + MODULES:
        freeze()


def freeze() -> None:
    """Leave what stays to the end, tests and modules, out of later collections: each training and each model that is let go of starts a whole one."""
    global frozen
    frozen = len(sys.modules)
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own: `./.dreamframe`, relative paths and left-over files stay there."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def stays_here() -> Iterator[None]:
    """Fail a test that tried to leave this machine, even where a library swallowed the refusal."""
    left.clear()
    yield
    assert not left, f"this test tried to reach {', '.join(left)}"


@pytest.fixture(params=["straight", "aiohttp"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Requests over connections of our own, and over aiohttp's as if there were a proxy on the way: what is promised is promised of both."""
    from dreamframe.models.api import http

    if request.param == "aiohttp":
        monkeypatch.setattr(http, "way_to", http.ThroughProxy)
    return str(request.param)


@pytest.fixture
def session() -> Iterator[Any]:
    """A session in memory that is active during the test."""
    import dreamframe as dr

    with dr.Session(None) as active:
        yield active


@pytest.fixture(autouse=True)
def doctest_session(request: pytest.FixtureRequest) -> Iterator[None]:
    """Doctests run with `dr` and `pl` in their namespace and a session in memory."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    import dreamframe as dr

    request.getfixturevalue("doctest_namespace").update(dr=dr, pl=pl)
    with dr.Session(None):
        yield
