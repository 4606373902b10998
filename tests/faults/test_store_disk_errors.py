"""Disks that are full, read-only or failing: an error that names path and need, what was acknowledged is kept, and running again goes on."""

from __future__ import annotations

import errno
import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from dreamframe.errors import StorageError
from dreamframe.store.answer_files import JournalWriter
from dreamframe.store.files import storage_error
from dreamframe.store.stores import stores_on
from tests.faults.disk import Disk
from tests.faults.disk_user import GROUP, prepare
from tests.storing import give, texts, warned

ROOT = Path(__file__).parents[2]


def can_mount() -> bool:
    command = ["unshare", "-m", "mount", "-t", "tmpfs", "x", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


def can_trace() -> bool:
    command = ["strace", "-e", "inject=fdatasync:error=EIO", "true"]
    return shutil.which("strace") is not None and subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_mount = pytest.mark.skipif(not can_mount(), reason="this user may not mount (unshare -m mount)")
needs_strace = pytest.mark.skipif(not can_trace(), reason="strace with fault injection is not there, or may not trace")


def run(mode: str, folder: Path, *before: str) -> dict[str, Any]:
    """Use a disk in a program of its own, started by the commands `before`."""
    command = [*before, sys.executable, "-m", "tests.faults.disk_user", mode, str(folder)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 0, ended.stderr[-3000:]
    told: dict[str, Any] = json.loads(ended.stdout)
    return told


def mounted(command: str) -> list[str]:
    """A shell that mounts something for itself alone and then runs the rest of its arguments."""
    return ["unshare", "-m", "sh", "-c", f'{command} && exec "$@"', "sh"]


@needs_mount
def test_a_full_disk_is_said_keeps_what_was_acknowledged_and_the_next_run_goes_on(tmp_path: Path) -> None:
    told = run("full", tmp_path, *mounted(f"mount -t tmpfs -o size=1m tmpfs {tmp_path}"))
    assert told["errno"] == errno.ENOSPC
    assert re.search(r"cannot write to .*/answers/\S+\.answers: the disk is full; make room there", told["error"])
    assert told["acknowledged"] > 100
    assert told["kept"] == told["acknowledged"]
    assert told["in_memory"] == told["acknowledged"] + GROUP  # what came back last is still there for this run
    assert "the disk is full" in told["at_close"]
    assert re.search(r"data\.arrow: the disk is full", told["step_error"]["error"])
    assert told["steps"] == [True, False]
    assert (told["resumed"], told["found"], told["resumed_error"]) == (told["acknowledged"] + 200, told["acknowledged"] + 200, "")
    assert told["warnings"] == []


@needs_mount
def test_a_read_only_folder_can_be_read_and_says_why_it_cannot_be_written(tmp_path: Path) -> None:
    prepare(tmp_path)
    told = run("read_only", tmp_path, *mounted(f"mount --bind {tmp_path} {tmp_path} && mount -o remount,ro,bind {tmp_path}"))
    assert (told["known"], told["has_step"]) == (GROUP, True)
    assert told["errno"] == told["new"]["errno"] == errno.EROFS
    assert str(tmp_path / "out" / "answers") in told["error"]
    assert "read-only; name a folder that can be written" in told["error"]
    assert str(tmp_path / "new") in told["new"]["error"]
    assert told["warnings"] == []


@needs_strace
@pytest.mark.parametrize("when", ["1", "3"])
def test_after_a_failed_sync_the_answers_go_into_another_file(tmp_path: Path, when: str) -> None:
    prepare(tmp_path)
    log = tmp_path / "strace.log"
    told = run("failing_sync", tmp_path, "strace", "-f", "-y", "-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO:when={when}", "-o", str(log))
    assert told["error"] == ""
    assert told["acknowledged"] == told["found"] == 10 * GROUP
    assert told["files"] == 3
    assert told["warnings"] == []
    assert not synced_again(log.read_text())


@needs_strace
def test_a_disk_that_cannot_sync_at_all_is_said_and_never_asked_twice_for_one_file(tmp_path: Path) -> None:
    prepare(tmp_path)
    log = tmp_path / "strace.log"
    told = run("failing_sync", tmp_path, "strace", "-f", "-y", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=1+", "-o", str(log))
    assert told["errno"] == errno.EIO
    assert re.search(r"cannot sync .*/answers/\S+\.answers: the disk reports an input/output error", told["error"])
    assert told["acknowledged"] == GROUP
    assert told["in_memory"] == 2 * GROUP
    assert told["found"] >= GROUP
    assert log.read_text().count("INJECTED") >= 2
    assert not synced_again(log.read_text())


def synced_again(log: str) -> set[str]:
    """The files that were synced after a sync of theirs had failed."""
    failed: set[str] = set()
    again: set[str] = set()
    for path, result in re.findall(r"fdatasync\(\d+<([^>]+)>.*?\) = (-?\d+)", log):
        if path in failed:
            again.add(path)
        if result == "-1":
            failed.add(path)
    return again


@needs_strace
def test_a_write_that_lies_costs_its_own_rows_only(tmp_path: Path) -> None:
    prepare(tmp_path)
    told = run("lying_write", tmp_path, "strace", "-f", "-e", "trace=write", "-e", "inject=write:retval=900:when=6", "-o", "/dev/null")
    assert told["acknowledged"] == 10 * GROUP
    assert told["wrong"] == 0
    assert 0 < told["missing"] <= GROUP
    assert len(told["warnings"]) == 1


def test_a_short_write_is_cut_off_and_the_journal_goes_on(tmp_path: Path) -> None:
    told = run("short_write", tmp_path)
    assert told["errno"] == errno.EFBIG
    assert "ulimit -f" in told["error"]
    assert told["acknowledged"] > 100
    assert (told["torn"], told["bad"]) == (0, 0)
    assert told["resumed"] == told["found"] == told["acknowledged"] + 200
    assert told["warnings"] == []


def test_without_the_cut_a_short_write_leaves_a_damaged_journal(tmp_path: Path) -> None:
    told = run("short_write_kept", tmp_path)
    assert told["torn"] > 0
    assert told["bad"] > 0
    assert len(told["warnings"]) == 1


class ForgetfulDisk(Disk):
    """A disk whose n-th sync of a file fails, and which then takes the lost bytes for written, as Linux does."""

    def __init__(self, root: Path, *, fails_at: int) -> None:
        super().__init__(root)
        self.fails_at, self.n_syncs = fails_at, 0

    def append(self, path: Path) -> Any:
        handle: Any = super().append(path)
        sync, node, lost = handle.sync, handle._node, []

        def forgetful() -> None:
            self.n_syncs += 1
            if self.n_syncs == self.fails_at:
                lost.append((len(node.durable), len(node.data)))
                raise storage_error(path, "sync", errno.EIO)
            sync()
            for start, stop in lost:
                node.durable = node.durable[:start] + bytes(stop - start) + node.durable[stop:]

        handle.sync = forgetful
        return handle


def after_a_forgetful_disk(*, fails_at: int) -> list[str | None]:
    """Answers, a failed sync, more answers, a power cut: what is left of those that were acknowledged."""
    disk = ForgetfulDisk(Path("/nowhere/out"), fails_at=fails_at)
    stores = stores_on(disk)
    for start in range(0, 20, 5):
        give(stores.answers, range(start, start + 5))
        stores.answers.flush()
    for node in disk.top.entries["answers"].entries.values():
        node.data[:] = node.durable
    with warned():
        after = stores_on(disk.after_power_cut(1))
        found = texts(after.answers, range(20))
        after.answers.close()
    stores.answers.close()
    return found


@pytest.mark.parametrize("fails_at", [2, 3, 5])
def test_what_a_forgetful_disk_acknowledged_survives_a_power_cut(fails_at: int) -> None:
    assert after_a_forgetful_disk(fails_at=fails_at) == [f"answer {n}" for n in range(20)]


def test_a_sync_that_is_tried_again_loses_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The protection switched off: the second sync of the same file succeeds, and means nothing."""

    def try_again(self: JournalWriter) -> None:
        if self._handle is not None:
            try:
                self._handle.sync()
            except StorageError:
                self._handle.sync()
        self._unsynced = []

    monkeypatch.setattr(JournalWriter, "sync", try_again)
    assert None in after_a_forgetful_disk(fails_at=3)


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    before = threading.active_count()
    prepare(tmp_path)
    assert threading.active_count() == before
