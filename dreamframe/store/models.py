"""Trained models: one folder each, under the key of their settings and rows; committed by one rename, the first writer wins."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.errors import CorruptFileError, StorageError
from dreamframe.store.files import Files
from dreamframe.store.foreign import to_frame
from dreamframe.store.ipc import damage, read_table
from dreamframe.store.layout import Layout, check_key, entry_name, is_damaged, read_json, safe_name, sealed, set_aside, warn
from dreamframe.store.leases import Lease, is_stale, lease
from dreamframe.store.locks import Lock
from dreamframe.store.records import MODEL, TRAINED, checked, cleaned

MANIFEST, METRICS = "training.json", "metrics.arrow"
MARK = "begun.json"  # in a work folder
PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")  # formats that run code when they are loaded
DEEPEST = 50  # folders, one in another


class Models:
    """Finds and keeps trained models by their 32-digit key."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._layout = files, layout
        self._checked: dict[str, Path] = {}  # verified in this process
        self._locks: dict[str, Lock] = {}  # of the work folders of this process
        self._leases: dict[str, Lease] = {}

    def find(self, key: str) -> Path | None:
        """The folder of a model; None if there is none. A damaged one is set aside with a warning and counts as none."""
        known = self._checked.get(check_key(key))
        if known is not None and self._files.kind(known / MANIFEST) == "file":
            return known
        for name in self._files.listdir(self._layout.models):
            if name.endswith((f"-{key[:12]}", f"-{key}")) and self._is_whole(self._layout.models / name, key):
                self._checked[key] = self._layout.models / name
                return self._checked[key]
        return None

    def workdir(self, key: str, label: str) -> Path:
        """The folder where a model is trained. It outlives a kill, so that the next training goes on from its checkpoints.

        Nobody goes on from the checkpoints of a folder that was copied here: whoever made it may have laid others into it. Then it is set aside, with a
        warning, and the training begins anew.
        """
        self._files.mkdir(self._layout.models)
        name = f".{entry_name(label, check_key(key))}"
        n = 0
        while True:
            folder = self._layout.models / (f"{name}.work" if n == 0 else f"{name}.{n}.work")
            if str(folder) in self._locks:
                return folder
            self._files.mkdir(folder)
            lock = self._files.lock(folder / ".lock")
            if lock is None:
                n += 1  # another process trains the same model there
                continue
            if self._was_made_here(folder):
                self._locks[str(folder)] = lock
                return folder
            lock.release()
            set_aside(self._files, self._layout, folder, "the training in it was not begun in this folder, which may be a copy of another")
            if self._files.kind(folder) is not None:
                raise StorageError(f"{folder} may be a copy of a stranger's training, and cannot be moved; remove it.")

    def _was_made_here(self, folder: Path) -> bool:
        """Whether a work folder is the one that was made for a training. A new one gets its mark now: what the disk calls it, which no copy is called."""
        mark = {"numbers": [self._files.number(folder / name) for name in (".", ".lock") if self._files.kind(folder / name) is not None]}
        if all(name == ".lock" or name.startswith(f".{MARK}.") for name in self._files.listdir(folder)):  # the latter: killed while it was marked
            self._files.write_new(folder / MARK, sealed(mark))
        try:
            return read_json(self._files, folder / MARK).get("numbers") == mark["numbers"]
        except (CorruptFileError, StorageError):
            return False

    def lease(self, key: str) -> bool:
        """Take the right to train a model, or to train it beside an owner that is stopped; False while another trains it: look for it again later."""
        path = self._layout.locks / f"model-{check_key(key)}"
        if key in self._leases:
            return False
        taken = lease(self._files, path)
        if taken is not None:
            self._leases[key] = taken
        return taken is not None or is_stale(self._files, path)

    def release(self, key: str) -> None:
        """End a lease and let go of the work folder; the files of an unfinished training stay in it."""
        for folder in [f for f in self._locks if Path(f).name.split(".")[1].endswith(f"-{key[:12]}")]:
            self._locks.pop(folder).release()
        taken = self._leases.pop(key, None)
        if taken is not None:
            taken.release()

    def close(self) -> None:
        """Let go of all leases and work folders."""
        for taken in self._leases.values():
            taken.release()
        for lock in self._locks.values():
            lock.release()
        self._leases.clear()
        self._locks.clear()

    def commit(self, key: str, label: str, out: Path, record: Mapping[str, Any]) -> Path:
        """Make a trained folder visible, durably and at once. If another process was first, its model is given and ours dropped."""
        for path in list(files_below(self._files, out)):
            if path.suffix in PICKLES:
                warn(f"{path.name} is a pickle and was not kept with the model")
                self._files.unlink(path)
        listed = {str(p.relative_to(out)): digest(self._files, p) for p in files_below(self._files, out) if p.name != MANIFEST or p.parent != out}
        for path in files_below(self._files, out):
            self._files.sync(path)
        for folder in {p.parent for p in files_below(self._files, out)} | {out}:
            self._files.sync_dir(folder)
        made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self._files.unlink(out / MANIFEST)
        self._files.write_new(out / MANIFEST, sealed({**record, "key": check_key(key), "label": label, "made_at": made_at, "files": listed}))
        for name in (entry_name(label, key), f"{safe_name(label)}-{key}"):
            theirs = self.find(key)
            if theirs is not None or self._files.rename_dir(out, self._layout.models / name):
                break
        found = self.find(key)
        if found is None:
            raise StorageError(f"{self._layout.models / entry_name(label, key)} was written but cannot be read back; check the disk.")
        self._drop_workdir(out)
        return found

    def record(self, key: str) -> dict[str, Any]:
        """What training.json says of a model."""
        folder = self.find(key)
        if folder is None:
            raise StorageError(f"{self._layout.models}: no model with the key {key}; collect or fit it first.")
        record, bad = cleaned(read_json(self._files, folder / MANIFEST), TRAINED)
        if bad:
            warn(f"{folder / MANIFEST}: what it says of {', '.join(bad)} is not what a training writes and is left out")
        return record

    def all(self) -> list[dict[str, Any]]:
        """The records of all models, oldest first. What is not a record of a training is left out, with a warning."""
        found = []
        for name in self._files.listdir(self._layout.models):
            path = self._layout.models / name / MANIFEST
            if not name.startswith(".") and self._files.kind(path.parent) == "dir" and self._files.kind(path) == "file":
                try:
                    record, _ = cleaned(checked(read_json(self._files, path), MODEL, called=path), TRAINED)
                    found.append({"folder": name, **record})
                except CorruptFileError as exc:
                    warn(str(exc))
        return sorted(found, key=lambda r: str(r.get("made_at", "")))

    def _drop_workdir(self, out: Path) -> None:
        for folder, lock in list(self._locks.items()):
            if out.is_relative_to(folder):
                self._files.remove_tree(Path(folder))
                lock.release()
                del self._locks[folder]

    def _is_whole(self, folder: Path, key: str) -> bool:
        try:
            record, changed = read_model(self._files, folder, key=key)
        except (CorruptFileError, StorageError) as exc:
            if isinstance(exc, StorageError) and exc.errno not in (errno.ENOENT, errno.ELOOP, None):
                raise
            if self._files.kind(folder) is not None:
                set_aside(self._files, self._layout, folder, str(exc)[:300])
            return False
        if changed and record["key"] == key:  # not worth another training
            warn(f"{folder / MANIFEST} was changed after the training; the model's files are whole and are used")
        return bool(record.get("key") == key)


def read_model(files: Files, folder: Path, *, key: str | None = None) -> tuple[dict[str, Any], bool]:
    """What training.json says, and whether it was changed after the training. Raises CorruptFileError if a file is not as it was written.

    With a `key`, the files of another model are not read.
    """
    record = read_json(files, folder / MANIFEST)
    changed, listed = is_damaged(record, must=True), record.get("files")
    if key is not None and record.get("key") != key and not changed:
        return record, False  # another model whose key begins with the same digits
    if not isinstance(listed, dict) or not isinstance(record.get("key"), str) or (changed and key is not None and record["key"] != key):
        raise CorruptFileError(f"{folder / MANIFEST} has no key, or lists no files")
    there = {str(p.relative_to(folder)): p for p in files_below(files, folder)}
    for name, path in there.items():
        if path.suffix in PICKLES:
            raise CorruptFileError(f"{path} is a pickle, which can run code; a session holds none")
        if name not in listed and name != MANIFEST:
            raise CorruptFileError(f"{path} is not one of the files that {MANIFEST} lists")
    for name, said in listed.items():
        if name not in there or digest(files, there[name]) != said:
            raise CorruptFileError(f"{folder / name} is missing or differs from what {MANIFEST} says")
    return record, changed


def metrics_of(folder: Path) -> pl.DataFrame | None:
    """The log of a training; None where it wrote none. Raises CorruptFileError for what is not a table, or none that polars reads."""
    files, path = Files(folder), folder / METRICS
    if files.kind(path) is None:
        return None
    try:
        return to_frame(read_table(files.read_bytes(path)))
    except damage(StorageError) as exc:
        raise CorruptFileError(f"{path} is not the log of a training: {exc}") from exc


def files_below(files: Files, folder: Path) -> Iterator[Path]:
    """All files of a folder, in order. Raises CorruptFileError for links and devices, and for folders inside folders without end."""
    waiting = [folder / name for name in files.listdir(folder)][::-1]
    while waiting:
        path = waiting.pop()
        kind = files.kind(path)
        if kind == "dir" and len(path.parts) - len(folder.parts) <= DEEPEST:
            waiting += [path / name for name in files.listdir(path)][::-1]
        elif kind == "file":
            yield path
        else:
            raise CorruptFileError(f"{str(path)[:300]} is neither a file nor a folder, or lies too deep; links are not followed inside a session")


def digest(files: Files, path: Path) -> dict[str, Any]:
    """Size and checksum of a file, as training.json lists them."""
    n_bytes, checksum = files.digest(path)
    return {"bytes": n_bytes, "xxh3_128": checksum}
