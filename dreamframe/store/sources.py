"""Rows that came from elsewhere, kept so that the session runs again where they cannot be fetched: an Arrow file and a sealed record for each."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import xxhash

from dreamframe.errors import CorruptFileError, StorageError, StoreError
from dreamframe.store.files import Files
from dreamframe.store.foreign import to_frame
from dreamframe.store.ipc import END, Bytes, damage, messages, read_table
from dreamframe.store.layout import Layout, entry_name, is_damaged, read_json, sealed, set_aside
from dreamframe.store.records import SOURCE, checked


@dataclass(frozen=True)
class SourceContext:
    """What a run lends to a source that is far away: where its rows are kept, and whether more may be fetched."""

    sources: Sources | None = None  # None: nothing is kept
    is_offline: bool = False


class Sources:
    """`sources/<name>-<key>.arrow` and `.json`, each written once."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._layout = files, layout

    def has(self, label: str, key: str) -> bool:
        """Whether rows are kept under a key. Reads none of them."""
        return self._files.kind(self._layout.sources / f"{entry_name(label, key)}.json") is not None

    def names_of(self, **said: object) -> set[str]:
        """The files of the entries whose records say this."""
        found: set[str] = set()
        for path in [self._layout.sources / n for n in self._files.listdir(self._layout.sources) if n.endswith(".json") and not n.startswith(".")]:
            with contextlib.suppress(StoreError):
                record = read_json(self._files, path)
                if all(record.get(k) == v for k, v in said.items()):
                    found |= {path.name, path.with_suffix(".arrow").name}
        return found

    def find(self, label: str, key: str) -> tuple[pl.DataFrame, dict[str, Any]] | None:
        """The rows that were kept under a key and their record. What is damaged is set aside with a warning, and not there any more."""
        path = self._layout.sources / f"{entry_name(label, key)}.json"
        if self._files.kind(path) is None:
            return None
        try:
            rows, record = read_source(self._files, path)
            return (rows, record) if record.get("key") == key else None
        except damage(CorruptFileError, StorageError) as exc:
            for part in (path, path.with_suffix(".arrow")):
                if self._files.kind(part) is not None:
                    set_aside(self._files, self._layout, part, str(exc)[:300])
            return None

    def keep(self, label: str, key: str, rows: pl.DataFrame, record: Mapping[str, Any]) -> None:
        """Keep rows under a key; the first writer wins."""
        self._files.mkdir(self._layout.sources)
        path = self._layout.sources / f"{entry_name(label, key)}.arrow"
        checksum = xxhash.xxh3_128()

        def parts() -> Iterator[Bytes]:
            for part in itertools.chain(messages(rows), [END]):
                checksum.update(part)
                yield part

        self._files.write_new(path, parts())
        self._files.write_new(path.with_suffix(".json"), sealed({**record, "key": key, "rows": rows.height, "data_xxh3_128": checksum.hexdigest()}))


def read_source(files: Files, path: Path) -> tuple[pl.DataFrame, dict[str, Any]]:
    """The rows that belong to a record, and the record. Raises CorruptFileError, or what Arrow raises, where they are not as they were written."""
    record = read_json(files, path)
    data = files.map(path.with_suffix(".arrow"))
    if is_damaged(record, must=True) or xxhash.xxh3_128_hexdigest(data) != record.get("data_xxh3_128"):
        raise CorruptFileError(f"{path} or its rows do not have their checksum")
    rows = to_frame(read_table(data))
    if checked(record, SOURCE, called=path, needed={"key"}).get("rows", rows.height) != rows.height:
        raise CorruptFileError(f"{path.with_suffix('.arrow')} has {rows.height} rows, its record says {record['rows']}")
    return rows, record
