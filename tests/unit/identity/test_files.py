"""Digests of files: by their bytes alone, remembered by stat only while that is safe."""

from __future__ import annotations

import mmap
import os
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import xxhash

import dreamframe as dr
from dreamframe.errors import PlanError, SourceChangedError
from dreamframe.identity import files as file_content
from dreamframe.identity.files import FileMemo, file_digest
from dreamframe.plan.steps.source import Scan


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a\n1\n")
    return path


def rest(path: Path) -> None:
    """Let a file look as if it had been written an hour ago: its times then say whether it was touched."""
    old = time.time() - 3600
    os.utime(path, (old, old))


class Counting(FileMemo):
    """A memo that counts what it was asked for and what it knew, on a clock whose files are at rest."""

    def __init__(self) -> None:
        super().__init__()
        self.hits = self.kept = 0

    def get(self, stat: tuple[object, ...]) -> str | None:
        found = super().get(stat)
        self.hits += found is not None
        return found

    def keep(self, stat: tuple[object, ...], digest: str) -> None:
        self.kept += 1
        super().keep(stat, digest)


def test_a_digest_is_of_the_bytes_alone(file: Path, tmp_path: Path):
    assert file_digest(file) == xxhash.xxh3_128_hexdigest(b"a\n1\n")
    copy = tmp_path / "other name"
    shutil.copy(file, copy)
    assert file_digest(copy) == file_digest(str(file))


def test_a_file_of_many_blocks_is_read_whole(file: Path):
    data = bytes(range(256)) * (3 * file_content.BLOCK // 256) + b"end"
    file.write_bytes(data)
    assert file_digest(file) == xxhash.xxh3_128_hexdigest(data)


def test_saved_again_with_equal_content_it_is_the_same(file: Path):
    memo, before = FileMemo(), file_digest(file)
    file.unlink()
    file.write_text("a\n1\n")
    assert file_digest(file, memo) == before


def test_an_edit_of_the_same_size_within_the_same_second_is_seen(file: Path):
    memo = FileMemo()
    for i in range(200):  # as fast as the disk goes: many edits fall into one tick of its clock
        text = f"a\n{i % 10}\n"
        file.write_text(text)
        assert file_digest(file, memo) == xxhash.xxh3_128_hexdigest(text.encode())


def test_an_edit_that_sets_the_time_back_is_seen(file: Path):
    memo = FileMemo()
    rest(file)
    when = file.stat().st_mtime_ns
    for i in range(50):
        text = f"a\n{i % 10}\n"
        file.write_text(text)
        os.utime(file, ns=(when, when))
        assert file_digest(file, memo) == xxhash.xxh3_128_hexdigest(text.encode())


def test_a_file_written_just_now_is_not_remembered(file: Path):
    memo = Counting()
    file_digest(file, memo)
    assert memo.kept == 0
    rest(file)  # that set its times is known from the time of the change itself
    file_digest(file, memo)
    assert memo.kept == 0


def test_a_file_at_rest_is_read_once(file: Path, monkeypatch: pytest.MonkeyPatch):
    memo = Counting()
    monkeypatch.setattr(file_content, "RACY_S", -60.0)  # as if it had been written a minute earlier
    assert file_digest(file, memo) == file_digest(file, memo)
    assert (memo.kept, memo.hits) == (1, 1)
    file.write_text("a\n2\n")
    assert file_digest(file, memo) == xxhash.xxh3_128_hexdigest(b"a\n2\n")
    assert memo.hits == 1


def test_rows_that_a_mapping_changes_are_seen_though_the_file_has_its_times(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(file_content, "time", SimpleNamespace(time=lambda: time.time() + 20))  # as if it had been written a little earlier
    with file.open("r+b") as opened, mmap.mmap(opened.fileno(), 0) as mapped:
        mapped[2:3] = b"6"
        keys = [key(file)]
        for digit in (b"7", b"8"):
            mapped[2:3] = digit  # the page is not written out yet: nothing of the stat changes
            keys.append(key(file))
    assert len(set(keys)) == 3


class Writing(FileMemo):
    """A memo during whose look-up the file is written to: between the stat and the read."""

    def __init__(self, path: Path, times: int) -> None:
        super().__init__()
        self.path, self.left = path, times

    def get(self, stat: tuple[object, ...]) -> str | None:
        if self.left:
            self.left -= 1
            with self.path.open("a") as other:
                other.write("2\n")
        return super().get(stat)


def test_a_file_that_is_written_while_it_is_read_is_read_again(file: Path):
    assert file_digest(file, Writing(file, times=2)) == xxhash.xxh3_128_hexdigest(b"a\n1\n2\n2\n")


def test_a_file_that_is_written_all_the_time_is_an_error(file: Path):
    with pytest.raises(SourceChangedError, match=r"rows\.csv changes while it is read"):
        file_digest(file, Writing(file, times=10**6))


def test_a_missing_file_is_the_systems_own_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        file_digest(tmp_path / "nothing")


# Scans


def key(*paths: Path, **options: object) -> str:
    return Scan(format="csv", paths=tuple(map(str, paths)), options=tuple(options.items())).key({})


def test_a_scan_is_its_files_content_not_their_path_or_time(file: Path, tmp_path: Path):
    before, moved = key(file), tmp_path / "moved.csv"
    file.rename(moved)
    rest(moved)
    assert key(moved) == before
    moved.write_text("a\n2\n")
    assert key(moved) != before


def test_the_order_of_files_and_where_one_ends_count(tmp_path: Path):
    texts = {"one": "a\n1\n", "two": "a\n2\n", "both": "a\n1\na\n2\n"}
    paths = {name: tmp_path / f"{name}.csv" for name in texts}
    for name, text in texts.items():
        paths[name].write_text(text)
    assert len({key(paths["one"], paths["two"]), key(paths["two"], paths["one"]), key(paths["both"]), key(paths["one"])}) == 4
    assert key(paths["one"], skip_rows=1) != key(paths["one"])


def test_a_file_that_appears_in_a_folder_changes_the_scan(tmp_path: Path):
    (tmp_path / "a.csv").write_text("a\n1\n")
    scanned = dr.scan_csv(str(tmp_path / "*.csv"))
    assert scanned.collect().height == 1
    (tmp_path / "b.csv").write_text("a\n2\n")
    assert scanned.collect().height == 2


def test_a_file_edited_between_two_collects_is_read_again(file: Path):
    scanned = dr.scan_csv(str(file)).map(lambda row: {"b": row["a"] * 2}, schema={"b": int})
    assert scanned.collect()["b"].to_list() == [2]
    file.write_text("a\n7\n")
    assert scanned.collect()["b"].to_list() == [14]


def test_a_scan_names_what_is_missing_and_what_is_there(file: Path):
    with pytest.raises(PlanError, match=r"no such file: .*rowz\.csv.*The folder has rows\.csv"):
        dr.scan_csv(str(file.with_name("rowz.csv")))
