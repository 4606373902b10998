"""Plans that were run, as JSON, and the scripts that ran them: `plans/<name>-<key>.json`, `scripts/<name>-<digest>.py`, each written once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from dreamframe.errors import CorruptFileError, StoreError
from dreamframe.store.files import Files
from dreamframe.store.layout import Layout, entry_name, is_damaged, read_json, safe_name, sealed, warn
from dreamframe.store.records import PLAN, checked

SCRIPT = re.compile(r".+-([0-9a-f]{12})\.py")


class Plans:
    """The records of plans by their 32-digit key."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._layout = files, layout

    def has(self, label: str, key: str) -> bool:
        """Whether a plan is there already."""
        return self._files.kind(self._layout.plans / f"{entry_name(label, key)}.json") is not None

    def keep(self, label: str, key: str, record: Mapping[str, Any]) -> None:
        """Keep a plan; the first writer wins."""
        self._files.mkdir(self._layout.plans)
        self._files.write_new(self._layout.plans / f"{entry_name(label, key)}.json", sealed({**record, "label": label, "key": key}))

    def keep_script(self, name: str, text: str) -> str:
        """Keep a script's text; gives the name of its file."""
        data = text.encode("utf-8", "surrogatepass")
        file = f"{safe_name(name)}-{xxhash.xxh3_128_hexdigest(data)[:12]}.py"
        self._files.mkdir(self._layout.scripts)
        self._files.write_new(self._layout.scripts / file, data)
        return file

    def script(self, file: str) -> bytes | None:
        """The text of a kept script; None where it is gone."""
        path = self._layout.scripts / file
        return self._files.read_bytes(path) if SCRIPT.fullmatch(file) and self._files.kind(path) is not None else None

    def all(self) -> list[dict[str, Any]]:
        """The records of all plans, by name. What is damaged is left out with a warning."""
        found = []
        for path in paths(self._files, self._layout.plans):
            try:
                found.append({"name": path.stem, **read_plan(self._files, path)})
            except StoreError as exc:
                warn(f"{exc}; the plan is left out")
        return found


def paths(files: Files, folder: Path) -> list[Path]:
    """The finished files of a folder, by name."""
    return [folder / name for name in files.listdir(folder) if not name.startswith(".")]


def read_plan(files: Files, path: Path) -> dict[str, Any]:
    """The record of a plan. Raises CorruptFileError if it is not as it was written."""
    record = read_json(files, path)
    if is_damaged(record, must=True):
        raise CorruptFileError(f"{path} does not have its checksum")
    if not path.stem.endswith(f"-{str(record.get('key'))[:12]}"):
        raise CorruptFileError(f"{path} has the name of another plan than its own")
    return checked(record, PLAN, called=path)


def check_script(files: Files, path: Path) -> None:
    """Raises CorruptFileError if a script is not as it was kept."""
    named = SCRIPT.fullmatch(path.name)
    if named is None or files.digest(path)[1][:12] != named[1]:
        raise CorruptFileError(f"{path} does not have the checksum that its name tells")
