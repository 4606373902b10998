"""verify() says what is damaged and changes nothing; gc() removes what nobody needs and never an answer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from dreamframe.store.care import OLD_S, Kept
from dreamframe.store.stores import Stores, open_stores
from tests.faults.hostile import commit_model
from tests.storing import give, journals, opened, step_key, store_step, table_of, texts, warned


def build(folder: Path) -> Path:
    """Answers, two outputs and two models."""
    with opened(folder) as stores:
        give(stores.answers, range(10))
        for n in (1, 2):
            store_step(stores, n, table_of(n))
        for n in (3, 4):
            commit_model(stores, n)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "locks" not in p.parts)


def problems(folder: Path) -> list[tuple[str, str]]:
    with opened(folder) as stores:
        return [tuple(p) for p in stores.verify()]  # type: ignore[misc]


def test_a_whole_session_has_no_problems_even_while_others_write(tmp_path: Path) -> None:
    build(tmp_path)
    with opened(tmp_path) as other:
        give(other.answers, range(10, 20))
        other.answers.flush()
        with journals(tmp_path)[-1].open("ab") as file:
            file.write(b"FRAM half a frame")
        assert problems(tmp_path) == []


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGE: dict[str, tuple[str, Callable[[Path], object]]] = {
    "session file": ("session.json", lambda f: flip(f / "session.json")),
    "journal": ("answers/", lambda f: flip(journals(f)[0])),
    "torn journal": ("answers/", lambda f: journals(f)[0].write_bytes(journals(f)[0].read_bytes()[:-3])),
    "rows": ("steps/", lambda f: flip(next(f.glob("steps/*/data.arrow")))),
    "manifest": ("steps/", lambda f: flip(next(f.glob("steps/*/step.json")))),
    "a renamed output": ("steps/", lambda f: next(f.glob("steps/*")).rename(f / "steps" / f"x-{'0' * 12}")),
    "a missing file": ("models/", lambda f: next(f.glob("models/*/config.json")).unlink()),
    "a changed record": ("models/", lambda f: edit(next(f.glob("models/*/training.json")))),
}


def edit(path: Path) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), "license": "mit"}))


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_is_said_and_left_as_it_is(tmp_path: Path, what: str) -> None:
    where, damage = DAMAGE[what]
    build(tmp_path)
    with warned() as said:
        stores = open_stores(tmp_path)
        damage(tmp_path)
        before = names(tmp_path)
        found = stores.verify()
        stores.answers.close()
    assert len(found) == 1
    assert found[0].path.startswith(where)
    assert found[0].what
    assert names(tmp_path) == before
    assert said == []


def test_without_anything_to_keep_only_leavings_go(tmp_path: Path) -> None:
    build(tmp_path)
    before = names(tmp_path)
    leave(tmp_path)
    with opened(tmp_path) as stores:
        removed = stores.gc()
        assert texts(stores.answers, range(10)) == [f"answer {n}" for n in range(10)]
    assert sorted(r.path.split("/")[0] for r in removed) == ["models", "runs", "set-aside", "steps"]
    assert all(r.n_bytes > 0 for r in removed)
    assert names(tmp_path) == before


def leave(folder: Path) -> None:
    """What sessions leave behind that were killed, and what was set aside."""
    old = time.time() - OLD_S - 60
    (folder / "set-aside").mkdir()
    (folder / "set-aside" / "x.answers.0").write_bytes(b"damaged")
    for path in (folder / "steps" / ".summary-abc.1-2.tmp" / "data.arrow", folder / "runs" / ".x.jsonl.1-2.tmp"):
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(b"half")
        for p in (path, path.parent):
            os.utime(p, (old, old))
    done = next(folder.glob("models/SFT-*"))
    work = folder / "models" / f".{done.name}.1.work"
    work.mkdir()
    (work / "checkpoint").write_bytes(b"x")


def test_what_somebody_is_writing_stays(tmp_path: Path) -> None:
    build(tmp_path)
    old = time.time() - OLD_S - 60
    with opened(tmp_path) as other, opened(tmp_path) as stores:
        assert other.steps is not None
        writer = other.steps.writer(step_key(7), "summary", table_of(1).schema)
        workdir = other.models.workdir(step_key(8), "SFT")
        for path in (writer._folder, writer._folder / "data.arrow", workdir):
            os.utime(path, (old, old))
        assert stores.gc(kept=Kept(steps=[], models=[])) != []
        writer.write(table_of(4))
        assert writer.commit({}).rows().height == 4
        assert workdir.is_dir()


def test_what_is_kept_is_named_by_its_key(tmp_path: Path) -> None:
    build(tmp_path)
    with opened(tmp_path) as stores:
        rows = found(stores, 2)
        removed = stores.gc(kept=Kept(steps=[step_key(1)], models=[step_key(3)]))
        assert sorted(r.path for r in removed) == [f"models/SFT-{step_key(4)[:12]}", f"steps/summary-{step_key(2)[:12]}"]
        assert found(stores, 1) is not None
        assert found(stores, 2) is None
        assert stores.models.find(step_key(3)) is not None
        assert stores.models.find(step_key(4)) is None
        assert rows is not None
        assert rows.height == 2  # still mapped
        assert texts(stores.answers, range(10)) == [f"answer {n}" for n in range(10)]
    assert problems(tmp_path) == []


def found(stores: Stores, n: int) -> pl.DataFrame | None:
    assert stores.steps is not None
    output = stores.steps.find(step_key(n))
    return None if output is None else output.rows()


def test_the_checkpoints_of_a_kept_key_stay(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        for n in (1, 2):
            work = stores.models.workdir(step_key(n), "SFT")
            (work / "checkpoint").write_bytes(b"x")
            stores.models.release(step_key(n))
    with opened(tmp_path) as stores:
        assert [r.why for r in stores.gc(kept=Kept(models=[step_key(1)]))] == ["not kept"]
        assert [p.name for p in (tmp_path / "models").iterdir()] == [f".SFT-{step_key(1)[:12]}.work"]


def test_a_link_in_the_set_aside_folder_is_removed_and_not_followed(tmp_path: Path) -> None:
    build(tmp_path / "out")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    (tmp_path / "out" / "set-aside").mkdir()
    (tmp_path / "out" / "set-aside" / "link").symlink_to(outside)
    with opened(tmp_path / "out") as stores:
        assert len(stores.gc()) == 1
    assert (outside / "kept").exists()


def test_a_session_in_memory_has_nothing_to_look_after(tmp_path: Path) -> None:
    stores = open_stores(None, scratch=tmp_path)
    assert stores.verify() == []
    assert stores.gc(kept=Kept(steps=[], models=[])) == []
    stores.answers.close()
