"""Damaged files: a miss with one warning, never a wrong row, never a crash of the interpreter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def damage(mode: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "tests.faults.damage", mode], cwd=ROOT, capture_output=True, text=True, check=False)


def counts(mode: str) -> dict[str, int]:
    ended = damage(mode)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: dict[str, int] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize(("mode", "states"), [("truncations", 5000), ("flips", 4000)])
def test_a_damaged_file_is_a_miss_with_one_warning_and_never_a_wrong_row(mode: str, states: int) -> None:
    found = counts(mode)
    assert found["states"] >= states
    assert sum(n for what, n in found.items() if what.startswith("wrong")) == 0
    assert not [what for what in found if what.startswith("cannot be opened")]
    assert {what for what in found if what.endswith("warnings")} <= {"with 0 warnings", "with 1 warnings"}
    # A file cut exactly between two frames, or a flip in what nobody reads, cannot be told.
    assert found["with 1 warnings"] > 0.99 * found["states"]


def test_without_checksums_flips_give_wrong_answers() -> None:
    assert counts("unchecked")["wrong answers"] > 0


def test_crafted_files_under_right_checksums_crash_nothing() -> None:
    found = counts("crafted")
    assert found["states"] >= 600
    assert found["missing answers"] + found["missing outputs"] > 100


def test_crafted_offsets_are_seen_before_first_use() -> None:
    found = counts("offsets")
    assert (found["missing answers"], found["wrong answers"], found["with 1 warnings"]) == (12, 0, 1)


def test_without_validation_crafted_offsets_crash_the_interpreter() -> None:
    assert damage("unvalidated").returncode == -signal.SIGSEGV
