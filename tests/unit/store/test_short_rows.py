"""Short outputs are read without pyarrow, and never less carefully than with it."""

from __future__ import annotations

import io
import random
import subprocess
import sys
from datetime import date
from typing import Any

import polars as pl
import pytest

from dreamframe.store.ipc import END, damage, messages, read_table, stream
from dreamframe.store.short_rows import MOST_BYTES, short_rows

ROWS = pl.DataFrame(
    {
        "i": range(40),
        "text": [None if i % 7 == 0 else f"text {i} é" for i in range(40)],
        "data": [bytes([i]) * (i % 3) for i in range(40)],
        "at": [date(2026, 1, 1)] * 40,
        "is": [i % 2 == 0 for i in range(40)],
        "x": [i / 3 for i in range(40)],
    }
)
BYTES = stream(ROWS)


def read(data: bytes, rows: pl.DataFrame = ROWS) -> pl.DataFrame | None:
    return short_rows(memoryview(data), tuple(rows.schema.items()))


@pytest.mark.parametrize("rows", [ROWS, ROWS.head(0), ROWS.select("text"), pl.concat([ROWS] * 600)], ids=["some", "none", "one column", "batches"])
def test_plain_rows_are_read(rows: pl.DataFrame) -> None:
    found = read(stream(rows), rows)
    assert found is not None
    assert found.equals(rows)
    assert found.schema == rows.schema


@pytest.mark.parametrize(
    "column",
    [pl.Series([[1]]), pl.Series([{"a": "b"}]), pl.Series(["a"], dtype=pl.Categorical), pl.Series([1], dtype=pl.Decimal(10, 2)), pl.Series([None])],
    ids=lambda column: str(column.dtype),
)
def test_other_types_are_left_to_pyarrow(column: pl.Series) -> None:
    rows = column.alias("a").to_frame()
    assert read(stream(rows), rows) is None


def test_what_is_not_what_was_promised_is_left_to_pyarrow() -> None:
    assert read(stream(ROWS), ROWS.rename({"i": "j"})) is None
    assert read(stream(ROWS), ROWS.select("text")) is None
    assert read(stream(ROWS), ROWS.with_columns(pl.col("i").cast(pl.Int32))) is None


def test_long_outputs_are_left_to_pyarrow_which_copies_nothing() -> None:
    rows = pl.DataFrame({"data": [b"a" * (MOST_BYTES + 1)]})
    assert read(stream(rows), rows) is None


def test_compressed_batches_are_left_to_pyarrow_which_refuses_them() -> None:
    out = io.BytesIO()
    rows = pl.DataFrame({"text": ["a" * 10_000]})
    rows.write_ipc_stream(out, compression="zstd", compat_level=pl.CompatLevel.oldest())
    head = next(iter(messages(rows)))
    assert out.getvalue()[: len(head)] == bytes(head)
    assert read(out.getvalue(), rows) is None


@pytest.mark.parametrize("text", [b"\xff\xfe", b"\xed\xa0\x80", b"a\xc3"], ids=["no UTF-8", "a surrogate", "cut"])
def test_texts_that_are_not_utf8_are_left_to_pyarrow(text: bytes) -> None:
    good = "x" * len(text)
    rows = pl.DataFrame({"text": [good]})
    data = stream(rows).replace(good.encode(), text)
    assert read(stream(rows), rows) is not None
    assert read(data, rows) is None
    with pytest.raises(damage()):
        read_table(data)


def _spoilt(seed: int) -> bytes:
    chance = random.Random(seed)
    data = bytearray(BYTES)
    at, n = chance.randrange(len(data)), chance.choice((1, 1, 2, 4, 8))
    values = chance.choice(([chance.randrange(256) for _ in range(n)], [255] * n, [0] * n, [127] * n))
    data[at : at + n] = bytes(values)
    return bytes(data[: len(BYTES)]) if chance.random() < 0.9 else bytes(data[:at])


def _by_pyarrow(data: bytes) -> Any:
    try:
        return pl.DataFrame(read_table(data))
    except damage():
        return None


def test_whatever_is_read_pyarrow_reads_too_and_the_same() -> None:
    n_read = 0
    for seed in range(1_500):
        data = _spoilt(seed)
        found = read(data)
        if found is None:
            continue
        n_read += 1
        by_pyarrow = _by_pyarrow(data)
        assert by_pyarrow is not None, seed
        assert found.equals(by_pyarrow.cast(dict(ROWS.schema))), seed
    assert n_read > 100, "most bytes are of values, which may be any"


def test_more_after_the_end_is_not_read() -> None:
    assert read(BYTES + END) is None
    assert read(BYTES[: -len(END)]) is None


RUN = """
import sys, tempfile
import dreamframe as dr
from dreamframe.testing import Echo

with tempfile.TemporaryDirectory() as folder:
    for _ in range(2):
        with dr.Session(folder, progress=False) as session:
            said = dr.frame({"a": ["x", "y"]}).prompt(Echo(), "{a}", into="b")
            said.collect()
            print("pyarrow" in sys.modules)
    with dr.Session(folder, progress=False) as session:
        print([call.is_kept for call in said.why(1).calls], "pyarrow" in sys.modules)
    print(session.usage()["calls"])
"""


def test_a_warm_run_of_plain_rows_and_a_story_do_not_import_pyarrow() -> None:
    said = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == ["False", "False", "[True] False", "0"]
