"""The session folder: a numbered format and safe names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dreamframe.errors import CorruptFileError, SessionFormatError, StorageError
from dreamframe.store.files import Files
from dreamframe.store.layout import FORMAT, as_json, entry_name, open_folder, safe_name
from dreamframe.store.stores import Stores, open_stores
from tests.storing import give, opened, step_key, store_step, table_of, texts, warned


def test_a_folder_says_which_format_and_libraries_made_it(tmp_path: Path) -> None:
    open_folder(Files(tmp_path / "deep" / "out"))
    found = json.loads((tmp_path / "deep" / "out" / "session.json").read_text())
    assert found["format"] == FORMAT
    assert {"dreamframe", "polars", "pyarrow"} <= set(found["libraries"])


def test_a_newer_format_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text = json.dumps({"format": FORMAT + 1, "libraries": {"dreamframe": "99.1"}})
    (tmp_path / "session.json").write_text(text)
    with pytest.raises(SessionFormatError, match=r"99\.1.*pip install -U dreamframe"):
        open_stores(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["session.json"]
    assert (tmp_path / "session.json").read_text() == text


@pytest.mark.parametrize("text", ["", "{", "[1]", "{}", '{"format": "1"}', '{"format": true}', '{"format": 0}', "\xff"])
def test_an_unreadable_manifest_is_an_error_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "session.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(CorruptFileError, match=r"[Rr]emove"):
        open_stores(tmp_path)


@pytest.mark.parametrize("text", ["", "{", '{"format": 7, "checksum": "0"}'], ids=["empty", "cut", "a flipped format number"])
def test_the_damaged_manifest_of_a_folder_that_is_ours_is_made_anew(tmp_path: Path, text: str) -> None:
    with opened(tmp_path) as stores:
        give(stores.answers, [1])
    (tmp_path / "session.json").write_text(text)
    with warned() as said:
        for _ in range(2):
            with opened(tmp_path) as stores:
                assert texts(stores.answers, [1]) == ["answer 1"]
    assert len(said) == 1


def test_an_existing_folder_is_not_made_anew(tmp_path: Path) -> None:
    open_folder(Files(tmp_path))
    before = (tmp_path / "session.json").stat().st_mtime_ns
    open_folder(Files(tmp_path))
    assert (tmp_path / "session.json").stat().st_mtime_ns == before


@given(st.text())
def test_any_label_makes_a_plain_file_name(label: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,47}", safe_name(label))
    assert entry_name(label, step_key(1)).endswith(f"-{step_key(1)[:12]}")


def test_hostile_labels_stay_inside(tmp_path: Path) -> None:
    with opened(tmp_path / "out") as stores:
        for n, label in enumerate(["../../x", "/etc/passwd", "a/b", "..", "con\0", "x" * 500, "", "\n"]):
            store_step(stores, n, table_of(1), label=label)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert len(list((tmp_path / "out" / "steps").iterdir())) == 8


def test_a_session_in_memory_writes_only_below_its_scratch(tmp_path: Path) -> None:
    stores = open_stores(None, scratch=tmp_path / "scratch")
    stores.log.write([{"event": "run"}])
    stores.answers.close()
    assert not stores.steps.keeps
    assert list(tmp_path.iterdir()) == []


def test_the_log_of_a_run_is_one_json_line_an_event(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        stores.log.write([{"event": "run", "calls": 3}, {"event": "failure", "text": "é\n"}])
        stores.log.write([])
    (path,) = (tmp_path / "runs").iterdir()
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"event": "run", "calls": 3}, {"event": "failure", "text": "é\n"}]


USES: dict[str, Callable[[Stores], object]] = {
    "answers": lambda s: None,  # opening reads it
    "session.json": lambda s: None,
    "steps": lambda s: s.steps and s.steps.find(step_key(1)),
    "models": lambda s: s.models.workdir(step_key(1), "SFT"),
    "runs": lambda s: s.log.write([{"event": "run"}]),
}


def use(folder: Path, name: str) -> None:
    with opened(folder) as stores:
        USES[name](stores)


@pytest.mark.parametrize("name", USES)
def test_a_link_in_place_of_a_part_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with opened(tmp_path / "out") as stores:
        store_step(stores, 1, table_of(1))
        give(stores.answers, [1])
        commit_model(stores)
    outside, part = tmp_path / "outside", tmp_path / "out" / name
    part.rename(outside) if part.exists() else outside.mkdir()
    part.symlink_to(outside)
    before = sorted(outside.rglob("*"))
    with pytest.raises(StorageError, match="link"):
        use(tmp_path / "out", name)
    assert sorted(outside.rglob("*")) == before


def commit_model(stores: Stores) -> None:
    out = stores.models.workdir(step_key(1), "SFT") / "out"
    out.mkdir()
    stores.models.commit(step_key(1), "SFT", out, {})


def test_a_link_in_place_of_the_quarantine_moves_nothing(tmp_path: Path) -> None:
    with opened(tmp_path / "out") as stores:
        store_step(stores, 1, table_of(1))
    (manifest,) = (tmp_path / "out" / "steps").glob("*/step.json")
    manifest.write_text("damaged")
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / "set-aside").symlink_to(tmp_path / "outside")
    with warned() as said, opened(tmp_path / "out") as stores:
        assert stores.steps is not None
        assert stores.steps.find(step_key(1)) is None
    assert list((tmp_path / "outside").iterdir()) == []
    assert "left where it is" in said[0]


def test_numbers_of_other_libraries_stay_numbers() -> None:
    numpy = pytest.importorskip("numpy")
    assert json.loads(as_json({"n": numpy.int64(3), "x": numpy.float32(0.5), "p": Path("a")})) == {"n": 3, "x": 0.5, "p": "a"}
