"""File operations: errors name path and need, and nothing outside the folder is touched."""

from __future__ import annotations

import errno
import fcntl
import inspect
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dreamframe.errors import StorageError
from dreamframe.store.files import NEEDS, Files, let_go, storage_error


@pytest.fixture
def files(tmp_path: Path) -> Files:
    made = Files(tmp_path / "out")
    made.mkdir(made.root / "a" / "b")
    return made


def test_a_new_file_is_written_once(files: Files) -> None:
    path = files.root / "a" / "x"
    assert files.write_new(path, b"first")
    assert not files.write_new(path, b"second")
    assert files.read_bytes(path) == b"first"
    assert files.listdir(path.parent) == ["b", "x"]


def test_an_appended_file_must_be_new(files: Files) -> None:
    handle = files.append(files.root / "x")
    handle.write(b"abc")
    handle.write(memoryview(b"def"))
    handle.truncate(4)
    handle.write(b"!")
    handle.sync()
    handle.close()
    assert files.read_bytes(files.root / "x") == b"abcd!"
    assert files.read_bytes(files.root / "x", offset=1, most=2) == b"bc"
    assert bytes(files.map(files.root / "x")) == b"abcd!"
    with files.reading(files.root / "x") as read:
        assert [read(0, 2), read(3, 5), read(9, 1)] == [b"ab", b"d!", b""]
    assert files.size(files.root / "x") == 5
    with pytest.raises(StorageError) as refused:
        files.append(files.root / "x")
    assert refused.value.errno == errno.EEXIST


def test_a_folder_is_renamed_to_a_free_name_only(files: Files) -> None:
    for name in ("one", "two"):
        files.mkdir(files.root / name)
        files.write_new(files.root / name / "x", name.encode())
    target = files.root / "final"
    assert files.rename_dir(files.root / "one", target)
    assert not files.rename_dir(files.root / "two", target)
    assert files.read_bytes(target / "x") == b"one"


def test_what_is_not_there_is_no_error_to_look_at_and_to_remove(files: Files) -> None:
    assert files.kind(files.root / "none") is None
    assert files.listdir(files.root / "none") == []
    files.unlink(files.root / "none")
    files.remove_tree(files.root / "none")
    assert files.map(_empty(files)).nbytes == 0


def _empty(files: Files) -> Path:
    files.write_new(files.root / "empty", b"")
    return files.root / "empty"


def test_a_tree_is_removed_without_following_links(files: Files, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (files.root / "a" / "link").symlink_to(outside)
    files.remove_tree(files.root / "a")
    assert not (files.root / "a").exists()
    assert (outside / "kept").exists()


def test_a_lock_is_held_by_one(files: Files) -> None:
    path = files.root / "lock"
    held = files.lock(path)
    assert held is not None
    assert files.lock(path) is None
    held.release()
    held.release()
    again = files.lock(path)
    assert again is not None
    again.release()


OPERATIONS: dict[str, Callable[[Files, Path], object]] = {
    "kind": lambda f, p: f.kind(p / "x"),
    "size": lambda f, p: f.size(p / "x"),
    "listdir": lambda f, p: f.listdir(p / "x"),
    "read": lambda f, p: f.read_bytes(p / "x"),
    "map": lambda f, p: f.map(p / "x"),
    "reading": lambda f, p: f.reading(p / "x").__enter__(),
    "mkdir": lambda f, p: f.mkdir(p / "x"),
    "append": lambda f, p: f.append(p / "new"),
    "write_new": lambda f, p: f.write_new(p / "new", b"x"),
    "link from": lambda f, p: f.link(p / "x", f.root / "y"),
    "link to": lambda f, p: f.link(f.root / "y", p / "new"),
    "rename": lambda f, p: f.rename_dir(f.root / "a", p / "new"),
    "move": lambda f, p: f.move(p / "x", f.root / "y"),
    "unlink": lambda f, p: f.unlink(p / "x"),
    "cut": lambda f, p: f.cut(p / "x", 0),
    "lock": lambda f, p: f.lock(p / "x"),
    "sync": lambda f, p: f.sync(p / "x"),
    "sync_dir": lambda f, p: f.sync_dir(p / "d"),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("way", ["a link on the way", "dots", "an absolute path"])
def test_nothing_outside_the_folder_is_touched(files: Files, tmp_path: Path, operation: str, way: str) -> None:
    outside = tmp_path / "outside"
    (outside / "d").mkdir(parents=True)
    (outside / "x").write_text("secret")
    files.write_new(files.root / "y", b"ours")
    (files.root / "link").symlink_to(outside)
    path = {"a link on the way": files.root / "link", "dots": files.root / ".." / "outside", "an absolute path": outside}[way]
    with pytest.raises(StorageError, match=r"link|outside"):
        OPERATIONS[operation](files, path)
    assert sorted(p.name for p in outside.iterdir()) == ["d", "x"]
    assert (outside / "x").read_text() == "secret"


@pytest.mark.parametrize("operation", ["read", "map", "lock", "cut", "sync", "listdir", "sync_dir"])
def test_a_link_itself_is_not_followed(files: Files, tmp_path: Path, operation: str) -> None:
    (tmp_path / "secret").mkdir() if "dir" in operation else (tmp_path / "secret").write_text("secret")
    (files.root / "a" / "x").symlink_to(tmp_path / "secret")
    (files.root / "a" / "d").symlink_to(tmp_path / "secret")
    with pytest.raises(StorageError, match="symbolic link"):
        OPERATIONS[operation](files, files.root / "a")
    assert files.kind(files.root / "a" / "x") == "other"


@pytest.mark.parametrize("operation", ["read", "map"])
def test_a_pipe_does_not_block(files: Files, operation: str) -> None:
    os.mkfifo(files.root / "a" / "x")
    with pytest.raises(StorageError, match="not a regular file"):
        OPERATIONS[operation](files, files.root / "a")


@pytest.mark.parametrize("code", NEEDS, ids=lambda c: errno.errorcode[c])
def test_an_error_names_the_path_and_what_is_needed(code: int) -> None:
    error = storage_error(Path("/data/out/answers/x"), "write to", code)
    assert "/data/out/answers/x" in str(error)
    assert NEEDS[code] in str(error)
    assert error.errno == code
    assert isinstance(error, OSError)


def test_a_part_of_the_path_that_is_a_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    files = Files(tmp_path / "out")
    with pytest.raises(StorageError, match=r"out.*is not a folder"):
        files.write_new(files.root / "x", b"")


def test_a_disk_without_hard_links_keeps_the_first_writer(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", no_links)
    assert files.write_new(files.root / "x", b"first")
    assert not files.write_new(files.root / "x", b"second")
    assert files.read_bytes(files.root / "x") == b"first"
    assert files.listdir(files.root) == ["a", "x"]


def test_a_disk_without_locks_excludes_nobody(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks here")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    monkeypatch.setattr(fcntl, "fcntl", no_locks)
    for _ in range(2):
        lock = files.lock(files.root / "lock")
        assert lock is not None
        assert not lock.is_held


def test_folders_one_in_another_are_removed_however_deep(tmp_path: Path) -> None:
    at = tmp_path / "models"
    at.mkdir()
    for _ in range(200):
        at /= "a"
        at.mkdir()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 120)
    try:
        Files(tmp_path).remove_tree(tmp_path / "models")
    finally:
        sys.setrecursionlimit(limit)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(mmap, "MADV_DONTNEED"), reason="this system is not told")
def test_what_was_read_of_a_mapped_file_is_let_go_and_can_be_read_again(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.write(b"first")
        file.truncate(40_000_000)
    mapped = Files(tmp_path).map(tmp_path / "large")

    def of_files() -> int:
        return int(Path("/proc/self/statm").read_text().split()[2]) * mmap.PAGESIZE

    assert not any(mapped[5::4096])
    before = of_files()
    let_go(mapped)
    assert of_files() <= before - 35_000_000
    assert bytes(mapped[:5]) == b"first"
    let_go(memoryview(b"no file"))
