"""A session on a disk that fails: one program for each kind of disk. Prints a JSON object with what it was told and what is there afterwards.

python -m tests.faults.disk_user full|read_only|failing_sync|short_write|lying_write FOLDER
"""

from __future__ import annotations

import json
import os
import resource
import sys
import warnings
from pathlib import Path
from typing import Any

from dreamframe.errors import StorageError
from dreamframe.store.answer_files import NAME
from dreamframe.store.files import AppendHandle
from dreamframe.store.journal import scan
from dreamframe.store.stores import Stores, open_stores
from tests.storing import give, step_key, store_step, table_of, texts

GROUP = 20  # answers between two flushes
LONG = "x" * 500


def told(error: StorageError | None) -> dict[str, Any]:
    return {"error": str(error or ""), "errno": error.errno if error else None}


def fill(stores: Stores, start: int, stop: int) -> tuple[int, StorageError | None]:
    """Give answers until all are there or the disk refuses: how many were acknowledged."""
    for n in range(start, stop, GROUP):
        try:
            give(stores.answers, range(n, n + GROUP), said=LONG)
            stores.answers.flush()
        except StorageError as exc:
            return n, exc
    return stop, None


def found(folder: Path, n: int) -> int:
    """How many of the first n answers a new session finds."""
    stores = open_stores(folder)
    right = [text == f"{LONG} {i}" for i, text in enumerate(texts(stores.answers, range(n)))]
    stores.answers.close()
    return sum(right)


def close(stores: Stores) -> str:
    try:
        stores.answers.close()
    except StorageError as exc:
        return str(exc)
    return ""


def full(folder: Path) -> dict[str, Any]:
    """On a disk of 1 MB, half of it taken by a file that is removed later."""
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(500_000))
    out = folder / "out"
    stores = open_stores(out)
    store_step(stores, 1, table_of(10))
    acknowledged, error = fill(stores, 0, 5000)
    in_memory = sum(t is not None for t in texts(stores.answers, range(acknowledged + GROUP)))
    step_error = None
    try:
        store_step(stores, 2, table_of(50_000))
    except StorageError as exc:
        step_error = exc
    at_close = close(stores)
    kept = found(out, acknowledged)
    ballast.unlink()
    stores = open_stores(out)
    assert stores.steps is not None
    second, error_again = fill(stores, acknowledged, acknowledged + 200)
    steps = [stores.steps.find(step_key(n)) is not None for n in (1, 2)]
    close(stores)
    seen = {"acknowledged": acknowledged, "in_memory": in_memory, "kept": kept, "at_close": at_close, "steps": steps, "step_error": told(step_error)}
    return {**told(error), **seen, "resumed": second, "resumed_error": str(error_again or ""), "found": found(out, second)}


def read_only(folder: Path) -> dict[str, Any]:
    """On a folder that was made before and is mounted read-only now."""
    stores = open_stores(folder / "out")
    assert stores.steps is not None
    known = sum(t is not None for t in texts(stores.answers, range(GROUP)))
    has_step = stores.steps.find(step_key(1)) is not None
    _, error = fill(stores, GROUP, 2 * GROUP)
    at_close = close(stores)
    new = None
    try:
        open_stores(folder / "new")
    except StorageError as exc:
        new = exc
    return {**told(error), "known": known, "has_step": has_step, "at_close": at_close, "new": told(new)}


def prepare(folder: Path) -> dict[str, Any]:
    """A folder with some answers and an output."""
    stores = open_stores(folder / "out")
    store_step(stores, 1, table_of(10))
    fill(stores, 0, GROUP)
    stores.answers.close()
    return {}


def failing_sync(folder: Path) -> dict[str, Any]:
    """On a prepared folder, under strace, which lets fdatasync fail."""
    stores = open_stores(folder / "out")
    acknowledged, error = fill(stores, GROUP, 10 * GROUP)
    in_memory = sum(text is not None for text in texts(stores.answers, range(acknowledged + GROUP)))
    at_close = close(stores)
    seen = {"acknowledged": acknowledged, "in_memory": in_memory, "at_close": at_close, "files": len(journals(folder / "out"))}
    return {**told(error), **seen, "found": found(folder / "out", 10 * GROUP)}


def short_write(folder: Path, *, cut: bool = True) -> dict[str, Any]:
    """With a limit on the size of files, which the kernel keeps by writing a part. `cut=False`: the half frame stays."""
    if not cut:
        AppendHandle.truncate = lambda self, size: None  # type: ignore[method-assign]
    stores = open_stores(folder / "out")
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
    acknowledged, error = fill(stores, 0, 5000)
    (path,) = journals(folder / "out")
    left = scan_of(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    second, _ = fill(stores, acknowledged, acknowledged + 200)
    after = scan_of(path)
    close(stores)
    seen = {"acknowledged": acknowledged, "torn": left.torn, "bad": len(after.bad), "resumed": second, "found": found(folder / "out", second)}
    return {**told(error), **seen}


def short_write_kept(folder: Path) -> dict[str, Any]:
    return short_write(folder, cut=False)


def lying_write(folder: Path) -> dict[str, Any]:
    """On a prepared folder, under strace, which lets a write report fewer bytes than asked, and write none."""
    stores = open_stores(folder / "out")
    acknowledged, error = fill(stores, GROUP, 10 * GROUP)
    close(stores)
    stores = open_stores(folder / "out")
    answers = texts(stores.answers, range(10 * GROUP))
    stores.answers.close()
    wrong = sum(text is not None and text != f"{LONG} {i}" for i, text in enumerate(answers))
    return {**told(error), "acknowledged": acknowledged, "wrong": wrong, "missing": answers.count(None)}


def scan_of(path: Path) -> Any:
    return scan(path.read_bytes())


def journals(out: Path) -> list[Path]:
    return sorted(p for p in (out / "answers").iterdir() if NAME.fullmatch(p.name))


MODES = {f.__name__: f for f in (full, read_only, prepare, failing_sync, short_write, short_write_kept, lying_write)}


def main(mode: str, folder: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = MODES[mode](Path(folder))
    os.write(1, json.dumps({**result, "warnings": [str(w.message) for w in caught]}).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
