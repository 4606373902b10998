"""The cycle collector looks rarely while rows stream, and as the user set it at all other times."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import RowsFailedError
from dreamframe.run.gc_pause import FEWEST, rarely_collected
from dreamframe.testing import Echo, Failing

ROOT = str(Path(__file__).resolve().parents[3])


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_a_run_collects_rarely_and_leaves_the_threshold_as_it_was() -> None:
    seen = []

    def look(row: dict[str, object]) -> dict[str, object]:
        seen.append(gc.get_threshold())
        return row

    dr.frame({"a": [1]}).prompt(Echo(), "{a}", into="b").map(look, schema={"a": pl.Int64, "b": pl.String}).collect()
    assert seen == [(FEWEST, 10, 10)]
    assert gc.get_threshold() == (700, 10, 10)


def test_it_is_given_back_when_the_last_of_several_runs_ends() -> None:
    one, two = rarely_collected(), rarely_collected()
    one.__enter__()
    two.__enter__()
    one.__exit__(None, None, None)
    assert gc.get_threshold() == (FEWEST, 10, 10)
    two.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("own", [(50_000, 5, 5), (0, 10, 10)], ids=["rarer still", "never"])
def test_what_the_user_set_stands(own: tuple[int, int, int]) -> None:
    gc.set_threshold(*own)
    with rarely_collected():
        assert gc.get_threshold() == own
    assert gc.get_threshold() == own


def test_what_is_set_meanwhile_stands() -> None:
    with rarely_collected():
        gc.set_threshold(900, 9, 9)
    assert gc.get_threshold() == (900, 9, 9)


def test_a_run_that_fails_gives_it_back() -> None:
    with pytest.raises(RowsFailedError):
        dr.frame({"a": [1]}).prompt(Failing(), "{a}", into="b").collect()
    assert gc.get_threshold() == (700, 10, 10)


SCRIPT = """
import atexit, gc
was = gc.get_freeze_count()  # of Python 3.12, some hundred
atexit.register(lambda: print("left", gc.get_freeze_count() > was))  # runs after those that are registered later
import dreamframe as dr
from dreamframe.testing import Echo
dr.frame({"a": [1]}).prompt(Echo(), "{a}", into="b").collect()
class Ring: pass
ring = Ring()
ring.own = ring
"""
WITH_A_FINALIZER = """
Ring.__del__ = lambda self: print("ended")
"""
WITH_A_FILE = """
ring.file = open("out.txt", "w")
ring.file.write("kept")
"""


@pytest.mark.parametrize(
    ("more", "said"),
    [("", ["left True"]), (WITH_A_FINALIZER, ["left False", "ended"]), (WITH_A_FILE, ["left False"])],
    ids=["nothing to end", "a finalizer", "an open file"],
)
def test_cycles_are_left_to_the_system_where_nothing_has_to_be_ended(more: str, said: list[str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + more], capture_output=True, text=True, check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": ROOT}
    )
    assert done.stdout.splitlines() == said
    if more == WITH_A_FILE:
        assert (tmp_path / "out.txt").read_text() == "kept"


IMPORTS = """
import gc, polars
gc.freeze() if %r else None
was = gc.get_freeze_count()
gc.collect()
import dreamframe as dr
young = sum(len(gc.get_objects(n)) for n in (0, 1))
print(young < 5_000, bool(gc.get_freeze_count()) == bool(was), gc.isenabled())
"""


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="these have frozen objects from the start, which stay frozen")
@pytest.mark.parametrize(("has_frozen", "is_old"), [(False, True), (True, False)])
def test_what_was_imported_is_old_and_what_a_program_froze_stays_frozen(has_frozen: bool, is_old: bool) -> None:
    done = subprocess.run([sys.executable, "-c", IMPORTS % has_frozen], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ROOT})
    assert done.stdout.split() == [str(is_old), "True", "True"]
