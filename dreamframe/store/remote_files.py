"""The working copy of a session in a bucket: files that its manifests list and that are not here yet are fetched when they are read.

In the bucket, what a manifest lists by its checksum lies under `data/<checksum>`, and the manifest is written last, if there is none: so of two writers one
wins, whole. All other files lie there under their own names.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import xxhash

from dreamframe.errors import CorruptFileError, StorageError
from dreamframe.store.files import Files, Kind, storage_error
from dreamframe.store.layout import read_json
from dreamframe.store.members import is_member
from dreamframe.store.objects import ObjectGoneError, Objects
from dreamframe.store.read_only import ReadOnlyFiles

DATA = "data"  # the folder of what manifests list, in the bucket
DIGEST = re.compile(r"[0-9a-f]{32}")


def manifest_of(name: str) -> str | None:
    """The manifest that lists a file, or that it is itself; None for a file that none lists."""
    part, _, rest = name.partition("/")
    folder, _, inner = rest.partition("/")
    if part == "steps" and inner:
        return f"{part}/{folder}/step.json"
    if part == "models" and inner:
        return f"{part}/{folder}/training.json"
    return re.sub(r"\.arrow$", ".json", name) if part == "sources" and rest else None


def data_of(manifest: str, record: Mapping[str, Any]) -> dict[str, str]:
    """The files that a manifest lists, by name, and their checksums. What no session writes is not among them."""
    if manifest.startswith("models/"):
        files = record.get("files")
        said = {f"{manifest.rpartition('/')[0]}/{name}": told for name, told in files.items()} if isinstance(files, dict) else {}
        listed = {name: told.get("xxh3_128") for name, told in said.items() if isinstance(told, dict)}
    elif manifest.startswith("steps/"):
        listed = {f"{manifest.rpartition('/')[0]}/data.arrow": record.get("data_xxh3_128")}
    else:
        listed = {re.sub(r"\.json$", ".arrow", manifest): record.get("data_xxh3_128")}
    return {name: str(digest) for name, digest in listed.items() if is_member(name) and name != manifest and DIGEST.fullmatch(str(digest))}


class Fetching(Files):
    """Files that are read from the bucket where they are not here."""

    def __init__(self, root: Path, objects: Objects) -> None:
        super().__init__(root)
        self.objects, self._disk = objects, Files(root)

    def kind(self, path: Path) -> Kind | None:
        found = super().kind(path)
        if found is None and (listed := self._listed(path)):
            name = self._name(path)
            return "file" if name in listed else "dir" if any(one.startswith(f"{name}/") for one in listed) else None
        return found

    def listdir(self, path: Path) -> list[str]:
        names = set(super().listdir(path))
        name = self._name(path / "name").rpartition("/")[0]
        manifests = [path / one for one in names if one.endswith(".json") and one[0] != "."] if name == "sources" else [path / "name"]
        for manifest in manifests:
            names |= {one[len(name) + 1 :].partition("/")[0] for one in self._listed(manifest) if one.startswith(f"{name}/")}
        return sorted(names)

    def size(self, path: Path) -> int:
        self._fetch(path)
        return super().size(path)

    def _open(self, path: Path, flags: int) -> int:
        if flags & os.O_ACCMODE == os.O_RDONLY:
            self._fetch(path)
        return super()._open(path, flags)

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else ""

    def _listed(self, path: Path) -> dict[str, str]:
        """What the manifest lists that a path would belong to; nothing where it is not here, or is damaged: its reader says so."""
        manifest = manifest_of(self._name(path))
        if manifest is None or "/." in manifest or self._disk.kind(self.root / manifest) != "file":
            return {}
        try:
            return data_of(manifest, read_json(self._disk, self.root / manifest))
        except (CorruptFileError, StorageError):
            return {}

    def _fetch(self, path: Path) -> None:
        """Have a file here, if it is one of the bucket's. Raises CorruptFileError where the bucket has other bytes than the manifest lists."""
        if self._disk.kind(path) is not None or (digest := self._listed(path).get(self._name(path))) is None:
            return
        for name in (f"{DATA}/{digest}", self._name(path)):  # the second: of a folder that was copied into the bucket as it was
            try:
                self._write(path, self.objects.pieces(name), digest)
            except ObjectGoneError:
                continue
            return
        raise storage_error(path, "read", errno.ENOENT)

    def _write(self, path: Path, pieces: Iterator[bytes], digest: str) -> None:
        self._disk.mkdir(path.parent)
        hidden, checksum = self._disk.temporary(path), xxhash.xxh3_128()
        try:
            with closing(self._disk.append(hidden)) as handle:
                for piece in pieces:
                    handle.write(piece)
                    checksum.update(piece)
                handle.sync()
            if checksum.hexdigest() != digest:
                raise CorruptFileError(f"{self.objects.address.text}: {self._name(path)} is not what its manifest lists ({DATA}/{digest})")
            self._disk.link(hidden, path)
        finally:
            self._disk.unlink(hidden)
            self._disk.sync_dir(path.parent)


class LookedAt(ReadOnlyFiles, Fetching):
    """The working copy of a session that is looked at: what is read is fetched, and nothing else changes."""


class RemoteFiles(Fetching):
    """The working copy of a session that runs. It remembers what is removed from it, which then goes from the bucket too."""

    def __init__(self, root: Path, objects: Objects) -> None:
        super().__init__(root, objects)
        self.removed: dict[str, set[str]] = {}  # by its name in the bucket, and the checksums that it listed

    def remove_entry(self, path: Path) -> None:
        self._note(path)
        super().remove_entry(path)

    def unlink(self, path: Path) -> None:
        self._note(path)
        super().unlink(path)

    def _note(self, path: Path) -> None:
        name = self._name(path)
        manifest = manifest_of(f"{name}/data" if name.startswith(("steps/", "models/")) and name.count("/") == 1 else name)
        name = name if manifest is None else manifest
        if is_member(name) and not name.startswith(("session.json", "runs/")):
            self.removed[name] = set() if manifest is None else set(self._listed(self.root / manifest).values())
