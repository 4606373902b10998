"""What a session does with its folder besides running plans: is it whole, what may go, and taking it elsewhere. Functions over its stores."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dreamframe.errors import SettingError
from dreamframe.plan.step import ModelStep, Step
from dreamframe.plan.steps.files import expanded
from dreamframe.plan.steps.source import HubStream, HubTable
from dreamframe.redaction.visible import visible
from dreamframe.store.address import address_of
from dreamframe.store.layout import entry_name
from dreamframe.store.records import Removed

if TYPE_CHECKING:
    from dreamframe.store.care import Kept
    from dreamframe.store.merge import Merged
    from dreamframe.store.stores import Stores


def tidy(stores: Stores, *, keep: Sequence[Step] | None, dry_run: bool) -> list[Removed]:
    """Remove what nobody needs; with plans to `keep`, also what all others left. Answers stay."""
    return stores.gc(kept=None if keep is None else reachable(stores, keep), dry_run=dry_run)


def reachable(stores: Stores, plans: Sequence[Step]) -> Kept:
    """What the plans are found by: the keys of their steps and models, the files that their records name."""
    from dreamframe.store.care import Kept

    memo: dict[Any, Any] = {}
    nodes = [node for plan in plans for node in plan.walk()]
    steps = {node.key(memo) for node in nodes}
    known = {e["key"]: str(e["model"]) for e in stores.log.read() if e.get("event") == "model" and e.get("key") in steps}
    trained = {node.key(memo) for node in nodes if isinstance(node, ModelStep)}
    files: set[str] = set()
    for record in stores.plans.all():
        if record.get("key") in steps:
            files |= {f"{record['name']}.json", str(record.get("script")), *_rows_of(record)}
    for node in nodes:
        if isinstance(node, HubTable | HubStream):
            files |= stores.sources.names_of(repo=node.repo, config=node.config, split=node.split)
    return Kept(steps=steps, models=set(known.values()) if trained <= known.keys() else None, files=files)


def pack(stores: Stores, archive: str | Path, *, models: bool) -> Path:
    """Write the whole folder into one file, with the trained models or without."""
    from dreamframe.store.archive import export

    stores.answers.flush()
    return export(stores.files, Path(archive).absolute(), models=models)


def unpacked(archive: str | Path, folder: str | Path, *, max_bytes: int | None) -> None:
    """Make a folder out of an archive."""
    from dreamframe.store.unpack import unpack

    unpack(Path(archive).absolute(), Path(folder).absolute(), max_bytes=max_bytes)


def united(stores: Stores, own: Path, folders: Sequence[str | Path]) -> Merged:
    """Take what other sessions hold into this one, in folders or in buckets. All of them are looked at before the first is taken."""
    from dreamframe.store import merge

    opened = []
    for named in folders:
        address = address_of(named)
        folder = expanded(str(named)) if address is None else address.folder()
        if os.path.realpath(folder) == os.path.realpath(own):
            raise SettingError(f"Session.merge: {visible(repr(str(named)))} is this session itself; name other folders.")
        if address is None and not (folder / "session.json").exists():
            raise SettingError(f"Session.merge: there is no session in {visible(repr(str(named)))}: it holds no session.json. Nothing was merged.")
        opened.append(merge.readable(folder, address=address, called=str(named)))
    stores.answers.flush()
    made = merge.Merged()
    for files in opened:
        merge.merge(stores, files, made)
    return made


def _rows_of(record: Mapping[str, Any]) -> Iterator[str]:
    """The files of the rows that a kept plan names."""
    for step in record.get("steps") or ():
        held = step.get("rows") if isinstance(step, Mapping) else None
        if isinstance(held, Mapping) and "kept" in held and "label" in held:
            yield from (f"{entry_name(str(held['label']), str(held['kept']))}{suffix}" for suffix in (".json", ".arrow"))
