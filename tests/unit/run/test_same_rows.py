"""Early cutoff: an edit upstream that changes no row runs no table function again; one that changes a row does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.frame.frame import Frame

ROWS = {"t": ["tea", "rain", "sun"], "v": [1, 2, 3]}


class Counted:
    """A function of a whole table that writes down each of its calls."""

    def __init__(self, log: Path, *, version: int | str = 1, work: Callable[[pl.DataFrame], pl.DataFrame] = pl.DataFrame.reverse) -> None:
        self.log = log
        self.function: Any = dr.versioned(self._counted(work), version=version)

    def _counted(self, work: Callable[[pl.DataFrame], pl.DataFrame]) -> Callable[[pl.DataFrame], pl.DataFrame]:
        def counted(table: pl.DataFrame) -> pl.DataFrame:
            with self.log.open("a") as file:
                file.write("x")
            return work(table)

        return counted

    @property
    def calls(self) -> int:
        return len(self.log.read_text()) if self.log.exists() else 0


def collected(frame: Frame, folder: Path) -> pl.DataFrame:
    """The rows, in a session object of their own: as another run of the script."""
    with dr.Session(folder):
        return frame.collect()


@pytest.fixture
def counted(tmp_path: Path) -> Counted:
    return Counted(tmp_path / "log")


def _through_file(frame: Frame) -> Frame:
    with dr.Session(None):
        frame.collect().write_parquet("rows.parquet")
    return dr.scan_parquet("rows.parquet")


SAME: dict[str, Callable[[Frame], Frame]] = {
    "a filter that drops nothing": lambda f: f.filter(pl.col("v") > 0),
    "the same column again": lambda f: f.with_columns(v=pl.col("v") * 1),
    "a detour": lambda f: f.reverse().reverse(),
    "a map that changes nothing": lambda f: f.map(dr.versioned(lambda row: {"v": row["v"]}, version=1, name="the same v"), schema={"v": pl.Int64}),
    "the rows from a file": _through_file,
}


@pytest.mark.parametrize("edit", SAME)
def test_an_edit_upstream_that_changes_no_row_runs_nothing_again(edit: str, counted: Counted, tmp_path: Path):
    before = collected(dr.frame(ROWS).map_batches(counted.function), tmp_path / "s")
    edited = SAME[edit](dr.frame(ROWS)).map_batches(counted.function)
    assert collected(edited, tmp_path / "s").equals(before)
    assert counted.calls == 1


def test_the_plan_is_then_known_and_cut_there(counted: Counted, tmp_path: Path):
    upstream = Counted(tmp_path / "upstream", version="upstream", work=lambda t: t)
    collected(dr.frame(ROWS).map_batches(counted.function), tmp_path / "s")
    edited = dr.frame(ROWS).map_batches(upstream.function).map_batches(counted.function)
    first, second = collected(edited, tmp_path / "s"), collected(edited, tmp_path / "s")
    assert first.equals(second)
    assert (upstream.calls, counted.calls) == (1, 1)


def test_two_steps_in_a_row_are_both_cut_off(tmp_path: Path):
    one, two = Counted(tmp_path / "one"), Counted(tmp_path / "two", version="two", work=lambda t: t.head(2))
    plan = lambda f: f.map_batches(one.function).map_batches(two.function)  # noqa: E731
    before = collected(plan(dr.frame(ROWS)), tmp_path / "s")
    after = collected(plan(dr.frame(ROWS).filter(pl.col("v") > 0)), tmp_path / "s")
    assert before.equals(after)
    assert (one.calls, two.calls) == (1, 1)


@pytest.mark.parametrize(
    "edit",
    [
        lambda f: f.filter(pl.col("v") > 1),
        lambda f: f.reverse(),
        lambda f: f.with_columns(v=pl.col("v").cast(pl.Int32)).cast({"v": pl.Int32}),
        lambda f: f.rename({"v": "w"}),
        lambda f: f.select("v", "t"),
    ],
    ids=["fewer rows", "another order", "another type", "another name", "another order of columns"],
)
def test_other_rows_run_the_function_again(edit: Callable[[Frame], Frame], counted: Counted, tmp_path: Path):
    collected(dr.frame(ROWS).map_batches(counted.function), tmp_path / "s")
    edited = edit(dr.frame(ROWS))
    assert collected(edited.map_batches(counted.function), tmp_path / "s").equals(edited.collect().reverse())
    assert counted.calls == 2


def test_another_function_runs_over_the_same_rows(counted: Counted, tmp_path: Path):
    collected(dr.frame(ROWS).map_batches(counted.function), tmp_path / "s")
    other = Counted(counted.log, version=2, work=lambda t: t.head(1))
    assert collected(dr.frame(ROWS).filter(pl.col("v") > 0).map_batches(other.function), tmp_path / "s").height == 1
    assert counted.calls == 2


def test_an_output_that_was_damaged_since_is_made_again(counted: Counted, tmp_path: Path):
    before = collected(dr.frame(ROWS).map_batches(counted.function), tmp_path / "s")
    (data,) = (tmp_path / "s" / "steps").glob("*/data.arrow")
    data.write_bytes(data.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="data.arrow"):
        after = collected(dr.frame(ROWS).filter(pl.col("v") > 0).map_batches(counted.function), tmp_path / "s")
    assert after.equals(before)
    assert counted.calls == 2


def test_what_follows_a_call_of_a_model_is_found_by_what_the_model_said(counted: Counted, tmp_path: Path):
    asked = lambda template: dr.frame(ROWS).prompt(dr.testing.Echo(), template, into="said").map_batches(counted.function)  # noqa: E731
    before = collected(asked("{t}"), tmp_path / "s")
    after = collected(asked("{t}").filter(pl.col("v") > 0), tmp_path / "s")
    assert before.equals(after)
    assert counted.calls == 1
    collected(asked("Say {t}"), tmp_path / "s")
    assert counted.calls == 2


def test_a_session_in_memory_keeps_no_outputs(counted: Counted):
    with dr.Session(None):
        dr.frame(ROWS).map_batches(counted.function).collect()
        dr.frame(ROWS).filter(pl.col("v") > 0).map_batches(counted.function).collect()
    assert counted.calls == 2
