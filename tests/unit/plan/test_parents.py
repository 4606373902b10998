"""Which rows a row was made of, verb by verb: against positions that go through the verb as a column where that is possible, else against what is known."""

from __future__ import annotations

from collections.abc import Callable

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.plan.parents import gathered, parents

LEFT = pl.DataFrame({"k": ["x", "y", "x", None, "x"], "n": [3, 1, 2, 4, 3], "l": [[1, 2], [3], [], None, [5]], "f": [1.0, float("nan"), 2.0, 3.0, 1.0]})
RIGHT = pl.DataFrame({"k": ["x", "z", "x"], "m": [1, 2, 3]})
Verb = Callable[[dr.Frame], dr.Frame]
KEEP: dict[str, Verb] = {  # rows in another order, or fewer, or several times: the column "at" tells which
    "filter": lambda df: df.filter(pl.col("n") > 1, k="x"),
    "filter by all": lambda df: df.filter(pl.all_horizontal(pl.col("n", "f") > 0)),
    "filter by none": lambda df: df.filter(pl.lit(value=True)),
    "remove": lambda df: df.remove(pl.col("n") == 3),
    "sort": lambda df: df.sort("n", "k", descending=True),
    "head": lambda df: df.head(2),
    "tail": lambda df: df.tail(2),
    "slice": lambda df: df.slice(-3, 2),
    "explode": lambda df: df.explode("l"),
    "unique": lambda df: df.unique("k", keep="last"),
    "drop nulls": lambda df: df.drop_nulls("l"),
    "drop nans": lambda df: df.drop_nans(),
    "gather": lambda df: df.gather([3, 0, 3]),
    "every second": lambda df: df.gather_every(2, 1),
    "reverse": lambda df: df.reverse(),
    "numbered": lambda df: df.with_row_index("i", offset=7),
    "sample": lambda df: df.sample(3, seed=4),
    "with replacement": lambda df: df.sample(7, seed=4, with_replacement=True),
    "shuffle": lambda df: df.shuffle(seed=1),
    "repeat": lambda df: df.repeat_to(12),
    "shard": lambda df: df.shard(2, 1),
    "split": lambda df: df.split(a=0.5, b=0.5)["b"],
    "dedup": lambda df: df.drop_nulls("k").with_columns(t="k").dedup("t", method="minhash"),
    "join": lambda df: df.join(dr.frame(RIGHT), on="k"),
    "left join": lambda df: df.join(dr.frame(RIGHT), on="k", how="left"),
    "anti join": lambda df: df.join(dr.frame(RIGHT), on="k", how="anti"),
    "cross join": lambda df: df.join(dr.frame(RIGHT), how="cross"),
}


@pytest.mark.parametrize("name", KEEP)
def test_the_rows_of_a_verb_are_those_at_their_positions(name: str):
    rows = dr.frame(LEFT.with_row_index("at"))
    step = KEEP[name](rows).step
    made = dr.frame(LEFT).__class__(step).collect()
    tables = [dr.frame(LEFT).__class__(i).collect() for i in step.inputs]
    (first, *_), height = parents(step, tables), made.height
    assert height
    assert first is not None
    assert [tables[0]["at"][gathered(first, [i], 9)[0]] for i in range(height)] == made["at"].to_list()


def test_a_row_of_a_join_has_a_row_of_either_side_or_none():
    both = dr.frame(LEFT).join(dr.frame(RIGHT), on="k", how="full")
    left, right = parents(both.step, [LEFT, RIGHT])
    made = both.collect()
    for i in range(made.height):
        assert [LEFT["k"][at] for at in gathered(left, [i], 9)] == [k for k in [made["k"][i]] if gathered(left, [i], 9)]
        assert [RIGHT["m"][at] for at in gathered(right, [i], 9)] == [m for m in [made["m"][i]] if m is not None]
    semi = parents(dr.frame(LEFT).join(dr.frame(RIGHT), on="k", how="semi").step, [LEFT, RIGHT])
    assert [s.to_list() for s in semi if s is not None] == [[0, 2, 4], [[0, 2], [0, 2], [0, 2]]]


def test_a_group_is_made_of_its_rows_and_a_concat_of_one_input():
    (groups,) = parents(dr.frame(LEFT).group_by(pl.col("n") % 2, "k").agg(pl.len()).step, [LEFT])
    assert groups is not None
    assert groups.to_list() == [[0, 4], [1], [2], [3]]
    above, below = parents(dr.concat([dr.frame(RIGHT), dr.frame(RIGHT)]).step, [RIGHT, RIGHT])
    assert [(gathered(above, [i], 3), gathered(below, [i], 3)) for i in range(6)] == [([0], []), ([1], []), ([2], []), ([], [0]), ([], [1]), ([], [2])]
    (turned,) = parents(dr.frame(LEFT).unpivot(on=["n", "f"], index="k").step, [LEFT])
    assert turned is not None
    assert turned.to_list() == [0, 1, 2, 3, 4] * 2


@pytest.mark.parametrize("verb", [lambda df: df.select(pl.col("n").sum()), lambda df: df.count(), lambda df: df.map_batches(lambda rows: rows)])
def test_where_nobody_can_tell_all_rows_have_a_part(verb: Verb):
    (places,) = parents(verb(dr.frame(LEFT)).step, [LEFT])
    assert places is None
    assert gathered(places, [0], LEFT.height) == list(range(LEFT.height))
