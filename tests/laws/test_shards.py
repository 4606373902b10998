"""Laws of shards: those of a plan and the run of the whole plan after them ask together what one run asks, and give its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.plan.step import Step
from tests.engines.partitions import PartitionEngine
from tests.laws.cases import CASES, table
from tests.laws.test_engines import EQUAL, REWRITTEN, STREAMED
from tests.laws.test_running import ASKING, TABLES

FEW = settings(max_examples=3)


@pytest.fixture(scope="module")
def partitions() -> Iterator[PartitionEngine]:
    engine = PartitionEngine()
    yield engine
    engine.end()


def shards(session: dr.Session, plan: Step, n: int) -> int:
    """Rounds of n shards until a round asks nothing; how many calls were made."""
    calls = 0
    for _ in range(9):
        asked = sum(session.run_shard(plan, i, n).asked for i in reversed(range(n)))
        calls += asked
        if not asked:
            return calls
    raise AssertionError("shards ask on and on")


@pytest.mark.parametrize("name", STREAMED)
@FEW
@given(rows=TABLES, n=st.integers(1, 4))
def test_shards_and_the_whole_plan_ask_what_one_run_asks(name: str, rows: pl.DataFrame, n: int):
    plan = CASES[name].over(table(pl.concat([rows, rows])))
    with dr.Session(None) as one:
        whole = one.collect(plan)
    with dr.Session(None) as several:
        calls = shards(several, plan, n)
        left = several.run_shard(plan, 0, n).left
        assert several.collect(plan).equals(whole)
    assert several.usage()["calls"] == one.usage()["calls"]
    assert left or several.usage()["calls"] == calls, "what no step was left to, the whole plan asks nothing of"


@pytest.mark.parametrize("name", REWRITTEN)
def test_shards_ask_what_rules_make_of_a_plan(name: str):
    with dr.Session(None) as one, dr.Session(None) as several:
        whole = one.collect(REWRITTEN[name])
        shards(several, REWRITTEN[name].step, 3)
        assert several.collect(REWRITTEN[name]).equals(whole)
    assert several.usage()["calls"] == one.usage()["calls"]


def test_another_engine_asks_the_same_shards(partitions: PartitionEngine):
    plan = CASES["PromptStep, then equal prompts"].over(table(EQUAL))
    with dr.Session(None) as here, dr.Session(None, engine=partitions) as there:
        assert [here.run_shard(plan, i, 3) for i in range(3)] == [there.run_shard(plan, i, 3) for i in range(3)]


@pytest.mark.parametrize("name", [*ASKING, "Embed", "Classify"])
def test_shards_on_folders_of_their_own_are_one_when_merged(name: str, tmp_path: Path):
    rows = pl.DataFrame({"t": ["tea", None, "rain"] * 6, "v": range(18), "k": ["a", "b", "a"] * 6})
    plan = CASES[name].over(table(rows))
    with dr.Session(None) as one:
        whole = one.collect(plan)
    asked = 0
    for i in range(3):
        with dr.Session(tmp_path / str(i), progress=False) as part:
            asked += part.run_shard(plan, i, 3).asked
    with dr.Session(tmp_path / "all", progress=False) as session:
        assert session.merge(*(tmp_path / str(i) for i in range(3))).answers <= asked
        assert session.merge(tmp_path / "0").answers == 0
        shards(session, plan, 3)
        assert session.collect(plan).equals(whole)
        assert session.verify() == []
