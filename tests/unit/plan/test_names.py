"""Names that no column can have are refused where they are written: NUL ends the process in Arrow, and polars reads patterns as many columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from pydantic import BaseModel, Field

import dreamframe as dr
from dreamframe.errors import PlanError, SourceChangedError
from dreamframe.identity.tables import frame_digest

NUL = "a\0b"
ECHO = dr.testing.Echo()


class Answer(BaseModel):
    x: int = Field(alias=NUL)


def rows() -> dr.Frame:
    return dr.frame({"t": ["x"], "s": [{"y": 1}]})


def json_schema(name: str) -> dict[str, object]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name], "additionalProperties": False}


def file(folder: Path, name: str, write: Callable[[Path], object]) -> Path:
    write(folder / name)
    return folder / name


DOORS: dict[str, Callable[[Path, str], object]] = {
    "frame": lambda _, name: dr.frame({name: [1]}),
    "accessor": lambda _, name: pl.DataFrame({name: [1]}).dream,
    "grid": lambda _, name: dr.grid({name: [1]}),
    "generate": lambda _, name: dr.generate(ECHO, "x", n=1, into=name),
    "csv": lambda at, name: dr.scan_csv(file(at, "x.csv", lambda p: p.write_text(f"{name},t\n1,2\n"))),
    "ndjson": lambda at, name: dr.scan_ndjson(file(at, "x.ndjson", lambda p: p.write_text(json.dumps({name: 1}) + "\n"))),
    "json": lambda at, name: dr.scan_json(file(at, "x.json", lambda p: p.write_text(json.dumps([{name: 1}])))),
    "parquet": lambda at, name: dr.scan_parquet(file(at, "x.parquet", pl.DataFrame({name: [1]}).write_parquet)),
    "ipc": lambda at, name: dr.scan_ipc(file(at, "x.arrow", pl.DataFrame({name: [1]}).write_ipc)),
    "path of a file": lambda at, name: dr.scan_text(file(at, "x.txt", lambda p: p.write_text("t\n")), include_file_paths=name),
    "rename": lambda _, name: rows().rename({"t": name}),
    "alias": lambda _, name: rows().with_columns(pl.col("t").alias(name)),
    "keyword": lambda _, name: rows().with_columns(**{name: pl.col("t")}),
    "into": lambda _, name: rows().prompt(ECHO, "{t}", into=name),
    "embed": lambda _, name: rows().embed(dr.testing.WordEmbedder(), "t", into=name),
    "map": lambda _, name: rows().map(lambda row: {name: 1}, schema={name: pl.Int64}),
    "map batches": lambda _, name: rows().map_batches(lambda table: table, schema={name: pl.Int64}),
    "row index": lambda _, name: rows().with_row_index(name),
    "aggregate": lambda _, name: rows().group_by("t").agg(pl.len().alias(name)),
    "unpivot": lambda _, name: rows().unpivot(["t"], variable_name=name),
    "unnest": lambda _, name: dr.frame({"s": [{name: 1}]}).unnest("s"),
}
FIELDS: dict[str, Callable[[], object]] = {
    "nested": lambda: dr.frame({"l": [[{"s": {NUL: 1}}]]}),
    "struct": lambda: rows().select(pl.struct(pl.col("t").alias(NUL)).alias("s")),
    "suffix": lambda: rows().join(rows(), on="t", suffix="\0"),
    "pydantic's alias": lambda: rows().prompt(ECHO, "{t}", schema=Answer),
    "JSON schema": lambda: rows().prompt(ECHO, "{t}", schema=json_schema(NUL)),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("name", "why"), [(NUL, "NUL"), ("^x$", "pattern"), ("*", "pattern")], ids=["nul", "regex", "star"])
def test_a_name_that_no_column_can_have_is_refused(door: str, name: str, why: str, tmp_path: Path):
    with pytest.raises(PlanError, match=why):
        DOORS[door](tmp_path, name)


@pytest.mark.parametrize("door", FIELDS)
def test_a_field_with_a_nul_is_refused_however_deep(door: str):
    with pytest.raises(PlanError, match="NUL"):
        FIELDS[door]()


def test_a_file_that_has_another_header_than_when_the_plan_was_made_is_told_before_anything_is_asked(tmp_path: Path):
    path = tmp_path / "rows.csv"
    for before, after in (("t\nx\n", f"{NUL}\nx\n"), ("t\nx\n", "t,u\nx,y\n"), ("t,u\nx,y\n", "u,t\ny,x\n"), ("t\nx\n", "t\n7\n")):
        path.write_text(before)
        llm = dr.testing.Echo()
        frame = dr.scan_csv(path).prompt(llm, "{t}")
        path.write_text(after)
        with dr.Session(None), pytest.raises(SourceChangedError, match="other columns"):
            frame.collect()
        assert llm.calls == 0


def test_a_field_may_be_called_like_a_pattern():
    frame = dr.frame({"s": [{"^x$": 1, "*": 2}]}).map(lambda row: {"said": str(row["s"])}, schema={"said": pl.String})
    with dr.Session(None):
        assert frame.collect()["said"].to_list() == ["{'^x$': 1, '*': 2}"]


def test_what_a_function_captures_may_have_any_names():
    captured = pa.table({NUL: [1]}), pl.DataFrame({NUL: [1], "^x$": [2]}), pl.Series("s", [{NUL: 1, "^x$": 2}])
    with dr.Session(None):
        made = rows().map(lambda row: {"n": len(captured)}, schema={"n": pl.Int64}).collect()
    assert made["n"].to_list() == [3]


def test_a_prompt_may_hold_a_nul_though_the_column_that_it_writes_is_named_after_it():
    asked = dr.prompt(ECHO, "a\0b {t}", into="said").str.to_uppercase()
    with dr.Session(None):
        assert rows().with_columns(asked).collect()["said"].to_list() == ["A\0B X"]


def test_a_digest_does_not_depend_on_how_polars_reads_a_name():
    assert len({frame_digest(pl.DataFrame({name: [1, None]})) for name in ("a", "^x$", "*", NUL, "")}) == 5


@pytest.mark.parametrize("name", ["^a", "a$", "", " ", "{a}", "a.b", "^", "$"])
def test_other_odd_names_are_columns_like_any(name: str):
    frame = dr.frame({name: ["x", "y"], "other": [1, 2]})
    with dr.Session(None):
        assert frame.sort(name, descending=True).collect()[name].to_list() == ["y", "x"]
        assert frame.drop(name).columns == ["other"]
        assert frame.rename({name: "z"}).map(lambda row: {"q": row["z"]}, schema={"q": pl.String}).collect()["q"].to_list() == ["x", "y"]
