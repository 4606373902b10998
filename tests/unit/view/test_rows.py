"""Rows in and out: each format comes back as it was, CSV keeps its texts, what a format cannot hold is said before anything is paid for."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dreamframe as dr
from dreamframe.errors import SchemaError, SettingError
from dreamframe.view import rows
from dreamframe.view.shapes import schema_of

TYPED = pl.DataFrame({"id": ["007", "8"], "n": [1, None], "tags": [["a", "b"], []], "at": [{"x": 1.5}, {"x": None}]})
TEXTS = pl.DataFrame({"id": ["007", "1.50"], "text": ['say "no", twice', "two\nlines"]})


@pytest.mark.parametrize("ending", sorted(set(rows.ENDINGS) - {".csv", ".tsv"}))
def test_rows_with_types_come_back_as_they_were(ending: str, tmp_path: Path):
    path = tmp_path / f"rows{ending}"
    rows.give(TYPED, path, rows.target_format(path, None, "csv"))
    read, _ = rows.read(str(path), None)
    assert read.collect().to_dicts() == TYPED.to_dicts()


@pytest.mark.parametrize("ending", [".csv", ".tsv"])
def test_texts_of_csv_come_out_as_they_went_in(ending: str, tmp_path: Path):
    path = tmp_path / f"rows{ending}"
    rows.give(TEXTS, path, rows.target_format(path, None, "json"))
    read, format = rows.read(str(path), None)
    assert (format, read.collect().rows()) == (ending[1:], TEXTS.rows())


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=4), st.sampled_from(rows.FORMATS))
def test_the_format_of_bytes_is_found_in_them(cells: list[tuple[str, str]], format: str):
    table = pl.DataFrame(cells, schema={"id": pl.String, "text": pl.String}, orient="row")
    held = io.BytesIO()
    rows.write(table, held, format)
    assert rows.sniffed(held.getvalue()) == format


def test_structs_and_lists_are_json_in_csv(tmp_path: Path):
    rows.give(TYPED, tmp_path / "rows.csv", "csv")
    assert pl.read_csv(tmp_path / "rows.csv")["at"].to_list() == ['{"x": 1.5}', '{"x": null}']


def test_a_table_keeps_its_shape_whatever_its_texts_hold(capsys: pytest.CaptureFixture[str]):
    rows.put_rows(pl.DataFrame({"a\x1bb": ["\x1b[2J" * 9, "two\nlines"], "n": [[1, 2], []]}))
    shown = capsys.readouterr().out.splitlines()
    assert len({len(line) for line in shown}) == 1
    assert "a\\x1bb" in shown[1]


def test_an_earlier_file_stays_where_the_writing_fails(tmp_path: Path):
    path = tmp_path / "rows.csv"
    path.write_text("earlier\n")
    with pytest.raises(pl.exceptions.PolarsError):
        rows.give(pl.DataFrame({"a": [object()]}, schema={"a": pl.Object}), path, "csv")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["earlier\n"]


@pytest.mark.parametrize("format", ["csv", "json", "ndjson"])
def test_bytes_are_refused_before_anything_is_paid_for(format: str):
    schema = pl.Schema({"photo": pl.Binary()})
    with pytest.raises(SchemaError, match="photo"):
        rows.check_types(schema, format)
    rows.check_types(schema, "parquet")


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file.csv").touch()
    for path, what in ((tmp_path, "is a folder"), (tmp_path / "file.csv" / "out.csv", "cannot be written"), (tmp_path / "out", "none of the endings")):
        with pytest.raises(SettingError, match=what):
            rows.target_format(path, "csv" if path == tmp_path else None, "csv")


@pytest.mark.parametrize(
    ("words", "schema"),
    [
        ("bool", bool), ("int", int), (None, None), ("good,bad", ["good", "bad"]), ("city:str, age:int", {"city": str, "age": int}),
        ("a:b,c:d", ["a:b", "c:d"]), ('{"type": "integer"}', {"type": "integer"}),
    ],
)  # fmt: skip
def test_a_schema_is_said_in_words_that_the_verb_takes(words: str | None, schema: object):
    assert schema_of(words) == schema
    dr.frame({"t": ["x"]}).prompt(dr.testing.Echo(), "{t}", schema=schema_of(words))


def test_a_schema_is_read_from_a_file(tmp_path: Path):
    (tmp_path / "shape.json").write_text('{"type": "object", "properties": {"city": {"type": "string"}}}')
    assert schema_of(str(tmp_path / "shape.json"))["properties"] == {"city": {"type": "string"}}


@pytest.mark.parametrize("words", ["good", "", "gone.json", "{", "[1]", "a,,b"])
def test_what_is_not_a_schema_is_refused(words: str):
    with pytest.raises(SettingError, match=r"--schema|gone|JSON"):
        schema_of(words)
