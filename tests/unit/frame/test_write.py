"""Rows on their way out: to files, at once or batch by batch, and to other libraries; what a format has not is refused before anything is asked."""

from __future__ import annotations

import datetime as dt
import importlib
import io
import threading
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dreamframe as dr
from dreamframe.errors import RowsFailedError, SchemaError, SettingError

ROWS = pl.DataFrame({"a": [1, 2, 3], "t": ["x", None, "z"]})
READERS: dict[str, Callable[[Any], pl.DataFrame]] = {"csv": pl.read_csv, "parquet": pl.read_parquet, "ndjson": pl.read_ndjson, "ipc": pl.read_ipc}
WIDE = pl.Series("id", [10**25, None], dtype=pl.Int128)


@pytest.mark.parametrize("format", READERS)
def test_rows_that_nobody_keeps_are_written_as_they_come(format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ROWS.write_parquet(tmp_path / "rows.parquet")
    df = dr.scan_parquet(tmp_path / "rows.parquet").with_columns(b=pl.col("a") + 1)
    rows = df.collect()
    monkeypatch.setattr(dr.Frame, "collect", lambda *_, **__: pytest.fail("all rows were made at once"))
    getattr(df, f"write_{format}")(tmp_path / "out")
    assert READERS[format](tmp_path / "out").equals(rows)


def test_rows_that_a_session_keeps_are_kept_when_they_are_written(tmp_path: Path) -> None:
    llm = dr.testing.Echo()
    df = dr.frame(ROWS).prompt(llm, "{t}", into="said")
    with dr.Session(tmp_path / "session") as session:
        df.write_parquet(tmp_path / "rows.parquet")
        assert len(session.steps()) == 1
    assert pl.read_parquet(tmp_path / "rows.parquet")["said"].to_list() == ["x", None, "z"]


def test_options_that_stream_nothing_are_heard(tmp_path: Path) -> None:
    dr.frame(ROWS).write_parquet(tmp_path / "rows.parquet", use_pyarrow=True)
    assert pq.ParquetFile(tmp_path / "rows.parquet").metadata.created_by.startswith("parquet-cpp-arrow")


@pytest.mark.parametrize("format", READERS)
@pytest.mark.parametrize("way", ["write", "sink"])
def test_a_file_holds_the_rows(way: str, format: str, tmp_path: Path) -> None:
    write = getattr(dr.frame(ROWS), f"{way}_{format}")
    write(tmp_path / "new" / "x")
    assert READERS[format](tmp_path / "new" / "x").equals(ROWS)
    write(str(tmp_path / "new" / "x"))
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["x"]
    out = io.BytesIO()
    write(out)
    assert READERS[format](io.BytesIO(out.getvalue())).equals(ROWS)


@pytest.mark.parametrize("format", READERS)
def test_batches_are_written_as_they_come(format: str, tmp_path: Path) -> None:
    n = 20_000
    frame = dr.frame({"a": range(n)}).with_columns(t=pl.col("a").cast(pl.String)).prompt(dr.testing.Echo(), "{t}", into="said").filter(pl.col("a") % 2 == 0)
    with dr.Session(None):
        getattr(frame, f"sink_{format}")(tmp_path / "x")
        assert READERS[format](tmp_path / "x").cast(pl.String).equals(frame.collect().cast(pl.String))


@pytest.mark.parametrize("format", READERS)
@pytest.mark.parametrize("way", ["write", "sink"])
def test_a_run_that_fails_leaves_the_earlier_file_and_its_own_error(way: str, format: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("before")
    failing = dr.frame(ROWS).prompt(dr.testing.Failing(), "{a}")
    with dr.Session(None), pytest.raises(RowsFailedError, match="3 of 3 rows failed"):
        getattr(failing, f"{way}_{format}")(tmp_path / "x")
    assert (tmp_path / "x").read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("way", ["write", "sink"])
def test_options_are_polars_own(way: str, tmp_path: Path) -> None:
    frame = dr.frame(ROWS)
    getattr(frame, f"{way}_ndjson")(tmp_path / "x.ndjson.gz", compression="gzip")
    assert (tmp_path / "x.ndjson.gz").read_bytes()[:2] == b"\x1f\x8b"
    assert dr.scan_ndjson(tmp_path / "x.ndjson.gz").collect().equals(ROWS)
    getattr(frame, f"{way}_csv")(tmp_path / "x.csv", separator=";", null_value="-")
    assert (tmp_path / "x.csv").read_text() == "a;t\n1;x\n2;-\n3;z\n"
    for format in READERS:
        with pytest.raises(SettingError, match=f"{way}_{format}: no setting 'sepp'"):
            getattr(frame, f"{way}_{format}")(tmp_path / "x", sepp=";")


def asks() -> tuple[dr.Frame, Any]:
    llm = dr.testing.Echo()
    return dr.frame(ROWS).prompt(llm, "{a}", into="said"), llm


HELD: dict[str, tuple[pl.Expr, tuple[str, ...]]] = {
    "bytes": (pl.lit(b"\xff"), ("csv", "json", "ndjson")),
    "bytes in a list": (pl.concat_list(pl.lit(b"1")), ("csv", "json", "ndjson")),
    "bytes in a struct": (pl.struct(b=pl.lit(b"1")), ("csv", "json", "ndjson")),
    "a list": (pl.concat_list("a"), ("csv",)),
    "a struct": (pl.struct("a"), ("csv",)),
    "a duration": (pl.lit(dt.timedelta(1)), ("csv",)),
}


@pytest.mark.parametrize("kind", HELD)
def test_what_a_format_has_not_is_refused_by_its_column_before_anything_is_asked(kind: str, tmp_path: Path) -> None:
    frame, llm = asks()
    held, formats = HELD[kind]
    for format in formats:
        for way in ("write", "sink")[: 1 if format == "json" else 2]:
            with dr.Session(None), pytest.raises(SchemaError, match=rf"^{way}_{format}: column 'odd' (holds bytes|has type)"):
                getattr(frame.with_columns(odd=held), f"{way}_{format}")(tmp_path / "x")
    assert llm.calls == 0
    assert not list(tmp_path.iterdir())


def test_an_impossible_option_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    frame, llm = asks()
    for options in ({"separator": ";;"}, {"quote_style": "sometimes"}):
        with dr.Session(None), pytest.raises(SettingError, match=r"^write_csv: "):
            frame.write_csv(tmp_path / "x.csv", **options)
    assert llm.calls == 0


def test_no_path_is_refused() -> None:
    frame, llm = asks()
    for method in ("write_csv", "sink_parquet"):
        with pytest.raises(SettingError, match=f"^{method}: name a file"):
            getattr(frame, method)(None)
    assert llm.calls == 0


def test_ids_of_128_bits_leave_by_every_door(tmp_path: Path) -> None:
    frame = dr.frame(WIDE.to_frame().with_columns(inside=pl.concat_list("id")))
    text = {"id": ["10000000000000000000000000", None], "inside": [["10000000000000000000000000"], [None]]}
    assert frame.to_arrow().to_pydict() == text
    assert frame.to_pandas()["id"].to_list()[0] == text["id"][0]
    assert frame.to_hf_dataset()[:] == text
    assert pa.table(frame).to_pydict() == text
    assert frame.push_to_hub("me/ids", dry_run=True).written
    frame.write_parquet(tmp_path / "x.parquet")
    assert dr.scan_parquet(tmp_path / "x.parquet").collect().equals(frame.collect())


def test_whole_numbers_with_nulls_stay_whole_in_pandas() -> None:
    held = {"i": [2**60 + 1, None], "u": [1, None], "b": [True, None], "f": [0.5, None], "full": [1, 2]}
    made = dr.frame(held, schema={"i": pl.Int64, "u": pl.UInt8, "b": pl.Boolean, "f": pl.Float64, "full": pl.Int64}).to_pandas()
    assert {c: str(t) for c, t in made.dtypes.items()} == {"i": "Int64", "u": "UInt8", "b": "boolean", "f": "float64", "full": "int64"}
    assert made["i"][0] == 2**60 + 1
    assert made["i"].isna().to_list() == made["b"].isna().to_list() == [False, True]
    again = dr.frame(made)
    assert again.collect().to_dict(as_series=False) == held
    frame = pd.DataFrame({"x": pd.array([1, None], dtype="Int64")})
    assert dr.frame(frame).to_pandas().equals(frame)


def test_libraries_of_arrow_take_a_frame_as_it_is() -> None:
    rows = ROWS.with_columns(e=pl.Series(["p", "q", "p"], dtype=pl.Enum(["q", "p"])), d=pl.lit(Decimal("1.5")))
    frame = dr.frame(rows).prompt(dr.testing.Echo(), "{a}", into="said")
    with dr.Session(None):
        assert pl.DataFrame(frame).equals(rows.with_columns(said=pl.col("a").cast(pl.String)))
        assert pa.table(frame).num_rows == 3


def test_a_lazy_frame_runs_the_plan_when_it_is_collected_and_asks_for_no_more_than_it_needs() -> None:
    llm = dr.testing.Echo()
    frame = dr.frame({"a": list(range(50))}).prompt(llm, "{a}", into="said")
    with dr.Session(None):
        lazy = frame.lazy()
        assert llm.calls == 0
        assert lazy.collect_schema() == frame.schema
        assert lazy.head(3).collect().to_dicts() == [{"a": i, "said": str(i)} for i in range(3)]
        assert llm.calls == 3
        assert lazy.filter(pl.col("a") > 47).select("said").collect()["said"].to_list() == ["48", "49"]
        assert llm.calls == 50
        assert lazy.join(frame.lazy(), on="a").select(pl.len()).collect().item() == 50
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(lazy.collect().height))
        thread.start()
        thread.join(20)
        assert found == [50]
        assert llm.calls == 50


def test_what_fails_in_a_lazy_frame_is_raised_as_it_is() -> None:
    with dr.Session(None), pytest.raises(RowsFailedError, match="3 of 3 rows failed"):
        dr.frame(ROWS).prompt(dr.testing.Failing(), "{a}").lazy().collect()


def test_several_plans_are_frames() -> None:
    frame = dr.frame({"prompt": ["a"], "completion": ["b"]})
    model = frame.train(dr.SFT("x", steps=1))
    for wrong, said in ((frame, "is not a list of frames"), ([model], "is a model, which has no rows"), ([3], "the int 3 is among the frames")):
        with pytest.raises(SettingError, match=said):
            dr.collect_all(wrong)  # type: ignore[arg-type]


def closed() -> io.BytesIO:
    file = io.BytesIO()
    file.close()
    return file


NOWHERE: dict[str, tuple[Callable[[], Any], str]] = {
    "a folder": (lambda: "folder", "is a folder"),
    "no name": (lambda: "", "is a folder"),
    "below a file": (lambda: "file/x", "'file' is a file"),
    "a number": (lambda: 3, "int 3 is not the path"),
    "a file that is read": (lambda: io.BufferedReader(io.FileIO("file")), "open for reading alone"),
    "a file that was closed": (closed, "closed"),
}


@pytest.mark.parametrize("method", ["write_parquet", "sink_csv"])
@pytest.mark.parametrize("place", NOWHERE)
def test_where_nothing_can_be_written_is_said_before_anything_is_asked(place: str, method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    frame, llm = asks()
    make, told = NOWHERE[place]
    with dr.Session(None), pytest.raises(SettingError, match=f"{method}: .*{told}"):
        getattr(frame, method)(make())
    assert llm.calls == 0


@pytest.mark.parametrize("way", ["write", "sink"])
def test_what_polars_would_refuse_is_refused_before_anything_is_asked(way: str) -> None:
    frame, llm = asks()
    with dr.Session(None):
        with pytest.raises(SettingError, match=f"{way}_parquet: .*compression"):
            getattr(frame, f"{way}_parquet")("x", compression="zip")
        with pytest.raises(SettingError, match="holds text"):
            getattr(frame, f"{way}_parquet")(io.StringIO())
        with pytest.raises(SchemaError, match=f"{way}_parquet: .*no child field"):
            getattr(frame.with_columns(s=pl.lit({}, dtype=pl.Struct({}))), f"{way}_parquet")("x")
    assert llm.calls == 0
    assert not Path("x").exists()


@pytest.mark.parametrize(("given", "groups"), [(None, 8), (500, 2), (2_000, 1)])
def test_a_group_of_long_rows_in_a_parquet_file_is_no_larger_than_memory_holds(given: int | None, groups: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Polars holds a whole group before it writes it, and counts in rows."""
    monkeypatch.setattr(importlib.import_module("dreamframe.frame.write"), "GROUP_BYTES", 100_000)
    rows = pl.DataFrame({"t": ["x" * 1_000] * 1_000})
    dr.frame(rows).sink_parquet(tmp_path / "x.parquet", row_group_size=given)
    assert pq.ParquetFile(tmp_path / "x.parquet").metadata.num_row_groups == groups
    assert pl.read_parquet(tmp_path / "x.parquet").equals(rows)
