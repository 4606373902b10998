"""Which engine a session runs on: one of the table, or an object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.models.request import Failure
from dreamframe.plan.step import TableStep, step
from dreamframe.run.context import RunContext
from dreamframe.run.engines.base import ENGINES, Engine, Segment, SegmentResult, batches_of, engine_of
from dreamframe.run.engines.local import LocalEngine
from dreamframe.testing import Echo


def test_an_engine_is_one_file_and_one_entry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(ENGINES, "again", "dreamframe.run.engines.local")
    with dr.Session(None, engine="again") as session:
        assert dr.frame({"t": ["tea"]}).prompt(Echo(), "{t}!").collect()["answer"].to_list() == ["tea!"]
        assert session.usage()["calls"] == 1


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_of_the_table_is_one(name: str):
    assert isinstance(engine_of(name), Engine)
    assert engine_of(name).name == name


class Noting(LocalEngine):
    """Writes down what it is asked to run."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    async def query(self, lazy: pl.LazyFrame) -> pl.DataFrame:
        self.ran.append("query")
        return await super().query(lazy)

    def rows(self, segment: Any, source: Any, ctx: RunContext) -> Any:
        self.ran.append(" ".join(step.label for step in segment.steps))
        return super().rows(segment, source, ctx)

    async def table(self, step: TableStep, tables: tuple[pl.DataFrame, ...], ctx: RunContext) -> SegmentResult:
        self.ran.append(step.label)
        return await super().table(step, tables, ctx)

    async def train(self, step: Any, job: Any) -> Mapping[str, Any]:
        raise AssertionError("nothing is trained here")


def test_an_engine_of_ones_own_runs_every_part_of_a_plan():
    engine = Noting()
    rows = dr.frame({"t": ["tea", "jam"]})
    asked = rows.prompt(Echo(), "{t}", into="a").prompt(Echo(), "{a}!", into="b")
    plan = asked.map_batches(lambda table: table.reverse(), schema=dict(asked.schema))
    with dr.Session(None, engine=engine):
        assert plan.collect()["b"].to_list() == ["jam!", "tea!"]
    assert engine.ran == ["a b", "query", "map_batches", "query"]


def test_a_table_step_that_fails_a_row_is_counted_and_not_lost():
    @step
    class Picky(TableStep):
        def output_schema(self) -> pl.Schema:
            return self.inputs[0].schema

        async def run(self, tables: tuple[pl.DataFrame, ...], ctx: Any) -> pl.DataFrame:
            ctx.fail(1, Failure("ParseError", "no", request="x", attempts=0))
            return tables[0]

    plan = Picky(inputs=(dr.frame({"t": ["tea", "jam"]}).step,))
    with dr.Session(None) as session:
        session.collect(plan)
        assert session.failures(plan)["row"].to_list() == [1]


def test_the_batches_of_a_run_that_goes_on_are_longer(tmp_path):
    rows = pl.DataFrame({"i": range(50)})
    rows.write_parquet(tmp_path / "rows.parquet")
    assert [b.height for b in batches_of(rows, 2, 5)] == [2] * 8 + [5] * 6 + [4]
    assert max(b.height for b in batches_of(rows.lazy(), 2, 5)) == 5
    for feed in (rows, rows.lazy(), pl.scan_parquet(tmp_path / "rows.parquet")):
        assert pl.concat(batches_of(feed, 2, 5)).equals(rows)
    assert [b.height for b in batches_of(rows, 20)] == [20, 20, 10]


@pytest.mark.parametrize(("width", "batch_rows", "later"), [(256, 128, 256), (200, 128, 200), (16, 128, 128), (4096, 1, 2)])
def test_a_longer_batch_has_no_more_rows_than_a_step_asks_at_once(width: int, batch_rows: int, later: int):
    assert Segment((), width=width, batch_rows=batch_rows, window=1).later_rows == later
