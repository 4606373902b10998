"""What users are given as files is written whole or not at all, and an earlier file stays as it was until then."""

from __future__ import annotations

import gzip
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.store.whole_files import whole_file, whole_folder

WRITERS = ("write_csv", "write_parquet", "write_ndjson", "write_json")


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def small_files() -> Iterator[None]:
    """A disk that takes no file of more than 64 kB."""
    before, former = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, former)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_disk_that_is_full_leaves_the_earlier_file_and_nothing_else(writer: str, tmp_path: Path, small_files: None) -> None:
    path = tmp_path / "rows"
    path.write_text("the earlier file")
    rows = pl.DataFrame({"t": [os.urandom(64).hex() for _ in range(20_000)]})
    with dr.Session(None), pytest.raises((OSError, pl.exceptions.PolarsError)):
        getattr(dr.frame(rows), writer)(path)
    assert path.read_text() == "the earlier file"
    assert names(tmp_path) == ["rows"]


KILLED = """
import os, signal, sys
import polars as pl, dreamframe as dr

sink = sys.argv[1].replace("write", "sink")  # which writes rows that no session keeps
owner, name = (pl.LazyFrame, sink) if hasattr(pl.LazyFrame, sink) else (pl.DataFrame, sys.argv[1])
whole = getattr(owner, name)

def half(self, path, **options):
    if not isinstance(path, (str, os.PathLike)):
        return whole(self, path, **options)  # what the options are is tried in memory first
    with open(path, "w") as file:
        file.write("half of the ro")
    os.kill(os.getpid(), signal.SIGKILL)

setattr(owner, name, half)
with dr.Session(None):
    getattr(dr.frame({"t": ["rows"]}), sys.argv[1])(sys.argv[2])
"""


@pytest.mark.parametrize("writer", WRITERS)
def test_a_writer_that_is_killed_leaves_the_earlier_file(writer: str, tmp_path: Path) -> None:
    path = tmp_path / "rows"
    path.write_text("the earlier file")
    ended = subprocess.run([sys.executable, "-c", KILLED, writer, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "the earlier file"
    assert len(names(tmp_path)) == 2  # the half is hidden beside it


def test_a_file_is_replaced_and_never_written_over(tmp_path: Path) -> None:
    """Whoever has the earlier file open goes on reading it."""
    path = tmp_path / "rows.csv"
    path.write_text("the earlier file")
    with path.open() as reader, dr.Session(None):
        dr.frame({"a": [1]}).write_csv(path)
        assert reader.read() == "the earlier file"
    assert path.read_text() == "a\n1\n"


@pytest.mark.parametrize("writer", WRITERS)
def test_a_pipe_is_written_to(writer: str, tmp_path: Path) -> None:
    pipe, heard = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_bytes()))
    reader.start()
    with dr.Session(None):
        getattr(dr.frame({"a": [1]}), writer)(pipe)
    reader.join()
    getattr(pl.DataFrame({"a": [1]}), writer)(tmp_path / "file")
    assert heard == [(tmp_path / "file").read_bytes()]


@pytest.mark.parametrize("to", ["pipe", "file"])
def test_standard_output_is_written_to(to: str, tmp_path: Path) -> None:
    program = "import dreamframe as dr\nwith dr.Session(None): dr.frame({'a': [1]}).write_csv('/dev/stdout')\nprint('and more', flush=True)"
    with (tmp_path / "out").open("wb") as out:
        done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE if to == "pipe" else out, check=True)
    assert b"and more" in (done.stdout if to == "pipe" else (tmp_path / "out").read_bytes())
    assert to == "file" or done.stdout == b"a\n1\nand more\n"


def test_links_and_permissions_stay(tmp_path: Path) -> None:
    real = tmp_path / "real.csv"
    real.write_text("earlier")
    real.chmod(0o640)
    (tmp_path / "link.csv").symlink_to(real)
    with dr.Session(None):
        dr.frame({"a": [1]}).write_csv(tmp_path / "link.csv")
    assert (tmp_path / "link.csv").is_symlink()
    assert real.read_text() == "a\n1\n"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_permissions_that_any_file_has(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    with dr.Session(None):
        dr.frame({"a": [1]}).write_csv(tmp_path / "new" / "a.csv")
    assert (tmp_path / "new" / "a.csv").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("name", ["a" * 255, "é" * 127, "茶" * 85, "-rf", " ", ".hidden", "a\nb"])
def test_a_name_as_odd_as_the_disk_allows_is_written(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    with whole_file(path) as made:
        made.write_text("x")
    assert path.read_text() == "x"


def test_a_writer_that_goes_by_the_ending_sees_it(tmp_path: Path) -> None:
    with dr.Session(None):
        dr.frame({"a": [1]}).write_csv(tmp_path / "a.csv.gz", compression="gzip")
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()) == b"a\n1\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_what_may_not_be_written_is_said_by_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("earlier")
    path.chmod(0o400)
    with dr.Session(None), pytest.raises(PermissionError, match=r"rows\.csv'$"):
        dr.frame({"a": [1]}).write_csv(path)
    path.chmod(0o600)
    tmp_path.chmod(0o500)
    with dr.Session(None):
        dr.frame({"a": [1]}).write_csv(path)  # in place
        with pytest.raises(PermissionError, match=r"new\.csv'$"):
            dr.frame({"a": [1]}).write_csv(tmp_path / "new.csv")
    tmp_path.chmod(0o700)
    assert path.read_text() == "a\n1\n"


def test_parts_of_a_data_set_are_written_as_polars_does(tmp_path: Path) -> None:
    with dr.Session(None):
        dr.frame({"a": [1, 2], "b": ["x", "y"]}).write_parquet(tmp_path / "parts", partition_by="a")
    assert (tmp_path / "parts").is_dir()


def test_the_home_folder_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    with dr.Session(None):
        dr.frame({"a": [1]}).write_csv("~/rows.csv")
    assert names(tmp_path) == ["home"]


def test_a_folder_that_fails_half_way_is_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with whole_folder(tmp_path / "new", who="export") as made:
            (made / "weights").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert names(tmp_path) == []


@pytest.mark.parametrize("there", ["a file", "a folder with a file"])
def test_a_folder_that_is_taken_is_refused(there: str, tmp_path: Path) -> None:
    taken = tmp_path / "new"
    if there == "a file":
        taken.write_text("x")
    else:
        taken.mkdir()
        (taken / "x").write_text("x")
    with pytest.raises(SettingError, match=r"export: .*not an empty folder"), whole_folder(taken, who="export"):
        pass
    assert names(tmp_path) == ["new"]


def test_a_folder_that_somebody_else_fills_meanwhile_is_left_to_them(tmp_path: Path) -> None:
    def write() -> None:
        with whole_folder(tmp_path / "new", who="export") as made:
            (made / "ours").write_text("x")
            (tmp_path / "new").mkdir()
            (tmp_path / "new" / "theirs").write_text("x")

    with pytest.raises(SettingError, match="somebody else"):
        write()
    assert names(tmp_path / "new") == ["theirs"]
    assert names(tmp_path) == ["new"]
