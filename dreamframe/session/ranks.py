"""A session whose script torchrun or Slurm started several times: rank 0 runs its plans, and hands the others their rows and models."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from dreamframe import errors
from dreamframe.errors import DreamframeError, RunError, SettingError
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.models.base import Artefact
from dreamframe.plan.step import Step
from dreamframe.trainers.meeting import met
from dreamframe.trainers.ranks import launched

T = TypeVar("T")
FOLDER = ".ranks"  # in that of the session: rows on their way to other ranks


class Together:
    """Runs of plans by all processes of one script. Where there is one process alone, each runs as it is."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._ranks = folder, launched()
        self._rows: Path | None = None  # where rank 0 puts them

    @property
    def are_several(self) -> bool:
        """Whether there are other processes."""
        return self._ranks is not None

    @property
    def follows(self) -> bool:
        """Whether another process runs the plans, asks and writes, and this one is given what comes of it."""
        return self._ranks is not None and not self._ranks.leads

    def rows(self, steps: Sequence[Step], work: Callable[[], list[pl.DataFrame]], *, anew: Sequence[str] = ()) -> list[pl.DataFrame]:
        """The rows of plans, which rank 0 makes by `work`; those of the steps `anew` once more. Raises on all ranks what that raises."""
        if not self.follows:
            return self._led(steps, work, self._written, anew)
        return [pl.read_ipc(self._seen(path)) for path in self._told(steps, anew)["rows"]]

    def model(self, step: Step, work: Callable[[], Artefact]) -> Artefact:
        """The trained model of a step, which rank 0 makes by `work`, together with all ranks. Raises on all ranks what that raises."""
        if not self.follows:
            return self._led([step], work, lambda made: {"path": str(Path(made.path).absolute()), "key": made.key})
        told = self._told([step])
        return Artefact(str(self._seen(told["path"])), told["key"])

    def _led(self, steps: Sequence[Step], work: Callable[[], T], handed: Callable[[T], Mapping[str, Any]], anew: Sequence[str] = ()) -> T:
        """What `work` gives, with the others told of it."""
        if self._ranks is None:
            return work()
        meeting, plan = met(self._ranks), _name(steps, anew)
        try:
            made = work()
            told = handed(made)
        except BaseException as exc:
            meeting.ran(plan, {"error": type(exc).__name__, "message": str(exc)})
            raise
        meeting.ran(plan, told)
        return made

    def _told(self, steps: Sequence[Step], anew: Sequence[str] = ()) -> dict[str, Any]:
        """What rank 0 says of a plan, once it has run it."""
        assert self._ranks is not None
        told = met(self._ranks).wait_for(_name(steps, anew))
        if "error" in told:
            raise _error(told["error"], told["message"])
        return told

    def _written(self, tables: list[pl.DataFrame]) -> dict[str, Any]:
        """Where the rows lie for the others."""
        if self._ranks is None:
            return {}
        if self._rows is None:
            made = Path(tempfile.mkdtemp(prefix="dreamframe-")) if self._folder is None else self._folder / FOLDER / uuid.uuid4().hex
            met(self._ranks).at_end(lambda: _remove(made))
            made.mkdir(parents=True, exist_ok=True)
            self._rows = made
        paths = [self._rows / f"{uuid.uuid4().hex}.arrow" for _ in tables]
        for path, table in zip(paths, tables, strict=True):
            table.write_ipc(path)
        return {"rows": [str(path.absolute()) for path in paths]}

    def _seen(self, path: str) -> Path:
        """A path of rank 0, which must be one here as well."""
        if (found := Path(path)).exists():
            return found
        where = "a session in memory is on one machine" if self._folder is None else "it must be on a disk that all ranks share"
        raise SettingError(f"Session: rank 0 has left {path}, and {socket.gethostname()} does not see it: {where}. Name such a folder: dr.Session(folder).")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # that of another script
        folder.parent.rmdir()


def _name(steps: Sequence[Step], anew: Sequence[str]) -> str:
    """What all ranks call a run of plans."""
    return fingerprint([[step.key({}) for step in steps], sorted(anew)])


def _error(name: str, message: str) -> DreamframeError:
    """The error of rank 0, as it was where its class takes a message alone."""
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, DreamframeError):
        try:
            return kind(message)
        except TypeError:
            pass
    return RunError(f"rank 0 of this script: {name}: {message}")
