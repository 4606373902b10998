"""Streams of the Hub: a limit is read by the source itself, and never changes what other plans of the same run see."""

from __future__ import annotations

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.step import runtime, step
from dreamframe.plan.steps.source import HubStream
from dreamframe.store.sources import SourceContext

ROWS = pl.DataFrame({"n": range(10)})


@step
class FarStream(HubStream):
    """A data set in memory that counts what is read of it."""

    asked: list[int | None] = runtime()

    def read(self, ctx: SourceContext) -> pl.LazyFrame:
        self.asked.append(self.limit)
        return (ROWS if self.limit is None else ROWS.head(self.limit)).lazy()


class Far:
    def __init__(self) -> None:
        self.asked: list[int | None] = []

    def frame(self) -> dr.Frame:
        return dr.Frame(FarStream(repo="me/rows", revision="0" * 40, columns=tuple(ROWS.schema.items()), asked=self.asked))


LIMITS = {
    "head": (lambda d: d.head(3), 3),
    "smaller of two": (lambda d: d.head(5).head(2), 5),
    "slice": (lambda d: d.slice(2, 3), 5),
    "below columns": (lambda d: d.with_columns(m=pl.col("n") + 1).prompt(dr.testing.Echo(), "{n}").head(4), 4),
    "from the end": (lambda d: d.slice(-3, 2), None),
    "tail": (lambda d: d.tail(2), None),
    "above a filter": (lambda d: d.filter(pl.col("n") > 5).head(2), None),
    "none": (lambda d: d, None),
}


@pytest.mark.parametrize("name", LIMITS)
def test_no_more_is_read_than_the_limit_needs(name: str) -> None:
    make, most = LIMITS[name]
    far = Far()
    with dr.Session(None):
        assert make(far.frame()).collect().equals(make(dr.frame(ROWS)).collect())
    assert far.asked == [most]


def test_plans_of_one_run_that_need_more_or_less_each_get_their_rows() -> None:
    far = Far()
    stream = far.frame()
    with dr.Session(None):
        few, some, all_ = dr.collect_all([stream.head(1), stream.head(3), stream])
    assert (few.height, some.height, all_.height) == (1, 3, 10)
    assert dr.concat([stream.head(2), stream.tail(1)]).collect()["n"].to_list() == [0, 1, 9]


def test_a_second_run_finds_what_the_first_stored() -> None:
    far = Far()
    with dr.Session("./output") as session:
        plan = far.frame().prompt(dr.testing.Echo(), "{n}").head(2)
        plan.collect()
        plan.collect()
        assert (session.usage()["calls"], far.asked) == (2, [2])
