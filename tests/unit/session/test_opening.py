"""Opening a folder to look never makes or changes anything."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import CorruptFileError, OfflineError, SettingError, StorageError
from dreamframe.testing import Echo


def said(text: str = "tea") -> dr.Frame:
    return dr.frame({"t": [text]}).prompt(Echo(), "Say {t}", into="said")


def built(folder: Path) -> Path:
    with dr.Session(folder):
        said().collect()
    return folder


def state(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(p): (os.lstat(p).st_mtime_ns, os.lstat(p).st_size) for p in [folder, *folder.rglob("*")]}


LOOKS: dict[str, Callable[[dr.Session], object]] = {
    "steps": lambda s: s.steps(),
    "plans": lambda s: s.plans(),
    "plan": lambda s: s.plan("said"),
    "runs": lambda s: s.runs(),
    "as_dict": lambda s: s.as_dict(),
    "verify": lambda s: s.verify(),
    "gc": lambda s: s.gc(dry_run=True),
    "diff": lambda s: s.diff(s),
}


@pytest.mark.parametrize("look", LOOKS)
def test_looking_at_what_is_not_there_makes_nothing_and_says_so(look: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"there is no session in '.*typo': it holds no session\.json"):
        LOOKS[look](dr.Session(tmp_path / "typo"))
    assert list(tmp_path.iterdir()) == []


def test_explain_makes_no_session_of_a_folder_of_somebody_elses(tmp_path: Path) -> None:
    (tmp_path / "letters.txt").touch()
    session = dr.Session(tmp_path)
    assert session.optimised(said().step).plans[0].schema.names() == ["t", "said"]
    assert "Planned, not run yet" in session.card(said().step)
    assert [p.name for p in tmp_path.iterdir()] == ["letters.txt"]


def test_a_session_that_is_not_there_cannot_be_opened_to_look(tmp_path: Path) -> None:
    for folder in (tmp_path / "typo", tmp_path):
        with pytest.raises(SettingError, match="there is no session in"):
            dr.Session.existing(folder)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_a_manifest_is_refused(tmp_path: Path) -> None:
    (tmp_path / "session.json").write_text("{}")
    with pytest.raises(CorruptFileError):
        dr.Session.existing(tmp_path)
    assert (tmp_path / "session.json").read_text() == "{}"


def test_looking_changes_no_byte_and_no_time(tmp_path: Path) -> None:
    folder = built(tmp_path / "s")
    before = state(folder)
    with dr.Session.existing(folder) as session:
        for look in LOOKS.values():
            look(session)
        assert said().collect()["said"].to_list() == ["Say tea"]
        assert session.plan("said").collect()["said"].to_list() == ["Say tea"]  # type: ignore[union-attr]
        assert "said" in said().card()
        assert session.usage()["calls"] == 0
    assert state(folder) == before


def test_looking_repairs_nothing(tmp_path: Path) -> None:
    folder = built(tmp_path / "s")
    (journal,) = (folder / "answers").iterdir()
    journal.write_bytes(journal.read_bytes()[:-3])
    before = state(folder)
    session = dr.Session.existing(folder)
    assert [p.path for p in session.verify()] == [f"answers/{journal.name}"]
    session.close()
    assert state(folder) == before


def test_a_look_asks_nobody_and_writes_nothing(tmp_path: Path) -> None:
    folder = built(tmp_path / "s")
    with dr.Session.existing(folder):
        with pytest.raises(OfflineError):
            said("rain").collect()
        with pytest.raises(StorageError, match=r"opened to be looked at\. To change it, open it with dr\.Session\("):
            dr.Session.existing(folder).stores.sources.keep("x", "0" * 32, pl.DataFrame(), {})  # type: ignore[union-attr]


def test_a_writer_goes_on_while_somebody_looks(tmp_path: Path) -> None:
    folder = built(tmp_path / "s")
    with dr.Session(folder), dr.Session.existing(folder) as looking:
        assert len(looking.steps()) == 1
    with dr.Session(folder):
        said("rain").collect()
        assert sorted(p.label for p in dr.Session.existing(folder).plans()) == ["said", "said"]
