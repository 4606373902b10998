"""Rows that are no files on this disk: read when the plan is built, keyed by what was read, and named without secrets."""

from __future__ import annotations

import io
import socketserver
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import dreamframe as dr
from dreamframe.errors import MissingExtraError, OfflineError, PlanError, SettingError

ROWS = pl.DataFrame({"text": ["tea", "rain"]})


def held(format: str) -> bytes:
    out = io.BytesIO()
    write: dict[str, Callable[[], object]] = {
        "csv": lambda: ROWS.write_csv(out), "parquet": lambda: ROWS.write_parquet(out), "ndjson": lambda: ROWS.write_ndjson(out),
        "json": lambda: ROWS.write_json(out), "ipc": lambda: ROWS.write_ipc(out), "text": lambda: out.write(b"\xef\xbb\xbftea\nrain\n"),
    }  # fmt: skip
    write[format]()
    return out.getvalue()


FORMATS = ["csv", "parquet", "ndjson", "json", "ipc", "text"]


class Files(BaseHTTPRequestHandler):
    """Serves what `held` gives, by the ending; of files in /private to whoever logs in."""

    def do_GET(self) -> None:
        path, _, format = self.path.partition("?")[0].rpartition(".")
        if format not in FORMATS or (path.startswith("/private") and self.headers["Authorization"] != "Basic bWU6cHc="):
            self.send_error(404 if format not in FORMATS else 401)
            return
        self.send_response(200)
        self.end_headers()
        self.wfile.write(held(format))

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def web() -> Iterator[str]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def scanned(format: str, source: Any, **options: Any) -> dr.Frame:
    made: dr.Frame = getattr(dr, f"scan_{format}")(source, **options)
    return made


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_open_files_and_addresses_are_read(format: str, web: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{format}"
    path.write_bytes(held(format))
    with path.open("rb") as opened:
        made = [scanned(format, s) for s in (held(format), io.BytesIO(held(format)), opened, f"http://{web}/x.{format}?token=abc", bytearray(held(format)))]
    for frame in made:
        assert frame.collect().equals(ROWS)
        assert frame.step.key({}) == made[0].step.key({}), "it is keyed by its rows, not by where they were"
    assert scanned(format, [held(format), f"http://{web}/x.{format}"]).collect().equals(pl.concat([ROWS, ROWS]))
    assert scanned(format, f"file://{path}").step.key({}) == scanned(format, path).step.key({})
    assert "token" not in made[3].explain() + made[3].to_json() + made[3].card()
    assert f"http://{web}/x.{format}" in made[3].explain()


def test_an_open_text_file_is_read() -> None:
    assert dr.scan_csv(io.StringIO("text\ntea\nrain\n")).collect().equals(ROWS)


def test_a_plan_of_them_goes_through_json(web: str) -> None:
    frame = dr.scan_csv(f"http://{web}/x.csv").prompt(dr.testing.Echo(), "{text}")
    again = dr.from_json(frame.to_json())
    assert again.step.key({}) == frame.step.key({})
    assert again.collect().equals(frame.collect())


def test_options_are_the_readers_own() -> None:
    assert dr.scan_csv(b"a;b\n1;2\n3;4\n", separator=";", n_rows=1).collect().to_dicts() == [{"a": 1, "b": 2}]
    assert dr.scan_ndjson(b'{"a": 1}\n' * 150 + b'{"z": 2}\n').columns == ["a", "z"]
    assert dr.scan_ndjson([b'{"a": 1}\n', b'{"a": 1.5, "z": 2}\n']).collect().to_dicts() == [{"a": 1.0, "z": None}, {"a": 1.5, "z": 2}]
    assert dr.scan_json(b'{"data": [{"a": 1}]}', field="data").collect().to_dicts() == [{"a": 1}]


@pytest.mark.parametrize("format", FORMATS)
def test_an_option_that_the_reader_has_not_is_refused_before_anything_is_read(format: str) -> None:
    with pytest.raises(SettingError, match=f"scan_{format}: no setting 'encodingg'"):
        scanned(format, "gone", encodingg="utf8")


def test_a_login_is_sent_and_never_told(web: str) -> None:
    frame = dr.scan_csv(f"http://me:pw@{web}/private/x.csv")
    assert frame.collect().equals(ROWS)
    assert "pw" not in frame.explain() + frame.to_json()
    for address in (f"http://me:hunter2@{web}/private/x.csv", f"http://me:hunter2@{web}/gone.zip?key=hunter3", "http://me:hunter2@127.0.0.1:9/x.csv?key=hunter3"):
        with pytest.raises(PlanError, match=r"^scan_csv: http://127\.0\.0\.1") as caught:
            dr.scan_csv(address)
        assert "hunter" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_an_offline_session_downloads_nothing(web: str) -> None:
    with dr.Session(None, offline=True):
        for address in (f"http://{web}/x.csv", "s3://bucket/x.csv"):
            with pytest.raises(OfflineError, match="allows no download"):
                dr.scan_csv(address)
        assert dr.scan_csv(held("csv")).collect().equals(ROWS)


@pytest.mark.parametrize("source", [3, None, [None], object(), [b"a\n1\n", 3]])
def test_what_is_no_source_is_refused(source: Any) -> None:
    with pytest.raises(PlanError, match="scan_csv: "):
        dr.scan_csv(source)


def test_a_result_of_a_database_is_read_and_keyed_by_its_rows() -> None:
    with sqlite3.connect(":memory:") as bank:
        bank.execute("create table t as select 'tea' as text union all select 'rain'")
        frame = dr.scan_database("select * from t", bank)
        assert frame.collect().equals(ROWS)
        same = dr.scan_database("select text from t order by rowid", bank)
        assert same.step.key({}) == frame.step.key({})
        bank.execute("insert into t values ('snow')")
        assert dr.scan_database("select * from t", bank).step.key({}) != frame.step.key({})
        assert frame.collect().equals(ROWS), "the rows are those of the moment"
        with pytest.raises(PlanError, match=r"^scan_database: a query by sqlite3: .*no such table: gone"):
            dr.scan_database("select * from gone", bank)
    bank.close()


@pytest.mark.parametrize(
    ("read", "library"),
    [
        (lambda: dr.scan_excel("x.xlsx"), "fastexcel"),
        (lambda: dr.scan_delta("x"), "deltalake"),
        (lambda: dr.scan_database("select 1", "postgresql://me:hunter2@127.0.0.1:9/db"), "connectorx"),
    ],
)
def test_a_library_that_polars_needs_is_named(read: Callable[[], dr.Frame], library: str) -> None:
    Path("x.xlsx").write_bytes(b"PK")
    try:
        __import__(library)
    except ImportError:
        with pytest.raises(MissingExtraError, match=rf"needs {library}, which is not installed. Install it with: pip install {library}$"):
            read()
    else:
        with pytest.raises(PlanError):
            read()


def test_files_and_bytes_are_read_together(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    assert dr.scan_csv([tmp_path / "a.csv", b"a\n2\n"]).collect()["a"].to_list() == [1, 2]


def test_the_scheme_of_an_address_may_be_in_capitals(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    assert dr.scan_csv(f"FILE://{tmp_path}/a.csv").collect()["a"].to_list() == [1]
