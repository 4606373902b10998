"""Rows that are read in pieces are the rows of the query, and no more of them are made than somebody takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.run import execute, pieces
from dreamframe.run.pieces import handed, in_pieces
from dreamframe.testing import Echo

ROWS = pl.DataFrame({"i": range(1000)}).with_columns(t=pl.format("row {}", "i"))


def query(rows: pl.LazyFrame) -> pl.LazyFrame:
    return rows.filter(pl.col("i") % 3 != 1).with_columns(u=pl.col("t").str.to_uppercase())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FIRST_ROWS": 7, "MOST_ROWS": 100, "HANDED_ROWS": 3}.items():
        monkeypatch.setattr(pieces, name, value)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("over", [lambda q: q, lambda q: q.select("u"), lambda q: q.filter(pl.col("i") > 500), lambda q: q.filter(pl.col("i") > 5).head(9)])
def test_the_rows_are_those_of_the_query(over: Callable[[pl.LazyFrame], pl.LazyFrame], tmp_path: Path) -> None:
    ROWS.head(400).write_parquet(tmp_path / "1.parquet", row_group_size=64)
    ROWS.tail(600).write_parquet(tmp_path / "2.parquet")
    for rows in (ROWS.lazy(), pl.scan_parquet(tmp_path / "*.parquet")):
        made = in_pieces(rows, query, query(rows).collect_schema(), n_bytes=10_000)
        assert over(made).collect().equals(over(query(ROWS.lazy())).collect())
        assert pl.concat(over(made).collect_batches(maintain_order=True)).equals(over(query(ROWS.lazy())).collect())


@pytest.mark.usefixtures("small")
def test_a_limit_ends_the_pieces() -> None:
    made: list[int] = []
    rows = in_pieces(ROWS.lazy(), lambda part: part.map_batches(lambda rows: made.append(rows.height) or rows), ROWS.schema)  # type: ignore[func-returns-value]
    assert rows.head(25).collect().equals(ROWS.head(25))
    assert sum(made) < 200, "no piece is made after the one with the last row"


@pytest.mark.usefixtures("small")
def test_few_rows_are_made_before_the_first_are_taken(tmp_path: Path) -> None:
    ROWS.write_parquet(tmp_path / "rows.parquet", row_group_size=50)
    asked: list[int] = []

    def made(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.map_batches(lambda part: asked.append(part.height) or part, streamable=True)  # type: ignore[func-returns-value]

    rows = pl.scan_parquet(tmp_path / "rows.parquet")
    taken = iter(in_pieces(rows, made, rows.collect_schema()).collect_batches(chunk_size=2, maintain_order=True))
    first = next(taken)
    assert sum(asked) <= 150
    assert pl.concat([first, *taken]).equals(ROWS)


def test_a_piece_has_few_bytes_and_as_many_rows_as_fit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pieces, "PIECE_BYTES", 100_000)
    monkeypatch.setattr(pieces, "HANDED_BYTES", 10_000)
    long = ROWS.with_columns(t=pl.lit("x" * 1_000))
    long.write_parquet(tmp_path / "rows.parquet")
    sizes: list[int] = []

    def made(rows: pl.LazyFrame) -> pl.LazyFrame:
        return rows.map_batches(lambda part: sizes.append(part.height) or part)  # type: ignore[func-returns-value]

    assert in_pieces(pl.scan_parquet(tmp_path / "rows.parquet"), made, long.schema, n_bytes=1_000_000).collect().equals(long)
    assert max(sizes) <= 100
    assert max(part.height for part in pieces._pieces(long.lazy(), lambda rows: rows, 0)) <= 10
    assert max(part.height for part in handed(long)) <= 10
    assert [part.height for part in handed(long.head(0))] == []


@pytest.mark.parametrize(
    ("frame", "is_in_pieces"),
    [
        (dr.scan_parquet, True),
        (lambda path: dr.scan_parquet(path).filter(pl.col("i") > 3).with_columns(v=pl.col("i") + 1), True),
        (lambda path: dr.frame(ROWS).with_columns(v=pl.col("i") + 1), True),
        (lambda path: dr.scan_parquet(path).sort("i"), False),
        (lambda path: dr.scan_csv(path.with_suffix(".csv")), False),
        (lambda path: dr.frame(ROWS), False),
    ],
    ids=["file", "steps over a file", "steps over a table", "all rows needed", "no place of a row is known", "a table"],
)
def test_what_feeds_a_prompt_comes_in_pieces_where_each_can_be_made_by_itself(
    frame: Callable[[Path], dr.Frame], is_in_pieces: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ROWS.head(50).write_parquet(tmp_path / "rows.parquet")
    ROWS.head(50).write_csv(tmp_path / "rows.csv")
    made: list[bool] = []

    def seen(*args: Any, **more: Any) -> pl.LazyFrame:
        made.append(True)
        return in_pieces(*args, **more)

    monkeypatch.setattr(execute, "in_pieces", seen)
    df = frame(tmp_path / "rows.parquet")
    with dr.Session(None):
        rows = df.collect()
        assert df.prompt(Echo(), "{t}", into="said").collect().equals(rows.with_columns(said=pl.col("t")))
    assert bool(made) == is_in_pieces
