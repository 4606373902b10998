"""A session folder that is looked at: nothing in it is made, changed or locked."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import ClassVar, NoReturn

from dreamframe.errors import StorageError
from dreamframe.store.files import Files, Handle
from dreamframe.store.locks import Lock, NoLock


class ReadOnlyFiles(Files):
    """Files of a folder that only reads. Every operation that writes raises StorageError, as on a disk that cannot be written."""

    is_read_only: ClassVar[bool] = True

    def _refuse(self, path: Path) -> NoReturn:
        error = StorageError(f"{path} is not changed: its session was opened to be looked at. To change it, open it with dr.Session({str(self.root)!r}).")
        error.errno = errno.EROFS
        raise error

    def append(self, path: Path) -> Handle:
        self._refuse(path)

    def cut(self, path: Path, size: int) -> None:  # noqa: ARG002  as of Files
        self._refuse(path)

    def link(self, source: Path, target: Path) -> bool:  # noqa: ARG002
        self._refuse(target)

    def rename_dir(self, source: Path, target: Path) -> bool:  # noqa: ARG002
        self._refuse(target)

    def move(self, source: Path, target: Path) -> None:  # noqa: ARG002
        self._refuse(source)

    def unlink(self, path: Path) -> None:
        if self.kind(path) is not None:
            self._refuse(path)

    def touch(self, path: Path) -> None:
        self._refuse(path)

    def sync(self, path: Path) -> None:
        """Nothing was written."""

    def sync_dir(self, path: Path) -> None:
        """Nothing was written."""

    def lock(self, path: Path, *, make: bool = True, wait_s: float = 0.0) -> Lock:  # noqa: ARG002
        """A lock that excludes nobody: whoever writes the folder meanwhile goes on."""
        return NoLock()

    def _make_dir(self, path: Path) -> None:
        self._refuse(path)

    def _remove_dir(self, path: Path) -> None:
        self._refuse(path)
