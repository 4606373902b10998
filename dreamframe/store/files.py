"""Every file operation of a session folder: one small class, passed as an argument, so that tests can put a simulated disk in its place."""

from __future__ import annotations

import errno
import mmap
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import xxhash

from dreamframe.errors import StorageError
from dreamframe.store.locks import Lock, NoLock, flock

BLOCK = 1 << 24  # bytes
Kind = Literal["file", "dir", "other"]
SAFELY = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_NOINHERIT", "O_BINARY"))  # as far as a system has them
OPENS_FOLDERS = hasattr(os, "O_DIRECTORY")  # Windows does not, and syncs no file that is open for reading alone
NEEDS = {
    errno.ENOSPC: "the disk is full; make room there, or name another folder, and run again",
    errno.EDQUOT: "the disk quota is used up; make room there, or name another folder, and run again",
    errno.EFBIG: "the file would be larger than this disk or this user's limit (ulimit -f) allows; raise it, or name another folder",
    errno.EROFS: "the disk is read-only; name a folder that can be written, or copy this one to such a place",
    errno.EACCES: "this user may not do that; name a folder of your own, or change its permissions",
    errno.EPERM: "this user may not do that; name a folder of your own, or change its permissions",
    errno.EIO: "the disk reports an input/output error; name a folder on another disk and run again",
    errno.ELOOP: "it is a symbolic link, and links are not followed inside a session folder; remove it",
    errno.ENOENT: "it is not there (any more)",
    errno.ENOTDIR: "a part of the path is not a folder; name another folder",
}


class Handle(Protocol):
    """A file that is being written, at its end only."""

    path: Path  # what errors call it

    def write(self, data: bytes | memoryview) -> None: ...
    def sync(self) -> None: ...
    def truncate(self, size: int) -> None: ...
    def close(self) -> None: ...


@contextmanager
def storage(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError into a StorageError that names the path and what is needed."""
    try:
        yield
    except StorageError:
        raise
    except OSError as exc:
        raise storage_error(path, doing, exc.errno or errno.EIO) from exc


def let_go(mapped: memoryview) -> None:
    """Let the system take back the pages of a mapped file that were read, which count as this process's memory until then. They are read again if needed."""
    if isinstance(mapped.obj, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        mapped.obj.madvise(mmap.MADV_DONTNEED)


def storage_error(path: Path, doing: str, code: int) -> StorageError:
    """The error for one refused operation; its `errno` is that of the operating system."""
    error = StorageError(f"Session folder: cannot {doing} {path}: {NEEDS.get(code, os.strerror(code))}.")
    error.errno = code  # not `filename`: with it, str() would forget the message
    return error


class AppendHandle:
    """A real file, written at its end. A write that fails may have written a part: the caller cuts it off with `truncate`."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path, self._fd = path, fd

    def write(self, data: bytes | memoryview) -> None:
        """Write all of `data`, however many calls that takes."""
        rest = memoryview(data)
        with storage(self.path, "write to"):
            while rest:
                rest = rest[os.write(self._fd, rest) :]

    def sync(self) -> None:
        """Return when the written bytes would survive a power cut. After a failure nothing is known of them: write them again elsewhere."""
        with storage(self.path, "sync"):
            os.fdatasync(self._fd) if hasattr(os, "fdatasync") else os.fsync(self._fd)

    def truncate(self, size: int) -> None:
        with storage(self.path, "truncate"):
            os.ftruncate(self._fd, size)

    def close(self) -> None:
        with storage(self.path, "close"):
            os.close(self._fd)


class Files:
    """Operations on the files below one folder. Every path must lie inside it and no part below the folder may be a symbolic link."""

    is_read_only: ClassVar[bool] = False

    def __init__(self, root: Path) -> None:
        self.root = Path(os.path.abspath(root))

    # Looking

    def kind(self, path: Path) -> Kind | None:
        """What stands there, itself: "file", "dir", "other" (links, pipes, devices), or None for nothing."""
        self._inside(path)
        try:
            mode = os.lstat(path).st_mode
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise storage_error(path, "look at", exc.errno or errno.EIO) from exc
        return "file" if stat.S_ISREG(mode) else "dir" if stat.S_ISDIR(mode) else "other"

    def size(self, path: Path) -> int:
        """Bytes of a file."""
        self._inside(path)
        with storage(path, "look at"):
            return os.lstat(path).st_size

    def number(self, path: Path) -> int:
        """What the disk calls a file or folder: it stays when that is moved or its disk is mounted elsewhere, and a copy has another."""
        self._inside(path)
        with storage(path, "look at"):
            return os.lstat(path).st_ino

    def listdir(self, path: Path) -> list[str]:
        """The names in a folder, sorted; none if there is no such folder."""
        self._inside(path / "name")
        try:
            return sorted(os.listdir(path))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as exc:
            raise storage_error(path, "list", exc.errno or errno.EIO) from exc

    def read_bytes(self, path: Path, *, offset: int = 0, most: int | None = None) -> bytes:
        """The bytes of a regular file, from `offset`."""
        with storage(path, "read"), open(self._open(path, os.O_RDONLY), "rb") as file:
            file.seek(offset)
            return file.read() if most is None else file.read(most)

    def digest(self, path: Path) -> tuple[int, str]:
        """Bytes and checksum (xxh3_128) of a regular file, read piece by piece."""
        checksum, at = xxhash.xxh3_128(), 0
        with self.reading(path) as read:
            while block := read(at, BLOCK):
                checksum.update(block)
                at += len(block)
        return at, checksum.hexdigest()

    @contextmanager
    def reading(self, path: Path) -> Iterator[Callable[[int, int], bytes]]:
        """A function that gives some bytes of a regular file, from an offset."""
        with storage(path, "read"):
            fd = self._open(path, os.O_RDONLY)
            try:
                yield lambda offset, most: os.pread(fd, most, offset)
            finally:
                os.close(fd)

    def map(self, path: Path) -> memoryview:
        """The bytes of a regular file, memory-mapped. Only for files that nobody cuts: finished ones, and journals under their lock."""
        with storage(path, "read"):
            fd = self._open(path, os.O_RDONLY)
            try:
                if os.fstat(fd).st_size == 0:
                    return memoryview(b"")
                return memoryview(mmap.mmap(fd, 0, access=mmap.ACCESS_READ))
            finally:
                os.close(fd)

    # Writing

    def mkdir(self, path: Path) -> None:
        """Make a folder and those above it, durably; those that exist stay."""
        self._inside(path / "name")
        missing = [p for p in (path, *path.parents) if p.is_relative_to(self.root) and self.kind(p) is None]
        for p in reversed(missing):
            self._make_dir(p)

    def append(self, path: Path) -> Handle:
        """A new file to be written at its end. It must not exist."""
        with storage(path, "write"):
            return AppendHandle(path, self._open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL))

    def write_new(self, path: Path, data: bytes | Iterable[bytes | memoryview]) -> bool:
        """Write a whole file, given at once or in parts, so that it is there wholly or not at all; False if another writer was first."""
        tmp = self.temporary(path)
        handle = self.append(tmp)
        try:
            for part in (data,) if isinstance(data, bytes) else data:
                handle.write(part)
            handle.sync()
            handle.close()
            return self.link(tmp, path)
        finally:
            self.unlink(tmp)
            self.sync_dir(path.parent)

    def cut(self, path: Path, size: int) -> None:
        """Shorten a file, durably."""
        with storage(path, "truncate"):
            fd = self._open(path, os.O_WRONLY)
            try:
                os.ftruncate(fd, size)
                os.fsync(fd)
            finally:
                os.close(fd)

    def link(self, source: Path, target: Path) -> bool:
        """Give a file a second name; False if that name is taken: the first writer wins. The caller syncs the folder."""
        self._inside(source)
        self._inside(target)
        with storage(target, "write"):
            try:
                _second_name(source, target)
            except FileExistsError:
                return False
            except OSError as exc:
                if exc.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
                return self._copy_exclusive(source, target)
        return True

    def rename_dir(self, source: Path, target: Path) -> bool:
        """Move a folder to a free name; False if a folder with something in it has that name: the first writer wins."""
        self._inside(source)
        self._inside(target)
        with storage(target, "write"):
            try:
                os.rename(source, target)
            except OSError as exc:
                if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
                    return False
                raise
        self.sync_dir(target.parent)
        return True

    def move(self, source: Path, target: Path) -> None:
        """Move a file to a free name."""
        self._inside(source)
        self._inside(target)
        with storage(source, "move"):
            os.rename(source, target)
        self.sync_dir(target.parent)

    def unlink(self, path: Path) -> None:
        """Remove a file; nothing happens if it is gone already."""
        self._inside(path)
        with storage(path, "remove"):
            try:
                os.unlink(path)
            except FileNotFoundError:
                return

    def remove_tree(self, path: Path) -> None:
        """Remove a folder and all in it, however deep. Links are removed, not followed."""
        waiting, folders = [path], []
        while waiting:
            at = waiting.pop()
            if self.kind(at) != "dir":
                self.unlink(at)
                continue
            folders.append(at)
            waiting += [at / name for name in self.listdir(at)]
        for folder in reversed(folders):
            self._remove_dir(folder)

    def remove_entry(self, path: Path) -> None:
        """Take a file or folder out of sight at once, then remove it: nobody sees a half of it."""
        gone = path if path.name.startswith(".") else self.temporary(path)
        if gone != path:
            self.move(path, gone)
        self.remove_tree(gone)
        self.sync_dir(path.parent)

    def sync(self, path: Path) -> None:
        """Make the bytes of a finished file durable, whoever wrote them."""
        with storage(path, "sync"):
            fd = self._open(path, os.O_RDONLY if OPENS_FOLDERS else os.O_RDWR)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    def sync_dir(self, path: Path) -> None:
        """Make the names in a folder durable."""
        self._inside(path / "name")
        _sync_dir(path)

    def temporary(self, path: Path) -> Path:
        """A free name beside `path`."""
        return path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")

    # Locks

    def lock(self, path: Path, *, make: bool = True, wait_s: float = 0.0) -> Lock | None:
        """Take the lock of a file; None if another holds it for longer than `wait_s`. Without locks on this disk, a lock that excludes nobody."""
        fd = self._open_for_locks(path, make=make)
        return NoLock() if fd is None else flock(fd, wait_s=wait_s)

    def touch(self, path: Path) -> None:
        """Set the time of a file to now."""
        self._inside(path)
        with storage(path, "touch"):
            os.utime(path, follow_symlinks=os.utime not in os.supports_follow_symlinks)

    def age_s(self, path: Path) -> float:
        """Seconds since a file was written or touched."""
        self._inside(path)
        with storage(path, "look at"):
            return time.time() - os.lstat(path).st_mtime

    # Inside

    def _make_dir(self, path: Path) -> None:
        with storage(path, "make"):
            os.makedirs(path, exist_ok=True)
        _sync_dir(path.parent)

    def _remove_dir(self, path: Path) -> None:
        with storage(path, "remove"):
            os.rmdir(path)

    def _inside(self, path: Path) -> None:
        """Refuse a path outside the folder, and links on the way to it."""
        parts = path.parts[len(self.root.parts) :]
        if path.parts[: len(self.root.parts)] != self.root.parts or ".." in parts:
            raise StorageError(f"Session folder: {path} lies outside {self.root}; nothing outside the folder is read or written.")
        step = self.root
        for part in parts[:-1]:
            step /= part
            try:
                mode = os.lstat(step).st_mode
            except OSError:
                return  # the operation itself says what is missing
            if stat.S_ISLNK(mode):
                raise storage_error(step, "follow", errno.ELOOP)

    def _open_for_locks(self, path: Path, *, make: bool) -> int | None:
        try:
            return self._open(path, os.O_RDWR | (os.O_CREAT if make else 0))
        except StorageError:
            raise
        except OSError as exc:
            if exc.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
                return None
            raise storage_error(path, "lock", exc.errno or errno.EIO) from exc

    def _open(self, path: Path, flags: int) -> int:
        self._inside(path)
        if not hasattr(os, "O_NOFOLLOW") and os.path.islink(path):
            raise storage_error(path, "open", errno.ELOOP)
        fd = os.open(path, flags | SAFELY, 0o666)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise StorageError(f"Session folder: {path} is not a regular file; remove it.")
        return fd

    def _copy_exclusive(self, source: Path, target: Path) -> bool:
        """For disks without hard links: an exclusive new file, so that the first writer still wins (a kill may leave it torn, which its checksum tells)."""
        try:
            fd = self._open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        handle = AppendHandle(target, fd)
        handle.write(self.read_bytes(source))
        handle.sync()
        handle.close()
        return True


def _second_name(source: Path, target: Path) -> None:
    if not hasattr(os, "link"):
        raise OSError(errno.ENOSYS, "no hard links on this system")
    os.link(source, target, follow_symlinks=os.link not in os.supports_follow_symlinks)


def _sync_dir(path: Path) -> None:
    if not OPENS_FOLDERS:
        return
    with storage(path, "sync"):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
