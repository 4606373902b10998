"""Rows of a stranger under right checksums: what is not exactly what the step promises is a miss with one warning, never a panic and never another row."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
import xxhash

import dreamframe as dr
from dreamframe.errors import CorruptFileError
from dreamframe.store.files import Files
from dreamframe.store.ipc import read_table
from dreamframe.store.journal import batch_of, framed, header
from dreamframe.store.layout import open_folder, sealed
from dreamframe.store.sources import Sources
from dreamframe.testing import Echo
from tests.storing import opened, table_of, texts, warned

N = 4
TRUTH = [{"t": f"tea {i}", "n": i, "said": f"tea {i}"} for i in range(N)]


def run(folder: Path) -> tuple[list[dict[str, Any]], int]:
    llm = Echo()
    with dr.Session(folder):
        rows = dr.frame({"t": [f"tea {i}" for i in range(N)], "n": range(N)}).prompt(llm, "{t}", into="said").collect()
    return rows.to_dicts(), llm.calls


def as_stream(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as out:
        out.write_table(table)
    return bytes(sink.getvalue().to_pybytes())


def lay(folder: Path, data: bytes) -> None:
    (step,) = (folder / "steps").iterdir()
    (step / "data.arrow").write_bytes(data)
    record = json.loads((step / "step.json").read_text())
    (step / "step.json").write_bytes(sealed({**record, "data_xxh3_128": xxhash.xxh3_128_hexdigest(data), "data_bytes": len(data)}))


def honest() -> pa.Table:
    return pa.table({"t": [r["t"] for r in TRUTH], "n": pa.array(range(N), pa.int64()), "said": [r["said"] for r in TRUTH]})


def said(values: Any, kind: pa.DataType | None = None, *, metadata: dict[bytes, bytes] | None = None) -> Callable[[], pa.Table]:
    """The rows with another last column."""

    def made() -> pa.Table:
        array = values() if callable(values) else pa.array(values, kind)
        return honest().set_column(2, pa.field("said", array.type, metadata=metadata), array)

    return made


class Foreign(pa.ExtensionType):
    def __init__(self) -> None:
        super().__init__(pa.string(), "stranger.text")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"\xff\xfe"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage: pa.DataType, serialized: bytes) -> Foreign:
        return cls()


WORDS = ["a", "b", "c", "d"]
NUMBERS = list(range(N))
CASES: dict[str, Callable[[], pa.Table]] = {
    "decimal256": said([Decimal(1)] * N, pa.decimal256(60, 2)),
    "decimal128": said([Decimal(1)] * N, pa.decimal128(10, 2)),
    "an extension type": said(lambda: pa.ExtensionArray.from_storage(Foreign(), pa.array(WORDS))),
    "a uuid": said(lambda: pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * N, pa.binary(16)))),
    "marks of an extension type": said(WORDS, metadata={b"ARROW:extension:name": b"x", b"ARROW:extension:metadata": b"\xff"}),
    "marks of an Enum": said(lambda: pa.array(WORDS).dictionary_encode(), metadata={b"_PL_ENUM_VALUES": b"nonsense"}),
    "marks of an Enum on texts": said(WORDS, metadata={b"_PL_ENUM_VALUES2": b"1;a"}),
    "other metadata": said(WORDS, metadata={b"k": b"v"}),
    "a dictionary": said(lambda: pa.array(WORDS).dictionary_encode()),
    "a dictionary of numbers": said(lambda: pa.array(NUMBERS).dictionary_encode()),
    "a struct": said([{"a": 1}] * N),
    "an empty struct": said([{}] * N, pa.struct([])),
    "a struct whose fields have one name": said(lambda: pa.StructArray.from_arrays([pa.array(NUMBERS), pa.array(NUMBERS)], names=["a", "a"])),
    "a list": said([["a"]] * N),
    "a view of a list": said([["a"]] * N, pa.list_view(pa.string())),
    "a map": said([[("a", 1)]] * N, pa.map_(pa.string(), pa.int64())),
    "a dense union": said(lambda: pa.UnionArray.from_dense(pa.array([0] * N, pa.int8()), pa.array(NUMBERS, pa.int32()), [pa.array(WORDS)])),
    "a sparse union": said(lambda: pa.UnionArray.from_sparse(pa.array([0] * N, pa.int8()), [pa.array(WORDS)])),
    "run ends": said(lambda: pa.RunEndEncodedArray.from_arrays(pa.array([N], pa.int32()), pa.array(["a"]))),
    "an interval": said([pa.MonthDayNano([1, 2, 3])] * N, pa.month_day_nano_interval()),
    "bytes": said([b"a"] * N),
    "bytes of one width": said([b"ab"] * N, pa.binary(2)),
    "numbers": said(NUMBERS),
    "truth": said([True] * N),
    "half floats": said(lambda: pa.array([1.0] * N).cast(pa.float16())),
    "nulls": said([None] * N, pa.null()),
    "a day": said([datetime.date(2026, 1, 1)] * N),
    "a day in milliseconds": said([0] * N, pa.date64()),
    "a time of seconds": said([0] * N, pa.time32("s")),
    "a moment": said([0] * N, pa.timestamp("us", "UTC")),
    "a moment of no zone": said([0] * N, pa.timestamp("us", "Nowhere/Else")),
    "an extra column": lambda: honest().append_column("more", pa.array(NUMBERS)),
    "a missing column": lambda: honest().drop_columns(["n"]),
    "another order of columns": lambda: honest().select(["n", "t", "said"]),
    "a column twice": lambda: pa.Table.from_arrays(honest().columns, names=["t", "n", "t"]),
    "another name": lambda: honest().rename_columns(["t", "n", "Said"]),
    "smaller numbers": lambda: honest().set_column(1, "n", pa.array(NUMBERS, pa.int8())),
    "no column": lambda: pa.table({}),
}


@pytest.mark.parametrize("case", CASES)
def test_rows_of_other_types_are_a_miss_with_one_warning(case: str, tmp_path: Path) -> None:
    assert run(tmp_path) == (TRUTH, N)
    lay(tmp_path, as_stream(CASES[case]()))
    with warned() as told:
        assert run(tmp_path) == (TRUTH, 0)
    assert len(told) == 1
    assert "set-aside" in told[0]
    with warned() as told:
        assert run(tmp_path) == (TRUTH, 0)
    assert told == []


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()], ids=str)
def test_every_layout_of_texts_is_read(kind: pa.DataType, tmp_path: Path) -> None:
    run(tmp_path)
    other = [{**row, "said": "of another"} for row in TRUTH]
    lay(tmp_path, as_stream(said(["of another"] * N, kind)()))
    with warned() as told:
        assert run(tmp_path) == (other, 0)
    assert told == []


def test_labels_that_a_type_does_not_have_are_a_miss(tmp_path: Path) -> None:
    def labelled() -> list[str]:
        with dr.Session(tmp_path):
            return dr.frame({"t": ["x"]}).map(lambda row: {"l": "a"}, schema={"l": pl.Enum(["a", "b"])}).collect()["l"].to_list()

    assert labelled() == ["a"]
    lay(tmp_path, as_stream(pa.table({"t": ["x"], "l": ["c"]})))
    with warned() as told:
        assert labelled() == ["a"]
    assert len(told) == 1


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_compressed_rows_are_not_unfolded(codec: str, tmp_path: Path) -> None:
    run(tmp_path)
    lay(tmp_path, as_stream(honest().set_column(2, "said", pa.array(["x" * (64 << 20), "", "", ""])), compression=codec))
    before = pa.total_allocated_bytes()
    with warned() as told:
        assert run(tmp_path) == (TRUTH, 0)
    assert "compressed" in told[0]
    assert pa.total_allocated_bytes() - before < 1 << 20


def test_compressed_labels_are_not_unfolded() -> None:
    data = as_stream(pa.table({"a": pa.array(["x" * 100_000]).dictionary_encode()}), compression="zstd")
    with pytest.raises(CorruptFileError, match="compressed buffers of 100,0"):
        read_table(data)
    assert read_table(data, most=1 << 20).num_rows == 1


def test_compressed_answers_are_stepped_over(tmp_path: Path) -> None:
    with opened(tmp_path) as stores:
        texts(stores.answers, [1])
    rows = [(bytes(16), "x" * 1_000_000, None, "stop", 1, 1, 0, 0, "m", None, 0)]
    table = batch_of(rows).to_arrow(compat_level=pl.CompatLevel.oldest())
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_table(table)
    message = list(pa.ipc.MessageReader.open_stream(sink.getvalue()))[1].serialize().to_pybytes()
    (tmp_path / "answers").mkdir(exist_ok=True)
    (tmp_path / "answers" / "20260101T000000000000-1-abcdef01.answers").write_bytes(header() + framed(message))
    with warned() as told, opened(tmp_path) as stores:
        assert not stores.answers.lookup([bytes(16)])["found"].any()
    assert len(told) == 1
    assert "compressed" in told[0]


def test_a_plan_in_json_whose_rows_unfold_to_more_than_is_allowed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    text = dr.frame({"t": ["x" * 1000] * 1000}).to_json()
    assert len(dr.from_json(text).to_dicts()) == 1000  # compressed on purpose
    monkeypatch.setattr("dreamframe.plan.json.read.most_unfolded", lambda data: 1_000_000)
    with pytest.raises(dr.errors.PlanFormatError, match="CorruptFileError"):
        dr.from_json(text)


UNREADABLE = ("decimal256", "marks of an Enum", "marks of an extension type", "an interval", "run ends", "a view of a list", "a dense union")


@pytest.mark.parametrize("case", UNREADABLE)
def test_kept_rows_of_types_that_polars_does_not_read_are_not_there(case: str, tmp_path: Path) -> None:
    files = Files(tmp_path)
    layout = open_folder(files)
    sources, key = Sources(files, layout), "0" * 32
    sources.keep("rows", key, table_of(3), {"columns": ["n", "text"]})
    found = sources.find("rows", key)
    assert found is not None
    assert found[0].equals(table_of(3))
    (path,) = layout.sources.glob("*.json")
    data = as_stream(CASES[case]())
    path.with_suffix(".arrow").write_bytes(data)
    path.write_bytes(sealed({**json.loads(path.read_text()), "data_xxh3_128": xxhash.xxh3_128_hexdigest(data)}))
    with warned() as told:
        assert sources.find("rows", key) is None
    assert any("set-aside" in text for text in told)


def test_rows_of_every_type_come_back_as_they_were(tmp_path: Path) -> None:
    rows = pl.DataFrame(
        {
            "text": ["a", None],
            "label": pl.Series(["p", "q"], dtype=pl.Categorical),
            "enum": pl.Series(["p", "q"], dtype=pl.Enum(["q", "p"])),
            "big": pl.Series([2**100, None], dtype=pl.Int128),
            "money": pl.Series([1, 2], dtype=pl.Decimal(10, 2)),
            "list": [["a"], None],
            "struct": [{"q": 1, "e": "p"}, {"q": 2, "e": "q"}],
            "null": [None, None],
            "time": pl.Series([0, 1], dtype=pl.Time),
            "moment": pl.Series([0, 1], dtype=pl.Datetime("us", "UTC")),
            "array": pl.Series([[1, 2], [3, 4]], dtype=pl.Array(pl.Int8, 2)),
            "bytes": [b"1", b"2"],
            "took": pl.Series([0, 1], dtype=pl.Duration("ms")),
            "half": pl.Series([1.0, 2.0], dtype=pl.Float32),
            "labels": pl.Series([["q"], ["p"]], dtype=pl.List(pl.Enum(["q", "p"]))),
        }
    )
    llm = Echo()
    with warned() as told:
        for _ in range(3):
            with dr.Session(tmp_path):
                assert dr.frame(rows).prompt(llm, "{text}", into="said").drop("said").collect().equals(rows)
                assert dr.frame(rows).prompt(llm, "{text}", into="said").collect().drop("said").schema == rows.schema
    assert told == []
    assert llm.calls == 1
