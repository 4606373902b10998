"""Filters, semi-joins, samples, `unique`, `gather`, and `sort` with `head`: below the model columns that they do not read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal

import polars as pl
import pytest

import dreamframe as dr
from tests.laws.cases import Ordinal
from tests.unit.plan.optimizer.running import calls

GREEDY, SAMPLED = Ordinal(temperature=0), Ordinal()
Verb = Callable[[dr.Frame], dr.Frame]


def rows() -> dr.Frame:
    return dr.frame({"i": range(10), "t": ["tea", "jam"] * 5, "x": [1.5, None] * 5})


def said(model: Ordinal = SAMPLED, **settings: object) -> dr.Frame:
    return rows().prompt(model, "Say {t}", into="said", **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verb", "n"),
    [
        (lambda df: df.filter(pl.col("i") > 6), 3),
        (lambda df: df.filter(pl.col("i") > pl.col("i").mean()), 5),
        (lambda df: df.with_columns(h=pl.col("i") * 2).filter(pl.col("h") > 15), 2),
        (lambda df: df.join(dr.frame({"i": [3, 4, 11]}), on="i", how="semi"), 2),
        (lambda df: df.join(dr.frame({"i": [3, 4, 11]}), on="i", how="anti"), 8),
        (lambda df: df.sort("i", descending=True).head(4), 4),
        (lambda df: df.sort("t", "i").slice(1, 2), 2),
        (lambda df: df.unique("t", keep="last"), 2),
        (lambda df: df.unique("t", keep="none"), 0),
        (lambda df: df.sample(4, seed=1), 4),
        (lambda df: df.gather([7, 7, 1]), 2),
        (lambda df: df.gather_every(3), 4),
        (lambda df: df.drop_nulls("x"), 5),
        (lambda df: df.tail(3), 3),
        (lambda df: df.slice(2, 3), 3),
    ],
)
def test_only_the_rows_that_are_left_are_asked_about(verb: Verb, n: int) -> None:
    most, asked = calls(lambda: verb(said()))
    assert (most, asked) == (10, n)


@pytest.mark.parametrize(
    "verb",
    [
        lambda df: df.filter(pl.col("said") != ""),
        lambda df: df.drop_nulls(),
        lambda df: df.unique(),
        lambda df: df.sample(20, with_replacement=True, seed=1),
        lambda df: df.gather([0, 99], null_on_oob=True),
    ],
)
def test_what_reads_the_answer_or_its_place_stays_above(verb: Verb) -> None:
    assert calls(lambda: verb(said())) == (10, 10)


def test_rows_that_fail_are_no_reason_to_ask_more() -> None:
    refusing = Ordinal(refuses=lambda prompt: prompt.endswith("3"))
    asked = rows().prompt(refusing, "Say {i}", into="said", on_error="drop")
    assert calls(lambda: asked.filter(pl.col("i") < 5)) == (9, 4)
    assert calls(lambda: asked.unique("t")) == (9, 9), "which row is the first depends on those that failed"


def test_what_a_condition_leaves_out_is_not_shown_to_one_that_may_fail() -> None:
    numbers = dr.frame({"t": ["1", "none", "3"]}).prompt(GREEDY, "Is {t} a number?", into="is").filter(pl.col("is") != "Is none a number? #0")
    cast = pl.col("t").cast(pl.Int64)
    assert calls(lambda: numbers.prompt(GREEDY, "Say {t}", into="said").filter(cast > 1)) == (5, 4)
    assert calls(lambda: numbers.with_columns(n=cast).prompt(GREEDY, "Say {t}", into="said").filter(pl.col("n") > 1)) == (5, 4)


def test_a_frame_that_somebody_else_wants_whole_is_asked_once() -> None:
    whole = said()
    with dr.Session(None) as session:
        found, expected = dr.collect_all([whole.filter(pl.col("i") > 6), whole])
        assert found.equals(expected.tail(3))
        assert session.usage()["calls"] == 10


def test_a_function_of_the_users_sees_no_column_of_ours() -> None:
    seen: set[str] = set()

    def noted(row: dict[str, object]) -> dict[str, object]:
        seen.update(row)
        return {"w": 1}

    mapped = dr.versioned(noted, version=1)
    calls(lambda: said().map(mapped, schema={"w": pl.Int64}).filter(pl.col("i") > 6))
    assert seen == {"i", "t", "x", "said"}


@pytest.mark.parametrize(
    "may_raise",
    [
        pl.col("t").str.contains(pl.col("pattern")),
        pl.col("t").str.extract(pl.col("pattern")) != "",
        1 / pl.col("price") > 0,
        pl.lit(2).pow(pl.col("n")) > 1,
        pl.datetime(2020, 1, pl.col("n")).is_not_null(),
        pl.col("day").dt.offset_by(pl.col("span")).is_not_null(),
        pl.col("day").dt.truncate(pl.col("span")).is_not_null(),
        pl.col("t").str.pad_start(pl.col("n")) != "",
    ],
    ids=["pattern", "extract", "decimal", "power", "date", "offset", "truncate", "pad"],
)
def test_what_raises_on_a_row_that_is_left_out_is_not_shown_it(may_raise: pl.Expr) -> None:
    bad = {"t": "bad", "pattern": "(", "price": Decimal(0), "n": -1, "day": date(2020, 1, 1), "span": "never"}
    table = pl.DataFrame([{**bad, "t": "good", "pattern": "g", "price": Decimal(2), "n": 1, "span": "1d"}, bad])
    with pytest.raises((pl.exceptions.PolarsError, pl.exceptions.PanicException)):
        table.filter(may_raise)
    refusing = Ordinal(refuses=lambda prompt: prompt.endswith("bad"))
    asked = dr.frame(table).prompt(refusing, "Say {t}", into="said", on_error="drop")
    assert calls(lambda: asked.filter(may_raise)) == (1, 1)


def test_joins_by_computed_keys_stand_as_they_are() -> None:
    by_parity = lambda: said().join(dr.frame({"even": [0]}), left_on=pl.col("i") % 2, right_on="even")  # noqa: E731
    assert calls(by_parity) == (10, 10)
