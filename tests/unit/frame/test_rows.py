"""Verbs that choose rows: every row once, the seed decides, order is defined; and users' functions."""

import random
import re
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.plan.steps.strata import apportion, shares


@pytest.fixture(autouse=True)
def session():
    with dr.Session(None) as active:
        yield active


@given(n=st.integers(0, 60), train=st.floats(0.05, 0.95), seed=st.integers(0, 5))
def test_a_split_puts_every_row_into_exactly_one_part(n: int, train: float, seed: int):
    df = dr.frame({"i": pl.Series(range(n), dtype=pl.Int64)})
    a, b = df.split(train=train, test=1 - train, seed=seed)
    left, right = a.collect()["i"].to_list(), b.collect()["i"].to_list()
    assert sorted(left + right) == list(range(n))
    assert left == sorted(left)
    assert right == sorted(right)
    assert abs(len(left) - n * train) <= 1


def test_a_stratified_split_keeps_each_share():
    df = dr.frame({"k": ["a"] * 80 + ["b"] * 20, "i": range(100)})
    parts = df.split(train=0.75, test=0.25, stratify="k", seed=3)
    counts = {name: parts[name].group_by("k").len().to_dicts() for name in parts.names}
    assert counts == {"train": [{"k": "a", "len": 60}, {"k": "b", "len": 15}], "test": [{"k": "a", "len": 20}, {"k": "b", "len": 5}]}


@given(
    strata=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    fractions=st.lists(st.floats(0.05, 1), min_size=1, max_size=4),
    whole=st.booleans(),
    seed=st.integers(0, 3),
)
def test_strata_are_shared_out_and_the_parts_keep_their_sizes(strata: list[int], fractions: list[float], whole: bool, seed: int):
    shares_ = [f / sum(fractions) * (1 if whole else 0.7) for f in fractions]
    order = random.Random(seed).sample(range(len(strata)), len(strata))
    made = shares(strata, shares_, order)
    assert [sum(part) for part in zip(*made, strict=True)] == apportion(sum(strata), shares_)
    for row, n in zip(made, strata, strict=True):
        assert min(row) >= 0
        assert sum(row) == n if whole else sum(row) <= n


@pytest.mark.parametrize(
    ("strata", "fractions", "parts"),
    [
        ([2] * 50, [0.8, 0.2], {(1, 1), (2, 0)}),
        ([2, 98], [0.9, 0.1], {(1, 1), (89, 9)}),
        ([3, 97], [0.8, 0.1, 0.1], {(1, 1, 1), (79, 9, 9)}),
        ([10, 90], [0.9, 0.1], {(9, 1), (81, 9)}),
        ([1] * 10, [0.8, 0.2], {(1, 0), (0, 1)}),
        ([5] * 4, [0.5], {(2,), (3,)}),
    ],
    ids=["pairs", "a rare class", "a rare class of three parts", "exact", "every row another class", "not all rows"],
)
def test_every_stratum_is_in_every_part_where_that_can_be(strata: list[int], fractions: list[float], parts: set[tuple[int, ...]]):
    assert {tuple(row) for row in shares(strata, fractions)} == parts


def test_small_strata_leave_no_part_short():
    df = dr.frame({"y": [f"c{i % 50}" for i in range(100)], "i": range(100)})
    for seed in (0, 1):
        train, test = (part.collect() for part in df.split(train=0.8, test=0.2, stratify="y", seed=seed))
        assert (train.height, test.height) == (80, 20)
        assert train["y"].n_unique() == 50
        assert sorted([*train["i"], *test["i"]]) == list(range(100))
    assert set(test["y"]) != set(df.split(train=0.8, test=0.2, stratify="y")["test"].collect()["y"]), "the seed says whose rows are in the small part"


def test_strata_may_be_of_several_columns():
    df = dr.frame({"a": ["x", "y"] * 10, "b": [1, None, None, 2] * 5, "i": range(20)})
    parts = df.split(train=0.8, test=0.2, stratify=["a", "b"])
    assert parts["test"].sort("a", "b").select("a", "b").collect().rows() == [("x", None), ("x", 1), ("y", None), ("y", 2)]
    assert "stratify=('a', 'b')" in parts["test"].explain()


@pytest.mark.parametrize("stratify", [[], "", [1], pl.col("y")], ids=["none", "blank", "number", "expression"])
def test_strata_are_columns(stratify: object):
    with pytest.raises(dr.errors.SettingError, match="is the name of a column, or several"):
        dr.frame({"y": [1]}).split(train=0.5, test=0.5, stratify=stratify)  # type: ignore[arg-type]


def test_a_part_of_no_rows_is_refused_where_strata_are_asked_for():
    with pytest.raises(dr.errors.SettingError, match=r"test=0.1 of 3 rows is no row at all"):
        dr.frame({"y": ["a", "b", "a"]}).split(train=0.9, test=0.1, stratify="y")["train"].collect()
    assert dr.frame({"y": []}).split(train=0.9, test=0.1, stratify="y")["test"].collect().height == 0


def test_the_key_of_a_split_without_strata_is_what_it_was():
    plain, stratified = (dr.frame({"y": [1, 2]}).split(train=0.5, test=0.5, stratify=by)["test"].step for by in (None, "y"))
    assert plain.key({}) == "278b48d7409e2d45ba698367947c927c"
    assert stratified.key({}) != "536cfcbde3863aa4ffe9f0fccb6e090e"  # rounded otherwise


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (lambda df: df.sample(-1), "n=-1 is not a number of rows"),
        (lambda df: df.sample(1.5), "n=1.5 is not a number of rows"),
        (lambda df: df.sample(fraction=1.5), "not between 0 and 1"),
        (lambda df: df.sample(fraction=-0.1), "not between 0 and 1"),
        (lambda df: df.sample(fraction=float("nan")), "not between 0 and 1"),
        (lambda df: df.sample(1, seed=None), "seed=None is not a whole number"),
        (lambda df: df.shuffle(seed="x"), "seed='x' is not a whole number"),
        (lambda df: df.split(train=1.0, seed=None), "seed=None is not a whole number"),
        (lambda df: df.repeat_to(True), "n=True is not a number of rows"),
        (lambda df: df.gather([True, False, True]), "index=True is not a whole number"),
        (lambda df: df.gather(pl.Series([True])), "index=True is not a whole number"),
        (lambda df: df.gather([1.7]), "index=1.7 is not a whole number"),
        (lambda df: df.gather([None]), "index=None is not a whole number"),
        (lambda df: df.head(0).sample(2, with_replacement=True).collect(), "2 rows asked of a frame without rows"),
        (lambda df: df.head(0).repeat_to(2).collect(), "repeat_to: a frame without rows"),
    ],
    ids=range(15),
)
def test_what_draws_no_rows_or_not_the_same_ones_twice_is_refused(draw: Callable[[dr.Frame], object], why: str):
    with pytest.raises(dr.errors.SettingError, match=re.escape(why)):
        draw(dr.frame({"i": range(10)}))


def test_rows_are_gathered_by_whole_numbers_of_any_kind():
    df = dr.frame({"i": range(3)})
    for positions in ([2, 0], pl.Series([2, 0]), np.array([2, 0]), (2, -3)):
        assert df.gather(positions).collect()["i"].to_list() == [2, 0]
    assert df.sample(np.int64(2), seed=np.int64(1)).step.key({}) == df.sample(2, seed=1).step.key({})


def test_a_part_is_taken_by_name_or_by_place():
    parts = dr.frame({"i": range(10)}).split(train=0.8, validation=0.2)
    first, second = parts
    assert parts["train"] is first
    assert parts[1] is second
    with pytest.raises(KeyError, match="there are train, validation"):
        parts["test"]


@pytest.mark.parametrize("fractions", [{}, {"train": 0.9, "test": 0.2}, {"train": 0}, {"train": -0.5}], ids=["none", "over one", "zero", "negative"])
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(dr.errors.SettingError, match="add up to 1"):
        dr.frame({"i": [1]}).split(**fractions)


def test_shards_hold_every_row_once():
    df = dr.frame({"i": range(11)})
    assert sorted(i for s in range(3) for i in df.shard(3, s).collect()["i"]) == list(range(11))
    with pytest.raises(dr.errors.SettingError, match="0 to 2"):
        df.shard(3, 3)


@pytest.mark.parametrize("n", [0, 1, 10, 11])
def test_contiguous_shards_follow_one_another_and_the_first_are_the_larger(n: int) -> None:
    shards = [dr.frame({"i": range(n)}).shard(3, s, contiguous=True).collect()["i"].to_list() for s in range(3)]
    assert [i for shard in shards for i in shard] == list(range(n))
    assert [len(shard) for shard in shards] == [n // 3 + (s < n % 3) for s in range(3)], "as the datasets library cuts them"


def test_a_split_may_count_rows() -> None:
    df = dr.frame({"i": range(10), "k": ["a", "b"] * 5})
    parts = df.split(train=7, test=2, seed=1)
    train, test = (set(p.collect()["i"]) for p in parts)
    assert (len(train), len(test)) == (7, 2)
    assert not train & test
    by_kind = df.split(train=6, test=4, stratify="k")
    assert [p.collect()["k"].value_counts(sort=True)["count"].to_list() for p in by_kind] == [[3, 3], [2, 2]]
    assert df.split(train=1)["train"].collect().height == 10, "one by itself is all rows, as 1.0 is"
    with dr.Session(None), pytest.raises(dr.errors.SettingError, match=r"split: 8 \+ 4 rows asked of 10"):
        df.split(train=8, test=4)["test"].collect()


@pytest.mark.parametrize("parts", [{"train": 7, "test": 0.3}, {"train": 7, "test": -1}, {"train": True, "test": 5}, {"train": "7"}, {"train": 2.5}])
def test_rows_and_fractions_are_not_mixed(parts: dict[str, Any]) -> None:
    with pytest.raises(dr.errors.SettingError, match="or numbers of rows for all parts"):
        dr.frame({"i": range(10)}).split(**parts)


def test_map_batches_may_see_some_rows_at_a_time() -> None:
    df = dr.frame({"i": range(5)})

    def first(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.with_columns(i=pl.lit(rows.height, dtype=pl.Int64))

    assert df.map_batches(first, batch_size=2).collect()["i"].to_list() == [2, 2, 2, 2, 1]
    assert df.head(0).map_batches(first, batch_size=2).collect().height == 0
    assert df.map_batches(first).step.key({}) != df.map_batches(first, batch_size=2).step.key({})
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(dr.errors.SettingError, match="map_batches: batch_size="):
            df.map_batches(first, batch_size=wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(("n", "i"), [(0, 0), (3, 3), (3, -1), (3, 0.5), (2.5, 0), (True, 0)])
def test_shards_are_counted_by_whole_numbers(n: Any, i: Any) -> None:
    for contiguous in (False, True):
        with pytest.raises(dr.errors.SettingError, match=r"^shard: "):
            dr.frame({"i": range(3)}).shard(n, i, contiguous=contiguous)


def test_a_sample_is_drawn_by_its_seed_and_keeps_order():
    df = dr.frame({"i": range(50)})
    drawn = df.sample(10, seed=1).collect()["i"].to_list()
    assert drawn == sorted(drawn)
    assert len(set(drawn)) == 10
    assert df.sample(10, seed=1).collect()["i"].to_list() == drawn
    assert df.sample(10, seed=2).collect()["i"].to_list() != drawn
    assert df.sample(fraction=0.2).collect().height == 10
    with pytest.raises(dr.errors.SettingError, match="with_replacement"):
        df.sample(51).collect()


def test_shuffle_keeps_the_rows_and_changes_their_order():
    df = dr.frame({"i": range(50)})
    shuffled = df.shuffle(seed=4).collect()["i"].to_list()
    assert sorted(shuffled) == list(range(50))
    assert shuffled != list(range(50))


def test_repeat_to_cycles_and_cuts():
    df = dr.frame({"i": [1, 2, 3]})
    assert df.repeat_to(7).collect()["i"].to_list() == [1, 2, 3, 1, 2, 3, 1]
    assert df.repeat_to(2).collect()["i"].to_list() == [1, 2]
    with pytest.raises(dr.errors.SettingError, match="without rows"):
        df.head(0).repeat_to(2).collect()


def test_grid_is_the_product_in_order():
    rows = dr.grid({"a": ["x", "y"], "b": [1, 2, 3]}).to_dicts()
    assert rows == [{"a": a, "b": b} for a in "xy" for b in (1, 2, 3)]
    assert dr.grid({"a": [], "b": [1]}).collect().height == 0


def test_map_adds_typed_columns():
    df = dr.frame({"a": [1, 2]}).map(lambda row: {"b": row["a"] * 2, "c": str(row["a"])}, schema={"b": pl.Int8, "c": pl.String})
    assert df.schema == pl.Schema({"a": pl.Int64, "b": pl.Int8, "c": pl.String})
    assert df.to_dicts() == [{"a": 1, "b": 2, "c": "1"}, {"a": 2, "b": 4, "c": "2"}]


def invert(row: dict[str, int]) -> dict[str, float]:
    return {"inverse": 1 / row["a"]}


def test_a_row_on_which_the_function_raises_is_a_failed_row():
    df = dr.frame({"a": [1, 0, 2]})
    schema = {"inverse": pl.Float64}
    with pytest.raises(dr.errors.RowsFailedError, match=r"1 of 3 rows failed.*ZeroDivisionError") as raised:
        df.map(invert, schema=schema).collect()
    assert [f["row"] for f in raised.value.failures] == [1]
    nulled = df.map(invert, schema=schema, on_error="null")
    assert nulled.collect()["inverse"].to_list() == [1.0, None, 0.5]
    assert nulled.failures()["error"].to_list() == ["ZeroDivisionError"]
    assert df.map(invert, schema=schema, on_error="drop").collect()["a"].to_list() == [1, 2]


@pytest.mark.parametrize(
    ("made", "why"),
    [({"b": "text"}, "b"), ({"c": 1}, "schema= does not name"), (3, "not a dict")],
    ids=["wrong type", "unknown column", "no dict"],
)
def test_what_a_function_gives_is_checked(made, why):
    df = dr.frame({"a": [1]}).map(lambda _: made, schema={"b": pl.Int64}, on_error="null")
    assert df.collect()["b"].to_list() == [None]
    assert why in df.failures()["message"][0]


def test_a_slow_row_times_out_and_the_others_do_not_wait_for_it():
    release = threading.Event()

    def slow(row):
        if row["a"] == 0:
            release.wait(5)
        return {"b": row["a"]}

    df = dr.frame({"a": [0, 1]}).map(dr.versioned(slow, version=1), schema={"b": pl.Int64}, timeout=0.05, on_error="null", workers=2)
    began = time.monotonic()
    assert df.collect()["b"].to_list() == [None, 1]
    assert time.monotonic() - began < 4
    release.set()
    assert df.failures()["error"].to_list() == ["TimeoutError"]


def test_map_batches_sees_the_whole_table():
    df = dr.frame({"a": range(1000)})
    assert df.map_batches(lambda t: t.select(n=pl.lit(t.height)), schema={"n": pl.Int32}).to_dicts() == [{"n": 1000}]
    with pytest.raises(dr.errors.SchemaError, match="Pass schema="):
        df.map_batches(lambda t: t.select(n=pl.lit(1))).collect()


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        ({"a": 1, "b": 2}, pl.Struct({"a": pl.Int64})),
        ([{"a": 1}, {"a": 1, "b": 2}], pl.List(pl.Struct({"a": pl.Int64}))),
        ({"in": {"a": 1, "b": 2}}, pl.Struct({"in": pl.Struct({"a": pl.Int64})})),
    ],
    ids=["a struct", "in a list", "in a struct"],
)
def test_a_field_that_the_schema_of_a_map_does_not_name_is_a_failed_row_as_a_column_is(value, dtype):
    with pytest.raises(dr.errors.RowsFailedError, match="gave a field 'b' in 'y', which schema= does not name"), dr.Session(None):
        dr.frame({"x": [1]}).map(lambda _: {"y": value}, schema={"y": dtype}).collect()
