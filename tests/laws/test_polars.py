"""The law of polars' verbs: whatever the rows and whichever the chain, a frame gives what a LazyFrame gives, and its schema is known before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

import dreamframe as dr

V, F, K = pl.col("v"), pl.col("f"), pl.col("k")
SCHEMA = {"k": pl.String, "v": pl.Int64, "f": pl.Float64}
OTHER = pl.DataFrame({"k": ["a", "b", None], "v": [1, None, 2]}, schema={"k": pl.String, "v": pl.Int64})
RIGHT = pl.DataFrame({"v": [1, 2, 3], "w": [10, 20, 30]})
Verb = Callable[[Any], Any]


def both(verb: Verb) -> tuple[Verb, Verb]:
    return verb, verb


VERBS: dict[str, tuple[Verb, Verb]] = {  # on a frame, on a LazyFrame: where polars keeps no order unless asked, it is asked
    "slice": both(lambda d: d.slice(-2, 1)),
    "tail": both(lambda d: d.tail(2)),
    "filter": both(lambda d: d.filter(V.mean() < V)),
    "remove": both(lambda d: d.remove(V > 1)),
    "columns of a generator": both(lambda d: d.with_columns(pl.col(c).shift(1) for c in ("k", "v"))),
    "cumulated": both(lambda d: d.with_columns(v=V.cum_sum())),
    "sort": (lambda d: d.sort("f", nulls_last=True), lambda d: d.sort("f", nulls_last=True, maintain_order=True)),
    "unique": (lambda d: d.unique("k", keep="last"), lambda d: d.unique("k", keep="last", maintain_order=True)),
    "drop_nans": both(lambda d: d.drop_nans("f")),
    "drop_nulls": both(lambda d: d.drop_nulls("v")),
    "fill_null": both(lambda d: d.fill_null(0)),
    "fill_null forward": both(lambda d: d.fill_null(strategy="forward", limit=1)),
    "fill_null by an expression": both(lambda d: d.with_columns(V.fill_null(V.max())).fill_nan(None)),
    "fill_nan": both(lambda d: d.fill_nan(0.5)),
    "shift": both(lambda d: d.shift(-1)),
    "top_k": (lambda d: d.top_k(2, by=["v", "k"]), lambda d: d.sort("v", "k", descending=True, nulls_last=True, maintain_order=True).head(2)),
    "bottom_k": (lambda d: d.bottom_k(2, by="f"), lambda d: d.sort("f", nulls_last=True, maintain_order=True).head(2)),
    "group_by": (lambda d: d.group_by("k").agg(V.sum(), F.first()), lambda d: d.group_by("k", maintain_order=True).agg(V.sum(), F.first())),
    "join_asof": (
        lambda d: d.drop_nulls("v").sort("v").join_asof(dr.frame(RIGHT), on="v", strategy="nearest", tolerance=1).drop("w"),
        lambda d: d.drop_nulls("v").sort("v", maintain_order=True).join_asof(RIGHT.lazy(), on="v", strategy="nearest", tolerance=1).drop("w"),
    ),
    "merge_sorted": (
        lambda d: d.sort("v").merge_sorted(d.sort("v").head(2), "v"),
        lambda d: d.sort("v", maintain_order=True).merge_sorted(d.sort("v", maintain_order=True).head(2), "v", maintain_order=True),
    ),
    "update": (lambda d: d.update(dr.frame(OTHER), on="k"), lambda d: d.update(OTHER.lazy(), on="k", maintain_order="left")),
    "update of places": (lambda d: d.update(dr.frame(OTHER)), lambda d: d.update(OTHER.lazy())),
    "join_where": (
        lambda d: d.join_where(dr.frame(RIGHT), pl.col("v_right") > V).drop("w", "v_right"),
        lambda d: d.with_row_index("i").join(RIGHT.lazy(), how="cross").filter(pl.col("v_right") > V).sort("i", "w").drop("w", "v_right", "i"),
    ),
    "concat": (lambda d: dr.concat([d, d.reverse()]), lambda d: pl.concat([d, d.reverse()])),
}
LAST: dict[str, tuple[Verb, Verb]] = {  # those after which the columns are others
    "pivot": (
        lambda d: d.pivot("k", ["a", "b"], index="f", values="v", aggregate_function="sum"),
        lambda d: d.pivot("k", on_columns=["a", "b"], index="f", values="v", aggregate_function="sum", maintain_order=True),
    ),
    "unpivot": both(lambda d: d.unpivot(["v", "f"], index="k")),
    "mean": both(lambda d: d.select("v", "f").mean()),
    "null_count": both(lambda d: d.null_count()),
    "nothing": both(lambda d: d),
}
FLOATS = st.sampled_from([0.5, 1.0, float("nan"), float("inf"), None])
ROWS = st.lists(st.tuples(st.sampled_from(["a", "b", None]), st.sampled_from([1, 2, 3, -5, None]), FLOATS), max_size=6)


@given(ROWS, st.lists(st.sampled_from(sorted(VERBS)), max_size=3), st.sampled_from(sorted(LAST)), st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_frame_gives_what_a_lazy_frame_gives(rows: list[Any], verbs: list[str], last: str, asked_after: int) -> None:
    table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    ours: Any = dr.frame(table)
    theirs: Any = table.lazy()
    for place, (here, there) in enumerate([*(VERBS[v] for v in verbs), LAST[last]]):
        if place == asked_after:  # a model in between: the optimiser moves verbs over it
            ours, theirs = ours.filter(dr.prompt(dr.testing.Echo(), "{v}") != "7"), theirs.filter(V.is_not_null())  # no text, no answer
        ours, theirs = here(ours), there(theirs)
    wanted = theirs.collect(engine="in-memory")
    with dr.Session(None):
        found = ours.collect()
        assert ours.schema == found.schema == wanted.schema
        assert found.equals(wanted)
        assert ours.lazy().collect().equals(wanted)
