"""Folders of save_to_disk that are damaged or a stranger's: read, or refused with one error; never a crash of the interpreter, never a panic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dreamframe as dr
from dreamframe.errors import PlanError
from tests.faults.saved import save

ROOT = Path(__file__).parents[2]


def damaged(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.faults.saved", str(folder), *more], cwd=ROOT, capture_output=True, text=True, check=False)


def test_flipped_bits_are_read_or_refused(tmp_path: Path) -> None:
    ended = damaged(tmp_path / "d", "160")
    assert ended.returncode == 0, ended.stderr[-2000:]
    seen = json.loads(ended.stdout)
    assert seen["rows"] + seen["refused"] == 160
    assert seen["refused"] > 20


def test_without_the_checks_flipped_bits_end_the_interpreter_or_in_a_panic(tmp_path: Path) -> None:
    assert damaged(tmp_path / "d", "160", "trusting").returncode != 0


def lay(table: pa.Table) -> Callable[[Path], object]:
    def put(folder: Path) -> None:
        (file,) = folder.glob("*.arrow")
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
            out.write_table(table)

    return put


def edit(name: str, **fields: Any) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(json.dumps({**json.loads((folder / name).read_text()), **fields}))


def pipe(folder: Path) -> None:
    (file,) = folder.glob("*.arrow")
    file.unlink()
    os.mkfifo(file)


CASES: dict[str, Callable[[Path], object]] = {
    "a file outside": edit("state.json", _data_files=[{"filename": "../other/data-00000-of-00001.arrow"}]),
    "an absolute path": edit("state.json", _data_files=[{"filename": "/etc/hostname"}]),
    "files that are not a list": edit("state.json", _data_files=7),
    "a file without a name": edit("state.json", _data_files=[{}]),
    "a state of a million brackets": lambda folder: (folder / "state.json").write_text("[" * 1_000_000),
    "no state": lambda folder: (folder / "state.json").unlink(),
    "features that are not an object": edit("dataset_info.json", features=[1]),
    "features of an unknown type": edit("dataset_info.json", features={"t": {"_type": "Nothing"}}),
    "labels that are not names": edit("dataset_info.json", features={"t": {"_type": "ClassLabel", "names": 3}}),
    "a pipe": pipe,
    "a folder": lambda folder: [(f.unlink(), f.mkdir()) for f in folder.glob("*.arrow")],
    "nothing": lambda folder: [f.write_bytes(b"") for f in folder.glob("*.arrow")],
    "an interval": lay(pa.table({"t": pa.array([pa.MonthDayNano([1, 2, 3])], pa.month_day_nano_interval())})),
    "marks of an Enum": lay(pa.table({"t": pa.array(["a"])}).cast(pa.schema([pa.field("t", pa.string(), metadata={b"_PL_ENUM_VALUES2": b"1;a"})]))),
}


@pytest.mark.parametrize("case", CASES)
def test_a_folder_that_is_not_what_save_to_disk_writes_is_refused(case: str, tmp_path: Path) -> None:
    save(tmp_path / "other")
    save(tmp_path / "d")
    assert dr.scan_hf_disk(tmp_path / "d").collect().height == 200
    CASES[case](tmp_path / "d")
    with pytest.raises(PlanError, match="scan_hf_disk"):
        dr.scan_hf_disk(tmp_path / "d")


def test_splits_are_checked_as_well(tmp_path: Path) -> None:
    import datasets

    datasets.DatasetDict({"train": datasets.Dataset.from_dict({"a": [1]}), "test": datasets.Dataset.from_dict({"a": [2]})}).save_to_disk(str(tmp_path / "d"))
    assert dr.scan_hf_disk(tmp_path / "d", split="test").to_dicts() == [{"a": 2}]
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train", "../other"]}')
    with pytest.raises(PlanError, match="not a name inside"):
        dr.scan_hf_disk(tmp_path / "d", split="train")
