"""`explain(rules=True)` says why a rule that would save calls does nothing."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.explain import rules_text
from dreamframe.plan.optimizer.rules import optimise
from tests.laws.cases import Ordinal

MODEL = Ordinal()


def said(**settings: object) -> dr.Frame:
    return dr.frame({"i": range(4), "t": ["tea", "jam"] * 2}).prompt(MODEL, "Say {t}", into="said", **settings)  # type: ignore[arg-type]


def other() -> dr.Frame:
    return dr.frame({"i": [1, 2], "w": ["a", "b"]})


DROPPING = dr.prompt(MODEL, "Say {t}", on_error="drop")
WHYS: dict[str, tuple[Callable[[], dr.Frame], str]] = {
    "filter of the answer": (lambda: said().filter(pl.col("said") == "a"), "choices_down: `filter` not below `said`: 'said' is read, which it writes"),
    "unique below failures": (
        lambda: said(on_error="drop").unique("t"),
        "choices_down: `unique` not below `said`: which rows are chosen depends on those that it leaves out",
    ),
    "slice of samples": (lambda: said().with_row_index().slice(1, 1), ""),
    "tail of chosen rows": (lambda: said().filter(pl.col("said") == "a").tail(1), "ends_early: `tail` not below `filter`: it looks at the last rows"),
    "a verb's own answer": (lambda: said().select("i", "t").filter_by(MODEL, "{t}", free_text=True), ""),
    "full join": (lambda: said().join(other(), on="i", how="full"), "partners_first: `join` not below `said`: it keeps the rows without a partner"),
    "checked join": (lambda: said().join(other(), on="i", validate="1:1"), "partners_first: `join` not below `said`: validate= looks at every row"),
    "unread, with failures": (lambda: said(on_error="drop").select("i"), "unread_dropped: `said`: nobody reads it, and rows that fail are left out"),
    "branch, with failures": (
        lambda: said().with_columns(x=pl.when(pl.col("i") > 2).then(DROPPING)),
        "branch_taken: `with_columns` not below `answer`: rows that fail are left out, whichever branch is taken",
    ),
    "condition that may fail": (
        lambda: said().filter((pl.col("said") == "a") & (pl.col("t").cast(pl.Int64) > 1)),
        "cheap_first: `filter`: a condition may fail on rows that the model's leaves out",
    ),
}


@pytest.mark.parametrize("name", WHYS)
def test_a_rule_that_is_not_used_says_why(name: str) -> None:
    plan, why = WHYS[name]
    with dr.Session(None):
        told = plan().explain(rules=True)
    assert why in told
    assert ("not used, since rows" in told) == bool(why)


def test_a_plan_that_another_one_wants_whole_says_so() -> None:
    shared = said()
    told = rules_text(optimise([shared.filter(pl.col("i") > 2).step, shared.step]))
    assert "choices_down: `filter` not below `said`: it is wanted whole" in told


def test_rules_that_have_nothing_to_save_say_nothing() -> None:
    with dr.Session(None):
        assert "not used" not in said().explain(rules=True)
        assert "not used" not in dr.frame({"a": [1]}).filter(pl.col("a") > 0).explain(rules=True)
