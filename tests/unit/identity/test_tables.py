"""Digests of data: one for equal rows however they are laid out, another for other rows; keys of answers."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import FingerprintError
from dreamframe.identity.tables import answer_keys, frame_digest
from dreamframe.plan.steps.source import Table

ROWS = [{"t": "tea", "v": 3, "f": 0.5}, {"t": None, "v": None, "f": None}, {"t": "é", "v": -1, "f": 2.0}]
COLUMNS = {name: [row[name] for row in ROWS] for name in ROWS[0]}


def digest_of(table: pa.Table) -> str:
    return frame_digest(pl.DataFrame(table))


def arrow(text: pa.DataType | None = None) -> pa.Table:
    text = text or pa.large_string()
    return pa.table(COLUMNS, schema=pa.schema([("t", text), ("v", pa.int64()), ("f", pa.float64())]))


def through_parquet(table: pa.Table) -> pa.Table:
    file = io.BytesIO()
    pq.write_table(table, file)
    return pq.read_table(file)


def through_ipc(table: pa.Table) -> pa.Table:
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=1)
    return pa.ipc.open_file(file.getvalue()).read_all()


def with_garbage_under_nulls(table: pa.Table) -> pa.Table:
    """The same logical values over other bytes where values are null."""
    text = pa.array(["tea", "xyz", "é"], pa.large_string())
    held = pa.Array.from_buffers(pa.large_string(), 3, [pa.py_buffer(b"\x05"), *text.buffers()[1:]])
    numbers = pa.Array.from_buffers(pa.int64(), 3, [pa.py_buffer(b"\xfd"), pa.array([3, 77, -1]).buffers()[1]])
    floats = pa.Array.from_buffers(pa.float64(), 3, [pa.py_buffer(b"\x05"), pa.array([0.5, 7.0, 2.0]).buffers()[1]])
    return pa.table({"t": held, "v": numbers, "f": floats})


WAYS: dict[str, Callable[[], pa.Table]] = {
    "a dict": lambda: pl.DataFrame(COLUMNS).to_arrow(),
    "dicts": lambda: pl.DataFrame(ROWS).to_arrow(),
    "dr.frame of dicts": lambda: dr.frame(ROWS).collect().to_arrow(),
    "pandas": lambda: dr.frame(pd.DataFrame(COLUMNS).astype({"v": "Int64"})).collect().to_arrow(),
    "Arrow string": lambda: arrow(pa.string()),
    "Arrow large_string": arrow,
    "Arrow string_view": lambda: arrow(pa.string_view()),
    "one chunk a row": lambda: pa.concat_tables([arrow().slice(i, 1) for i in range(3)]),
    "an empty chunk between": lambda: pa.concat_tables([arrow().slice(0, 2), arrow().slice(0, 0), arrow().slice(2)]),
    "a slice with an offset": lambda: pa.concat_tables([arrow(), arrow(), arrow()]).combine_chunks().slice(3, 3),
    "a slice of bits at an odd offset": lambda: pa.concat_tables([arrow().slice(1), arrow()]).combine_chunks().slice(2, 3),
    "parquet": lambda: through_parquet(arrow()),
    "IPC": lambda: through_ipc(arrow(pa.string())),
    "garbage under nulls": lambda: with_garbage_under_nulls(arrow()),
    "other metadata": lambda: arrow().replace_schema_metadata({"made": "today"}),
    "a column that may not be null": lambda: arrow().cast(pa.schema([pa.field(f.name, f.type, metadata={"a": "b"}) for f in arrow().schema])),
}


@pytest.mark.parametrize("way", WAYS)
def test_however_a_table_is_built_its_digest_is_one(way: str):
    made = WAYS[way]()
    made.validate(full=True)
    assert made.select(["t", "v", "f"]).to_pylist() == ROWS
    assert digest_of(made) == digest_of(arrow())


DAY, TIME = dt.date(2024, 2, 29), dt.datetime(2024, 2, 29, 12, 30, 1, 5)
# Type → values and other values of it
KINDS: dict[str, tuple[pa.DataType, list[Any], list[Any]]] = {
    "bool": (pa.bool_(), [True, None, False], [True, None, True]),
    "int8": (pa.int8(), [1, None], [2, None]),
    "int32": (pa.int32(), [1, None], [2, None]),
    "uint64": (pa.uint64(), [2**64 - 1, None], [2**64 - 2, None]),
    "float16": (pa.float16(), [1.0, None], [2.0, None]),
    "float32": (pa.float32(), [1.0, None], [1.5, None]),
    "nan": (pa.float64(), [float("nan"), 1.0], [1.0, float("nan")]),
    "decimal": (pa.decimal128(10, 2), [Decimal("1.20"), None], [Decimal("1.21"), None]),
    "date32": (pa.date32(), [DAY, None], [dt.date(2024, 3, 1), None]),
    "date64": (pa.date64(), [DAY, None], [dt.date(2024, 3, 1), None]),
    "time": (pa.time64("us"), [TIME.time(), None], [dt.time(1), None]),
    "timestamp": (pa.timestamp("us", "Europe/Berlin"), [TIME, None], [TIME + dt.timedelta(microseconds=1), None]),
    "duration": (pa.duration("ms"), [dt.timedelta(1), None], [dt.timedelta(2), None]),
    "binary": (pa.binary(), [b"\x00a", None], [b"\x00b", None]),
    "binary_view": (pa.binary_view(), [b"\x00a", None], [b"\x00b", None]),
    "fixed binary": (pa.binary(3), [b"abc", None], [b"abd", None]),
    "null": (pa.null(), [None, None], [None, None, None]),
    "list": (pa.list_(pa.string()), [["a", None], None, []], [["a"], None, [None]]),
    "large list": (pa.large_list(pa.int64()), [[1, 2], [3]], [[1], [2, 3]]),
    "list of lists": (pa.list_(pa.list_(pa.int64())), [[[1], [2]], [[]]], [[[1, 2]], [[]]]),
    "fixed list": (pa.list_(pa.int64(), 2), [[1, 2], None, [3, 4]], [[1, 2], [3, 4], None]),
    "struct": (pa.struct([("a", pa.int64()), ("b", pa.string())]), [{"a": 1, "b": None}, None], [{"a": 1, "b": None}, {"a": None, "b": None}]),
    "list of structs": (pa.list_(pa.struct([("a", pa.list_(pa.bool_()))])), [[{"a": [True]}], None], [[{"a": [False]}], None]),
    "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1)], None, [("b", 2), ("c", 3)]], [[("a", 1)], None, [("b", 2), ("c", 4)]]),
    "dictionary": (pa.dictionary(pa.int8(), pa.string()), ["a", None, "b"], ["b", None, "a"]),
    "list of dictionary": (pa.list_(pa.dictionary(pa.int8(), pa.string())), [["a"], None, ["b"]], [["b"], None, ["a"]]),
    "dictionary of numbers": (pa.dictionary(pa.int32(), pa.int64()), [1, None, 2], [2, None, 1]),
}


def digest(kind: pa.DataType, values: list[Any]) -> str:
    return digest_of(pa.table({"a": pa.array(values, kind)}))


@pytest.mark.parametrize("name", KINDS)
def test_values_of_every_type_count_and_their_layout_does_not(name: str):
    kind, values, others = KINDS[name]
    whole, other = pl.Series("a", pa.array(values, kind)), pl.Series("a", pa.array(others, kind))
    longer = pl.concat([other, whole, other], rechunk=True)
    chunked = pl.concat([whole.slice(i, 1) for i in range(len(whole))], rechunk=False)
    found = digest(kind, values)
    assert frame_digest(longer.slice(len(others), len(values)).to_frame()) == found
    assert frame_digest(chunked.to_frame()) == found
    assert digest(kind, others) != found
    assert digest(kind, []) != found
    assert frame_digest(whole.rename("b").to_frame()) != found


def test_every_two_types_differ():
    of_type: dict[str, set[str]] = {}
    for kind, _, _ in KINDS.values():
        of_type.setdefault(str(pl.Series(pa.array([None], kind)).dtype), set()).add(digest(kind, [None]))
    assert len(of_type) > 20
    assert [len(found) for found in of_type.values()] == [1] * len(of_type)
    assert len(set.union(*of_type.values())) == len(of_type)
    pairs = [(pa.int32(), pa.int64()), (pa.timestamp("us"), pa.timestamp("ms")), (pa.timestamp("us"), pa.timestamp("us", "UTC"))]
    pairs += [(pa.decimal128(10, 2), pa.decimal128(10, 3)), (pa.list_(pa.int64()), pa.list_(pa.int64(), 2)), (pa.string(), pa.binary())]
    pairs += [(pa.struct([("a", pa.int64())]), pa.struct([("b", pa.int64())])), (pa.string(), pa.dictionary(pa.int8(), pa.string()))]
    assert [digest(a, [None]) == digest(b, [None]) for a, b in pairs] == [False] * len(pairs)


def test_rows_columns_and_their_order_count():
    tables = [
        pa.table({"a": [1, 2], "b": [1, 2]}),
        pa.table({"b": [1, 2], "a": [1, 2]}),
        pa.table({"a": [2, 1], "b": [1, 2]}),
        pa.table({"a": [1, 2]}),
        pa.table({"a": [1, 2, 1, 2]}),
        pa.table({"a": ["x", "yz"]}),
        pa.table({"a": ["xy", "z"]}),
        pa.table({"a": ["x", "yz", ""]}),
        pa.table({"a": ["x", "yz", None]}),
        pa.table({"a": [""]}),
        pa.table({"a": pa.array([None], pa.string())}),
        pa.table({}),
    ]
    assert len({digest_of(t) for t in tables}) == len(tables)


def test_nan_is_one_value_and_the_sign_of_zero_counts():
    quiet = pa.array(memoryview(bytes.fromhex("000000000000f87f")).cast("d").tolist())
    signed = pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(bytes.fromhex("010000000000f8ff"))])
    assert digest_of(pa.table({"a": quiet})) == digest_of(pa.table({"a": signed}))
    assert digest(pa.float64(), [0.0]) != digest(pa.float64(), [-0.0])


def test_null_in_a_dictionary_and_in_its_indices_are_one():
    a = pa.DictionaryArray.from_arrays(pa.array([0, None], pa.int8()), pa.array(["x"]))
    b = pa.DictionaryArray.from_arrays(pa.array([1, 0], pa.int8()), pa.array([None, "x"]))
    assert digest_of(pa.table({"a": a})) == digest_of(pa.table({"a": b}))


def test_hidden_values_of_null_lists_and_structs_do_not_count():
    offsets = pa.array([0, 2, 3], pa.int32()).buffers()[1]
    lists = pa.Array.from_buffers(pa.list_(pa.int64()), 2, [pa.py_buffer(b"\x02"), offsets], children=[pa.array([8, 9, 1])])
    structs = pa.StructArray.from_arrays([pa.array([7, 1])], ["a"], mask=pa.array([True, False]))
    assert lists.to_pylist() == [None, [1]]
    assert digest_of(pa.table({"a": lists})) == digest(pa.list_(pa.int64()), [None, [1]])
    assert digest_of(pa.table({"a": structs})) == digest(pa.struct([("a", pa.int64())]), [None, {"a": 1}])


def test_an_extension_type_is_not_its_storage():
    plain = pl.Series("a", [1, None], dtype=pl.Int32)
    one, other = (plain.ext.to(pl.Extension(name, pl.Int32())).to_frame() for name in ("x.y", "x.z"))
    assert len({frame_digest(f) for f in (plain.to_frame(), one, other)}) == 3


# Frames


FRAMES: dict[str, tuple[pl.Series, pl.Series]] = {
    "Int32 and Int64": (pl.Series("a", [1], dtype=pl.Int32), pl.Series("a", [1], dtype=pl.Int64)),
    "the order of an enum": (pl.Series("a", ["x"], dtype=pl.Enum(["x", "y"])), pl.Series("a", ["x"], dtype=pl.Enum(["y", "x"]))),
    "an enum and a text": (pl.Series("a", ["x"], dtype=pl.Enum(["x"])), pl.Series("a", ["x"])),
    "an enum and a categorical": (pl.Series("a", ["x"], dtype=pl.Enum(["x"])), pl.Series("a", ["x"], dtype=pl.Categorical)),
    "an enum's values": (pl.Series("a", ["x"], dtype=pl.Enum(["x", "y"])), pl.Series("a", ["y"], dtype=pl.Enum(["x", "y"]))),
    "an enum in a list": (pl.Series("a", [["x"]], dtype=pl.List(pl.Enum(["x", "y"]))), pl.Series("a", [["x"]], dtype=pl.List(pl.Enum(["y", "x"])))),
    "Int128": (pl.Series("a", [2**100], dtype=pl.Int128), pl.Series("a", [2**100 + 1], dtype=pl.Int128)),
    "Int128 and text": (pl.Series("a", [2**100], dtype=pl.Int128), pl.Series("a", [str(2**100)])),
    "Int128 in a struct": (pl.Series("a", [{"b": 1}], dtype=pl.Struct({"b": pl.Int128})), pl.Series("a", [{"b": 2}], dtype=pl.Struct({"b": pl.Int128}))),
    "a time zone": (pl.Series("a", [TIME]).dt.replace_time_zone("UTC"), pl.Series("a", [TIME])),
    "an array and a list": (pl.Series("a", [[1, 2]], dtype=pl.Array(pl.Int64, 2)), pl.Series("a", [[1, 2]])),
    "a decimal's scale": (pl.Series("a", [Decimal("1.2")], dtype=pl.Decimal(10, 1)), pl.Series("a", [Decimal("1.2")], dtype=pl.Decimal(10, 2))),
    "a missing value": (pl.Series("a", [None], dtype=pl.Null), pl.Series("a", [None], dtype=pl.Int64)),
}


@pytest.mark.parametrize("case", FRAMES)
def test_frames_that_differ_in_types_or_values_have_other_digests(case: str):
    one, other = (s.to_frame() for s in FRAMES[case])
    assert frame_digest(one) != frame_digest(other)
    assert frame_digest(pl.concat([one, one], rechunk=False)) == frame_digest(pl.concat([one, one], rechunk=True))
    assert Table(data=one).key({}) != Table(data=other).key({})


def test_how_a_categorical_numbers_its_values_does_not_count():
    pl.Series(["zebra"], dtype=pl.Categorical(pl.Categories("animals")))
    one = pl.Series("a", ["x", "y"], dtype=pl.Categorical(pl.Categories("animals")))
    other = pl.Series("a", ["y", "x"], dtype=pl.Categorical(pl.Categories("others"))).reverse()
    assert frame_digest(one.to_frame()) == frame_digest(other.to_frame())


def test_a_column_of_objects_is_refused_by_its_name():
    with pytest.raises(FingerprintError, match="column 'a' holds Python objects"):
        frame_digest(pl.DataFrame({"a": [object()]}, schema={"a": pl.Object}))


NESTED = st.recursive(
    st.sampled_from([pl.Int64(), pl.String(), pl.Boolean(), pl.Float64(), pl.Binary()]),
    lambda inner: st.one_of(inner.map(pl.List), st.dictionaries(st.sampled_from("pqr"), inner, min_size=1, max_size=3).map(pl.Struct)),
    max_leaves=4,
)


def values_of(dtype: Any) -> st.SearchStrategy[Any]:
    if isinstance(dtype, pl.List):
        made: st.SearchStrategy[Any] = st.lists(values_of(dtype.inner), max_size=3)
    elif isinstance(dtype, pl.Struct):
        made = st.fixed_dictionaries({f.name: values_of(f.dtype) for f in dtype.fields})
    else:
        plain = {pl.Int64: st.integers(-3, 3), pl.String: st.text("aé", max_size=2), pl.Boolean: st.booleans(), pl.Binary: st.binary(max_size=2)}
        made = plain.get(type(dtype), st.sampled_from([0.0, 1.5]))
    return st.none() | made


@st.composite
def two_columns(draw: Any) -> tuple[Any, list[Any], list[Any]]:
    dtype = draw(NESTED)
    rows = st.lists(values_of(dtype), max_size=4)
    return dtype, draw(rows), draw(rows)


@given(two_columns(), st.integers(0, 4))
def test_digests_are_equal_exactly_when_the_values_are(drawn: tuple[Any, list[Any], list[Any]], cut: int):
    dtype, values, others = drawn
    one, other = pl.DataFrame({"a": values}, schema={"a": dtype}), pl.DataFrame({"a": others}, schema={"a": dtype})
    assert (frame_digest(one) == frame_digest(other)) == (one["a"].to_list() == other["a"].to_list())
    pieces = pl.concat([one.head(cut), one.tail(max(one.height - cut, 0))], rechunk=False)
    assert frame_digest(pieces) == frame_digest(one)
    assert digest_of(through_ipc(one.to_arrow())) == frame_digest(one)


# Keys of answers


def test_a_key_is_the_sha256_of_question_sample_and_prompt_cut_to_16_bytes():
    whole = len(b"question").to_bytes(8, "little") + b"question" + (3).to_bytes(8, "little") + "é".encode()
    (key,) = answer_keys(b"question", ["é"], [3])
    assert key == hashlib.sha256(whole).digest()[:16]


def test_a_null_prompt_has_no_key_and_a_series_has_those_of_its_list():
    prompts = ["a", None, "", "a"]
    keys = answer_keys(b"q", prompts, [0, 0, 0, 1])
    assert [key is not None and len(key) for key in keys] == [16, False, 16, 16]
    assert keys == answer_keys(b"q", pl.Series(prompts), [0, 0, 0, 1])


@given(st.binary(max_size=20), st.text(max_size=20), st.integers(0, 2**40), st.binary(max_size=20), st.text(max_size=20), st.integers(0, 2**40))
def test_keys_are_equal_exactly_when_question_prompt_and_sample_are(p: bytes, a: str, i: int, q: bytes, b: str, j: int):
    one, other = answer_keys(p, [a], [i]), answer_keys(q, [b], [j])
    assert (one == other) == ((p, a, i) == (q, b, j))


def test_text_moved_from_the_question_to_the_prompt_is_another_request():
    tail = (0).to_bytes(8, "little") + b"prompt"
    assert answer_keys(b"question", ["prompt"], [0]) != answer_keys(b"question" + tail, [""], [0])
    assert answer_keys(b"ab", ["c"], [0]) != answer_keys(b"a", ["bc"], [0])


def test_half_a_character_in_a_prompt_has_a_key():
    assert answer_keys(b"q", ["\ud800"], [0]) != answer_keys(b"q", ["\ud801"], [0])


def test_prompts_and_samples_must_be_as_many():
    with pytest.raises(ValueError, match="zip"):
        answer_keys(b"q", ["a", "b"], [0])
