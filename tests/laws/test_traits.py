"""Laws of traits: what a step says it reads, writes, copies and keeps is what is seen when it runs."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.plan.step import Step, TableStep
from tests.laws.cases import CASES, Ordinal, table
from tests.laws.test_running import TABLES

FEW = settings(max_examples=12)
OTHER = pl.DataFrame({"k": ["a", "b", "c"], "w": [1, 2, 3]})
VERBS: dict[str, Callable[[dr.Frame], dr.Frame]] = {
    "filter": lambda df: df.filter(pl.col("v") > 1, k="a"),
    "filter by all rows": lambda df: df.filter(pl.col("v") > pl.col("v").mean()),
    "filter by any column": lambda df: df.filter(pl.any_horizontal(pl.all().is_not_null())),
    "select": lambda df: df.select("k", u=pl.col("v") * 2, t2="t", one=1),
    "select in another order": lambda df: df.select(pl.col("v").reverse(), pl.col("k").sort()),
    "select of sums": lambda df: df.select(pl.col("v").sum()),
    "select of literals": lambda df: df.select(one=1),
    "select of wildcards": lambda df: df.select(pl.all(), s=pl.struct(pl.all())),
    "select of what is exploded": lambda df: df.select(pl.col("t").fill_null("").str.split("a").explode()),
    "with_columns": lambda df: df.with_columns(pl.col("v") + 1, k2="k", one=1),
    "with_columns swapped": lambda df: df.with_columns(t="k", k="t"),
    "with_columns of ranks": lambda df: df.with_columns(r=pl.col("v").rank(), s=pl.col("v").sum().over("k"), n=pl.len()),
    "with_columns of a function": lambda df: df.with_columns(pl.col("v").map_batches(lambda s: s.reverse())),
    "drop": lambda df: df.drop("t"),
    "drop by type": lambda df: df.drop(pl.selectors.string()),
    "rename": lambda df: df.rename({"t": "k", "k": "t"}),
    "cast": lambda df: df.cast({"v": pl.Float64, "k": pl.String}),
    "cast of all": lambda df: df.select("v").cast(pl.String),
    "head": lambda df: df.head(3),
    "tail": lambda df: df.tail(3),
    "slice": lambda df: df.slice(1, 2),
    "slice to the end": lambda df: df.slice(2),
    "slice from the end": lambda df: df.slice(-2, 1),
    "sort": lambda df: df.sort("k", pl.col("v") % 2, nulls_last=True),
    "join": lambda df: df.join(dr.frame(OTHER), on="k"),
    "join left": lambda df: df.join(dr.frame(OTHER), on="k", how="left"),
    "join right": lambda df: df.join(dr.frame(OTHER), on="k", how="right"),
    "join full": lambda df: df.join(dr.frame(OTHER), on="k", how="full"),
    "join full in one column": lambda df: df.join(dr.frame(OTHER), left_on="k", right_on="k", how="full", coalesce=True),
    "join semi": lambda df: df.join(dr.frame(OTHER.head(1)), on="k", how="semi"),
    "join anti": lambda df: df.join(dr.frame(OTHER.head(1)), on="k", how="anti"),
    "join cross": lambda df: df.join(dr.frame(OTHER), how="cross"),
    "join by an expression": lambda df: df.join(dr.frame(OTHER), left_on=pl.col("v") % 3, right_on="w"),
    "group_by": lambda df: df.group_by("k").agg(pl.col("v").sum(), n=pl.len()),
    "concat": lambda df: dr.concat([df, df.head(1)]),
    "concat side by side": lambda df: dr.concat([df, df.select(t2="t")], how="horizontal"),
    "concat diagonal": lambda df: dr.concat([df, dr.frame(OTHER)], how="diagonal"),
    "explode": lambda df: df.with_columns(l=pl.col("t").str.split("a")).explode("l"),
    "unnest": lambda df: df.select("k", s=pl.struct("t", "v")).unnest("s"),
    "drop_nulls": lambda df: df.drop_nulls("t"),
    "unique": lambda df: df.unique("k"),
    "unpivot": lambda df: df.unpivot(["v"], index="k"),
    "reverse": lambda df: df.reverse(),
    "pivot": lambda df: df.pivot("k", ["a", "b"], index="t", values="v", aggregate_function="sum"),
    "join_asof": lambda df: df.sort("v", nulls_last=True).drop_nulls("v").join_asof(dr.frame({"v": [0, 2], "w": [8, 9]}), on="v"),
    "join_where": lambda df: df.join_where(dr.frame({"w": [2, 3]}), pl.col("v") < pl.col("w")),
    "merge_sorted": lambda df: df.select("v").sort("v").merge_sorted(dr.frame({"v": [0, 2]}), "v"),
    "update": lambda df: df.update(dr.frame({"v": [1], "t": ["new"]}), on="v"),
    "remove": lambda df: df.remove(pl.col("v") > 1, k="a"),
    "fill_null": lambda df: df.fill_null("none"),
    "fill_null by a strategy": lambda df: df.fill_null(strategy="forward", limit=1),
    "fill_nan": lambda df: df.fill_nan(0),
    "drop_nans": lambda df: df.drop_nans(),
    "interpolate": lambda df: df.select("v").interpolate(),
    "shift": lambda df: df.select("v").shift(-1, fill_value=0),
    "top_k": lambda df: df.top_k(2, by="v"),
    "bottom_k": lambda df: df.bottom_k(2, by=["k", "v"], reverse=[True, False]),
    "gather_every": lambda df: df.gather_every(2, 1),
    "count": lambda df: df.count(),
    "null_count": lambda df: df.null_count(),
    "min": lambda df: df.select("v").min(),
    "max": lambda df: df.select("v").max(),
    "sum": lambda df: df.select("v").sum(),
    "mean": lambda df: df.select("v").mean(),
    "median": lambda df: df.select("v").median(),
    "std": lambda df: df.select("v").std(ddof=0),
    "var": lambda df: df.select("v").var(),
    "quantile": lambda df: df.select("v").quantile(0.5, "linear"),
    "fill_null by an expression": lambda df: df.fill_null(pl.col("v").max()),
    "join full in another order": lambda df: df.join(dr.frame(OTHER), on="k", how="full", maintain_order="right"),
    "update of all": lambda df: df.update(dr.frame(OTHER.rename({"w": "v"}).cast({"v": pl.Int64})), on="k", how="full"),
    "with_row_index": lambda df: df.with_row_index("i"),
    "gather": lambda df: df.gather([0, -1, 0]),
    "shard": lambda df: df.shard(2, 1),
    "map over its own column": lambda df: df.map(lambda row: {"v": row["v"] * 2}, schema={"v": pl.Int64}),
    "a prompt whose failures are dropped": lambda df: df.prompt(Ordinal(refuses=lambda asked: "rain" in asked), "{t}", into="said", on_error="drop"),
    "sample with replacement": lambda df: df.sample(3, with_replacement=True, seed=1),
}
STEPS: dict[str, Callable[[Step], Step]] = {
    **{n: c.over for n, c in CASES.items() if n not in ("Table", "ReadTable", "HubTable", "HubStream", "KeptScan")},
    **{n: lambda below, verb=verb: verb(dr.Frame(below)).step for n, verb in VERBS.items()},  # type: ignore[misc]
}


def ran(step: Step, rows: pl.DataFrame) -> pl.DataFrame:
    """What a step gives for these rows, whatever gave them before."""
    with dr.Session(None) as active:
        return active.collect(step.with_inputs([table(rows), *step.inputs[1:]]))


def below(step: Step) -> pl.DataFrame:
    with dr.Session(None) as active:
        return active.collect(step.inputs[0])


def is_subsequence(some: list[tuple[object, ...]], of: list[tuple[object, ...]]) -> bool:
    left = iter(of)
    return all(any(row == other for other in left) for row in some)


def heights(step: Step, first: int) -> list[int | None]:
    return [first, *(None for _ in step.inputs[1:])]


@pytest.mark.parametrize("name", STEPS)
@FEW
@given(rows=TABLES)
def test_the_rows_and_columns_that_a_step_passes_on_are_those_of_its_input(name: str, rows: pl.DataFrame):
    step = STEPS[name](table(rows))
    given_rows = below(step)
    out = ran(step, given_rows)
    passed = dict(step.passes())
    assert {c for c in out.columns if passed.get(c) != c} == set(step.writes())
    old, new = (given_rows.select(pl.col(o).alias(n) for n, o in passed.items()), out.select(list(passed)))
    assert old.schema == new.schema
    if step.rows == "same":
        assert new.equals(old)
        assert out.height == given_rows.height
    elif step.rows == "fewer":
        assert is_subsequence(new.rows(), old.rows())
    else:
        assert len(step.inputs) > 1 or set(map(repr, new.rows())) <= set(map(repr, old.rows()))
    assert step.n_out(*heights(step, given_rows.height)) in (None, out.height)


@pytest.mark.parametrize("name", STEPS)
@FEW
@given(rows=TABLES)
def test_a_step_depends_on_no_column_but_those_that_it_reads(name: str, rows: pl.DataFrame):
    step = STEPS[name](table(rows))
    if (reads := step.reads()) is None:
        return
    given_rows = below(step)
    assert reads <= set(given_rows.columns)
    unread = [c for c in given_rows.columns if c not in reads]
    whole, others = ran(step, given_rows), ran(step, given_rows.with_columns(pl.col(unread).reverse()))
    written = [c for c in step.writes() if step.passes().get(c) not in unread]
    assert others.select(written).equals(whole.select(written))
    assert others.height == whole.height
    if reads:  # a frame without columns has no rows
        alone = ran(step, given_rows.select(c for c in given_rows.columns if c in reads))
        assert alone.select(written).equals(whole.select(written))
        assert alone.height == whole.height or not alone.columns


@pytest.mark.parametrize("name", STEPS)
@FEW
@given(rows=TABLES, at=st.integers(0, 25))
def test_a_streamed_step_gives_the_same_rows_piece_by_piece(name: str, rows: pl.DataFrame, at: int):
    step = STEPS[name](table(rows))
    if not step.is_streamed or step.needs_order:
        return
    given_rows = below(step)
    pieces = [ran(step, piece) for piece in (given_rows.head(at), given_rows.slice(at))]
    assert pl.concat(pieces).equals(ran(step, given_rows))


@pytest.mark.parametrize("name", STEPS)
def test_a_step_with_other_values_is_that_step_elsewhere(name: str):
    step = STEPS[name](table())
    assert step.but().key({}) == step.key({})
    named = step.but(name="another")
    assert (named.name, named.key({}), named.made_from) == ("another", step.key({}), step)


def test_what_a_step_does_not_say_counts_as_everything():
    class Own(TableStep):
        def output_schema(self) -> pl.Schema:
            return self.inputs[0].schema

        async def run(self, tables, ctx):  # type: ignore[no-untyped-def]
            return tables[0]

    own = Own(inputs=(table(),))
    assert own.reads() is None
    assert own.writes() == ("t", "v", "k")
    assert (own.passes(), own.rows, own.is_streamed, own.needs_order, own.n_out(4)) == ({}, "other", False, True, None)
