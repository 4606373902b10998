"""A session that ends anywhere, by a kill or a power cut: no torn entry, nothing acknowledged lost, and running again finishes the work."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

import dreamframe.store.answers
import dreamframe.store.journal
import dreamframe.store.steps
from tests.faults.disk import Crash, Disk, Node
from tests.faults.scenario import ROWS, STEPS, Done, Work, check

ROOT = Path("/nowhere/out")
CUTS = 36  # power cuts after each operation; about 1,600 of the states differ


@pytest.fixture(autouse=True)
def quiet_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """A writing thread that ends with its process is no news."""

    def said(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not Crash:
            threading.__excepthook__(args)

    monkeypatch.setattr(threading, "excepthook", said)
    monkeypatch.setattr(dreamframe.store.answers, "SYNC_S", 1e9)  # flush() alone syncs, so that every run has the same operations


def fingerprint(node: Node) -> Any:
    """A disk's content, to count states that differ."""
    return tuple((name, fingerprint(child)) for name, child in sorted(node.entries.items())) if node.is_dir else bytes(node.data)


Ends = Iterable[tuple[Disk, Done]]


def ends(kind: type[Disk] = Disk) -> Iterator[tuple[Disk, Done]]:
    """The session cut short at its n-th operation, for every n; at last the whole one."""
    n = 0
    while True:
        n += 1
        disk = kind(ROOT, stop_at=n, seed=n)
        yield disk, Work(disk).run()
        if disk.n_operations < n:
            return


@lru_cache
def all_ends() -> Ends:
    """Every end of the session on a disk that keeps its promises, made once: whoever looks at a disk looks at a copy."""
    return list(ends())


def kills(ended: Ends) -> Iterator[str]:
    """What is wrong after kills."""
    for disk, done in ended:
        yield from check(disk.killed(), done)


def power_cuts(ended: Ends, *, states: set[Any] | None = None) -> Iterator[str]:
    """What is wrong after power cuts; `states` collects those that were looked at."""
    seen: set[Any] = set() if states is None else states
    for n, (disk, done) in enumerate(ended):
        for seed in range(CUTS):
            state = disk.after_power_cut(1000 * n + seed)
            content = hash((fingerprint(state.top), done.answers, done.steps, done.models))
            if content not in seen:
                seen.add(content)
                yield from check(state, done)


def test_a_session_that_is_not_cut_short_does_everything_once() -> None:
    disk = Disk(ROOT)
    work = Work(disk)
    assert work.run() == Done(STEPS * ROWS, STEPS, 1)
    assert (work.asked, work.trained) == (STEPS * ROWS, 1)
    assert disk.n_operations > 100
    assert check(disk, work.done) == []
    assert check(disk.after_power_cut(1), work.done) == []


def test_a_kill_at_any_operation_loses_nothing_and_shows_nothing_torn() -> None:
    assert list(kills(all_ends())) == []


def test_a_power_cut_at_any_operation_loses_nothing_and_shows_nothing_torn() -> None:
    states: set[Any] = set()
    assert list(power_cuts(all_ends(), states=states)) == []
    assert len(states) > 1500


# Each protection switched off, to see that these checks can fail.


class NoFileSync(Disk):
    def sync(self, path: Path) -> None:
        """Promise nothing."""

    def append(self, path: Path) -> Any:
        handle: Any = super().append(path)
        handle.sync = lambda: None
        return handle


class NoFolderSync(Disk):
    def sync_dir(self, path: Path) -> None:
        """Promise nothing."""


class RenameFileByFile(Disk):
    def rename_dir(self, source: Path, target: Path) -> bool:
        """Make the final folder first and then fill it."""
        if self.listdir(target):
            return False
        self.mkdir(target)
        for name in self.listdir(source):
            self.move(source / name, target / name)
        self._remove_dir(source)
        return True


class WriteInPlace(Disk):
    def write_new(self, path: Path, data: bytes) -> bool:
        """Write to the final name, not to a temporary one."""
        if self.kind(path) is not None:
            return False
        handle = self.append(path)
        handle.write(data[: len(data) // 2])
        handle.write(data[len(data) // 2 :])
        handle.sync()
        self.sync_dir(path.parent)
        return True


@pytest.mark.parametrize("kind", [NoFileSync, NoFolderSync], ids=lambda k: k.__name__)
def test_without_syncs_a_power_cut_loses_what_was_acknowledged(kind: type[Disk]) -> None:
    assert any("is lost" in text for text in power_cuts(ends(kind)))


def test_without_one_rename_a_kill_leaves_a_torn_entry() -> None:
    assert any("torn entry visible" in text for text in kills(ends(RenameFileByFile)))


def test_without_temporary_files_a_kill_leaves_a_folder_that_cannot_be_opened() -> None:
    assert any("the folder cannot be opened" in text for text in kills(ends(WriteInPlace)))


class NoChecksum:
    """xxhash, blind."""

    def __init__(self, *_: object) -> None:
        self.update = lambda _: None

    def hexdigest(self) -> str:
        return "0" * 32

    xxh3_64_intdigest = staticmethod(lambda _: 0)
    xxh3_128_hexdigest = staticmethod(lambda _: "0" * 32)


def test_without_checksums_a_power_cut_gives_wrong_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    NoChecksum.xxh3_128 = NoChecksum  # type: ignore[attr-defined]
    monkeypatch.setattr(dreamframe.store.journal, "xxhash", NoChecksum)
    monkeypatch.setattr(dreamframe.store.steps, "xxhash", NoChecksum)
    assert any("answer" in text and " is '" in text for text in power_cuts(ends()))
