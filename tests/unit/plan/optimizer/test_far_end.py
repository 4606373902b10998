"""Limits above rows in reverse, and above rows below one another."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

Plan = Callable[[dr.Frame], dr.Frame]


def said(text: str = "Say {t}") -> dr.Frame:
    return dr.frame({"i": range(10), "t": ["tea", "jam"] * 5}).prompt(Ordinal(), text, into="said")


def plain(n: int) -> dr.Frame:
    return dr.frame({"i": range(n), "t": ["rye"] * n, "said": ["a"] * n})


ASKS: dict[str, tuple[Plan, int]] = {
    "reverse, head": (lambda df: df.reverse().head(3), 3),
    "reverse, tail": (lambda df: df.reverse().tail(3), 3),
    "reverse, head of more than there are": (lambda df: df.reverse().head(99), 10),
    "reverse, columns, head": (lambda df: df.reverse().with_columns(n=pl.col("said").str.len_chars()).prompt(Ordinal(), "{n}").head(2), 4),
    "reverse twice": (lambda df: df.reverse().reverse().head(2), 2),
    "reverse of a filter": (lambda df: df.filter(pl.col("i") > 4).reverse().head(2), 2),
    "concat": (lambda df: dr.concat([df, said("And {t}")]).head(3), 3),
    "concat, into the second": (lambda df: dr.concat([df, said("And {t}"), said("Or {t}")]).head(12), 12),
    "concat, a first that asks nothing": (lambda df: dr.concat([plain(3), df]).head(4), 1),
    "concat, a slice": (lambda df: dr.concat([df, said("And {t}")]).slice(2, 3), 5),
    "concat, nothing wanted": (lambda df: dr.concat([df, said("And {t}")]).head(0), 0),
    "concat of one twice": (lambda df: dr.concat([df, df]).head(12), 10),
    "concat in concat": (lambda df: dr.concat([dr.concat([plain(2), df]), said("And {t}")]).head(4), 2),
    "concat of what a model chooses": (lambda df: dr.concat([df.filter(pl.col("said").str.contains("tea")), plain(9)]).head(2), 4),
    "concat of what a filter chooses": (lambda df: dr.concat([df.filter(pl.col("i") > 6), said("And {t}")]).head(2), 4),
}
ASKS_ALL: dict[str, Plan] = {
    "reverse, slice": lambda df: df.reverse().slice(2, 3),
    "concat, tail": lambda df: dr.concat([df, plain(3)]).tail(3),
    "columns beside each other": lambda df: dr.concat([df, plain(10).select(x="i")], how="horizontal").head(3),
}


@pytest.mark.parametrize("name", ASKS)
def test_only_the_rows_at_that_end_are_asked_about(name: str) -> None:
    plan, most = ASKS[name]
    assert calls(lambda: plan(said()))[1] <= most


@pytest.mark.parametrize("name", ASKS_ALL)
def test_others_ask_about_all(name: str) -> None:
    assert calls(lambda: ASKS_ALL[name](said())) == (10, 10)


def test_what_somebody_else_wants_stays_whole() -> None:
    both = dr.concat([said(), said("And {t}")])
    with dr.Session(None) as session:
        head, whole = dr.collect_all([both.head(3), both])
        assert session.usage()["calls"] == 20
    assert whole.head(3).equals(head)
