"""A few rows of a long output are read alone, and never less carefully than all of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from dreamframe.store import long_rows
from dreamframe.store.ipc import END, MESSAGE_ROWS, messages, stream
from dreamframe.store.long_rows import LongRows
from tests.storing import opened, step_key, store_step, table_of

ROWS = pl.DataFrame({"i": range(2 * MESSAGE_ROWS + 10), "text": [f"text {i} é" for i in range(2 * MESSAGE_ROWS + 10)]})
BYTES = stream(ROWS)


def read(data: bytes, rows: pl.DataFrame = ROWS) -> LongRows | None:
    return LongRows.of(memoryview(data), tuple(rows.schema.items()))


@pytest.mark.parametrize(
    ("start", "n"),
    [(0, 1), (MESSAGE_ROWS - 1, 1), (MESSAGE_ROWS, 1), (MESSAGE_ROWS - 2, 5), (0, ROWS.height), (ROWS.height - 1, 9), (ROWS.height, 1), (5, 0)],
)
def test_a_slice_is_that_of_all_rows(start: int, n: int) -> None:
    rows = read(BYTES)
    assert rows is not None
    assert (rows.height, rows.schema) == (ROWS.height, ROWS.schema)
    found = rows.slice(start, n)
    assert found is not None
    assert found.equals(ROWS.slice(start, n))
    assert found.schema == ROWS.schema


def test_no_batch_but_those_of_the_rows_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    checked = long_rows.checked_rows

    def noted(head: bytes, batch: memoryview) -> pl.DataFrame | None:
        seen.append(batch.nbytes)
        return checked(head, batch)

    monkeypatch.setattr(long_rows, "checked_rows", noted)
    rows = read(BYTES)
    assert rows is not None
    assert seen == []
    assert rows.slice(MESSAGE_ROWS + 5, 3) is not None
    assert rows.slice(MESSAGE_ROWS + 9, 1) is not None
    assert len(seen) == 1


@pytest.mark.parametrize("data", [BYTES + END, BYTES[: -len(END)], BYTES[:-20], BYTES[:50], b""], ids=["more", "no end", "cut", "a part of the head", "none"])
def test_what_is_no_whole_stream_is_left_to_one_who_reads_all(data: bytes) -> None:
    assert read(data) is None


def test_other_columns_than_promised_are_left_to_one_who_reads_all() -> None:
    assert read(BYTES, ROWS.rename({"i": "j"})) is None
    nested = pl.DataFrame({"a": [[1]]})
    assert read(stream(nested), nested) is None


def test_rows_that_are_not_as_they_are_written_here_are_not_given() -> None:
    head, *batches = (bytes(part) for part in messages(ROWS))
    text = "text 20000 é".encode()
    spoilt = [batch.replace(text, b"\xff" * len(text)) for batch in batches]
    rows = read(b"".join([head, *spoilt, END]))
    assert rows is not None
    assert rows.slice(0, 1) is not None, "of another batch"
    assert rows.slice(20_000, 1) is None, "not UTF-8"


def test_a_store_gives_them_where_the_checksum_holds(tmp_path: Path) -> None:
    rows = table_of(5)
    with opened(tmp_path) as stores:
        store_step(stores, 1, rows)
    with opened(tmp_path) as stores:
        found = stores.steps.long(step_key(1), rows.schema)
        assert found is not None
        assert found.slice(0, 5).equals(rows)
        assert stores.steps.long(step_key(2), rows.schema) is None
    (path,) = tmp_path.glob("steps/*/data.arrow")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with opened(tmp_path) as stores:
        assert stores.steps.long(step_key(1), rows.schema) is None
