"""The readers of files, by format: polars', told which files they are. Polars is never left to look for files itself: it would read others than were hashed."""

from __future__ import annotations

import glob
import inspect
import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import polars as pl

from dreamframe.errors import PlanError
from dreamframe.plan.steps.files import MARK, has_partitions, is_marked, partitions_above


def scan(format: str, paths: Sequence[str], files: Sequence[str], options: Mapping[str, Any]) -> pl.LazyFrame:
    """The rows of files, one file after the other. `paths` are what the user named, `files` what they are now."""
    match format:
        case "text":
            return _lines(files, options)
        case "json":
            return _json(files, options)
        case "ndjson":
            return _json_lines(files, options)
        case "csv":
            return pl.scan_csv(list(files), **{**options, "glob": False})
        case _:
            return _partitioned(format, paths, files, {**options, "glob": False})


def scan_held(format: str, held: Sequence[bytes | str], options: dict[str, Any]) -> pl.DataFrame:
    """The rows of files whose content is given, or whose address polars can reach."""
    contents: list[Any] = [io.BytesIO(h.removeprefix(MARK) if format in ("text", "json", "ndjson") else h) if isinstance(h, bytes) else h for h in held]
    match format:
        case "json":
            return pl.concat([json_table(c.getvalue(), dict(options), who="it") for c in contents])
        case "text":
            return pl.scan_lines(contents, name="text", **options).collect()
        case "ndjson" if not says_columns(options):
            found = [pl.scan_ndjson(c, **{**options, "infer_schema_length": None}).collect_schema() for c in contents]
            return pl.scan_ndjson(_again(contents), **{**options, "schema": _of_all(found, options)}).collect()
    read: dict[str, Callable[..., pl.LazyFrame]] = {"csv": pl.scan_csv, "parquet": pl.scan_parquet, "ipc": pl.scan_ipc, "ndjson": pl.scan_ndjson}
    return read[format](contents, **options).collect()


def _again(contents: Sequence[Any]) -> list[Any]:
    """Contents from their beginnings: who has looked at them may have read on."""
    return [io.BytesIO(c.getvalue()) if isinstance(c, io.BytesIO) else c for c in contents]


def options_of(format: str) -> frozenset[str]:
    """The options that polars' reader of a format has."""
    readers: dict[str, Callable[..., Any]] = {
        "csv": pl.scan_csv, "parquet": pl.scan_parquet, "ipc": pl.scan_ipc, "ndjson": pl.scan_ndjson, "json": pl.read_json, "text": pl.scan_lines
    }  # fmt: skip
    own = {"field"} if format == "json" else set()
    return frozenset(inspect.signature(readers[format]).parameters) - {"source", "name" if format == "text" else "source"} | own


def _partitioned(format: str, paths: Sequence[str], files: Sequence[str], options: dict[str, Any]) -> pl.LazyFrame:
    read: Callable[..., pl.LazyFrame] = pl.scan_parquet if format == "parquet" else pl.scan_ipc
    if not has_partitions(format, paths, options):
        return read(list(files), **options)
    return read(list(files), **{**options, "hive_partitioning": True}).drop(partitions_above(paths, options), strict=False)


def _lines(files: Sequence[str], options: Mapping[str, Any]) -> pl.LazyFrame:
    """One row a line, in a column `text`; without the mark that a file may begin with, which is not text."""
    if not any(map(is_marked, files)):
        return pl.scan_lines(list(files), name="text", **{**options, "glob": False})
    given = {k: v for k, v in options.items() if k not in ("n_rows", "row_index_name", "row_index_offset")} | {"glob": False}
    parts = []
    for file in files:
        lines = pl.scan_lines([file], name="text", **given)
        first = lines.head(1).with_columns(pl.col("text").str.strip_prefix(MARK.decode()))
        parts += [first, lines.slice(1)] if is_marked(file) else [lines]
    rows = pl.concat(parts)
    if (index := options.get("row_index_name")) is not None:
        rows = rows.with_row_index(index, options.get("row_index_offset", 0))
    return rows if options.get("n_rows") is None else rows.head(options["n_rows"])


def _json(files: Sequence[str], options: Mapping[str, Any]) -> pl.LazyFrame:
    """JSON arrays, which polars reads whole: columns are found in all rows. `field` is where in an object the array stands."""
    return pl.concat([json_table(Path(f).read_bytes(), dict(options), who=f) for f in files]).lazy()


def json_table(held: bytes, options: dict[str, Any], *, who: str) -> pl.DataFrame:
    """The rows of one JSON array. Raises PlanError for a field that is not there."""
    field = options.pop("field", None)
    if field is not None:
        whole = json.loads(held)
        if not isinstance(whole, dict) or not isinstance(whole.get(field), list):
            there = ", ".join(repr(k) for k in whole) if isinstance(whole, dict) else f"a {type(whole).__name__}"
            raise PlanError(f"scan_json: {who} has no list {field!r}; there is {there}.")
        held = json.dumps(whole[field], ensure_ascii=False).encode()
    return pl.read_json(io.BytesIO(held.removeprefix(MARK)), **{"infer_schema_length": None, **options})


def _json_lines(files: Sequence[str], options: Mapping[str, Any]) -> pl.LazyFrame:
    """Objects of a line each: columns are found in all lines of all files, unless options say what they are, or how many lines to look at."""
    if not says_columns(options):
        found = [_json_lines_as_told([file], {**options, "infer_schema_length": None}).collect_schema() for file in files]
        options = {**options, "schema": _of_all(found, options)} if any(schema != found[0] for schema in found) else {**options, "infer_schema_length": None}
    return _json_lines_as_told(files, options)


def says_columns(options: Mapping[str, Any]) -> bool:
    """Whether options of a scan say what the columns are, or where to look for them; with `ignore_errors`, only lines that are well may be looked at."""
    return any(name in options for name in ("schema", "infer_schema_length")) or bool(options.get("ignore_errors"))


def widened(format: str, files: Sequence[str], options: Mapping[str, Any], schema: pl.Schema) -> bool:
    """Whether the columns of JSON files are not those that their first 100 rows have, which was once all that was looked at."""
    if format not in ("json", "ndjson") or says_columns(options) or "field" in options:
        return False
    try:
        if format == "json":
            return any(json_table(Path(f).read_bytes(), {**options, "infer_schema_length": 100}, who=f).schema != schema for f in files)
        return _json_lines_as_told(files, options).collect_schema() != schema
    except pl.exceptions.PolarsError:
        return False  # nothing was ever kept of it


def _of_all(found: Sequence[pl.Schema], options: Mapping[str, Any]) -> pl.Schema:
    """The columns of several files, each of the type that holds what all of them have."""
    made = pl.concat([pl.LazyFrame(schema=schema) for schema in found], how="diagonal_relaxed").collect_schema()
    added = {options.get("row_index_name"), options.get("include_file_paths")}
    return pl.Schema({name: dtype for name, dtype in made.items() if name not in added})


def _json_lines_as_told(files: Sequence[str], options: Mapping[str, Any]) -> pl.LazyFrame:
    if not any(map(is_marked, files)):
        return pl.scan_ndjson([glob.escape(f) for f in files], **options)
    if options.get("include_file_paths") is not None:
        named = next(filter(is_marked, files))
        raise PlanError(f"scan_ndjson: {named} begins with a byte order mark, which include_file_paths= does not go with. Save it without one.")
    read: list[IO[bytes]] = [io.BytesIO(Path(f).read_bytes().removeprefix(MARK)) for f in files]
    return pl.scan_ndjson(read, **options)
