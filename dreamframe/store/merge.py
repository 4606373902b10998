"""What other session folders hold, taken into this one: the union. They may be a stranger's, damaged, or at work: what is not whole stays behind.

Each entry is there wholly or not at all, so a merge that is interrupted is a part of one, and the next one goes on. Nothing here is replaced, and merging
again adds nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import CorruptFileError, StorageError
from dreamframe.store import renewals, runlog
from dreamframe.store.answer_files import NAME, new_name
from dreamframe.store.files import Files
from dreamframe.store.foreign import to_frame
from dreamframe.store.ipc import damage
from dreamframe.store.journal import framed, header, scan
from dreamframe.store.layout import Layout, check_key, check_manifest, entry_name, safe_name
from dreamframe.store.members import is_member
from dreamframe.store.models import files_below, read_model
from dreamframe.store.plans import check_script, read_plan
from dreamframe.store.read_only import ReadOnlyFiles
from dreamframe.store.records import Problem
from dreamframe.store.renewals import read_times
from dreamframe.store.runlog import MOST, read_log
from dreamframe.store.sources import read_source
from dreamframe.store.steps import read_manifest, read_rows
from dreamframe.store.stores import Stores, files_to_read

if TYPE_CHECKING:
    import pyarrow as pa

    from dreamframe.store.address import Address

BLOCK = 1 << 20
LOOKED_UP = 16_384  # answers at a time


@dataclass
class Merged:
    """What a merge has added, and what it left behind since it was not whole: `path`, with the folder that it lies in, and `what` of each."""

    answers: int = 0
    steps: int = 0
    models: int = 0
    plans: int = 0
    runs: int = 0
    problems: list[Problem] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The fields, ready for JSON."""
        return {**vars(self), "problems": [one.as_dict() for one in self.problems]}

    def __repr__(self) -> str:
        counts = {name: n for name, n in vars(self).items() if name != "problems"}
        words = [f"{n:,} {name if n != 1 else name[:-1]}" for name, n in counts.items()]
        return "\n".join((f"{', '.join(words)} added", *(f"left out: {p.path}: {p.what}" for p in self.problems)))


def readable(folder: Path, *, address: Address | None, called: str) -> ReadOnlyFiles:
    """The files of a session that can be merged. Raises what opening it would: SettingError where a bucket holds none, CorruptFileError for what is not a
    session, SessionFormatError for one of a newer format."""
    files = files_to_read(folder, address=address)
    check_manifest(files, Layout(files.root), called=called)
    return files


def merge(stores: Stores, files: ReadOnlyFiles, made: Merged) -> None:
    """Take what a folder holds and this session does not, and count it in `made`. Links are not followed, and nothing in the folder is changed."""
    assert stores.layout is not None
    one = _Merge(stores, stores.layout, files, made)
    one.answers()
    one.renewals()
    one.entries()
    one.runs()
    one.files()


class _Merge:
    """One folder on its way into another."""

    def __init__(self, stores: Stores, layout: Layout, theirs: Files, made: Merged) -> None:
        self._stores, self._files, self._layout, self._made = stores, stores.files, layout, made
        self._theirs, self._there = theirs, Layout(theirs.root)

    def answers(self) -> None:
        """Answers to requests that have none here: a journal of them for each journal there."""
        for name in self._names(self._there.answers):
            path = self._there.answers / name
            if not NAME.fullmatch(name):
                continue
            with self._noted(path):
                self._need(path, "file")
                found = scan(self._theirs.read_bytes(path))
                for what in found.bad[:1]:
                    self._problem(path, f"{len(found.bad)} damaged parts were left out ({what}); their answers are asked for again when they are needed")
                self._made.answers += self._write_journal(found.batches)

    def _write_journal(self, batches: list[pa.RecordBatch]) -> int:
        n, handle = 0, None
        final = self._layout.answers / new_name()
        hidden = self._files.temporary(final)
        seen: set[bytes] = set()
        try:
            for batch in batches:
                for start in range(0, batch.num_rows, LOOKED_UP):
                    part = batch.slice(start, LOOKED_UP)
                    keys = part.column("key").to_pylist()
                    known = self._stores.answers.lookup(keys).get_column("found").to_list()
                    wanted = []
                    for key, is_known in zip(keys, known, strict=True):
                        wanted.append(not is_known and key not in seen)
                        seen.add(key)
                    new = part.filter(pl.Series(wanted, dtype=pl.Boolean).to_arrow())
                    if new.num_rows:
                        if handle is None:
                            self._files.mkdir(self._layout.answers)
                            handle = self._files.append(hidden)
                            handle.write(header())
                        handle.write(framed(new.serialize()))
                        n += new.num_rows
            if handle is not None:
                handle.sync()
                self._files.link(hidden, final)
                self._files.sync_dir(self._layout.answers)
        finally:
            if handle is not None:
                handle.close()
                self._files.unlink(hidden)
        if n:
            self._stores.answers.refresh()  # what is merged after it finds them here
        return n

    def renewals(self) -> None:
        """Which requests were asked anew, and how often: the answers of then are here now."""
        for name in self._names(self._there.renewals):
            if renewals.NAME.fullmatch(name):
                with self._noted(self._there.renewals / name):
                    self._need(self._there.renewals / name, "file")
                    self._stores.answers.renewals.add(read_times(self._theirs, self._there.renewals / name))

    def entries(self) -> None:
        """Stored rows and trained models, a folder each: copied beside those that are here, checked there, and then named."""
        for part, mine, check in (
            (self._there.steps, self._layout.steps, self._step_key),
            (self._there.models, self._layout.models, self._model_key),
        ):
            for name in self._names(part):
                if not name.startswith("."):
                    with self._noted(part / name):
                        self._need(part / name, "dir")
                        n = self._take_folder(part / name, mine, check)
                        self._made.steps += n if mine == self._layout.steps else 0
                        self._made.models += n if mine == self._layout.models else 0

    def _take_folder(self, source: Path, parent: Path, check: Callable[[Path], tuple[str, str]]) -> int:
        if self._files.kind(parent / source.name) is not None:
            return 0  # the same key, or the first twelve digits of one: what is here stays
        paths = list(files_below(self._theirs, source))
        if strange := [p for p in paths if not is_member(p.relative_to(self._theirs.root).as_posix())]:
            raise CorruptFileError(f"it holds {strange[0].name[:200]!r}, which no session writes")
        hidden = self._files.temporary(parent / source.name)
        try:
            for path in paths:
                self._copy(path, hidden / path.relative_to(source))
            label, key = check(hidden)
            if source.name not in (entry_name(label, key), f"{safe_name(label)}-{key}"):
                raise CorruptFileError("its name is that of another key")
            for written in {hidden, *((hidden / path.relative_to(source)).parent for path in paths)}:
                self._files.sync_dir(written)
            return int(self._files.rename_dir(hidden, parent / source.name))
        finally:
            if self._files.kind(hidden) is not None:
                self._files.remove_tree(hidden)

    def _copy(self, source: Path, target: Path) -> None:
        """A file, piece by piece."""
        self._files.mkdir(target.parent)
        with self._theirs.reading(source) as read, closing(self._files.append(target)) as handle:
            at = 0
            while block := read(at, BLOCK):
                handle.write(block)
                at += len(block)
            handle.sync()

    def _step_key(self, folder: Path) -> tuple[str, str]:
        record = read_manifest(self._files, folder)
        to_frame(read_rows(self._files, folder, record))
        return str(record.get("label")), check_key(str(record.get("key")))

    def _model_key(self, folder: Path) -> tuple[str, str]:
        record, is_changed = read_model(self._files, folder)
        if is_changed:
            raise CorruptFileError("training.json was changed after the training")
        return str(record.get("label")), check_key(str(record.get("key")))

    def runs(self) -> None:
        """The logs of runs. One that has grown since it was merged is taken anew."""
        for name in self._names(self._there.runs):
            path, mine = self._there.runs / name, self._layout.runs / name
            if not runlog.NAME.fullmatch(name):
                continue
            with self._noted(path):
                self._need(path, "file")
                if self._theirs.size(path) > MOST or not read_log(self._theirs, path)[0]:
                    raise CorruptFileError("it is not the log of a run")
                data, before = self._theirs.read_bytes(path), None
                if self._files.kind(mine) == "file":
                    before = self._files.read_bytes(mine)
                    if len(data) <= len(before) or not data.startswith(before):
                        continue
                    self._files.unlink(mine)
                self._files.mkdir(self._layout.runs)
                self._made.runs += self._files.write_new(mine, data) and before is None

    def files(self) -> None:
        """Rows of sources, plans and scripts: each of them written once, under a name that tells what it is."""
        checks: dict[str, Callable[[Files, Path], object]] = {"sources": read_source, "plans": read_plan, "scripts": check_script}
        for part, check in checks.items():
            for name in self._names(self._there.folder / part):
                path, mine = self._there.folder / part / name, self._layout.folder / part / name
                if name.startswith(".") or path.suffix == ".arrow":
                    continue
                with self._noted(path):
                    self._need(path, "file")
                    if not is_member(f"{part}/{name}"):
                        raise CorruptFileError("it is not a file of a session")
                    if self._files.kind(mine) is not None:
                        continue
                    check(self._theirs, path)
                    self._files.mkdir(mine.parent)
                    if part == "sources":
                        self._files.write_new(mine.with_suffix(".arrow"), _pieces(self._theirs, path.with_suffix(".arrow")))
                    written = self._files.write_new(mine, self._theirs.read_bytes(path))
                    self._made.plans += part == "plans" and written

    @contextmanager
    def _noted(self, path: Path) -> Iterator[None]:
        """Leave an entry out that is not as it was written, and say so. What this folder's own disk refuses is raised."""
        try:
            yield
        except damage(CorruptFileError, StorageError) as exc:
            if isinstance(exc, StorageError) and str(self._files.root) in str(exc):
                raise
            self._problem(path, str(exc))

    def _need(self, path: Path, kind: str) -> None:
        if self._theirs.kind(path) != kind:
            raise CorruptFileError(f"it is not a {'folder' if kind == 'dir' else 'file'}; links are not followed")

    def _names(self, folder: Path) -> list[str]:
        """The names in a folder of theirs; none where it is something else, which is said."""
        names: list[str] = []
        with self._noted(folder):
            if self._theirs.kind(folder) is not None:
                self._need(folder, "dir")
            names += self._theirs.listdir(folder)
        return names

    def _problem(self, path: Path, what: str) -> None:
        self._made.problems.append(Problem(str(path)[:300], what[:300]))


def _pieces(files: Files, path: Path) -> Iterator[bytes]:
    with files.reading(path) as read:
        at = 0
        while block := read(at, BLOCK):
            yield block
            at += len(block)
