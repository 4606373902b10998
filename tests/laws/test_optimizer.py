"""Laws of the optimiser: a plan gives the rows and samples that it gives as it is written, asks no more, and what is shared runs once."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Collection
from unittest.mock import patch

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.plan.optimizer import rules
from dreamframe.plan.optimizer.limit import limit_down
from tests.laws.cases import Ordinal
from tests.laws.test_running import TABLES

MANY, SOME = settings(max_examples=40, deadline=None), settings(max_examples=20, deadline=None)
Verb = Callable[[dr.Frame, int], dr.Frame]
VERBS: list[Verb] = [  # each keeps t, v and k; the number makes names differ
    lambda df, i: df.prompt(Ordinal(), "Say {t}", into=f"p{i}"),
    lambda df, i: df.prompt(Ordinal(temperature=0), "Name {k}", into=f"g{i}"),
    lambda df, i: df.prompt(Ordinal(), "Drop {k}{v}", into=f"d{i}", on_error="drop", schema=int, repairs=0),
    lambda df, i: df.prompt(Ordinal(), "Null {k}", into=f"n{i}", on_error="null", schema=int, repairs=0),
    lambda df, i: df.map(doubled, schema={"v": pl.Int64}),
    lambda df, i: df.with_columns(pl.col("v") + i, t=pl.col("t").fill_null("x")),
    lambda df, i: df.with_columns(pl.col("v").rank("ordinal").cast(pl.Int64).alias("v")),
    lambda df, i: df.with_columns(t="k", k="t"),
    lambda df, i: df.filter(pl.col("v") > i - 3),
    lambda df, i: df.head(i),
    lambda df, i: df.slice(1, i),
    lambda df, i: df.slice(-2),
    lambda df, i: df.tail(i),
    lambda df, i: df.sort("k"),
    lambda df, i: df.unique("t"),
    lambda df, i: dr.concat([df, df.head(1)]),
    lambda df, i: df.join(df.head(2).select("k", pl.lit(i).alias(f"j{i}")).unique("k"), on="k", how="left"),
    lambda df, i: df.embed(dr.testing.WordEmbedder(size=4), "k", into=f"e{i}"),
    lambda df, i: df.prompt(Ordinal(), "Three {t}", into=f"x{i}", n=3),
    lambda df, i: df.prompt(Ordinal(), "Of {v}", into=f"c{i}").with_columns(pl.col("v").alias(f"y{i}")).filter(pl.col(f"y{i}") > 1),
    lambda df, i: df.drop([c for c in df.columns if c not in "tvk"]),
    lambda df, i: df.select("k", "v", "t"),
    lambda df, i: df.select(pl.col("t"), pl.col("k"), pl.len().over("t").cast(pl.Int64).alias("v")),
    lambda df, i: df.group_by("k").agg(pl.col("t").first(), pl.col("v").sum()),
    lambda df, i: df.sort("v", descending=True).head(i),
    lambda df, i: df.sample(fraction=0.5, seed=i),
    lambda df, i: df.unique("k", keep="last"),
    lambda df, i: df.drop_nulls("t"),
    lambda df, i: df.join(dr.frame({"v": [i, 1, 2]}), on="v", how="semi"),
    lambda df, i: df.join(dr.frame({"v": [i, 1, 2]}), on="v", how="anti"),
    lambda df, i: df.join(dr.frame({"w": [i, 1, 1, 7]}), left_on="v", right_on="w"),
    lambda df, i: df.filter((pl.col("v") > i - 2) & (dr.prompt(Ordinal(), "Odd {t} {v}").str.len_chars() % 2 == 1)),
    lambda df, i: df.filter(pl.col("v") > pl.col("v").mean()),
    lambda df, i: df.with_row_index(f"row{i}"),
    lambda df, i: df.reverse(),
    lambda df, i: df.with_columns(v=pl.when(pl.col("v") > i).then(dr.prompt(Ordinal(), "If {t}").str.len_chars().cast(pl.Int64)).otherwise(pl.col("v"))),
    lambda df, i: df.select("t", "k", v=pl.when(pl.col("k") == "a").then(dr.prompt(Ordinal(temperature=0), "B{k}").str.len_chars().cast(pl.Int64))),
    lambda df, i: df.filter(dr.prompt(Ordinal(), "Own {t}").str.len_chars() % 2 == 1).head(i),
    lambda df, i: df.with_columns(pl.col("k").str.split("").alias("k")).explode("k"),
    lambda df, i: df.filter(dr.prompt(Ordinal(temperature=0), "Two {k}").str.len_chars() > 3).slice(1, i),
    lambda df, i: df.filter(dr.prompt(Ordinal(), "Own {t}").str.len_chars() % 2 == 1).join(dr.frame({"v": [i, 1, 2, 2]}), on="v").head(i),
    lambda df, i: df.filter(dr.prompt(Ordinal(temperature=0), "Own {v}").str.len_chars() % 2 == 1).join(df.select(v="v", k=pl.lit("a")), on=["v", "k"]).head(i),
    lambda df, i: df.with_columns(pl.col("t").str.len_chars().cast(pl.Int64).alias("n")).drop("n"),
    lambda df, i: df.prompt(Ordinal(), "Un {t}", into="unread").with_columns(u2=pl.col("unread") + "!").drop("unread", "u2"),
    lambda df, i: df.prompt(Ordinal(), "Un {t}", into="un").group_by("k").agg(pl.col("t").last(), pl.col("v").max(), pl.col("un").first()).drop("un"),
    lambda df, i: df.with_columns(l=pl.concat_list("v", "v")).prompt(Ordinal(), "Un {t}", into="un").explode("l").select("t", "k", v=pl.col("l")),
]


def refused(prompt: str) -> bool:
    return zlib.crc32(prompt.encode()) % 3 == 0


def is_even(text: str) -> bool:
    return len(text) % 2 == 0


POOR, POOR_GREEDY = Ordinal(tone="poor", refuses=refused), Ordinal(tone="poor", temperature=0, refuses=refused)  # other models than those that answer
ASKED = pl.col("t") + pl.col("k")
FAILING: list[Verb] = [  # models that refuse some prompts, with every on_error; the number makes names differ
    lambda df, i: df.prompt(POOR, "Say {t}{k}", into=f"fa{i}", on_error="null"),
    lambda df, i: df.prompt(POOR, "Say {t}{v}", into=f"fb{i}", on_error="drop"),
    lambda df, i: df.prompt(POOR_GREEDY, "Say {k}{v}", into=f"fc{i}", on_error="drop"),
    lambda df, i: df.prompt(POOR, "Three {t}", into=f"fd{i}", n=3, on_error="null"),
    lambda df, i: df.prompt(POOR_GREEDY, "Or {v}", into=f"fe{i}", on_error="raise"),
    lambda df, i: df.with_columns(pl.when(pl.col("v") > 2).then(dr.prompt(POOR, "If {t}", on_error="drop")).otherwise(pl.lit("-")).alias(f"ff{i}")),
    lambda df, i: df.with_columns(pl.when(pl.col("v") > 2).then(dr.prompt(POOR, "If {x}", x=ASKED, on_error="null")).otherwise(pl.lit("-")).alias(f"fg{i}")),
    lambda df, i: df.filter((dr.prompt(POOR, "Is {k}{v}", on_error="null").str.len_chars() % 2 == 0) & (pl.col("k") == "a")),
    lambda df, i: df.filter_by(POOR, "Keep {t}{v}", parse=is_even, on_error="drop").head(i),
    lambda df, i: df.join(df.unique("k").prompt(Ordinal(), "Of {k}", into=f"fh{i}").filter(pl.col("k") != "a").select("k", f"fh{i}"), on="k"),
    lambda df, i: df.join(df.filter(pl.col("v") > i).select("k"), on="k", how="semi"),
    lambda df, i: df.prompt(Ordinal(), dr.Jinja("{% if t %}{{ t }}{% endif %}{{ v }}"), into=f"fi{i}"),
    lambda df, i: df.prompt(Ordinal(), dr.Chat([("system", "As {k}."), ("user", "{t}")]), into=f"fj{i}"),
]
NAMING = [VERBS[n] for n in (0, 1, 2, 3, 16, 17, 18, 19, 33)]  # whose number names a column
NAMING += [FAILING[n] for n in (0, 1, 2, 3, 4, 5, 6, 9, 11, 12)]
CHAIN = st.lists(st.tuples(st.sampled_from(VERBS), st.integers(0, 5)), max_size=6)


def doubled(row: dict[str, int]) -> dict[str, int]:
    return {"v": row["v"] * 2}


def grown(df: dr.Frame, chain: list[tuple[Verb, int]], at: int) -> dr.Frame:
    for i, (verb, n) in enumerate(chain):
        df = verb(df, n + 10 * i + at) if verb in NAMING else verb(df, n)
    return df


def ran(plans: list[dr.Frame], *, batch_rows: int) -> tuple[list[pl.DataFrame], int]:
    with dr.Session(None, batch_rows=batch_rows) as session:
        return dr.collect_all(plans), session.usage()["calls"]


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


ANY = st.lists(st.tuples(st.sampled_from([*VERBS, *FAILING]), st.integers(0, 5)), max_size=4)
NAMES = [rule.__name__ for rule in rules.RULES]
RULE = st.sampled_from(NAMES)
Outcome = tuple[list[pl.DataFrame] | None, int, list[Counter[tuple[str, str, str]]]]


def outcome(plans: list[dr.Frame], *, without: Collection[str] = ()) -> Outcome:
    """The rows (None: some failed), the calls, and what failed in each plan, without the rules of these names."""
    on = tuple(rule for rule in rules.RULES if rule.__name__ not in without)
    with dr.Session(None, batch_rows=7) as session, patch.object(rules, "RULES", on):
        try:
            found = dr.collect_all(plans)
        except dr.errors.RowsFailedError:
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
    plan = FAILING[5](dr.frame(rows), 0)
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
