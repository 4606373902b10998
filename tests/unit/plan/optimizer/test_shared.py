"""Several filters over one prompt: it is asked about the rows that one of them keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.optimizer.rules import optimise
from tests.laws.cases import Ordinal

GREEDY, SAMPLED = Ordinal(temperature=0), Ordinal()
N, X = pl.col("i"), pl.col("x")
Plans = Callable[[dr.Frame], list[dr.Frame]]


def said(model: Ordinal = SAMPLED, **settings: object) -> dr.Frame:
    rows = dr.frame({"i": range(10), "t": ["tea", "jam"] * 5, "x": [1.5, None] * 5})
    return rows.prompt(model, "Say {t}", into="said", **settings)  # type: ignore[arg-type]


def calls(made: Callable[[], Sequence[dr.Frame]]) -> int:
    """What plans that run together ask. The rows are those of each by itself, as it is written."""
    with dr.Session(None):
        expected = [plan.collect(optimize=False) for plan in made()]
    with dr.Session(None) as session:
        plans = made()
        found = dr.collect_all(list(plans))
        assert all(a.equals(b) and a.schema == p.schema for a, b, p in zip(found, expected, plans, strict=True))
        asked = session.usage()["calls"]
        assert all(a.equals(b) for a, b in zip(dr.collect_all(list(plans)), expected, strict=True))
        assert session.usage()["calls"] == asked, "a second run asks nothing"
        return asked


SHARES: dict[str, tuple[Plans, int]] = {
    "two filters": (lambda df: [df.filter(N > 7), df.filter(N < 1)], 3),
    "rows of both": (lambda df: [df.filter(N > 7), df.filter(N > 6)], 3),
    "conditions that are null": (lambda df: [df.filter(X > 1, N < 3), df.filter((X < 9) & (N > 7))], 3),
    "one of them reads the answer, too": (lambda df: [df.filter(N > 7, pl.col("said") != ""), df.filter(N < 1)], 3),
    "behind steps of their own": (lambda df: [df.with_columns(n=N + 1).filter(N > 7), df.select("said", "i").filter(N < 1)], 3),
    "filters one above the other": (lambda df: [df.filter(pl.col("said") != "").filter(N > 7), df.filter(N < 1)], 3),
    "drop_nulls": (lambda df: [df.drop_nulls("x").filter(N > 5), df.filter(N < 1)], 3),
    "heads above them": (lambda df: [df.filter(N > 7).head(1), df.filter(N < 1).sort("i")], 3),
    "three": (lambda df: [df.filter(n == N) for n in range(3)], 3),
    "one plan": (lambda df: [dr.concat([df.filter(N > 7), df.filter(N < 1)])], 3),
    "above two prompts": (lambda df: [(two := df.prompt(SAMPLED, "And {t}", into="b")).filter(N > 7), two.filter(N < 1)], 6),
    "above a join": (lambda df: [(two := df.join(dr.frame({"i": range(10), "w": range(10)}), on="i")).filter(N > 7), two.filter(N < 1)], 3),
}
WANTS_ALL: dict[str, Plans] = {
    "one that is wanted whole": lambda df: [df.filter(N > 7), df],
    "a filter of the answer": lambda df: [df.filter(N > 7), df.filter(pl.col("said") != "")],
    "a mean of all rows": lambda df: [df.filter(N > 7), df.filter(N.mean() > N)],
    "rows by their place": lambda df: [df.filter(N > 7), df.tail(2)],
    "a join": lambda df: [df.filter(N > 7), dr.frame({"i": [4]}).join(df, on="i", how="full")],
    "a column of another's making": lambda df: [df.filter(N > 7), df.with_columns(i=N + 1).filter(N > 7)],
}


@pytest.mark.parametrize("name", SHARES)
def test_only_the_rows_that_one_of_them_keeps_are_asked_about(name: str) -> None:
    plans, n = SHARES[name]
    assert calls(lambda: plans(said())) == n


@pytest.mark.parametrize("name", WANTS_ALL)
def test_a_prompt_of_which_somebody_wants_all_rows_is_asked_about_all(name: str) -> None:
    assert calls(lambda: WANTS_ALL[name](said())) == 10


def test_a_condition_that_may_fail_is_not_shown_to_rows_that_failures_leave_out() -> None:
    refusing = Ordinal(refuses=lambda prompt: prompt.endswith("tea"), temperature=0)
    df = said(refusing, on_error="drop")
    assert calls_of_failing([df.filter(N > 7), df.filter(pl.col("t").cast(pl.Int64, strict=False) == 1)]) == 1
    assert "filters_shared" not in [used.rule for used in optimise([df.filter(N > 7).step, df.filter(pl.col("t").cast(pl.Int8) == 1).step]).trace]


def calls_of_failing(plans: list[dr.Frame]) -> int:
    with dr.Session(None) as session:
        dr.collect_all(plans)
        return session.usage()["calls"]


def test_many_filters_of_one_prompt_come_to_an_end() -> None:
    df = said(GREEDY)
    made = optimise([df.filter(n == N).step for n in range(60)])
    assert len({id(step) for plan in made.plans for step in plan.walk() if "PROMPT" in step.describe()}) == 1
