"""Limits over steps that leave rows out: the run ends when there are enough, through joins and lists too."""

from __future__ import annotations

import time
from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

ROWS = 600
BATCH = 128


def rows(n: int = ROWS) -> dr.Frame:
    return dr.frame({"i": range(n), "t": [f"{'x' * (i * 7919 % 6)} {i}" for i in range(n)], "l": [["a", "b"]] * n})


def even(text: str = "Is it even? {t}") -> pl.Expr:
    """True for about every second row."""
    return dr.prompt(Ordinal(), text).str.len_chars() % 2 == 0


def big() -> dr.Frame:
    return dr.frame({"i": [i // 2 for i in range(2 * ROWS)], "w": range(2 * ROWS)})


ENDS: dict[str, tuple[Callable[[], dr.Frame], int]] = {  # plan → the most that it asks
    "filter": (lambda: rows().filter(even()).head(10), 20 + BATCH),
    "slice": (lambda: rows().filter(even()).slice(5, 10), 30 + BATCH),
    "two filters": (lambda: rows().filter(even()).filter(even("And this? {t}")).head(5), 2 * (20 + BATCH)),
    "three filters": (lambda: rows().filter(even()).filter(even("Two {t}")).filter(even("Three {t}")).head(2), 2 * (16 + BATCH)),
    "rows of a list": (lambda: rows().filter(even()).explode("l").head(10), 10 + BATCH),
    "a list above the filter": (lambda: rows().explode("l").filter(even()).head(10), 20 + BATCH),
    "inner join": (lambda: rows().filter(even()).join(big(), on="i").head(10), 20 + BATCH),
    "left join": (lambda: rows().filter(even()).join(big(), on="i", how="left").head(10), 20 + BATCH),
    "semi-join": (lambda: rows().filter(even()).join(big(), on="i", how="semi").head(10), 20 + BATCH),
    "anti-join": (lambda: rows().filter(even()).join(big().head(4), on="i", how="anti").head(10), 24 + BATCH),
    "cross join": (lambda: rows().filter(even()).join(big(), how="cross").head(10), 20 + BATCH),
    "columns over a join": (lambda: rows().filter(even()).join(big(), on="i").with_columns(z=pl.col("w") + 1).filter(pl.col("z") > 3).head(10), 20 + BATCH),
    "two joins": (lambda: rows().filter(even()).join(big(), on="i").join(big(), on="w").head(10), 20 + BATCH),
    "pairs": (lambda: rows().head(60).join_by(rows().head(60), Ordinal(), "Yes {t} {t_right}").head(5), 5),
}


@pytest.mark.parametrize("name", ENDS)
def test_a_run_ends_when_there_are_enough_rows(name: str) -> None:
    plan, most = ENDS[name]
    unbounded, asked = calls(plan)
    assert asked <= most < unbounded


WHOLE: dict[str, Callable[[], dr.Frame]] = {
    "tail": lambda: rows(40).filter(even()).tail(3),
    "sorted by what is asked": lambda: rows(40).with_columns(a=dr.prompt(Ordinal(), "Say {t}")).filter(even()).sort("a").head(3),
    "the right order first": lambda: rows(40).filter(even()).join(big(), on="i", maintain_order="right").head(3),
    "checked keys": lambda: rows(40).filter(even()).join(big(), on="i", validate="1:m").head(3),
    "windows": lambda: rows(40).filter(even()).with_columns(n=pl.len().over("t")).head(3),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_looks_at_all_rows_asks_about_all(name: str) -> None:
    unbounded, asked = calls(WHOLE[name])
    assert asked == unbounded >= 40


def test_pairs_are_made_as_they_are_asked_about() -> None:
    """400 million of them would not fit into memory."""
    many = dr.frame({"t": [f"text {i}" for i in range(20_000)]})
    plan = many.join_by(many, Ordinal(), "Yes {t} {t_right}").head(5)
    began = time.process_time()
    with dr.Session(None) as session:
        assert plan.collect()["t_right"].to_list() == [f"text {i}" for i in range(5)]
        assert session.usage()["calls"] == 5
    assert time.process_time() - began < 20


def test_a_limit_of_more_rows_than_there_are_gives_them_all() -> None:
    assert calls(lambda: rows(20).filter(even()).join(big(), on="i").head(1_000)) == (20, 20)


def test_explain_says_that_batches_are_not_cut_into_rounds() -> None:
    with dr.Session(None):
        assert "FIRST 3 rows, asking in rounds (in batch mode: HEAD 3, all at once)" in rows(40).filter(even()).head(3).explain()


def test_in_batch_mode_all_rows_are_asked_about_at_once() -> None:
    plan = rows(40).filter(even()).head(3)
    with dr.Session(None) as session:
        found = plan.collect(mode="batch")
        assert session.usage()["calls"] == 40
    with dr.Session(None):
        assert found.equals(plan.collect())
