"""Laws of the optimiser: a plan gives the rows and samples that it gives as it is written, asks no more, and what is shared runs once."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Collection
from unittest.mock import patch

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.plan.optimizer import rules
from dreamframe.plan.optimizer.limit import limit_down
from tests.laws.cases import Ordinal
from tests.laws.test_running import TABLES
from tests.laws.verbs import FAILING, VERBS, Verb

MANY, SOME = settings(max_examples=25, deadline=None), settings(max_examples=15, deadline=None)
WAYS = [way for ways in VERBS.values() for way in ways]
CHAIN = st.lists(st.tuples(st.sampled_from(WAYS), st.integers(0, 5)), max_size=5)
FALLIBLE = [*WAYS, *FAILING * 4]  # every fourth or so
ANY = st.lists(st.tuples(st.sampled_from(FALLIBLE), st.integers(0, 5)), max_size=4)
NAMES = [rule.__name__ for rule in rules.RULES]
RULE = st.sampled_from(NAMES)
Chain = list[tuple[Verb, int]]
Outcome = tuple[list[pl.DataFrame] | None, int, list[Counter[tuple[str, str, str]]]]


def grown(df: dr.Frame, chain: Chain, at: int) -> dr.Frame:
    for i, (verb, n) in enumerate(chain, at):
        df = verb(df, n, i)
    return df


def ran(plans: list[dr.Frame], *, batch_rows: int) -> tuple[list[pl.DataFrame], int]:
    with dr.Session(None, batch_rows=batch_rows) as session:
        return dr.collect_all(plans), session.usage()["calls"]


def test_random_plans_are_made_of_every_verb():
    verbs = {n for n in dir(dr.Frame) if n[0] != "_" and getattr(getattr(dr.Frame, n), "__annotations__", {}).get("return") in ("V", "GroupBy[V]", "Split[V]")}
    assert verbs - {"run_code"} <= VERBS.keys(), "a program takes a tenth of a second for each row; its step is held to the laws of identity"


@MANY
@given(rows=TABLES, trunk=CHAIN, branches=st.lists(CHAIN, min_size=1, max_size=3), batch_rows=st.integers(1, 30))
def test_optimised_plans_give_the_rows_and_samples_of_plans_as_they_are_written(rows, trunk, branches, batch_rows):
    shared = grown(dr.frame(rows), trunk, 0)
    plans = [grown(shared, branch, 100 * i) for i, branch in enumerate(branches, 1)]
    found, calls = ran(plans, batch_rows=batch_rows)
    with patch.object(rules, "RULES", ()):
        expected, most = ran(plans, batch_rows=batch_rows)
    assert all(a.equals(b) for a, b in zip(found, expected, strict=True))
    assert [a.schema for a in found] == [p.schema for p in plans]
    assert calls <= most


def outcome(plans: list[dr.Frame], *, without: Collection[str] = ()) -> Outcome:
    """The rows (None: it failed), the calls, and what failed in each plan, without the rules of these names."""
    on = tuple(rule for rule in rules.RULES if rule.__name__ not in without)
    with dr.Session(None, batch_rows=7) as session, patch.object(rules, "RULES", on):
        try:
            found = dr.collect_all(plans)
        except (dr.errors.DreamframeError, pl.exceptions.PolarsError):
            return None, session.usage()["calls"], []
        calls = session.usage()["calls"]
        failed = [Counter((f["step"], f["request"], f["error"]) for f in plan.failures().to_dicts()) for plan in plans]
        again = dr.collect_all(plans)
        assert all(a.equals(b) for a, b in zip(again, found, strict=True))
        assert any(failed) or session.usage()["calls"] == calls, "a second run asks nothing"
        return found, calls, failed


@SOME
@given(rows=TABLES, trunk=ANY, branches=st.lists(ANY, min_size=1, max_size=2), off=RULE)
def test_plans_with_failing_models_give_the_same_rows_with_all_rules_and_without_any_one(rows, trunk, branches, off):
    shared = grown(dr.frame(rows), trunk, 0)
    plans = [grown(shared, branch, 100 * i) for i, branch in enumerate(branches, 1)]
    expected, most, could_fail = outcome(plans, without=NAMES)
    for without in ([], [off]):
        found, calls, failed = outcome(plans, without=without)
        if expected is None:
            continue  # rows that nobody reads do not fail
        assert found is not None, "nothing fails that did not fail"
        assert all(a.equals(b) and a.schema == b.schema for a, b in zip(found, expected, strict=True))
        assert calls <= most
        assert all(a <= b for a, b in zip(failed, could_fail, strict=True)), "no failure twice"


@SOME
@given(rows=TABLES, first=ANY, second=ANY)
def test_two_plans_that_are_collected_together_ask_no_more_than_one_after_the_other(rows, first, second):
    plans = [grown(dr.frame(rows), chain, 100 * i) for i, chain in enumerate((first, second))]
    expected, most, _ = outcome(plans, without=NAMES)
    found, calls, _ = outcome(plans)
    if expected is not None:
        assert found is not None
        assert all(a.equals(b) for a, b in zip(found, expected, strict=True))
        assert calls <= most


def test_the_law_sees_a_branch_that_forgets_whom_its_failures_leave_out():
    """A prompt with on_error="drop" in a branch that is not taken: what the law of failing models is for."""
    rows = pl.DataFrame({"t": ["tea", "rain", "jam"], "v": [1, 3, 1], "k": ["a", "b", "a"]})
    plan = FAILING[5](dr.frame(rows), 0, 0)
    expected, _, failed = outcome([plan], without=NAMES)
    assert failed[0], "one is refused"
    found, _, _ = outcome([plan])
    assert expected is not None
    assert found is not None
    assert found[0].equals(expected[0])


counted = {"rows": 0}


def counting(row: dict[str, int]) -> dict[str, int]:
    counted["rows"] += 1
    return {"w": row["v"]}


@MANY
@given(rows=TABLES, trunk=CHAIN, branches=st.lists(CHAIN, min_size=1, max_size=3))
def test_a_step_that_several_read_runs_at_most_once_for_each_row(rows, trunk, branches):
    base = grown(dr.frame(rows), trunk, 0)
    shared = base.map(dr.versioned(counting, version=1), schema={"w": pl.Int64})
    plans = [grown(shared, branch, 100 * i) for i, branch in enumerate(branches, 1)]
    with patch.object(rules, "RULES", ()):
        counted["rows"] = 0
        ran(plans, batch_rows=7)
    most, counted["rows"] = counted["rows"], 0
    ran(plans, batch_rows=7)
    assert counted["rows"] <= most
    with dr.Session(None):
        assert most <= base.collect().height, "its rows are made once, for all of them"


def test_the_law_sees_a_rule_that_renumbers_samples():
    """A limit that goes below a sampled prompt wherever it begins: what the law is for."""

    def careless(step, facts):
        with patch("dreamframe.plan.optimizer.limit._may_pass", lambda limit, below: below.rows == "same" and below.is_streamed):
            return limit_down(step, facts)

    rows = pl.DataFrame({"t": ["tea", "tea", "tea"], "v": [1, 2, 3], "k": ["a", "b", "c"]})
    plan = dr.frame(rows).prompt(Ordinal(), "Say {t}", into="said").slice(1, 1)
    with patch.object(rules, "RULES", (careless,)):
        (wrong,), _ = ran([plan], batch_rows=9)
    (right,), _ = ran([plan], batch_rows=9)
    assert (wrong["said"].item(), right["said"].item()) == ("Say tea #0", "Say tea #1")


def divides(asked: str) -> str:
    """"3 17" is yes where the first number divides the second, or does not, if it is negative; some are refused."""
    by, n = (int(part) for part in asked.split())
    if zlib.crc32(asked.encode()) % 17 == 0:
        raise dr.errors.BadRequestError("refused")
    return "yes" if (n % abs(by) == 0) == (by > 0) else "no"


CONDITION = st.tuples(st.integers(2, 12), st.sampled_from([1, -1]), st.sampled_from(["raise", "null", "drop"]))


@settings(max_examples=15, deadline=None)
@given(conditions=st.lists(CONDITION, min_size=2, max_size=4), n=st.integers(40, 160), batch_rows=st.integers(5, 50))
def test_conditions_in_a_learnt_order_give_the_rows_and_failures_of_the_written_one(conditions, n, batch_rows):
    model = dr.testing.Scripted(divides, temperature=0)
    plan = dr.frame({"i": range(n)})
    for k, (by, sign, on_error) in enumerate(conditions):
        plan = plan.filter_by(model, f"{by * sign} {{i}}", name=f"c{k}", on_error=on_error)
    found = []
    for on in (False, True):
        with dr.Session(None, batch_rows=batch_rows) as session:
            try:
                rows = plan.collect(optimize={"filters_ordered": on})["i"].to_list()
            except dr.errors.RowsFailedError:
                rows = None
            found.append((rows, Counter((f["step"], f["request"], f["error"]) for f in plan.failures().to_dicts())))
            calls = session.usage()["calls"]
            if rows is not None:
                assert plan.collect(optimize={"filters_ordered": on})["i"].to_list() == rows
                assert found[-1][1] or session.usage()["calls"] == calls, "a second run asks nothing"
    (expected, could_fail), (rows, failed) = found
    assert failed <= could_fail
    assert expected is None or rows == expected
