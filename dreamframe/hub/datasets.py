"""Data sets of Hugging Face's library: rows as a `Dataset`, and rows of the Hub and of folders that the library wrote."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import CorruptFileError, HubError, MissingExtraError, OfflineError, PlanError
from dreamframe.hub.labels import named_labels
from dreamframe.hub.tables import arrow_rows, holds_images
from dreamframe.identity.arrow import shared
from dreamframe.identity.fingerprint import fingerprint
from dreamframe.identity.owned import own_rows
from dreamframe.models.authority import Authority
from dreamframe.models.readme import citation_in, licence_in
from dreamframe.models.secrets import redactor_of
from dreamframe.store.foreign import to_frame
from dreamframe.store.ipc import check_stream
from dreamframe.store.sources import SourceContext

if TYPE_CHECKING:
    import datasets


def as_dataset(rows: pl.DataFrame) -> datasets.Dataset:
    """A `Dataset` over the same Arrow memory; columns of images are of its feature `Image`. Raises MissingExtraError where datasets is not installed.

    >>> from dreamframe.hub.datasets import as_dataset
    >>> as_dataset(pl.DataFrame({"a": [1]})).features["a"].dtype
    'int64'
    """
    try:
        import datasets
    except ImportError as exc:
        raise MissingExtraError("datasets", extra="hub", needed_for="to_hf_dataset") from exc
    made = datasets.Dataset(datasets.table.InMemoryTable(shared(rows).to_arrow()))
    images = [name for name in rows.columns if holds_images(rows.get_column(name))]
    return made.cast(datasets.Features({**made.features, **{name: datasets.Image() for name in images}})) if images else made


@dataclass(frozen=True)
class HubSplit:
    """One split of one data set. What is read of it is kept in the session of `ctx`, and read from there ever after."""

    repo: str
    config: str | None
    split: str
    ctx: SourceContext
    token: str | bool | None = field(default=None, repr=False)  # False: the Hub is not told who the user is
    authority: Authority | None = None  # of a plan that was read

    def kept_rows(self, revision: str | None) -> tuple[pl.DataFrame, dict[str, Any]] | None:
        """All rows and their record, as earlier versions kept them when the plan was built."""
        sources = self.ctx.sources
        return None if sources is None else sources.find(self.repo, fingerprint(["hub", self.repo, self.config, self.split, revision]))

    def described(self, revision: str | None) -> tuple[pl.Schema, dict[str, Any]]:
        """Names and types of the columns, and the record: the commit that a revision means, and what its card says of licence and citation.

        Reads no row where the card or the commit's metadata names the columns, else the first one.
        """

        def fetch() -> tuple[pl.DataFrame, dict[str, Any]]:
            with self._said():
                record = self._record(revision)
                return self._first(str(record["revision"]), 0), record

        rows, record = self._kept(fingerprint(["hub stream", self.repo, self.config, self.split, revision]), fetch)
        return rows.schema, record

    def rows(self, commit: str, n: int | None, schema: pl.Schema, *, is_streamed: bool) -> pl.DataFrame:
        """The first n rows of a commit, or all; streamed, nothing further is downloaded."""

        def fetch() -> tuple[pl.DataFrame, dict[str, Any]]:
            with self._said():
                rows = self._first(commit, n) if is_streamed else self._whole(commit)
            return rows, {"repo": self.repo, "config": self.config, "split": self.split, "revision": commit, "rows_asked": n}

        found = self._kept(fingerprint(["hub rows", self.repo, self.config, self.split, commit, n]), fetch)[0]
        return found.cast(dict(schema))  # type: ignore[arg-type]

    def _kept(self, key: str, fetch: Callable[[], tuple[pl.DataFrame, dict[str, Any]]]) -> tuple[pl.DataFrame, dict[str, Any]]:
        """What the session keeps under a key; else what is fetched now, and kept."""
        sources = self.ctx.sources
        found = None if sources is None else sources.find(self.repo, key)
        if found is None:
            if self.ctx.is_offline:
                raise OfflineError(f"scan_hub: {self.repo} is not in the session, and offline=True allows no download.")
            found = fetch()
            if sources is not None:
                sources.keep(self.repo, key, *found)
                found = sources.find(self.repo, key) or found  # with the types that the next run will read
        return found

    def _whole(self, commit: str) -> pl.DataFrame:
        self._check_reach()
        made = _datasets("scan_hub").load_dataset(self.repo, self.config, split=self.split, revision=commit, token=self.token)
        return _rows(made, "scan_hub")

    def _check_reach(self) -> None:
        if self.authority is not None:
            self.authority.dataset(self.repo)

    def _first(self, commit: str, n: int | None) -> pl.DataFrame:
        self._check_reach()
        datasets = _datasets("scan_hub")
        stream = datasets.load_dataset(self.repo, self.config, split=self.split, revision=commit, token=self.token, streaming=True)
        features = stream.features
        if n == 0 and features is None:
            return self._first(commit, 1).clear()
        taken = stream if n is None else stream.take(n)
        parts = [] if n == 0 else [to_frame(batch) for batch in taken.with_format("arrow").iter(batch_size=1000)]
        if not parts and features is None:
            raise ValueError("the stream has no rows and does not say its columns")
        rows = pl.concat(parts) if parts else pl.DataFrame(features.arrow_schema.empty_table())
        return named_labels(rows, features or {}, door="scan_hub")

    def _record(self, revision: str | None) -> dict[str, Any]:
        """The commit that a revision means now, and what its card says of licence and citation."""
        _datasets("scan_hub")
        import huggingface_hub

        info = huggingface_hub.HfApi(token=self.token).dataset_info(self.repo, revision=revision)
        has_card = any(s.rfilename == "README.md" for s in info.siblings or ())
        card = huggingface_hub.DatasetCard.load(self.repo, token=self.token).content if has_card else ""
        named = {"repo": self.repo, "config": self.config, "split": self.split, "revision": info.sha}
        return {**named, "license": licence_in(card), "citation": citation_in(card)}

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        """What the libraries raise as one error of ours, without the token."""
        datasets = _datasets("scan_hub")
        import huggingface_hub
        from huggingface_hub.errors import HTTPError

        try:
            yield
        except (HTTPError, datasets.exceptions.DatasetsError, OSError, ValueError, CorruptFileError) as exc:
            held = self.token if isinstance(self.token, str) else None
            hides = redactor_of((), held, huggingface_hub.get_token())
            said = " ".join(hides.text(str(hides.error(exc))).split())
            raise HubError(f"scan_hub: {self.repo}: {type(exc).__name__}: {said[:500]}") from None


def saved_to_disk(path: str | Path, split: str | None) -> pl.DataFrame:
    """The rows of a folder that save_to_disk wrote, in memory. Raises PlanError for what is not such a folder, for a damaged one, and for a wrong split."""
    datasets = _datasets("scan_hf_disk")
    try:
        for file in saved_files(Path(path)):
            check_stream(file)
        made = datasets.load_from_disk(str(path))
    except (Exception, pl.exceptions.PanicException) as exc:  # JSON and Arrow of a stranger may be wrong in any way
        raise PlanError(f"scan_hf_disk: {path} is not a folder that save_to_disk wrote, or it is damaged: {type(exc).__name__}: {str(exc)[:500]}") from exc
    if isinstance(made, datasets.DatasetDict):
        if split not in made:
            asked = f"there is no split {split!r}" if split is not None else "there are several splits"
            raise PlanError(f"scan_hf_disk: {path}: {asked}; give split= as one of {', '.join(map(repr, made))}.")
        made = made[split]
    elif split is not None:
        raise PlanError(f"scan_hf_disk: {path} has no splits; leave split= out.")
    try:
        return own_rows(_rows(made, "scan_hf_disk"))
    except PlanError:
        raise
    except (Exception, pl.exceptions.PanicException) as exc:
        raise PlanError(f"scan_hf_disk: {path} cannot be read: {type(exc).__name__}: {str(exc)[:500]}") from exc


def saved_files(folder: Path) -> Iterator[Path]:
    """The Arrow files of a folder of save_to_disk, those of its splits included. Raises ValueError for what leads out of it, or is not a plain file."""
    if (folder / "dataset_dict.json").is_file():
        for split in json.loads((folder / "dataset_dict.json").read_text())["splits"]:
            yield from saved_files(_inside(folder, split))
        return
    if not (folder / "state.json").is_file():
        return  # datasets says what is missing, or knows how to reach an address
    for held in json.loads((folder / "state.json").read_text())["_data_files"]:
        file = _inside(folder, held["filename"])
        if not file.is_file():
            raise ValueError(f"{file.name!r} is not a plain file")
        yield file


def _inside(folder: Path, name: str) -> Path:
    if Path(name).name != name:
        raise ValueError(f"{name!r} is not a name inside the folder")
    return folder / name


def _datasets(needed_for: str) -> Any:
    try:
        import datasets
    except ImportError as exc:
        raise MissingExtraError("datasets", extra="hub", needed_for=needed_for) from exc
    return datasets


def _rows(made: Any, door: str) -> pl.DataFrame:
    """The rows of a `Dataset`, labels by their names. Raises CorruptFileError or ValueError for rows that cannot be read."""
    table = made.with_format("arrow")[:]
    table.validate(full=True)
    try:
        rows = to_frame(table)
    except CorruptFileError as exc:
        if not isinstance(exc.__cause__, pl.exceptions.ComputeError):
            raise
        rows = arrow_rows(table)
    return named_labels(rows, made.features, door=door)
