"""The readers of files, by format: polars', told which files they are. Polars is never left to look for files itself: it would read others than were hashed."""

from __future__ import annotations

import glob
import io
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
    """Polars reads JSON arrays whole."""
    tables = [pl.read_json(f, **options) for f in files]
    for file, table in zip(files, tables, strict=True):
        if table.schema != tables[0].schema:
            one, other = (", ".join(f"{n}: {t}" for n, t in t.schema.items()) for t in (tables[0], table))
            raise PlanError(f"scan_json: {file} has other columns than {files[0]}: {other} instead of {one}. Say what they are with schema=.")
    return pl.concat(tables).lazy()


def _json_lines(files: Sequence[str], options: Mapping[str, Any]) -> pl.LazyFrame:
    if not any(map(is_marked, files)):
        return pl.scan_ndjson([glob.escape(f) for f in files], **options)
    if options.get("include_file_paths") is not None:
        named = next(filter(is_marked, files))
        raise PlanError(f"scan_ndjson: {named} begins with a byte order mark, which include_file_paths= does not go with. Save it without one.")
    read: list[IO[bytes]] = [io.BytesIO(Path(f).read_bytes().removeprefix(MARK)) for f in files]
    return pl.scan_ndjson(read, **options)
