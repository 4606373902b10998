"""Files and folders of the user's own, written whole or not at all: beside the place first, then moved there in one step."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dreamframe.errors import SettingError

LONGEST = 200  # bytes of a name that a temporary one repeats: 255 is what most disks allow


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Where to write what shall stand at `path`: a hidden file beside it, which takes its place when the block ends well; else it is removed.

    An earlier file stays whole until then and its permissions are kept; of a link, the file that it leads to is replaced. A pipe or a device (/dev/stdout)
    is opened once, when all is there: a writer that opens it twice would wait for ever for a second reader. A file in a folder where nothing new may be
    made is written in place.
    """
    target, mode = Path(os.path.realpath(path)), _mode(Path(path))
    if (mode is not None and not stat.S_ISREG(mode)) or _is_stream(path):
        with tempfile.TemporaryDirectory(prefix="dreamframe-") as folder:
            made = Path(folder) / Path(path).name
            yield made
            with made.open("rb") as whole, Path(path).open("wb") as out:
                shutil.copyfileobj(whole, out)
        return
    if target.parent.exists():
        may_make = os.access(target.parent, os.W_OK)
        if not (may_make if mode is None else os.access(target, os.W_OK)):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        if not may_make:
            yield target
            return
    made = beside(target)
    try:
        yield made
        if mode is not None:
            os.chmod(made, stat.S_IMODE(mode))
        _sync(made)
        _replace(made, target)
    finally:
        made.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(path: Path, *, who: str) -> Iterator[Path]:
    """Where to write what shall be the new folder `path`: a hidden folder beside it, which takes its name when the block ends well; else it is removed.

    Raises SettingError where `path` is something else than a free name or an empty folder.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SettingError(f"{who}: {path} exists and is not an empty folder; name a new one.")
    target.parent.mkdir(parents=True, exist_ok=True)
    made = beside(target)
    made.mkdir()
    try:
        if target.exists():
            made.chmod(stat.S_IMODE(target.stat().st_mode))
        yield made
        for inner in [p for p in made.rglob("*") if p.is_file() and not p.is_symlink()]:
            _sync(inner)
        for inner in [made, *(p for p in made.rglob("*") if p.is_dir() and not p.is_symlink())]:
            _sync(inner)
        try:
            made.rename(target)
        except OSError as exc:
            if exc.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY, errno.EXDEV):
                raise
            why = "is a place where a disk begins" if exc.errno in (errno.EBUSY, errno.EXDEV) else "was made by somebody else meanwhile"
            raise SettingError(f"{who}: {path} {why}; name a new folder.") from exc
        _sync(target.parent)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def beside(path: Path) -> Path:
    """A free hidden name in the same folder, with the same ending: writers go by it."""
    return path.with_name(f".{os.getpid()}-{secrets.token_hex(4)}.tmp.{os.fsencode(path.name)[-LONGEST:].decode(errors='ignore')}")


def _is_stream(path: str | Path) -> bool:
    """Whether a path leads to what this process has open already, like /dev/stdout: a file there belongs to whoever opened it."""
    at = os.path.abspath(path)
    for _ in range(40):  # links, one to the next
        if at.startswith(("/dev/fd/", "/proc/")):
            return True
        try:
            at = os.path.normpath(os.path.join(os.path.dirname(at), os.readlink(at)))
        except OSError:
            return False
    return False


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return None


def _replace(made: Path, target: Path) -> None:
    """Move a finished file to its place; over one that is a mount of its own, which nothing can replace, its bytes."""
    try:
        made.replace(target)
    except OSError as exc:
        if exc.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        shutil.copyfile(made, target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    """Make a file, or the names in a folder, durable; where the disk cannot sync a folder, nothing."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder that may be written and not read
        return
    try:
        os.fsync(fd)
    except OSError as exc:
        if exc.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF):  # the last: Windows syncs nothing that is open for reading alone
            raise
    finally:
        os.close(fd)
