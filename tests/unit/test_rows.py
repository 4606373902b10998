"""Verbs that choose rows: every row once, the seed decides, order is defined; and users' functions."""

import threading
import time

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr


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
