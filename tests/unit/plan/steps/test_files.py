"""Files that a scan reads: the ones that were hashed, whatever they are called, and with their paths in the key where these are in the rows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import PlanError, SourceChangedError
from dreamframe.identity.fingerprint import file_digest, fingerprint

ODD = ["data[1]", "a*b", "q?", "x{a,b}", "sp ace", "pct%20", "ünï", ".hidden", "~t", "c=1", "#h", "semi;colon"]
WRITERS: dict[str, Callable[[pl.DataFrame, Path], object]] = {
    "csv": pl.DataFrame.write_csv,
    "parquet": pl.DataFrame.write_parquet,
    "ndjson": pl.DataFrame.write_ndjson,
    "ipc": pl.DataFrame.write_ipc,
    "json": pl.DataFrame.write_json,
    "text": lambda rows, path: path.write_text("".join(f"{t}\n" for t in rows["text"])),
}
ENDS = {"csv": "csv", "parquet": "parquet", "ndjson": "ndjson", "ipc": "arrow", "json": "json", "text": "txt"}
PATHS = ["csv", "parquet", "ndjson", "ipc", "text"]  # formats that can tell the file of a row


def write(format: str, path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    WRITERS[format](pl.DataFrame({"text": [text]}), path)
    return path


def scanned(format: str, source: Any, **options: Any) -> dr.Frame:
    made: dr.Frame = getattr(dr, f"scan_{format}")(source, **options)
    return made


def said(frame: dr.Frame) -> list[str]:
    """The rows as a function sees them, through a step whose rows are kept."""
    return frame.map(lambda row: {"row": str(row)}, schema={"row": pl.String}).collect()["row"].to_list()


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("format", WRITERS)
def test_a_file_is_the_one_of_its_name(format: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    for decoy in ("data1", "aXb", "qX", "xa", "xb", "sp%20ace", "pct "):
        write(format, Path(f"{decoy}.{ENDS[format]}"), "decoy")
    path = write(format, Path(f"{name}.{ENDS[format]}"), "wanted")
    assert scanned(format, path).collect()["text"].to_list() == ["wanted"]
    write(format, path, "edited")
    assert scanned(format, str(path)).collect()["text"].to_list() == ["edited"]


@pytest.mark.parametrize("format", WRITERS)
def test_matches_of_a_glob_are_read_as_they_are_called(format: str, tmp_path: Path):
    for name in ("data1", "data[1]", "data[2]", "data2"):
        write(format, tmp_path / f"{name}.{ENDS[format]}", name)
    assert scanned(format, tmp_path / f"data*.{ENDS[format]}").collect()["text"].to_list() == ["data1", "data2", "data[1]", "data[2]"]
    assert scanned(format, str(tmp_path / f"data[12].{ENDS[format]}")).collect()["text"].to_list() == ["data1", "data2"]


@pytest.mark.parametrize("format", PATHS)
def test_paths_that_are_in_the_rows_are_in_the_key(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with dr.Session(tmp_path / "session"):
        for name in ("monday", "tuesday", "monday"):
            path = write(format, Path(f"{name}.{ENDS[format]}"), "same")
            assert said(scanned(format, path, include_file_paths="of")) == [str({"text": "same", "of": str(path)})]


def test_a_glob_whose_files_change_places_gives_rows_of_the_new_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with dr.Session(tmp_path / "session"):
        for path in ("a.csv", "b.csv"):
            write("csv", Path(path), "same")
        assert "a.csv" in said(scanned("csv", "*.csv", include_file_paths="of"))[0]
        os.rename("a.csv", "c.csv")
        assert [row[-8:-2] for row in said(scanned("csv", "*.csv", include_file_paths="of"))] == ["'b.csv", "'c.csv"]


HIVES: dict[str, Callable[[str], dr.Frame]] = {
    "asked": lambda end: dr.scan_parquet("d/**/*.parquet", hive_partitioning=True),
    "everything": lambda end: dr.scan_parquet("d/**/*", hive_partitioning=True),
    "by its schema": lambda end: dr.scan_parquet("d/**/*.parquet", hive_schema={"lang": pl.String}),
    "a folder": lambda end: dr.scan_parquet("d"),
    "a file": lambda end: dr.scan_parquet(f"d/lang={end}/x.parquet", hive_partitioning=True),
    "ipc": lambda end: dr.scan_ipc("d/**/*.parquet", hive_partitioning=True),
}


@pytest.mark.parametrize("kind", HIVES)
def test_partitions_are_in_the_key(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write("ipc" if kind == "ipc" else "parquet", Path("d/lang=da/x.parquet"), "same")
    with dr.Session(tmp_path / "session"):
        assert said(HIVES[kind]("da")) == [str({"text": "same", "lang": "da"})]
        os.rename("d/lang=da", "d/lang=de")
        assert said(HIVES[kind]("de")) == [str({"text": "same", "lang": "de"})]


def test_partitions_above_the_files_are_in_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write("parquet", Path("year=1/d/lang=da/x.parquet"), "same")
    with dr.Session(tmp_path / "session"):
        for year in (1, 2):
            assert said(dr.scan_parquet(f"year={year}/**/*.parquet", hive_partitioning=True)) == [str({"text": "same", "year": year, "lang": "da"})]
            assert said(dr.scan_parquet(f"year={year}")) == [str({"text": "same", "lang": "da"})]
            assert said(dr.scan_parquet(f"year={year}/d/lang=da")) == [str({"text": "same"})]
            os.rename("year=1", "year=2") if year == 1 else None


def test_where_no_path_is_in_the_rows_none_is_in_the_key(tmp_path: Path):
    write("parquet", tmp_path / "one/lang=da/x.parquet", "same")
    shutil.copytree(tmp_path / "one", tmp_path / "two/lang=de")
    keys = {
        scanned("parquet", tmp_path / pattern, **options).step.content({})
        for pattern in ("one/**/*.parquet", "two/**/*.parquet", "two/lang=de/lang=da/x.parquet")
        for options in ({}, {"hive_partitioning": False}, {"row_index_name": "i"})
    }
    assert keys == {fingerprint([file_digest(tmp_path / "one/lang=da/x.parquet")])}, "as before paths could count, so that what was kept is found"


def test_a_folder_is_its_files_of_the_format_by_name(tmp_path: Path):
    for name in ("b", "a", "sub/c", ".hidden", "_state", "sub/_tmp/d"):
        write("csv", tmp_path / "d" / f"{name}.csv", name)
    write("text", tmp_path / "d/readme.txt", "not rows")
    assert scanned("csv", tmp_path / "d").collect()["text"].to_list() == ["a", "b", "sub/c"]
    assert scanned("text", str(tmp_path / "d") + "/").collect()["text"].to_list() == ["not rows"]
    with pytest.raises(PlanError, match="no file matches"):
        scanned("parquet", tmp_path / "d")


def test_files_of_a_set_are_read_by_name(tmp_path: Path):
    paths = {write("csv", tmp_path / f"{name}.csv", name) for name in "cabed"}
    assert scanned("csv", paths).collect()["text"].to_list() == ["a", "b", "c", "d", "e"]


def test_a_tilde_is_the_home_folder_unless_a_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    write("csv", tmp_path / "home/x.csv", "at home")
    write("csv", tmp_path / "~y.csv", "here")
    assert scanned("csv", "~/x.csv").collect()["text"].to_list() == ["at home"]
    assert scanned("csv", "~/*.csv").collect()["text"].to_list() == ["at home"]
    assert scanned("csv", "~y.csv").collect()["text"].to_list() == ["here"]


@pytest.mark.parametrize(("source", "why"), [(3, "not the path of a file"), (["gone.csv", None], "None is not the path"), ("gone.csv", "no such file")])
def test_what_is_not_a_file_is_refused_with_the_way_out(source: Any, why: str):
    with pytest.raises(PlanError, match=why):
        dr.scan_csv(source)


def test_a_pipe_is_handed_over_open(tmp_path: Path):
    os.mkfifo(tmp_path / "rows")
    for source in (tmp_path / "rows", "-"):
        with pytest.raises(PlanError, match=r"is not a file; hand over what comes in: scan_csv\(sys\.stdin\.buffer\)"):
            dr.scan_csv(source)


def test_a_byte_order_mark_is_not_text(tmp_path: Path):
    (tmp_path / "1.txt").write_bytes(b"\xef\xbb\xbfone\n\xef\xbb\xbftwo\n")
    (tmp_path / "2.txt").write_bytes(b"three\n")
    (tmp_path / "3.txt").write_bytes(b"\xef\xbb\xbffour")
    (tmp_path / "4.txt").write_bytes(b"\xef\xbb\xbf")
    assert dr.scan_text(tmp_path / "*.txt").collect()["text"].to_list()[:4] == ["one", "\ufefftwo", "three", "four"], "a mark inside a text is a character"
    some = dr.scan_text(tmp_path / "*.txt", row_index_name="i", row_index_offset=5, n_rows=3, include_file_paths="of").collect()
    assert some.select("i", "text").rows() == [(5, "one"), (6, "\ufefftwo"), (7, "three")]
    assert [Path(p).name for p in some["of"]] == ["1.txt", "1.txt", "2.txt"]


def test_json_lines_may_begin_with_a_byte_order_mark(tmp_path: Path):
    (tmp_path / "x.ndjson").write_bytes(b'\xef\xbb\xbf{"a": 1}\n{"a": 2}\n')
    assert dr.scan_ndjson(tmp_path / "x.ndjson").collect()["a"].to_list() == [1, 2]
    with pytest.raises(PlanError, match="byte order mark"):
        dr.scan_ndjson(tmp_path / "x.ndjson", include_file_paths="of")


def rewrite(path: Path, *, keep_times: bool = False) -> None:
    """Other text of the same length."""
    stat = path.stat()
    path.write_text("text\nsamE\n")
    if keep_times:
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def replace(path: Path) -> None:
    """Another file in its place, with its times, as tar and rsync leave it."""
    (path.parent / "new").write_text("text\nsamE\n")
    shutil.copystat(path, path.parent / "new")
    os.replace(path.parent / "new", path)


def retarget(path: Path) -> None:
    (path.parent / "other").write_text("text\nother\n")
    path.unlink()
    path.symlink_to(path.parent / "other")


CHANGES: dict[str, Callable[[Path], object]] = {
    "edited": rewrite,
    "of equal size and time": lambda path: rewrite(path, keep_times=True),
    "replaced with its times": replace,
    "another match": lambda path: (path.parent / "b.csv").write_text("text\nmore\n"),
    "removed": Path.unlink,
    "another target": retarget,
    "renamed": lambda path: path.rename(path.parent / "c.csv"),
}
WAYS: dict[str, Callable[[dr.Frame], object]] = {
    "collect": lambda frame: frame.collect(),
    "batches": lambda frame: list(frame.collect_batches()),
    "whole": lambda frame: frame.sort("answer").collect(),
    "file": lambda frame: frame.write_parquet("out.parquet"),
}


@pytest.mark.filterwarnings("ignore:the plan of")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("change", CHANGES)
def test_files_that_change_while_they_are_read_give_no_rows(change: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.csv"
    path.write_text("text\nsame\n")
    llm = dr.testing.Scripted(lambda _: str(CHANGES[change](path)))  # it changes while the model is asked
    frame = dr.scan_csv("*.csv", **({"include_file_paths": "of"} if change == "renamed" else {})).prompt(llm, "{text}")
    with dr.Session(tmp_path / "session"), pytest.raises(SourceChangedError, match="changed while it was read"):
        WAYS[way](frame)


@pytest.mark.parametrize("change", [c for c in CHANGES if c not in ("removed", "renamed")])
def test_files_that_changed_since_the_last_run_are_read_again(change: str, tmp_path: Path):
    path = tmp_path / "a.csv"
    path.write_text("text\nsame\n")
    os.utime(path, (1e9, 1e9))
    with dr.Session(tmp_path / "session"):
        before = said(dr.scan_csv(tmp_path / "*.csv"))
        CHANGES[change](path)
        after = said(dr.scan_csv(tmp_path / "*.csv"))
    assert before != after
    assert after == [str(row) for row in pl.scan_csv(tmp_path / "*.csv").collect().to_dicts()]
