"""The outputs of steps: one folder each, with the rows as Arrow and a manifest; committed by one rename, the first writer wins."""

from __future__ import annotations

import contextlib
import errno
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import xxhash

from dreamframe.errors import CorruptFileError, StorageError
from dreamframe.identity.arrow import in_arrow
from dreamframe.store.files import Files, Handle
from dreamframe.store.foreign import difference, to_frame
from dreamframe.store.ipc import END, Bytes, arrow_schema, damage, messages, read_table
from dreamframe.store.layout import Layout, check_key, entry_name, is_damaged, read_json, safe_name, sealed, set_aside, warn
from dreamframe.store.locks import Lock
from dreamframe.store.long_rows import LongRows
from dreamframe.store.records import STEP, checked
from dreamframe.store.short_rows import short_rows

if TYPE_CHECKING:
    import pyarrow as pa

DATA, MANIFEST = "data.arrow", "step.json"
IN_MEMORY = 64 << 20  # bytes of rows that need not be read back by the run that wrote them


@dataclass(frozen=True)
class Stored:
    """A finished output: what it was, and its rows."""

    record: Mapping[str, Any]
    path: Path
    _rows: pa.Table | pl.DataFrame

    def rows(self) -> pl.DataFrame:
        """The rows, memory-mapped where they were read: reading some of them reads only those from disk. Without a schema, their types are those of Arrow."""
        return self._rows.clone() if isinstance(self._rows, pl.DataFrame) else to_frame(self._rows)

    def typed(self, schema: Mapping[str, Any] | None) -> Stored:
        """With rows of exactly this schema. Raises CorruptFileError where they are not what a step of this schema writes."""
        if isinstance(self._rows, pl.DataFrame):
            return self
        if schema is None:
            to_frame(self._rows)
            return self
        other = difference(self._rows.schema, arrow_schema(tuple(as_stored(schema).items())))
        if other is not None:
            raise CorruptFileError(f"{self.path / DATA} is not what this step promises: {other}")
        rows = to_frame(self._rows)
        if rows.schema != schema:
            try:
                rows = rows.cast(dict(schema))  # type: ignore[arg-type]
            except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as exc:
                raise CorruptFileError(f"{self.path / DATA} is not what this step promises: {str(exc)[:200]}") from exc
        return Stored(self.record, self.path, rows)


class StepOutputs:
    """Finds and keeps the outputs of steps by their 32-digit key."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._layout = files, layout
        self._checked: dict[str, Stored] = {}  # validated in this process

    @property
    def keeps(self) -> bool:
        """Whether outputs are kept; not in a folder that is only looked at."""
        return not self._files.is_read_only

    @property
    def is_empty(self) -> bool:
        """Whether no output is there."""
        return not self._files.listdir(self._layout.steps)

    def find(self, key: str, schema: Mapping[str, Any] | None = None) -> Stored | None:
        """The output of a step; None if there is none. A damaged one is set aside with a warning and counts as none.

        So does one whose columns cannot be read as exactly those of `schema`, which the step promises and its rows then have.
        """
        known = self._checked.get(check_key(key))
        if known is not None and self._files.kind(known.path / MANIFEST) == "file":
            with contextlib.suppress(CorruptFileError):
                return known.typed(schema)
        return next((found for folder in self._folders(key) if (found := self._read(folder, key, schema)) is not None), None)

    def long(self, key: str, schema: Mapping[str, Any]) -> LongRows | None:
        """The rows of a step for one who looks at a few of them; None where there are none, or all have to be read to read one: `find` tells."""
        if as_stored(schema) != schema or key in self._checked:
            return None
        for folder in self._folders(key):
            with contextlib.suppress(CorruptFileError, StorageError):
                if (record := read_manifest(self._files, folder)).get("key") == key:
                    rows = LongRows.of(_checked_data(self._files, folder, record), tuple(schema.items()))
                    return rows if rows is not None and rows.height == record.get("rows") else None
        return None

    def _folders(self, key: str) -> list[Path]:
        """Where the output of a step may be."""
        return [self._layout.steps / name for name in self._files.listdir(self._layout.steps) if name.endswith((f"-{key[:12]}", f"-{key}"))]

    def has(self, key: str) -> bool:
        """Whether there is an output of a step. Reads its record and no rows, and sets nothing aside."""
        known = self._checked.get(check_key(key))
        if known is not None and self._files.kind(known.path / MANIFEST) == "file":
            return True
        return any(self._is(folder, key) for folder in self._folders(key))

    def record(self, key: str) -> Mapping[str, Any] | None:
        """What step.json says of an output; None where there is none, or it is damaged. Reads no rows."""
        for folder in self._folders(key):
            with contextlib.suppress(CorruptFileError, StorageError):
                if (found := read_manifest(self._files, folder)).get("key") == key:
                    return found
        return None

    def _is(self, folder: Path, key: str) -> bool:
        try:
            return read_manifest(self._files, folder).get("key") == key and self._files.kind(folder / DATA) == "file"
        except (CorruptFileError, StorageError):
            return False  # `find` says what is wrong

    def writer(self, key: str, label: str, schema: Mapping[str, Any]) -> Writer:
        """Begin to write an output. End it with commit, discard or abort."""
        return Writer(self._files, self._layout, self, check_key(key), label, schema)

    def written(self, key: str, folder: Path, rows: pl.DataFrame | None, schema: Mapping[str, Any]) -> Stored | None:
        """The output that this process wrote into a folder, once the disk gives the same bytes back. Without `rows`, they are read from there."""
        if rows is None:
            return self.find(key, schema)
        try:
            record = read_manifest(self._files, folder)
            _checked_data(self._files, folder, record)
        except (CorruptFileError, StorageError):
            return self.find(key, schema)  # which says what is wrong
        return Stored(record, folder, rows)  # for this run: kept longer, the outputs of a session would fill the memory

    def all(self) -> list[dict[str, Any]]:
        """The manifests of all outputs, oldest first. Reads no rows. What is not as it was written is left out, with a warning."""
        found = []
        for name in self._files.listdir(self._layout.steps):
            path = self._layout.steps / name / MANIFEST
            if not name.startswith(".") and self._files.kind(path.parent) == "dir" and self._files.kind(path) == "file":
                try:
                    found.append({"folder": name, **read_manifest(self._files, path.parent)})
                except CorruptFileError as exc:
                    warn(str(exc))
        return sorted(found, key=lambda r: str(r.get("made_at", "")))

    def forget(self, steps: Collection[str]) -> None:
        """Remove the outputs of all plans that hold one of these steps, each named by the first 12 digits of its key."""
        for record in self.all():
            if holds_one(record, steps):
                self._checked.pop(str(record.get("key")), None)
                self._files.remove_entry(self._layout.steps / record["folder"])

    def _read(self, folder: Path, key: str, schema: Mapping[str, Any] | None) -> Stored | None:
        try:
            record = read_manifest(self._files, folder)
            if record.get("key") != key:
                return None  # another step whose key begins with the same digits
            if (rows := self._short(folder, record, schema)) is not None:
                return Stored(record, folder, rows)
            found = Stored(record, folder, read_rows(self._files, folder, record))
            typed = found.typed(schema)
            self._checked[key] = found
            return typed
        except StorageError as exc:
            if exc.errno == errno.ENOENT and self._files.kind(folder) is None:
                return None  # removed by another process meanwhile
            if exc.errno not in (errno.ENOENT, errno.ELOOP, None):
                raise
            set_aside(self._files, self._layout, folder, str(exc)[:300])
        except damage(CorruptFileError) as exc:
            set_aside(self._files, self._layout, folder, str(exc)[:300])
        return None

    def _short(self, folder: Path, record: Mapping[str, Any], schema: Mapping[str, Any] | None) -> pl.DataFrame | None:
        """The rows where they are few and of exactly this schema; else they are looked at closely."""
        if schema is None or as_stored(schema) != schema:
            return None
        rows = short_rows(_checked_data(self._files, folder, record), tuple(schema.items()))
        return rows if rows is not None and rows.height == record.get("rows") and rows.schema == schema else None


def holds_one(record: Mapping[str, Any], steps: Collection[str]) -> bool:
    """Whether the plan of an output holds one of these steps, each named by the first 12 digits of its key."""
    plan = record.get("plan")
    return isinstance(plan, list) and any(isinstance(node, dict) and node.get("key") in steps for node in plan)


def as_stored(schema: Mapping[str, Any]) -> pl.Schema:
    """The columns in the types in which they are stored."""
    return pl.Schema({name: in_arrow(dtype, name, plain=True) for name, dtype in schema.items()})


def read_manifest(files: Files, folder: Path) -> dict[str, Any]:
    """What step.json says. Raises CorruptFileError if it is not as it was written."""
    record = read_json(files, folder / MANIFEST)
    if is_damaged(record, must=True):
        raise CorruptFileError(f"{folder / MANIFEST} does not have its checksum")
    return checked(record, STEP, called=folder / MANIFEST)


def read_rows(files: Files, folder: Path, record: Mapping[str, Any]) -> pa.Table:
    """The rows of an output, memory-mapped and validated. Raises CorruptFileError, or what Arrow raises, if they are not as they were written."""
    table = read_table(_checked_data(files, folder, record))
    if table.num_rows != record.get("rows"):
        raise CorruptFileError(f"{folder / DATA} has {table.num_rows} rows, its manifest says {record.get('rows')}")
    return table


def _checked_data(files: Files, folder: Path, record: Mapping[str, Any]) -> memoryview:
    data = files.map(folder / DATA)
    if xxhash.xxh3_128_hexdigest(data) != record.get("data_xxh3_128"):
        raise CorruptFileError(f"{folder / DATA} does not have the checksum that its manifest names")
    return data


class Writer:
    """Writes one output into a hidden folder, which a commit renames."""

    def __init__(self, files: Files, layout: Layout, outputs: StepOutputs, key: str, label: str, schema: Mapping[str, Any]) -> None:
        self._files, self._layout, self._outputs = files, layout, outputs
        self._key, self._label = key, label
        self._schema, self._promised = as_stored(schema), schema
        self._n_rows = 0
        self._rows: list[pl.DataFrame] | None = []  # while they are few
        self._is_open = True
        self._folder = files.temporary(layout.steps / entry_name(label, key))
        files.mkdir(self._folder)
        self._handle: Handle = files.append(self._folder / DATA)
        self._lock: Lock | None = files.lock(self._folder / DATA)  # tells gc that somebody is at work here
        self._hash, self._n_bytes = xxhash.xxh3_128(), 0
        self._put(next(messages(pl.DataFrame(schema=self._schema))))
        self._whole = self._n_bytes  # bytes of what was written to its end

    def write(self, rows: pl.DataFrame) -> None:
        """Add rows."""
        rows = rows.cast(self._schema)
        for message in list(messages(rows))[1:]:
            self._put(message)
        self._whole = self._n_bytes
        self._n_rows += rows.height
        if self._rows is not None:
            self._rows = [*self._rows, rows] if self._n_bytes <= IN_MEMORY else None

    def _put(self, message: Bytes) -> None:
        self._handle.write(message)
        self._hash.update(message)
        self._n_bytes += len(message)

    def _held(self) -> pl.DataFrame | None:
        return None if self._rows is None else pl.concat([pl.DataFrame(schema=self._schema), *self._rows])

    def commit(self, record: Mapping[str, Any]) -> Stored:
        """Make the output visible, durably and at once. If another process was first, its output is given and ours dropped."""
        self._put(END)
        self._handle.sync()
        manifest = {
            **record,
            "key": self._key,
            "label": self._label,
            "rows": self._n_rows,
            "data_bytes": self._n_bytes,
            "data_xxh3_128": self._hash.hexdigest(),
            "made_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        }
        self._files.write_new(self._folder / MANIFEST, sealed(manifest))
        self._release()
        return self._publish()

    def _publish(self) -> Stored:
        names = [entry_name(self._label, self._key), f"{safe_name(self._label)}-{self._key}"]  # the second if the first belongs to another key
        # The rename alone decides between writers of one name; the lock, between writers that call the step by two names.
        self._files.mkdir(self._layout.locks)
        lock = self._files.lock(self._layout.locks / "steps", wait_s=5.0)
        try:
            for name in names:
                if (theirs := self._outputs.find(self._key, self._promised)) is not None:
                    self._files.remove_tree(self._folder)
                    return theirs
                made = self._layout.steps / name
                if self._files.rename_dir(self._folder, made):
                    if (ours := self._outputs.written(self._key, made, self._held(), self._promised)) is not None:
                        return ours
                    break
        finally:
            if lock is not None:
                lock.release()
        raise StorageError(f"{self._layout.steps / names[0]} was written but cannot be read back; check the disk.")

    def discard(self) -> pl.DataFrame:
        """Give the rows and keep nothing: an output with failed rows serves one run only."""
        self._put(END)
        self._release()
        rows = self._held()
        if rows is None:
            rows = pl.DataFrame(read_table(self._files.map(self._folder / DATA)))
        self._files.remove_tree(self._folder)  # mapped bytes live as long as the rows
        return rows

    def salvage(self) -> pl.DataFrame:
        """The rows of all calls of `write` that succeeded, where the disk refused a later one. Ends the output as `abort` does."""
        rows = self._held()
        if rows is None:
            rows = pl.DataFrame(read_table(memoryview(bytes(self._files.map(self._folder / DATA)[: self._whole]) + END)))
        self.abort()
        return rows

    def abort(self) -> None:
        """Drop what was written. Never raises: it runs while another error is on its way."""
        try:
            self._release()
            self._files.remove_tree(self._folder)
        except StorageError as exc:
            warn(f"{self._folder} could not be removed ({exc})")

    def _release(self) -> None:
        if self._is_open:
            self._is_open = False
            if self._lock is not None:
                self._lock.release()
            self._handle.close()
