"""Rows are those of the moment a frame was made: what the user does to arrays, tables and lists afterwards changes no plan."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import dreamframe as dr
from dreamframe.errors import SettingError
from dreamframe.identity.owned import own_expr, own_rows
from dreamframe.identity.tables import frame_digest

LONG = "a text that is longer than twelve bytes"


def numbers() -> np.ndarray[Any, Any]:
    return np.array([1.0, 2.0])


def over_text(text: pa.DataType) -> tuple[pa.Array, bytearray]:
    """An Arrow column of texts over memory that a program can write to."""
    held = bytearray(LONG.encode() * 2)
    width = np.int64 if text == pa.large_string() else np.int32
    ends = pa.py_buffer(np.array([0, len(LONG), 2 * len(LONG)], dtype=width))
    return pa.Array.from_buffers(text, 2, [None, ends, pa.py_buffer(held)]), held


def of_arrow_texts(text: pa.DataType, door: Callable[[pa.Array], Any] = lambda t: pa.table({"a": t})) -> tuple[Any, Callable[[], None]]:
    column, held = over_text(text)
    return door(column), lambda: held.__setitem__(slice(0, 5), b"other")


def spoilt(numbers: np.ndarray[Any, Any], table: Any) -> tuple[Any, Callable[[], None]]:
    return table, lambda: numbers.__setitem__(0, 99.0)


def mapped(folder: Path) -> tuple[Any, Callable[[], None]]:
    memory = np.memmap(folder / "numbers", dtype="float64", mode="w+", shape=(2,))
    memory[:] = [1.0, 2.0]
    return {"a": memory}, lambda: memory.__setitem__(0, 99.0)


def set_in(table: Any, spoil: Callable[[Any], object]) -> tuple[Any, Callable[[], None]]:
    return table, lambda: (spoil(table), None)[1]


TABLES: dict[str, Callable[[Path], tuple[Any, Callable[[], None]]]] = {
    "dict of arrays": lambda _: spoilt(a := numbers(), {"a": a}),
    "polars of numpy": lambda _: spoilt(a := numbers(), pl.DataFrame({"a": a})),
    "lazy polars": lambda _: spoilt(a := numbers(), pl.DataFrame({"a": a}).lazy()),
    "polars series": lambda _: spoilt(a := numbers(), pl.Series("a", a)),
    "dict of series": lambda _: spoilt(a := numbers(), {"a": pl.Series(a)}),
    "pandas": lambda _: spoilt(a := numbers(), pd.DataFrame({"a": a}, copy=False)),
    "pandas series": lambda _: spoilt(a := numbers(), pd.Series(a, name="a", copy=False)),
    "arrow": lambda _: spoilt(a := numbers(), pa.table({"a": pa.array(a)})),
    "arrow batch": lambda _: spoilt(a := numbers(), pa.record_batch({"a": pa.array(a)})),
    "arrow reader": lambda _: spoilt(a := numbers(), pa.table({"a": pa.array(a)}).to_reader()),
    "dict of arrow": lambda _: spoilt(a := numbers(), {"a": pa.array(a)}),
    "list of arrays": lambda _: spoilt(a := numbers(), {"a": [a]}),
    "dicts of arrays": lambda _: spoilt(a := numbers(), [{"a": a}]),
    "array of two dimensions": lambda _: spoilt(a := numbers().reshape(2, 1), {"a": a}),
    "struct": lambda _: spoilt(a := numbers(), pl.DataFrame({"x": a}).select(a=pl.struct("x"))),
    "arrow texts": lambda _: of_arrow_texts(pa.string()),
    "arrow large texts": lambda _: of_arrow_texts(pa.large_string()),
    "texts in lists": lambda _: of_arrow_texts(pa.large_string(), lambda t: pa.table({"a": pa.LargeListArray.from_arrays(pa.array([0, 1, 2], pa.int64()), t)})),
    "binary": lambda _: of_arrow_texts(pa.large_string(), lambda t: pa.table({"a": t.cast(pa.large_binary())})),
    "pandas texts": lambda _: of_arrow_texts(pa.string(), lambda t: pd.DataFrame({"a": pd.array(t, dtype=pd.ArrowDtype(pa.string()))})),
    "categories": lambda _: of_arrow_texts(pa.string(), lambda t: pa.table({"a": pa.DictionaryArray.from_arrays(pa.array([0, 1], pa.uint32()), t)})),
    "data set": lambda _: spoilt(a := numbers(), datasets.Dataset(datasets.table.InMemoryTable(pa.table({"a": pa.array(a)})))),
    "mapped file": mapped,
    "polars cell": lambda _: set_in(pl.DataFrame({"a": [1, 2]}), lambda t: t.__setitem__((0, "a"), 99)),
    "polars column dropped": lambda _: set_in(pl.DataFrame({"a": [1, 2], "b": [3, 4]}), lambda t: t.drop_in_place("b")),
    "polars columns renamed": lambda _: set_in(pl.DataFrame({"a": [1, 2]}), lambda t: setattr(t, "columns", ["z"])),
    "pandas cell": lambda _: set_in(pd.DataFrame({"a": [1, 2]}), lambda t: t.__setitem__("a", 99)),
    "list of dicts": lambda _: set_in([{"a": [1]}], lambda t: t[0]["a"].append(2)),
    "dict of lists": lambda _: set_in({"a": [1, 2]}, lambda t: t["a"].append(2)),
}


@pytest.mark.parametrize("kind", TABLES)
def test_rows_are_those_of_the_moment(kind: str, tmp_path: Path):
    table, spoil = TABLES[kind](tmp_path)
    frame = dr.frame(table)
    before = frame.collect().to_dicts()
    spoil()
    assert frame.collect().to_dicts() == before
    assert frame.step.digest == frame_digest(frame.step.data)  # the key is that of the rows, whenever it is asked for


def test_a_changed_array_gives_no_later_run_the_rows_of_another_table(tmp_path: Path):
    tenfold = {"y": pl.Float64}
    numbers = np.array([1.0, 2.0])
    frame = dr.frame({"x": numbers})
    with dr.Session(tmp_path):
        frame.map(lambda r: {"q": 1}, schema={"q": pl.Int64}).collect()  # the digest is taken
        numbers[0] = 99.0
        frame.map(lambda r: {"y": r["x"] * 10}, schema=tenfold).collect()
        again = dr.frame({"x": [1.0, 2.0]}).map(lambda r: {"y": r["x"] * 10}, schema=tenfold).collect()
    assert again["y"].to_list() == [10.0, 20.0]


def test_the_accessors_own_their_rows_too():
    numbers = np.array([1.0, 2.0])
    made = pl.DataFrame({"a": numbers}).dream, pl.DataFrame({"a": numbers}).lazy().dream
    numbers[0] = 99.0
    assert [f.collect()["a"].to_list() for f in made] == [[1.0, 2.0]] * 2


LITERALS: dict[str, Callable[[np.ndarray[Any, Any]], dr.Frame]] = {
    "a series": lambda a: dr.frame({"t": ["x", "y"]}).with_columns(pl.Series("n", a)),
    "a literal": lambda a: dr.frame({"t": ["x", "y"]}).with_columns(pl.lit(pl.Series(a)).alias("n")),
    "inside an expression": lambda a: dr.frame({"t": ["x", "y"]}).with_columns(n=pl.lit(pl.Series(a)) + 1),
    "a keyword": lambda a: dr.frame({"t": ["x", "y"]}).with_columns(n=pl.Series(a)),
    "select": lambda a: dr.frame({"t": ["x", "y"]}).select("t", n=pl.lit(pl.Series(a))),
    "filter": lambda a: dr.frame({"n": [1.0, 2.0]}).filter(pl.col("n").is_in(pl.Series(a))),
    "filter by array": lambda a: dr.frame({"n": [1.0, 2.0]}).filter(pl.col("n").is_in(a)),
    "filter by keyword": lambda a: dr.frame({"n": [1.0, 2.0]}).filter(n=pl.Series(a)),
    "group": lambda a: dr.frame({"t": ["x", "y"]}).group_by(n=pl.lit(pl.Series(a))).len(),
    "a prompt's column": lambda a: dr.frame({"t": ["x", "y"]}).select(dr.prompt(dr.testing.Echo(), "{v}", v=pl.lit(pl.Series(a)), into="said")),
}


@pytest.mark.parametrize("kind", LITERALS)
def test_values_in_an_expression_are_those_of_the_moment(kind: str):
    numbers = np.array([1.0, 2.0])
    frame = LITERALS[kind](numbers)
    key, rows = frame.step.key({}), frame.collect().to_dicts()
    numbers[:] = 99.0
    assert frame.collect().to_dicts() == rows
    assert frame.step.key({}) == key


def test_a_copied_expression_is_the_same_to_the_cache():
    for expr in (pl.lit(pl.Series("s", [1, 2])), pl.col("a").is_in([1, 2]), pl.col("a") > 3, pl.col("a").replace({1: 2})):
        assert own_expr(expr).meta.serialize() == expr.meta.serialize()


def test_an_expression_that_polars_cannot_write_is_left_as_it_is():
    with_function = pl.col("a").map_batches(lambda v: v, return_dtype=pl.Int64) + pl.lit(pl.Series([1]))
    of_nothing = pl.lit(pl.Series([[]], dtype=pl.Array(pl.Int8, 0)))
    of_objects = pl.lit(pl.Series([{1}], dtype=pl.Object))
    for expr in (with_function, of_nothing, of_objects):
        assert own_expr(expr) is expr


RANDOM: dict[str, Callable[[int | None], pl.Expr]] = {
    "shuffle": lambda seed: pl.col("a").shuffle(seed=seed),
    "sample": lambda seed: pl.col("a").sample(fraction=1.0, shuffle=True, seed=seed),
    "over": lambda seed: pl.col("a").shuffle(seed=seed).over("t"),
    "of a list": lambda seed: pl.col("l").list.sample(1, seed=seed),
    "inside lists": lambda seed: pl.col("l").list.eval(pl.element().shuffle(seed=seed)),
    "ties": lambda seed: pl.col("a").rank("random", seed=seed),
}


@pytest.mark.parametrize("verb", ["select", "with_columns", "sort", "agg"])
@pytest.mark.parametrize("kind", RANDOM)
def test_an_expression_that_draws_at_random_needs_a_seed(kind: str, verb: str):
    frame = dr.frame({"a": [1, 2, 3], "t": ["x", "x", "y"], "l": [[1, 2], [3, 4], [5, 6]]})
    over = {"agg": frame.group_by("t").agg}.get(verb) or getattr(frame, verb)
    with pytest.raises(SettingError, match="without a seed"):
        over(RANDOM[kind](None))
    seeded = over(RANDOM[kind](1))
    assert seeded.collect().equals(seeded.collect())


def test_an_expression_that_breaks_no_ties_at_random_needs_none():
    assert dr.frame({"a": [2, 1]}).select(pl.col("a").rank()).collect()["a"].to_list() == [2.0, 1.0]


def test_arguments_are_those_of_the_moment(tmp_path: Path):
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    columns, types, places, schema = ["a"], {"a": pl.String}, [1, 0], pl.Schema({"a": pl.Int8, "b": pl.Int8})
    made = [
        dr.frame({"a": [1], "b": [2]}).drop(columns),
        dr.frame({"a": [1], "b": [2]}).cast(types),
        dr.frame({"a": [1, 2]}).gather(places),
        dr.scan_csv(tmp_path / "t.csv", schema_overrides=types),
        dr.scan_csv(tmp_path / "t.csv", schema=schema),
        dr.frame({"a": [1], "b": [1]}).join(dr.frame({"a": [1], "b": [1]}), on=columns),
    ]
    before = [(f.columns, f.collect().to_dicts(), f.step.key({})) for f in made]
    columns.append("b")
    types["b"] = types["a"] = pl.Float64  # type: ignore[assignment]
    schema["a"] = pl.String()
    places.clear()
    assert [(f.columns, f.collect().to_dicts(), f.step.key({})) for f in made] == before


NAMED: dict[str, Callable[[dr.Frame, Any], dr.Frame]] = {
    "select": lambda f, names: f.select(names),
    "with_columns": lambda f, names: f.with_columns(names),
    "sort": lambda f, names: f.sort(names),
    "drop": lambda f, names: f.drop(names),
    "unique": lambda f, names: f.unique(names),
    "drop_nulls": lambda f, names: f.drop_nulls(names),
    "group_by": lambda f, names: f.group_by(names).len(),
    "join": lambda f, names: f.join(f, on=names),
    "unpivot": lambda f, names: f.unpivot(names),
}


@pytest.mark.parametrize("verb", NAMED)
def test_names_may_come_from_anything_that_gives_them(verb: str):
    frame = dr.frame({"b": [1, 2], "a": [3, 4], "c": [5, 6]})
    given = [["a", "b"], (name for name in ("a", "b")), map(str, ["a", "b"]), {"a": 1, "b": 2}.keys(), {"b", "a"}, frozenset({"a", "b"})]
    made = [NAMED[verb](frame, names) for names in given]
    assert {f.step.key({}) for f in made} == {made[0].step.key({})}
    for f in made:
        assert f.collect().equals(made[0].collect())
        assert f.collect().columns == f.columns


def test_expressions_may_come_from_a_generator():
    frame = dr.frame({"a": [1], "b": [2]})
    assert frame.select(pl.col(c) * 10 for c in ("a", "b")).collect().to_dicts() == [{"a": 10, "b": 20}]


KINDS: dict[str, pl.Series] = {
    "text": pl.Series(["a", LONG, None]),
    "binary": pl.Series([b"a", LONG.encode(), None]),
    "bool": pl.Series([True, None]),
    "int128": pl.Series([2**100, None], dtype=pl.Int128),
    "uint128": pl.Series([2**100, None], dtype=pl.UInt128),
    "float16": pl.Series([0.5, float("nan"), None], dtype=pl.Float16),
    "null": pl.Series([None, None]),
    "decimal": pl.Series([Decimal("1.50"), None]),
    "date": pl.Series([dt.date(2026, 1, 1), None]),
    "time": pl.Series([dt.time(1), None]),
    "datetime": pl.Series([dt.datetime(2026, 1, 1), None], dtype=pl.Datetime("ns", "Europe/Oslo")),
    "duration": pl.Series([dt.timedelta(1), None]),
    "categorical": pl.Series(["a", "b", "a", None], dtype=pl.Categorical),
    "own categories": pl.Series(["a", None], dtype=pl.Categorical(pl.Categories("of test_owned"))),
    "enum": pl.Series(["b", None], dtype=pl.Enum(["a", "b"])),
    "list": pl.Series([["a", LONG, None], [], None]),
    "list of enums": pl.Series([["b"], None], dtype=pl.List(pl.Enum(["a", "b"]))),
    "array": pl.Series([[1, 2], None], dtype=pl.Array(pl.Int8, 2)),
    "array of nothing": pl.Series([[], []], dtype=pl.Array(pl.Int8, 0)),
    "struct": pl.Series([{"a": 1, "b": [LONG]}, None]),
    "struct of nothing": pl.Series([{}, {}], dtype=pl.Struct({})),
    "list of structs": pl.Series([[{"a": 1}], None]),
    "object": pl.Series([{1}, None], dtype=pl.Object),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_has_the_values_and_the_type(kind: str):
    for rows in (KINDS[kind].to_frame("a"), pl.concat([KINDS[kind].to_frame("a")] * 2, rechunk=False), KINDS[kind].to_frame("a").clear()):
        copied = own_rows(rows)
        assert copied.schema == rows.schema
        assert copied["a"].to_list().__repr__() == rows["a"].to_list().__repr__()
        if kind != "object":
            assert frame_digest(copied) == frame_digest(rows)


def test_a_table_of_many_batches_is_copied_whole():
    rows = pl.DataFrame({"a": np.arange(600_000), "t": ["tea"] * 600_000})
    assert own_rows(rows).equals(rows)
