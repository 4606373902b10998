"""The objects of one session in a bucket: list, get, put, put if absent, delete. Every call to an object store is made here."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from dreamframe.errors import MissingExtraError, StorageError
from dreamframe.store.address import ENDPOINTS, Address

RETRIED_S = 30.0  # a request that a server refuses for a while is tried again for so long
TRIES = 6
NO_BUCKET = ("NoSuchBucket", "ContainerNotFound", "bucket does not exist")


class Found(NamedTuple):
    """What a list says of an object."""

    size: int  # bytes
    tag: str  # another one when the object is replaced by other bytes
    made_at: str  # as the server's clock has it


class ObjectGoneError(StorageError):
    """There is no such object (any more)."""


class Objects:
    """Objects by their names below the address. Keys come from the environment, as obstore reads it; no error and no text here holds one."""

    def __init__(self, address: Address) -> None:
        """Raises MissingExtraError without obstore, StorageError where the environment says nothing that it can use."""
        try:
            import obstore
            import obstore.store
        except ImportError as exc:
            raise MissingExtraError("obstore", extra="remote", needed_for=f"A session in a bucket ({address.text})") from exc
        self.address, self._api = address, obstore
        with self._doing("open"):
            self._store: Any = obstore.store.from_url(
                address.text,
                retry_config={"max_retries": TRIES, "retry_timeout": timedelta(seconds=RETRIED_S)},
                client_options={"timeout": "600s", "allow_http": any(os.environ.get(name, "").startswith("http://") for name in ENDPOINTS)},
            )

    def list(self) -> dict[str, Found]:
        """All objects of the session, by name."""
        with self._doing("list"):
            return {one["path"]: Found(one["size"], _tag(one), str(one["last_modified"])) for page in self._api.list(self._store) for one in page}

    def has(self, name: str) -> bool:
        """Whether an object is there."""
        try:
            with self._doing("look at", name):
                self._api.head(self._store, name)
        except ObjectGoneError:
            return False
        return True

    def get(self, name: str) -> bytes:
        """An object's bytes. Raises ObjectGoneError where there is none."""
        with self._doing("read", name):
            return bytes(self._api.get(self._store, name).bytes())

    def pieces(self, name: str) -> Iterator[bytes]:
        """An object, piece by piece. Raises ObjectGoneError where there is none."""
        with self._doing("read", name):
            for piece in self._api.get(self._store, name).stream(min_chunk_size=1 << 23):
                yield bytes(piece)

    def put(self, name: str, data: bytes | Path) -> str:
        """Write an object, whole or not at all, over one that is there; gives its tag."""
        with self._doing("write", name):
            return _tag(self._api.put(self._store, name, data))

    def put_new(self, name: str, data: bytes) -> str | None:
        """Write an object if there is none of this name, and give its tag; None where another writer was first."""
        with self._doing("write", name):
            try:
                return _tag(self._api.put(self._store, name, data, mode="create"))
            except (self._api.exceptions.AlreadyExistsError, self._api.exceptions.PreconditionError):
                return None

    def delete(self, name: str) -> None:
        """Remove an object; nothing happens if it is gone already."""
        with self._doing("remove", name):
            try:
                self._api.delete(self._store, name)
            except FileNotFoundError:
                return

    @contextmanager
    def _doing(self, what: str, name: str | None = None) -> Iterator[None]:
        """Raise a StorageError that says what failed and what to do. The library's own text is left out: it may name an address with a signature."""
        at = f"{self.address.text}{'' if name is None else f' ({name[:200]})'}"
        try:
            yield
        except (self._api.exceptions.BaseError, OSError, ValueError) as exc:
            text = str(exc)
            if any(word in text for word in NO_BUCKET):
                raise _error(StorageError, errno.EIO, f"Session {self.address.text}: there is no such bucket. Make it, or name another.") from None
            if isinstance(exc, FileNotFoundError):
                raise _error(ObjectGoneError, errno.ENOENT, f"Session {at}: it is not there (any more).") from None
            raise _error(StorageError, errno.EIO, f"Session {at}: cannot {what} it: {self._needs(exc, text)}") from None

    def _needs(self, exc: Exception, text: str) -> str:
        errors = self._api.exceptions
        if isinstance(exc, (errors.PermissionDeniedError, errors.UnauthenticatedError)) or "status code: 40" in text:
            return (
                "the keys in the environment do not allow it. They need to list, read and write objects there (to tidy up, also to remove them); "
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS or AZURE_STORAGE_ACCOUNT_NAME and _KEY name them."
            )
        if isinstance(exc, (errors.NotSupportedError, errors.UnknownConfigurationKeyError)) or "501" in text:
            return "this server cannot do that; a session needs writes that only the first of two wins (If-None-Match)."
        return "the server did not answer, or answered with errors only. Check the network and the endpoint (AWS_ENDPOINT_URL), and run again."


def _error(kind: type[StorageError], code: int, message: str) -> StorageError:
    error = kind(message)
    error.errno = code
    return error


def _tag(said: Any) -> str:
    return str(said["e_tag"] or said.get("version") or said.get("last_modified") or "")
