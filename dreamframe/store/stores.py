"""The stores of a session, together."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from dreamframe.store.address import Address
from dreamframe.store.answers import Answers
from dreamframe.store.care import Kept, gc, verify
from dreamframe.store.files import Files
from dreamframe.store.layout import Layout, check_manifest, open_folder
from dreamframe.store.models import Models
from dreamframe.store.nothing import NoLogs, NoOutputs, NoPlans, NoSources
from dreamframe.store.plans import Plans
from dreamframe.store.read_only import ReadOnlyFiles
from dreamframe.store.records import Problem, Removed
from dreamframe.store.runlog import RunLogs
from dreamframe.store.shared_limits import SharedLimits
from dreamframe.store.sources import Sources
from dreamframe.store.steps import StepOutputs

if TYPE_CHECKING:
    from dreamframe.store.mirror import Mirror


@dataclass
class Stores:
    """Answers by request, step outputs by plan, models by rows, and the log of runs. Those of a session in memory find nothing and keep nothing."""

    answers: Answers
    steps: StepOutputs
    models: Models
    log: RunLogs
    files: Files
    layout: Layout | None  # None for a session in memory
    limits: SharedLimits | None = None  # that all processes on the folder keep together
    mirror: Mirror | None = None  # of a session in a bucket
    batch_askers: Any = None  # those that ask through providers' batch APIs, which all runs of the session share

    @property
    def sources(self) -> Sources:
        """Rows that came from elsewhere."""
        return NoSources() if self.layout is None else Sources(self.files, self.layout)

    @property
    def plans(self) -> Plans:
        """The plans that were run."""
        return NoPlans() if self.layout is None else Plans(self.files, self.layout)

    def verify(self) -> list[Problem]:
        """What in the folder is not as it was written. Reads every byte, changes nothing."""
        return [] if self.layout is None else verify(self.files, self.layout)

    def gc(self, *, kept: Kept | None = None, dry_run: bool = False) -> list[Removed]:
        """Remove what nobody needs; with `kept`, also all others. Answers stay."""
        return [] if self.layout is None else gc(self.files, self.layout, kept=kept, dry_run=dry_run)

    def rest(self) -> None:
        """Write what is pending, and hold nothing that an idle session does not need."""
        self.models.close()
        self.answers.rest()

    def close(self) -> None:
        """Write what is pending, and let go of everything."""
        try:
            self.models.close()
            self.answers.close()
            if self.limits is not None:
                self.limits.close()
        finally:
            if self.mirror is not None:
                self.mirror.close()


def open_stores(folder: Path | None, *, scratch: Path | None = None, address: Address | None = None) -> Stores:
    """Open a session folder, or a session in memory that trains its models under `scratch`. Raises SessionFormatError for a folder of a newer format.

    With an address, the folder is the working copy of a session in a bucket. Raises StorageError where the bucket cannot be read.
    """
    if folder is not None and address is not None:
        return _remote_stores(folder, address)
    if folder is not None:
        return stores_on(Files(folder))
    files = Files(scratch or Path(tempfile.mkdtemp(prefix="dreamframe-")))
    return Stores(Answers(files, None), NoOutputs(), Models(files, Layout(files.root)), NoLogs(), files, None)


def stores_on(files: Files) -> Stores:
    """Open the session folder behind `files`."""
    return _stores(files, open_folder(files))


def _remote_stores(folder: Path, address: Address) -> Stores:
    files, mirror = _buckets().working_copy(folder, address)
    stores = stores_on(files)
    stores.mirror = mirror
    mirror.start(stores.answers.end_file)
    return stores


def _buckets() -> ModuleType:
    from dreamframe.store import mirror  # which sessions in folders do not need

    return mirror


def files_to_read(folder: Path, *, address: Address | None = None) -> ReadOnlyFiles:
    """The files of a session that is there, in a folder or in a bucket. Raises SettingError where the bucket holds none."""
    if address is None:
        return ReadOnlyFiles(folder)
    files: ReadOnlyFiles = _buckets().looked_at(folder, address)
    return files


def stores_to_look_at(folder: Path, *, address: Address | None = None) -> Stores:
    """Open a session folder that is there, and change nothing in it. Raises CorruptFileError for what is not a session, SessionFormatError for one of a
    newer format."""
    files = files_to_read(folder, address=address)
    layout = Layout(files.root)
    check_manifest(files, layout, called=str(folder) if address is None else address.text)
    return _stores(files, layout)


def _stores(files: Files, layout: Layout) -> Stores:
    limits = None if files.is_read_only else SharedLimits(files, layout.locks / "limits")
    return Stores(Answers(files, layout), StepOutputs(files, layout), Models(files, layout), RunLogs(files, layout), files, layout, limits=limits)
