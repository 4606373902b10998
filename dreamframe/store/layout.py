"""The session folder: where things lie, the numbered format, and names that are safe on every disk."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import numbers
import re
import secrets
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xxhash

from dreamframe.errors import CorruptFileError, SessionFormatError, StorageError
from dreamframe.redaction.visible import visible
from dreamframe.store.files import Files

MOST_JSON = 256 << 20  # bytes of a record, which is read whole
SEVERAL = 2  # elements of a list that are written as a line each
FORMAT = 2  # raised when an older dreamframe could misread the folder
LIBRARIES = ("dreamframe", "polars", "pyarrow", "xxhash")
UNKNOWN = "unknown"  # the version of what is not installed


class SessionWarning(UserWarning):
    """Something in a session folder was damaged and set aside; what it held is computed again when it is needed."""


class Layout:
    """The paths of one session folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "session.json"
        self.answers = folder / "answers"
        self.renewals = folder / "renewals"
        self.steps = folder / "steps"
        self.models = folder / "models"
        self.runs = folder / "runs"
        self.sources = folder / "sources"
        self.plans = folder / "plans"
        self.scripts = folder / "scripts"
        self.batches = folder / "batches"
        self.parts = (  # what a session keeps, folder by folder
            self.answers, self.renewals, self.steps, self.models, self.runs, self.sources, self.plans, self.scripts, self.batches,
        )  # fmt: skip
        self.locks = folder / "locks"
        self.aside = folder / "set-aside"


def open_folder(files: Files) -> Layout:
    """Make or check a session folder. Raises SessionFormatError for one of a newer format."""
    layout = Layout(files.root)
    if files.kind(layout.manifest) is None:
        _make(files, layout)
    try:
        found = read_json(files, layout.manifest)
        if is_damaged(found):
            raise CorruptFileError(f"{layout.manifest} does not have its checksum")
    except CorruptFileError as exc:
        if not any(files.kind(part) == "dir" for part in (layout.answers, layout.steps, layout.models)):
            raise  # maybe the file of another program, in a folder that is not ours
        set_aside(files, layout, layout.manifest, str(exc))
        _make(files, layout)
        found = read_json(files, layout.manifest)
    check_format(layout, found)
    if found["format"] < FORMAT:
        with contextlib.suppress(StorageError):  # a folder that cannot be written can be read
            files.unlink(layout.manifest)
            _make(files, layout)
    return layout


def check_manifest(files: Files, layout: Layout, *, called: str) -> None:
    """Raises SessionFormatError or CorruptFileError for a folder that this dreamframe would not open; nothing is changed. `called`: what errors name."""
    if files.kind(layout.manifest) is None:
        raise CorruptFileError(f"{called} holds no {layout.manifest.name}: it is not a session.")
    found = read_json(files, layout.manifest)
    if is_damaged(found):
        raise CorruptFileError(f"{called}: {layout.manifest.name} does not have its checksum.")
    check_format(layout, found, called=called)


def _make(files: Files, layout: Layout) -> None:
    files.mkdir(layout.folder)
    files.write_new(layout.manifest, sealed({"format": FORMAT, "libraries": {name: version_of(name) for name in LIBRARIES}}))


def check_format(layout: Layout, found: Mapping[str, Any], *, called: str | None = None) -> None:
    """Raises SessionFormatError for the manifest of a newer format, CorruptFileError for one without a format."""
    number = found.get("format")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        where = called or layout.manifest
        raise CorruptFileError(f"{where} has no format number. If this is a session folder, remove that one file; else name another folder.")
    if number > FORMAT:
        by = found.get("libraries", {})
        version = by.get("dreamframe") if isinstance(by, dict) else None
        raise SessionFormatError(
            f"{called or layout.folder} has session format {number}, written by dreamframe {version or 'of a newer version'}; "
            f"this dreamframe {version_of('dreamframe')} reads up to format {FORMAT}. Upgrade with: pip install -U dreamframe, or name another folder."
        )


def read_json(files: Files, path: Path) -> dict[str, Any]:
    """A JSON object from a file of the session. Raises CorruptFileError for anything else."""
    data = files.read_bytes(path, most=MOST_JSON + 1)
    if len(data) > MOST_JSON:
        raise CorruptFileError(f"{path} is larger than any record of a session ({MOST_JSON >> 20} MB). Remove it; what it describes is made again.")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise CorruptFileError(f"{path} is not readable JSON: {exc}. Remove it; what it describes is made again.") from exc
    if not isinstance(value, dict):
        raise CorruptFileError(f"{path} is not a JSON object. Remove it; what it describes is made again.")
    return value


def as_json(value: Any) -> bytes:
    """JSON with a line for each field of an object and each element of a list in it, and a newline at its end.

    >>> from dreamframe.store.layout import as_json
    >>> print(as_json({"format": 2, "steps": [{"step": "Table"}, {"step": "PromptStep"}]}).decode(), end="")
    {
      "format": 2,
      "steps": [
        {"step": "Table"},
        {"step": "PromptStep"}
      ]
    }
    """
    fields = ",\n".join(f"  {_field(name, held)}" for name, held in value.items()) if isinstance(value, dict) else ""
    return (f"{{\n{fields}\n}}\n" if fields else _dumps(value) + "\n").encode("utf-8", "surrogatepass")


def _field(name: Any, value: Any) -> str:
    if not isinstance(value, (list, tuple)) or len(value) < SEVERAL:  # as the encoder in C writes it: the indenting one is ten times slower
        return _dumps({name: value})[1:-1]
    lines = ",\n    ".join(map(_dumps, value))
    return f"{_dumps({name: 0})[1:-2]}[\n    {lines}\n  ]"


def _dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=plain)


def plain(value: object) -> int | float | str:
    """What JSON has for a value that it does not know: a number for one of another library, else a text.

    >>> import decimal
    >>> from dreamframe.store.layout import plain
    >>> plain(decimal.Decimal("0.5"))
    '0.5'
    """
    return int(value) if isinstance(value, numbers.Integral) else float(value) if isinstance(value, numbers.Real) else str(value)


def sealed(record: Mapping[str, Any]) -> bytes:
    """A manifest with a checksum of itself, so that a flipped bit is told from what was meant."""
    plain = json.loads(_dumps(record))  # as it will be read: tuples are lists, keys are texts
    return as_json({**plain, "checksum": _checksum(plain)})


def is_damaged(record: Mapping[str, Any], *, must: bool = False) -> bool:
    """Whether a manifest differs from what was sealed; `must`: it has to have a seal."""
    if not must and "checksum" not in record:
        return False
    try:
        return record.get("checksum") != _checksum(record)
    except RecursionError:  # brackets, one in another, as nobody seals them
        return True


def _checksum(record: Mapping[str, Any]) -> str:
    plain = json.dumps({k: v for k, v in record.items() if k != "checksum"}, sort_keys=True, ensure_ascii=False)
    return str(xxhash.xxh3_64_hexdigest(plain.encode("utf-8", "surrogatepass")))


def safe_name(label: str, *, most: int = 48) -> str:
    """A label as a part of a file name: letters, digits, dot, dash, underscore.

    >>> from dreamframe.store.layout import safe_name
    >>> safe_name("../summary of {text}")
    'summary-of-text'
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", label).strip("-_")[:most].rstrip("-_") or "step"


def entry_name(label: str, key: str) -> str:
    """The folder name of a stored step or model: `<name>-<first 12 of the key>`."""
    return f"{safe_name(label)}-{key[:12]}"


def check_key(key: str) -> str:
    """Refuse what is not a 32-digit hexadecimal key."""
    if not re.fullmatch(r"[0-9a-f]{32}", key):
        raise CorruptFileError(f"{key!r} is not a key: 32 hexadecimal digits.")
    return key


def set_aside(files: Files, layout: Layout, path: Path, why: str) -> None:
    """Move a damaged file or folder out of the way, with one warning. On a disk that cannot be written, only warn."""
    where = "left where it is: the folder cannot be written"
    try:
        files.mkdir(layout.aside)
        taken = set(files.listdir(layout.aside))
        short = path.name[:200]  # a name may be as long as the disk allows
        name = next((n for i in range(10_000) if (n := f"{short}.{i}") not in taken), f"{short}.{secrets.token_hex(4)}")
        files.move(path, layout.aside / name)
        where = f"moved to {layout.aside / name}"
    except StorageError as exc:
        if files.kind(path) is None:
            where = f"gone meanwhile ({exc})"
    warn(f"{path}: {why}; {where}. What it held is made again when it is needed.")


def warn(message: str) -> None:
    """One warning about the folder."""
    warnings.warn(visible(message), SessionWarning, stacklevel=3)


@functools.cache  # what is installed is read from a file of its own, which takes a millisecond
def version_of(library: str) -> str:
    """The version of a library that is installed, else UNKNOWN."""
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return UNKNOWN
