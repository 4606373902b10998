"""Looking after a session folder: is everything whole, and what can go."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from dreamframe.errors import CorruptFileError, StoreError
from dreamframe.store.answer_files import NAME
from dreamframe.store.batches import SENT, check_submission
from dreamframe.store.compaction import compact
from dreamframe.store.files import Files
from dreamframe.store.foreign import to_frame
from dreamframe.store.ipc import damage
from dreamframe.store.journal import scan
from dreamframe.store.layout import Layout, is_damaged, read_json
from dreamframe.store.models import MANIFEST as TRAINING
from dreamframe.store.models import files_below, read_model
from dreamframe.store.plans import check_script, paths, read_plan
from dreamframe.store.records import Problem, Removed
from dreamframe.store.renewals import read_times
from dreamframe.store.runlog import read_log
from dreamframe.store.sources import read_source
from dreamframe.store.steps import DATA, read_manifest, read_rows

OLD_S = 3600.0  # a temporary file that nobody has touched for so long was left by a session that ended


def verify(files: Files, layout: Layout) -> list[Problem]:
    """Read every byte of a session and say what is not as it was written. Changes nothing; the next use sets damaged files aside and makes them again."""
    return [Problem(str(path.relative_to(layout.folder)), what) for path, what in _problems(files, layout)]


def _problems(files: Files, layout: Layout) -> Iterator[tuple[Path, str]]:
    try:
        if is_damaged(read_json(files, layout.manifest)):
            yield layout.manifest, "it does not have its checksum"
    except StoreError as exc:
        yield layout.manifest, str(exc)
    for name in files.listdir(layout.answers):
        if NAME.fullmatch(name):
            yield from ((layout.answers / name, what) for what in _journal_problems(files, layout.answers / name))
    for folder in _entries(files, layout.steps):
        try:
            record = read_manifest(files, folder)
            to_frame(read_rows(files, folder, record))
            if not folder.name.endswith(f"-{str(record.get('key'))[:12]}") and not folder.name.endswith(f"-{record.get('key')}"):
                yield folder, "its name is that of another key"
        except damage(StoreError) as exc:
            yield folder, str(exc)
    for folder in _entries(files, layout.models):
        try:
            if read_model(files, folder)[1]:
                yield folder, "training.json was changed after the training; the model's files are whole"
        except (CorruptFileError, StoreError) as exc:
            yield folder, str(exc)
    for name in files.listdir(layout.runs):
        if not name.startswith("."):
            yield from ((layout.runs / name, what) for what in read_log(files, layout.runs / name)[1][:1])
    yield from _source_problems(files, layout)
    yield from _record_problems(files, layout)


def _record_problems(files: Files, layout: Layout) -> Iterator[tuple[Path, str]]:
    checks: dict[Path, Callable[[Files, Path], object]] = {
        layout.plans: read_plan, layout.scripts: check_script, layout.renewals: read_times, layout.batches: check_submission,
    }  # fmt: skip
    for folder, check in checks.items():
        for path in paths(files, folder):
            try:
                check(files, path)
            except StoreError as exc:
                yield path, str(exc)


def _source_problems(files: Files, layout: Layout) -> Iterator[tuple[Path, str]]:
    for name in files.listdir(layout.sources):
        if name.endswith(".json") and not name.startswith("."):
            try:
                key = str(read_source(files, layout.sources / name)[1].get("key"))
                if not name.endswith(f"-{key[:12]}.json"):
                    yield layout.sources / name, "its name is that of another key"
            except damage(StoreError) as exc:
                yield layout.sources / name, str(exc)


def _journal_problems(files: Files, path: Path) -> Iterator[str]:
    if files.kind(path) != "file":
        yield "it is not a regular file"
        return
    lock = files.lock(path, make=False)
    try:
        found = scan(files.read_bytes(path))
    finally:
        if lock is not None:
            lock.release()
    yield from found.bad
    if found.torn and lock is not None:  # else its writer lives and is about to write the rest
        yield f"its writer was interrupted; the last {found.torn} bytes are not a whole answer"


def _entries(files: Files, folder: Path) -> list[Path]:
    return [folder / name for name in files.listdir(folder) if not name.startswith(".")]


@dataclass(frozen=True)
class Kept:
    """What stays: keys of steps and models, names of files in the folders of sources, plans and scripts; None: all of them."""

    steps: Collection[str] | None = None
    models: Collection[str] | None = None
    files: Collection[str] | None = None


def gc(files: Files, layout: Layout, *, kept: Kept | None = None, dry_run: bool = False) -> list[Removed]:
    """Remove what nobody needs: leavings of sessions that were interrupted, files that were set aside, and small frames of the journals.

    With `kept`, also everything else that is not named there, and the work folders of other trainings. Answers are never removed: they were paid for.
    What another session is writing or has mapped stays readable to it. A dry run removes nothing, and says the same.
    """
    doomed = [(path, "set aside before") for path in _entries(files, layout.aside)]
    doomed += [(path, "left by an interrupted session") for path in _leavings(files, layout)]
    if kept is not None:
        for parent, keys in ((layout.steps, kept.steps), (layout.models, kept.models)):
            doomed += [(path, "not kept") for path in _entries(files, parent) if keys is not None and not _is_kept(path.name, keys)]
        if kept.models is not None:
            doomed += [(path, "not kept") for path in _workdirs(files, layout) if not _is_kept(path.name.split(".")[1], kept.models)]
        for parent in (layout.sources, layout.plans, layout.scripts):
            doomed += [(path, "not kept") for path in _entries(files, parent) if kept.files is not None and path.name not in kept.files]
    doomed = list({path: (path, why) for path, why in reversed(doomed)}.values())[::-1]
    removed = [_weighed(files, layout, path, why) for path, why in doomed]
    if not dry_run:
        for path, _ in doomed:
            files.remove_entry(path)
        compact(files, layout, force=True)
    return removed


def _weighed(files: Files, layout: Layout, path: Path, why: str) -> Removed:
    """What an entry takes on the disk, and what it took to make."""
    cost: float | None = 0.0
    seconds = 0.0
    try:
        if path.parent == layout.steps:
            costs = [s.get("cost") for s in read_manifest(files, path).get("steps") or ()]
            cost = None if None in costs else float(sum(costs))
        elif path.parent == layout.models and files.kind(path / TRAINING) == "file":
            seconds = float(read_json(files, path / TRAINING).get("train_s") or 0.0)
    except (StoreError, TypeError, ValueError, OverflowError):
        cost = None  # its record is damaged
    return Removed(str(path.relative_to(layout.folder)), _bytes(files, path), why, cost, seconds)


def _is_kept(name: str, keys: Collection[str]) -> bool:
    return any(name.endswith((f"-{key[:12]}", f"-{key}")) for key in keys)


def _leavings(files: Files, layout: Layout) -> Iterator[Path]:
    """Temporary files and folders whose writer is gone, work folders of models that are finished."""
    for parent in (layout.folder, *layout.parts):
        for name in files.listdir(parent):
            path = parent / name
            if name.startswith(".") and name.endswith(".tmp") and not _in_use(files, path) and files.age_s(path) > OLD_S:
                yield path
    names = set(files.listdir(layout.batches))
    sent = [n for n in names if n.endswith(SENT) and n.removesuffix(SENT) + ".json" not in names]  # the batch was collected
    yield from (layout.batches / n for n in sent if files.age_s(layout.batches / n) > OLD_S)
    finished = {path.name for path in _entries(files, layout.models)}
    yield from (path for path in _workdirs(files, layout) if path.name.split(".")[1] in finished)


def _workdirs(files: Files, layout: Layout) -> list[Path]:
    """The folders of unfinished trainings that nobody works in."""
    folders = [layout.models / name for name in files.listdir(layout.models) if name.startswith(".") and name.endswith(".work")]
    return [folder for folder in folders if not _in_use(files, folder)]


def _in_use(files: Files, path: Path) -> bool:
    """Whether a living session holds the lock of a temporary entry."""
    kind = files.kind(path)
    for locked in (path,) if kind == "file" else (path / DATA, path / ".lock"):
        if files.kind(locked) == "file":
            lock = files.lock(locked, make=False)
            if lock is None:
                return True
            lock.release()
    return False


def _bytes(files: Files, path: Path) -> int:
    kind = files.kind(path)
    if kind != "dir":
        return files.size(path) if kind == "file" else 0
    try:
        return sum(files.size(p) for p in files_below(files, path))
    except CorruptFileError:  # links and the like, which are removed and not followed
        return 0
