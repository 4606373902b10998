"""Compaction: fewer and larger frames, the same answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from dreamframe.store import compaction
from dreamframe.store.compaction import compact
from dreamframe.store.files import Files
from dreamframe.store.journal import scan
from dreamframe.store.layout import open_folder
from tests.faults.disk import Crash, Disk
from tests.storing import give, journals, key_of, open_answers, texts, warned


@pytest.fixture(autouse=True)
def never_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests say when."""
    monkeypatch.setattr(compaction, "MANY_FRAMES", 10**9)
    monkeypatch.setattr(compaction, "MANY_FILES", 10**9)


def session(folder: Path | Files, numbers: range, *, said: str = "answer", rows_a_frame: int = 5) -> None:
    """One session that asks some questions, in small frames."""
    answers = open_answers(folder)
    for start in range(numbers.start, numbers.stop, rows_a_frame):
        give(answers, range(start, min(start + rows_a_frame, numbers.stop)), said=said)
        answers.flush()
    answers.close()


def forced(folder: Path | Files) -> int:
    files = folder if isinstance(folder, Files) else Files(folder)
    return compact(files, open_folder(files), force=True)


def found(folder: Path | Files, numbers: range) -> list[str | None]:
    answers = open_answers(folder)
    try:
        return texts(answers, numbers)
    finally:
        answers.close()


def frames(path: Path) -> list[int]:
    return [b.num_rows for b in scan(path.read_bytes()).batches]


def test_ended_sessions_become_one_file_of_large_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FRAME_ROWS", 50)
    for start in range(0, 120, 40):
        session(tmp_path, range(start, start + 40))
    assert forced(tmp_path) == 3
    (path,) = journals(tmp_path)
    assert frames(path) == [50, 50, 20]
    assert found(tmp_path, range(121)) == [*(f"answer {n}" for n in range(120)), None]


def test_the_first_answer_of_a_key_stays_and_the_others_go(tmp_path: Path) -> None:
    session(tmp_path, range(10), said="first")
    (folder_of_one,) = journals(tmp_path)
    kept = folder_of_one.read_bytes()
    folder_of_one.unlink()
    session(tmp_path, range(15), said="second")
    folder_of_one.write_bytes(kept)
    before = found(tmp_path, range(15))
    forced(tmp_path)
    assert found(tmp_path, range(15)) == before == [f"{'first' if n < 10 else 'second'} {n}" for n in range(15)]
    (path,) = journals(tmp_path)
    assert frames(path) == [15]
    session(tmp_path, range(20, 25), said="third")
    assert journals(tmp_path)[0] == path  # it sorts where its oldest part was


def test_a_living_writer_is_left_alone(tmp_path: Path) -> None:
    session(tmp_path, range(10))
    living = open_answers(tmp_path)
    give(living, range(10, 20))
    living.flush()
    assert forced(tmp_path) == 1
    give(living, range(20, 30))
    living.close()
    assert found(tmp_path, range(30)) == [f"answer {n}" for n in range(30)]


def test_damaged_files_are_left_to_those_who_repair_them(tmp_path: Path) -> None:
    session(tmp_path, range(10))
    (path,) = journals(tmp_path)
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    assert forced(tmp_path) == 0
    assert path.read_bytes() == bytes(data)


def test_a_reader_keeps_what_it_maps_and_finds_the_merged_file(tmp_path: Path) -> None:
    session(tmp_path, range(10))
    reader = open_answers(tmp_path)
    session(tmp_path, range(10, 20))
    forced(tmp_path)
    with warned() as said:
        assert texts(reader, range(5)) == [f"answer {n}" for n in range(5)]
        reader.refresh()
        assert texts(reader, range(20)) == [f"answer {n}" for n in range(20)]
        reader.close()
    assert said == []


def test_files_that_vanish_between_listing_and_reading_are_found_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session(tmp_path, range(10))
    session(tmp_path, range(10, 20))
    files = Files(tmp_path)
    listdir = files.listdir
    compacted: list[int] = []

    def list_then_compact(path: Path) -> list[str]:
        names = listdir(path)
        if path.name == "answers" and not compacted:
            compacted.append(forced(tmp_path))
        return names

    answers = open_answers(files)
    monkeypatch.setattr(files, "listdir", list_then_compact)
    assert texts(answers, range(20)) == [f"answer {n}" for n in range(20)]
    assert compacted == [2]
    answers.close()


def test_large_files_are_not_written_again_for_a_few_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    session(tmp_path, range(1000), rows_a_frame=500)
    forced(tmp_path)
    (large,) = journals(tmp_path)
    monkeypatch.setattr(compaction, "MANY_FRAMES", 2)
    session(tmp_path, range(1000, 1010))
    assert large in journals(tmp_path)
    assert len(journals(tmp_path)) == 2
    assert found(tmp_path, range(1010)) == [f"answer {n}" for n in range(1010)]


@pytest.mark.parametrize("limit", ["MANY_FRAMES", "MANY_FILES"])
def test_it_happens_by_itself_when_enough_has_come_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(compaction, limit, 6)
    for start in range(0, 200, 10):
        session(tmp_path, range(start, start + 10))
        assert len(journals(tmp_path)) <= 7
    assert found(tmp_path, range(200)) == [f"answer {n}" for n in range(200)]


def test_what_is_whole_is_not_written_again(tmp_path: Path) -> None:
    session(tmp_path, range(10))
    session(tmp_path, range(10, 20))
    forced(tmp_path)
    before = [(p, p.stat().st_mtime_ns) for p in journals(tmp_path)]
    assert forced(tmp_path) == 0
    assert [(p, p.stat().st_mtime_ns) for p in journals(tmp_path)] == before


def test_only_one_session_compacts_at_a_time(tmp_path: Path) -> None:
    session(tmp_path, range(10))
    session(tmp_path, range(10, 20))
    files = Files(tmp_path)
    held = files.lock(tmp_path / "locks" / "compaction")
    assert forced(tmp_path) == 0
    assert held is not None
    held.release()
    assert forced(tmp_path) == 2


def test_a_compaction_that_is_cut_short_loses_nothing() -> None:
    """At every operation, by a kill and by power cuts."""
    root = Path("/nowhere/out")
    whole = Disk(root)
    session(whole, range(10))
    session(whole, range(10, 20))
    n = 0
    while True:
        n += 1
        disk = whole.killed()
        disk.stop_at = n
        try:
            forced(disk)
        except Crash:
            for state in (disk.killed(), *(disk.after_power_cut(seed) for seed in range(10))):
                with warned() as said:
                    assert found(state, range(20)) == [f"answer {i}" for i in range(20)]
                assert said == []
        else:
            break
    assert n > 6


def test_keys_are_the_same_bytes_after_a_compaction(tmp_path: Path) -> None:
    session(tmp_path, range(10))
    forced(tmp_path)
    (path,) = journals(tmp_path)
    keys = [k for b in scan(path.read_bytes()).batches for k in b.column("key").to_pylist()]
    assert keys == [key_of(n) for n in range(10)]


def test_large_frames_are_no_reason_to_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "MANY_FRAMES", 3)
    answers = open_answers(tmp_path)
    for start in range(0, 40, 8):
        give(answers, range(start, start + 8), said="x" * 10_000)
        answers.flush()
    answers.close()
    (path,) = journals(tmp_path)
    assert frames(path) == [8] * 5


def test_frames_have_no_more_bytes_than_are_held_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "FRAME_BYTES", 40_000)
    session(tmp_path, range(100), said="x" * 1_000)
    assert forced(tmp_path) == 1
    (path,) = journals(tmp_path)
    assert sum(frames(path)) == 100
    assert 2 <= len(frames(path)) <= 8
    assert found(tmp_path, range(100)) == [f"{'x' * 1_000} {n}" for n in range(100)]
