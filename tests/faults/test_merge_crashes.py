"""A merge that is killed, or cut off from power, at any operation: nothing torn is there, and merging again makes the union."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamframe.store.care import verify
from dreamframe.store.layout import Layout
from dreamframe.store.merge import Merged, merge
from dreamframe.store.read_only import ReadOnlyFiles
from dreamframe.store.stores import stores_on
from tests.faults.disk import Crash, Disk
from tests.faults.hostile import commit_model
from tests.storing import give, opened, step_key, store_step, table_of, texts

ROOT = Path("/disk/session")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with opened(tmp_path / "one") as stores:
        give(stores.answers, range(10))
        store_step(stores, 1, table_of(6))
        commit_model(stores, 2)
        stores.log.write([{"event": "run"}])
    return tmp_path / "one"


def merged(disk: Disk, folder: Path) -> Merged:
    made = Merged()
    merge(stores_on(disk), ReadOnlyFiles(folder), made)
    return made


def check(disk: Disk, folder: Path) -> None:
    """What was left is whole, as far as it goes, and the next merge brings the rest."""
    if disk.kind(ROOT / "session.json") is not None:
        assert verify(disk, Layout(ROOT)) == []
    merged(disk, folder)
    stores = stores_on(disk)
    assert None not in texts(stores.answers, range(10))
    assert stores.steps.find(step_key(1)) is not None
    assert stores.models.find(step_key(2)) is not None
    assert verify(disk, Layout(ROOT)) == []
    assert merged(disk, folder) == Merged()


def test_a_merge_that_is_cut_short_anywhere_is_a_part_of_one(folder: Path) -> None:
    whole = Disk(ROOT)
    assert merged(whole, folder) == Merged(answers=10, steps=1, models=1, runs=1)
    assert whole.n_operations > 30
    for n in range(1, whole.n_operations + 1):
        disk = Disk(ROOT, stop_at=n)
        with pytest.raises(Crash):
            merged(disk, folder)
        check(disk.killed(), folder)
        check(disk.after_power_cut(n), folder)
