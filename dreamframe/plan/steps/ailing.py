"""What is wrong with a file that cannot be read, in words that name it and say what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.plan.steps.scanners import scan
from dreamframe.redaction.visible import in_line

UTF16 = (b"\xff\xfe", b"\xfe\xff")
CUT = "It is compressed, and cut off or damaged."
KINDS: Mapping[bytes, str] = {  # how files of other formats begin
    b"\x1f\x8b": CUT,
    b"\x28\xb5\x2f\xfd": CUT,
    b"PAR1": "It is a Parquet file: dr.scan_parquet.",
    b"ARROW1": "It is an Arrow file: dr.scan_ipc.",
    b"\xff\xff\xff\xff": "It is a stream of Arrow, as the datasets library saves: dr.scan_hf_disk of its folder, or dr.frame(pl.read_ipc_stream(...)).",
    b"PK\x03\x04": "It is a zip archive or a spreadsheet: unpack it, or dr.scan_excel.",
    b"version https://git-lfs": "It is a pointer of Git LFS, not the file itself: git lfs pull.",
    b"<!DOCTYPE": "It is a web page.",
    b"<html": "It is a web page.",
}
NO_JSON = re.compile(rb"[:\[,]\s*(?:NaN|-?Infinity)\b")


def said(exc: Exception) -> str:
    """What polars says of an error, in one line."""
    return in_line(" ".join(str(exc).split())[:500]).rstrip(".")


def ailing(format: str, paths: Sequence[str], files: Sequence[str], options: Mapping[str, Any], *, is_read: bool = False) -> str:
    """The first file that cannot be read, or that has other columns than the first one, and why; nothing if all can be. `is_read`: to their ends."""
    first: pl.Schema | None = None
    for file in files:
        try:
            rows = scan(format, paths, [file], dict(options))
            schema = rows.collect_schema()
            if format == "csv" and "\0" in "".join(schema):
                return f"{file}: {_advice(format, file) or 'its header holds NUL characters.'}"
            if is_read:
                for _ in rows.collect_batches():
                    pass
        except (pl.exceptions.PolarsError, UnicodeDecodeError, OSError) as exc:
            return f"{file}: {said(exc)}. {_advice(format, file)}".strip()
        if first is not None and schema != first and (differs := unlike(schema, first)):
            return f"{file} has other columns than {files[0]}: {differs}.{_together(format)}"
        first = schema if first is None else first
    return ""


def unlike(schema: pl.Schema, first: pl.Schema) -> str:
    """How the columns of a file differ from those of the first, in the words of a user."""
    more, less = ([repr(c) for c in a if c not in b] for a, b in ((schema, first), (first, schema)))
    others = [f"{c!r} is {schema[c]} instead of {first[c]}" for c in schema if c in first and schema[c] != first[c]]
    told = [f"it has {', '.join(more[:5])}"] * bool(more) + [f"it lacks {', '.join(less[:5])}"] * bool(less) + others[:5]
    return "; ".join(told)


def _together(format: str) -> str:
    """How to read files of different columns all the same."""
    own = {"csv": " or say what they are: schema_overrides={…}.", "json": " or say what they are: schema={…}.", "ndjson": " or say what they are: schema={…}."}
    ways = {"parquet": " or pass missing_columns='insert', extra_columns='ignore', or cast_options=.", **own}
    return f" Put frames of each together, dr.concat([…], how='diagonal_relaxed'),{ways.get(format, ' or rename the columns.')}"


def _advice(format: str, file: str) -> str:
    """What the first bytes of a file say about it."""
    try:
        with Path(file).open("rb") as opened:
            start = opened.read(4096)
    except OSError:  # it is gone, or may not be read, which the error says already
        return ""
    if not start.strip():
        return "The file is empty."
    if start.startswith(UTF16):
        return "It is text of 16 bits (UTF-16), as spreadsheets export it. Save it as UTF-8, or read it yourself: dr.frame(...)."
    for begins, kind in KINDS.items():
        if start.startswith(begins) and f"dr.scan_{format}." not in kind:
            return kind
    text = start.lstrip()
    if format == "ndjson" and text.startswith(b"["):
        return "It holds one JSON array, not an object a line: dr.scan_json."
    if format == "json" and text.startswith(b"{") and b"}\n{" in text.replace(b"\r", b""):
        return "It holds a JSON object a line: dr.scan_ndjson."
    return _of_the_text(format, file)


def _of_the_text(format: str, file: str) -> str:
    """What a whole file says about it, as text."""
    if format in ("csv", "text", "json", "ndjson") and not _is_utf8(file):
        return "It is not UTF-8. Save it so, or read it yourself: dr.frame(...)." + (" Or pass encoding='utf8-lossy'." if format == "csv" else "")
    if format in ("json", "ndjson") and NO_JSON.search(Path(file).read_bytes()):
        return "NaN and Infinity are no JSON, though Python writes them so: write null instead, json.dumps(..., allow_nan=False)."
    return ""


def _is_utf8(file: str) -> bool:
    try:
        with Path(file).open(encoding="utf-8") as opened:
            for _ in opened:
                pass
    except UnicodeDecodeError:
        return False
    return True
