"""What was submitted to providers' batch APIs and is not collected yet: written down before it is sent, so that nothing is ever submitted twice."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dreamframe.errors import CorruptFileError
from dreamframe.store.files import Files
from dreamframe.store.layout import Layout, is_damaged, read_json, sealed, set_aside

SENT = ".sent.json"  # after the name of a submission that was sent


@dataclass(frozen=True)
class Submission:
    """One batch of requests. `batch` is the provider's id, None if it was never written down: the process may have died while it was sent."""

    name: str  # of its file
    place: str  # provider and address, without credentials
    path: str  # of the operation
    mark: str
    keys: tuple[str, ...]  # of the answers, hexadecimal
    at: float  # seconds since 1970
    batch: str | None = None


class Submissions:
    """The folder `batches/`: `<name>.json` before a batch is sent, `<name>.sent.json` with its id after."""

    def __init__(self, files: Files, layout: Layout) -> None:
        self._files, self._layout = files, layout
        self._folder = layout.batches

    def open(self, place: str) -> list[Submission]:
        """Those of a place that are not collected."""
        names = set(self._files.listdir(self._folder))
        found = [self._read(self._folder / name) for name in sorted(names) if name.endswith(".json") and not name.endswith(SENT)]
        return [s for s in found if s is not None and s.place == place]

    def intend(self, *, place: str, path: str, mark: str, keys: Sequence[str]) -> Submission:
        """Write down what is about to be sent."""
        self._files.mkdir(self._folder)
        made = Submission(f"{mark[:12]}-{secrets.token_hex(4)}", place, path, mark, tuple(keys), time.time())
        self._files.write_new(self._folder / f"{made.name}.json", sealed({k: v for k, v in asdict(made).items() if k not in ("name", "batch")}))
        return made

    def sent(self, submission: Submission, batch: str) -> None:
        """Write down its id."""
        self._files.write_new(self._folder / f"{submission.name}{SENT}", sealed({"batch": batch}))

    def collected(self, submission: Submission) -> None:
        """Forget it: its answers are in the journal, or it was never sent."""
        for suffix in (".json", SENT):
            if self._files.kind(self._folder / f"{submission.name}{suffix}") is not None:
                self._files.unlink(self._folder / f"{submission.name}{suffix}")

    def _read(self, path: Path) -> Submission | None:
        try:
            return read_submission(self._files, path)
        except CorruptFileError as exc:
            set_aside(self._files, self._layout, path, str(exc))
            return None


def read_submission(files: Files, path: Path) -> Submission:
    """A submission by the record that was written before it was sent. Raises CorruptFileError if it is not as it was written."""
    name = path.name.removesuffix(".json")
    sent = path.with_name(name + SENT)
    try:
        found = _whole(files, path)
        batch = _batch(files, sent) if files.kind(sent) is not None else None
        keys = tuple(str(k) for k in found["keys"])
        bytes.fromhex("".join(keys))
        return Submission(name, str(found["place"]), str(found["path"]), str(found["mark"]), keys, float(found["at"]), batch)
    except (CorruptFileError, KeyError, TypeError, ValueError, OverflowError) as exc:
        raise CorruptFileError(f"it is not a record of a submission: {exc}") from exc


def check_submission(files: Files, path: Path) -> None:
    """Raises CorruptFileError if a file of the folder is not as it was written."""
    if path.name.endswith(SENT):
        _batch(files, path)
    else:
        read_submission(files, path)


def _batch(files: Files, path: Path) -> str:
    batch = _whole(files, path).get("batch")
    if not isinstance(batch, str):
        raise CorruptFileError(f"{path} holds {batch!r}, which is not the id of a batch")
    return batch


def _whole(files: Files, path: Path) -> dict[str, Any]:
    found = read_json(files, path)
    if is_damaged(found, must=True):
        raise CorruptFileError(f"{path} does not have its checksum")
    return found
