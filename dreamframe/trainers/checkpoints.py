"""Checkpoints that survive a kill: marked once they are whole, found again, and given up where they cannot be read."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dreamframe.errors import DreamframeError, TrainingError

if TYPE_CHECKING:
    import torch

COMPLETE = "complete.json"  # written into a checkpoint after everything else: file sizes


def mark_complete(folder: Path) -> None:
    """Say that everything of a checkpoint is written."""
    sizes = {str(f.relative_to(folder)): f.stat().st_size for f in folder.rglob("*") if f.is_file() and f.name != COMPLETE}
    part = folder / f"{COMPLETE}.part"
    with part.open("w") as file:
        json.dump(sizes, file)
        file.flush()
        os.fsync(file.fileno())
    part.rename(folder / COMPLETE)


def last_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end; torn ones are removed."""
    whole: list[tuple[int, Path]] = []
    for found in folder.glob("checkpoint-*"):
        step = found.name.rpartition("-")[2]
        if step.isdecimal() and _is_whole(found):
            whole.append((int(step), found))
        else:
            _remove(found)
    return max(whole)[1] if whole else None


@contextlib.contextmanager
def going_on_from(checkpoint: Path | None, has_begun: Callable[[], bool], *, who: str) -> Iterator[None]:
    """Remove a checkpoint that is whole and cannot be read, so that running again goes on from the one before, or from the start.

    `has_begun`: whether a step was begun, so that it was read. A lack of memory says nothing against it.
    """
    try:
        yield
    except DreamframeError:
        raise
    except Exception as exc:
        if checkpoint is None or has_begun() or isinstance(exc, MemoryError) or "OutOfMemory" in type(exc).__name__:
            raise
        _remove(checkpoint)
        said = (str(exc).splitlines() or [""])[0][:200]
        raise TrainingError(
            f"{who}: {checkpoint.name} cannot be read ({type(exc).__name__}: {said}), and was removed; run again to go on from an earlier one or the start."
        ) from exc


def _is_whole(checkpoint: Path) -> bool:
    try:
        sizes = json.loads((checkpoint / COMPLETE).read_text())
    except (OSError, ValueError):
        return False
    return isinstance(sizes, dict) and all((checkpoint / f).is_file() and (checkpoint / f).stat().st_size == n for f, n in sizes.items())


def agreed(*flags: bool, device: torch.device) -> tuple[bool, ...]:
    """True where any process says so: a checkpoint and a stop are common to all of them."""
    import torch.distributed

    if not torch.distributed.is_initialized():
        return flags
    held = torch.tensor([float(f) for f in flags], device=device)
    torch.distributed.all_reduce(held, op=torch.distributed.ReduceOp.MAX)
    return tuple(bool(v) for v in held.tolist())


def _remove(checkpoint: Path) -> None:
    if os.environ.get("RANK", "0") == "0":
        shutil.rmtree(checkpoint, ignore_errors=True)
