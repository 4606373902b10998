"""Frames over data sets of the Hugging Face Hub, and over folders that its library wrote."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from dreamframe.errors import PlanFormatError, SettingError
from dreamframe.frame.frame import Frame
from dreamframe.frame.from_json import as_users_see
from dreamframe.hub.datasets import HubSplit, saved_to_disk
from dreamframe.hub.push import plan_file
from dreamframe.plan.steps.source import HubStream, HubTable, Table
from dreamframe.run.active import current

if TYPE_CHECKING:
    from dreamframe.frame.model import Model
    from dreamframe.plan.json.read import Given


def scan_hub(
    repo: str, *, config: str | None = None, split: str = "train", revision: str | None = None, streaming: bool = False, token: str | None = None
) -> Frame:
    """Rows of a data set of the Hub, through the datasets library, which never runs code of the repository.

    Without `revision` it is the newest commit when this session first names it, and that commit ever after. Naming it reads the columns, the licence and
    the citation (and the first row, where the data set does not say its columns); the rows are read when a plan runs, and kept in the session, so that it
    runs again without a network. Labels of a `ClassLabel` are their names, also in lists and structs. With `streaming=True` no more rows are read than a
    `head(n)` or `slice` needs: for data sets that are larger than this machine's disk.

    Raises SettingError for what names no split, MissingExtraError without datasets, HubError where the Hub has no such data set or cannot be reached,
    without the token in it, and OfflineError for what is not in an offline session.

    >>> with dr.Session("./run", offline=True):
    ...     try:
    ...         dr.scan_hub("org/reviews", split="test")
    ...     except dr.errors.OfflineError as exc:
    ...         print(exc)
    scan_hub: org/reviews is not in the session, and offline=True allows no download.
    """
    if not isinstance(split, str) or not split:
        raise SettingError(f"scan_hub: split={split!r} is not the name of a split. Name one, such as 'train'; several are several frames.")
    hub = HubSplit(repo, config, split, current().source_context, token=token)
    if not streaming and (kept := hub.kept_rows(revision)) is not None:
        rows, record = kept
        return Frame(HubTable(data=rows, **_named(hub, record)))
    schema, record = hub.described(revision)
    return Frame(HubStream(columns=tuple(schema.items()), streaming=streaming, token=token, **_named(hub, record)))


def _named(hub: HubSplit, record: dict[str, Any]) -> dict[str, Any]:
    """The fields that name a commit of a data set, and what its card says."""
    own: dict[str, Any] = {"repo": hub.repo, "config": hub.config, "split": hub.split, "revision": str(record.get("revision", ""))}
    return own | {name: text if isinstance(text := record.get(name), str) else None for name in ("license", "citation")}


def from_hub(
    repo: str,
    *,
    rows: Sequence[Frame | pl.DataFrame] = (),
    revision: str | None = None,
    functions: Given = (),
    allow: Iterable[str | os.PathLike[str]] = (),
    trust_remote_code: bool = False,
    token: str | None = None,
) -> Frame | Model:
    """Read the plan that `push_to_hub` published beside rows or a model: a frame to look at, and to run on rows of your own.

    The rows that it began with are not published. Where the session holds what was made of them (a loaded archive, say), that is read; else hand over
    `rows`: each takes the place of the first one with the same columns. What a plan that was read may reach, and the other arguments, are as of
    `dr.from_json`. A data set is looked for first, then a model.

    Raises HubError where the Hub has no plan in a repository of that name, PlanFormatError for what is not a plan.

    >>> try:
    ...     dr.from_hub("me/rows/plan")
    ... except dr.errors.SettingError as exc:
    ...     print(exc)
    from_hub: 'me/rows/plan' is not the name of a repository; write 'owner/name'.
    """
    free = [frame.collect() if isinstance(frame, Frame) else frame for frame in rows]

    def taken(held: Mapping[str, Any]) -> pl.DataFrame | None:
        found = next((i for i, frame in enumerate(free) if frame.schema == held.get("elsewhere")), None)
        return None if found is None else free.pop(found)

    from dreamframe.plan.json.read import plan_of  # knows every record there is: building a plan needs none of it

    record = json.loads(plan_file(repo, revision=revision, token=token))
    made = plan_of(record, functions=functions, allow=allow, rows=taken, trust_remote_code=trust_remote_code)
    if free:
        raise PlanFormatError(f"from_hub: no rows that {repo} began with have the columns {', '.join(free[0].columns)} of those in rows=, with their types.")
    return as_users_see(made)


def scan_hf_disk(path: str | Path, *, split: str | None = None) -> Frame:
    """Rows of a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` of the datasets library wrote; of several splits, `split` names one.

    The rows are copied into memory, and labels of a `ClassLabel` are their names, also in lists and structs. The folder's bytes are checked before they
    are used: they have no checksum, but nothing in them leads a reader astray.

    Raises MissingExtraError without datasets, PlanError for what is not such a folder, for one that is damaged, and for one of several splits without `split`.

    >>> dr.frame({"a": [1, 2]}).to_hf_dataset().save_to_disk("saved")
    >>> dr.scan_hf_disk("saved").to_dicts()
    [{'a': 1}, {'a': 2}]
    """
    return Frame(Table(data=saved_to_disk(path, split)))
