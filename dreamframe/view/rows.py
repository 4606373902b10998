"""Rows in and out of the command line: files and standard input, files and standard output, by the ending of the name or by its content."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.errors import PlanError, SettingError, one_of
from dreamframe.frame.frame import Frame, scan_csv, scan_ipc, scan_json, scan_ndjson, scan_parquet
from dreamframe.frame.write import check_written
from dreamframe.redaction.visible import in_line, visible
from dreamframe.store.whole_files import whole_file
from dreamframe.view import terminal

FORMATS = ("csv", "tsv", "json", "ndjson", "parquet", "arrow")
ENDINGS = {".csv": "csv", ".tsv": "tsv", ".json": "json", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet", ".arrow": "arrow", ".ipc": "arrow"}
AS_TEXT: Mapping[str, Any] = {"infer_schema": False}  # CSV has no types: 007 comes out as 007
READERS: Mapping[str, Callable[..., Frame]] = {
    "csv": lambda source: scan_csv(source, **AS_TEXT),
    "tsv": lambda source: scan_csv(source, separator="\t", **AS_TEXT),
    "json": scan_json,
    "ndjson": scan_ndjson,
    "parquet": scan_parquet,
    "arrow": scan_ipc,
}
BINARY = ("parquet", "arrow")
SHOWN = 20  # rows on a terminal


def read(source: str, format: str | None) -> tuple[Frame, str]:
    """The rows of a file, a glob or an address, or with `-` of standard input, and their format: the one given, else that of the name, or of the bytes."""
    if format is not None:
        one_of(format, FORMATS, "--from", where="prompt")
    if source != "-":
        found = format or ENDINGS.get(Path(source.partition("?")[0]).suffix.lower())
        if found is None:
            raise SettingError(f"{source!r} has none of the endings {', '.join(ENDINGS)}. Say what it holds, as --from csv.")
        return READERS[found](source), found
    if sys.stdin is None or sys.stdin.isatty():
        raise SettingError("there are no rows on standard input: it is a terminal. Name a file, or pipe rows into the command.")
    data = sys.stdin.buffer.read()
    if not data.strip():
        raise PlanError("standard input is empty: there are no rows. Name a file, or pipe rows into the command.")
    found = format or sniffed(data)
    return READERS[found](StandardInput(data)), found


class StandardInput(io.BytesIO):
    """What came through a pipe, under the name that plans and errors give it."""

    name = "standard input"


def sniffed(data: bytes) -> str:
    """The format of bytes that nobody has named.

    >>> sniffed(b'[{"a": 1}]'), sniffed(b'{"a": 1}'), sniffed(b"a,b"), sniffed(b"PAR1...")
    ('json', 'ndjson', 'csv', 'parquet')
    """
    first = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if data.startswith((b"PAR1", b"ARROW1")):
        return "parquet" if data.startswith(b"PAR1") else "arrow"
    head = first.partition(b"\n")[0]
    return "json" if first.startswith(b"[") else "ndjson" if first.startswith(b"{") else "tsv" if b"\t" in head and b"," not in head else "csv"


def target_format(out: Path | None, to: str | None, otherwise: str) -> str:
    """The format of what is written: as `--to` says, else as the name ends, else as the rows came. Raises SettingError before anything is paid for."""
    if to is not None:
        one_of(to, FORMATS, "--to", where="output")
        found = to
    else:
        found = otherwise if out is None else ENDINGS.get(out.suffix.lower(), "")
    if not found:
        raise SettingError(f"{str(out)!r} has none of the endings {', '.join(ENDINGS)}. Say what to write, as --to csv.")
    if out is None and to is not None and found in BINARY and sys.stdout.isatty():
        raise SettingError(f"--to {found} is not for a terminal. Name a file with -o, or send standard output to one.")
    if out is not None and out.is_dir():
        raise SettingError(f"{str(out)!r} is a folder; name a file in it.")
    above = next((folder for folder in (() if out is None else out.absolute().parents) if folder.exists()), None)
    if above is not None and not (above.is_dir() and os.access(above, os.W_OK)):
        raise SettingError(f"{str(out)!r} cannot be written: {str(above)!r} is not a folder that may be written to.")
    return found


def check_types(schema: pl.Schema, format: str) -> None:
    """Raise SchemaError for columns that a format cannot hold, such as bytes in JSON, before anything is paid for."""
    is_flat = format in ("csv", "tsv")
    flattened = pl.Schema({name: pl.String() if is_flat and dtype.is_nested() else dtype for name, dtype in schema.items()})
    method = {"tsv": "write_csv", "arrow": "write_ipc"}.get(format, f"write_{format}")
    check_written(method, io.BytesIO(), flattened, {}, of=pl.DataFrame)


def give(rows: pl.DataFrame, out: Path | None, format: str, *, is_asked_for: bool = False) -> None:
    """Write rows: into a file, whole or not at all; to standard output as data; on a terminal as a table of the first, unless the format was asked for."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(out) as beside, beside.open("wb") as file:
            write(rows, file, format)
        return
    if not sys.stdout.isatty() or is_asked_for:
        held = io.BytesIO()
        write(rows, held, format)
        _send(held.getvalue() if not sys.stdout.isatty() else visible(held.getvalue().decode()).encode())
        return
    put_rows(rows)


def _send(data: bytes) -> None:
    """Write to standard output, which with PYTHONUNBUFFERED may take a part and say so."""
    sys.stdout.flush()
    left = memoryview(data)
    while left:
        left = left[sys.stdout.buffer.write(left) :]
    sys.stdout.buffer.flush()


def put_rows(rows: pl.DataFrame) -> None:
    """The first rows as a table."""
    first = flat(rows.head(SHOWN))
    columns = [name for name, dtype in first.schema.items() if dtype == pl.String]
    texts = [pl.Series(name, [None if v is None else in_line(v) for v in first[name].to_list()], dtype=pl.String) for name in columns]
    with pl.Config(tbl_rows=SHOWN, tbl_width_chars=terminal.width(), fmt_str_lengths=max(30, terminal.width() - 30), tbl_hide_dataframe_shape=True):
        terminal.put(str(first.with_columns(texts).rename(in_line)))
    more = f"{SHOWN} of {rows.height:,} rows" if rows.height > SHOWN else f"{rows.height:,} row{'' if rows.height == 1 else 's'}"
    terminal.say(f"{more}; -o FILE writes them." if rows.height > SHOWN else f"{more}.")


def write(rows: pl.DataFrame, file: io.BufferedWriter | io.BytesIO, format: str) -> None:
    """The rows in a format; in CSV, which has no such values, structs and lists are JSON."""
    match format:
        case "csv" | "tsv":
            flat(rows).write_csv(file, separator="\t" if format == "tsv" else ",")
        case "json":
            rows.write_json(file)
            file.write(b"\n")
        case "ndjson":
            rows.write_ndjson(file)
        case "parquet":
            rows.write_parquet(file)
        case _:
            rows.write_ipc(file)


def flat(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with structs, lists and arrays as JSON texts.

    >>> flat(pl.DataFrame({"a": [[1, 2]], "b": [{"c": "x"}]})).rows()
    [('[1, 2]', '{"c": "x"}')]
    """
    nested = [name for name, dtype in rows.schema.items() if dtype.is_nested()]
    texts = [pl.Series(name, [None if v is None else as_json(v) for v in rows[name].to_list()], dtype=pl.String) for name in nested]
    return rows.with_columns(texts)


def as_json(value: object) -> str:
    """A value of a row as JSON in one line; what JSON has not, such as a day, as text."""
    return json.dumps(value, ensure_ascii=False, default=str)
