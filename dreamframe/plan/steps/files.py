"""The files that a scan names, and what of their names is in its rows."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dreamframe.errors import PlanError

ENDINGS: Mapping[str, tuple[str, ...]] = {  # what a folder's files of a format are called
    "csv": (".csv", ".csv.gz", ".csv.zst"),
    "parquet": (".parquet", ".pq"),
    "ndjson": (".ndjson", ".jsonl", ".ndjson.gz", ".jsonl.gz", ".ndjson.zst", ".jsonl.zst"),
    "ipc": (".arrow", ".ipc", ".feather"),
    "json": (".json",),
    "text": (".txt", ".txt.gz", ".txt.zst"),
}
MARK = b"\xef\xbb\xbf"  # the byte order mark that some editors put before UTF-8


def files_of(format: str, paths: Sequence[str], *, as_they_are: bool = False) -> list[str]:
    """The files that paths name as of now: of a glob its matches, of a folder its files of this format, both sorted by name.

    A path that exists is never a glob, so that `data[1].csv` is the file of this name. Raises PlanError where there is no such file.
    """
    files = [file for path in paths for file in _files(format, path, as_they_are=as_they_are)]
    missing = [f for f in files if not Path(f).is_file()]
    if missing or not files:
        if missing and (missing[0] == "-" or Path(missing[0]).is_fifo()):  # of a pipe each byte is there once, and a plan reads what it has twice
            raise PlanError(f"scan_{format}: {missing[0]!r} is not a file; hand over what comes in: scan_{format}(sys.stdin.buffer).")
        what = f"no such file: {missing[0]!r}" if missing else f"no file matches {', '.join(map(repr, paths))}"
        near = sorted(p.name for p in Path(missing[0] if missing else ".").absolute().parent.glob(f"*.{format}"))[:5] if missing else []
        raise PlanError(
            f"scan_{format}: {what}."
            + (f" The folder has {', '.join(near)}." if near else "")
        )
    return files


def _files(format: str, path: str, *, as_they_are: bool) -> list[str]:
    at = expanded(path)
    path = path if at == Path(path) else str(at)
    if at.is_dir():
        return sorted(str(f) for f in at.rglob("*") if f.name.lower().endswith(ENDINGS[format]) and _is_shown(f.relative_to(at)) and f.is_file())
    if glob.has_magic(path) and not at.exists() and not as_they_are:
        return sorted(f for f in glob.glob(path, recursive=True) if not Path(f).is_dir())
    return [path]


def _is_shown(path: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in path.parts)


def has_partitions(format: str, paths: Iterable[str], options: Mapping[str, Any]) -> bool:
    """Whether `key=value` in the names of folders becomes columns: where the options say so, or because a folder is given itself."""
    return _are_asked(options) or (format in ("parquet", "ipc") and options.get("hive_partitioning") is None and bool(_folders(paths)))


def partitions_above(paths: Iterable[str], options: Mapping[str, Any]) -> list[str]:
    """The keys that stand above a folder that is given itself: they are not of its partitions, unless the options ask for all."""
    return [] if _are_asked(options) else [part.partition("=")[0] for folder in _folders(paths) for part in folder.parts if "=" in part]


def names_in_rows(format: str, paths: Sequence[str], files: Sequence[str], options: Mapping[str, Any]) -> list[Any]:
    """What of the files' names is in the rows, and therefore belongs to their identity; empty if nothing is."""
    found: list[Any] = [list(files)] if options.get("include_file_paths") is not None else []
    if has_partitions(format, paths, options):
        above = partitions_above(paths, options)
        found.append([[part for part in Path(f).parent.parts if "=" in part and part.partition("=")[0] not in above] for f in files])
    return found


def _are_asked(options: Mapping[str, Any]) -> bool:
    return bool(options.get("hive_partitioning")) or (options.get("hive_partitioning") is None and options.get("hive_schema") is not None)


def _folders(paths: Iterable[str]) -> list[Path]:
    return [at for p in paths if (at := expanded(p)).is_dir()]


def expanded(path: str) -> Path:
    """The path, with the home folder for a `~` that is not a file's own name."""
    at = Path(path)
    return at.expanduser() if path.startswith("~") and not at.exists() else at


def is_marked(file: str) -> bool:
    """Whether a file begins with a byte order mark."""
    with Path(file).open("rb") as opened:
        return opened.read(len(MARK)) == MARK
