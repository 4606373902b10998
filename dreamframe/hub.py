"""Hugging Face's world: rows as a `datasets.Dataset`, and data sets of the Hub as rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import HubError, MissingExtraError, OfflineError, PlanError
from dreamframe.fingerprint import fingerprint
from dreamframe.frame import Frame
from dreamframe.session import current
from dreamframe.steps.source import HubTable, Table

if TYPE_CHECKING:
    import datasets

BIBTEX = re.compile(r"```(?:bibtex)?\s*\n(@\w+\{.*?)```", re.DOTALL)


def as_dataset(rows: pl.DataFrame) -> datasets.Dataset:
    """A `Dataset` over the same Arrow memory. Raises MissingExtraError where datasets is not installed.

    >>> from dreamframe.hub import as_dataset
    >>> as_dataset(pl.DataFrame({"a": [1]})).features["a"].dtype
    'int64'
    """
    try:
        import datasets
    except ImportError as exc:
        raise MissingExtraError("datasets", extra="hub", needed_for="to_hf_dataset") from exc
    return datasets.Dataset(datasets.table.InMemoryTable(rows.to_arrow()))


def scan_hub(repo: str, *, config: str | None = None, split: str = "train", revision: str | None = None, token: str | None = None) -> Frame:
    """Rows of a data set of the Hub, through the datasets library, which never runs code of the repository.

    Without `revision` it is the newest commit when this session first reads it, and that commit ever after; the rows are kept in the session, so that it
    runs again without a network. Licence and citation go on the card. Labels of a `ClassLabel` are their names.

    Raises MissingExtraError without datasets, HubError where the Hub has no such data set or cannot be reached, without the token in it, and
    OfflineError for what is not in an offline session.

    >>> with dr.Session("./run", offline=True):
    ...     try:
    ...         dr.scan_hub("org/reviews", split="test")
    ...     except dr.errors.OfflineError as exc:
    ...         print(exc)
    scan_hub: org/reviews is not in the session, and offline=True allows no download.
    """
    session = current()
    asked = fingerprint(["hub", repo, config, split, revision])
    sources = session.stores.sources
    found = None if sources is None else sources.find(repo, asked)
    if found is None:
        if session.is_offline:
            raise OfflineError(f"scan_hub: {repo} is not in the session, and offline=True allows no download.")
        found = _fetched(repo, config=config, split=split, revision=revision, token=token)
        if sources is not None:
            sources.keep(repo, asked, *found)
            found = sources.find(repo, asked) or found  # with the types that the next run will read
    rows, record = found
    own: dict[str, Any] = {"revision": str(record.get("revision", "")), "license": record.get("license"), "citation": record.get("citation")}
    return Frame(HubTable(data=rows, repo=repo, config=config, split=split, **own))


def scan_hf_disk(path: str | Path, *, split: str | None = None) -> Frame:
    """Rows of a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` of the datasets library wrote; of several splits, `split` names one.

    Raises MissingExtraError without datasets, PlanError for a folder that is none, or one of several splits without `split`.

    >>> dr.frame({"a": [1, 2]}).to_hf_dataset().save_to_disk("saved")
    >>> dr.scan_hf_disk("saved").to_dicts()
    [{'a': 1}, {'a': 2}]
    """
    datasets = _datasets("scan_hf_disk")
    try:
        made = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as exc:
        raise PlanError(f"scan_hf_disk: {path} is no folder that save_to_disk wrote: {exc}") from exc
    if isinstance(made, datasets.DatasetDict):
        if split not in made:
            asked = f"there is no split {split!r}" if split is not None else "there are several splits"
            raise PlanError(f"scan_hf_disk: {path}: {asked}; give split= as one of {', '.join(map(repr, made))}.")
        made = made[split]
    elif split is not None:
        raise PlanError(f"scan_hf_disk: {path} has no splits; leave split= out.")
    return Frame(Table(data=_rows(made)))


def _datasets(needed_for: str) -> Any:
    try:
        import datasets
    except ImportError as exc:
        raise MissingExtraError("datasets", extra="hub", needed_for=needed_for) from exc
    return datasets


def _rows(made: Any) -> pl.DataFrame:
    """The rows of a `Dataset`, labels by their names."""
    rows = pl.DataFrame(made.with_format("arrow")[:])
    for name, feature in made.features.items():
        if type(feature).__name__ == "ClassLabel":
            rows = rows.with_columns(pl.col(name).replace_strict(dict(enumerate(feature.names)), default=None, return_dtype=pl.String))
    return rows


def _fetched(repo: str, *, config: str | None, split: str, revision: str | None, token: str | None) -> tuple[pl.DataFrame, dict[str, Any]]:
    datasets = _datasets("scan_hub")
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError

    try:
        info = huggingface_hub.HfApi(token=token).dataset_info(repo, revision=revision)
        made = datasets.load_dataset(repo, config, split=split, revision=info.sha, token=token)
        card = huggingface_hub.DatasetCard.load(repo, token=token).content if any(s.rfilename == "README.md" for s in info.siblings or ()) else ""
    except (HfHubHTTPError, datasets.exceptions.DatasetsError, OSError, ValueError) as exc:
        held = token or huggingface_hub.get_token() or ""
        said = str(exc).replace(held, "***") if held else str(exc)
        raise HubError(f"scan_hub: {repo}: {type(exc).__name__}: {' '.join(said.split())[:500]}") from None
    return _rows(made), {"repo": repo, "config": config, "split": split, "revision": info.sha, "license": _license(card), "citation": _citation(card)}


def _license(card: str) -> str | None:
    """The licence in a card's front matter, lower case; several as one text."""
    import huggingface_hub

    try:
        named = huggingface_hub.RepoCard(card, ignore_metadata_errors=True).data.to_dict().get("license")
    except Exception:  # noqa: BLE001  YAML of a stranger: whatever is wrong with it, it names no licence
        return None
    names = named if isinstance(named, list) else [named]
    return ", ".join(str(n).lower() for n in names if n) or None


def _citation(card: str) -> str | None:
    """The first BibTeX entry of a card."""
    found = BIBTEX.search(card)
    return found[1].strip() if found else None
