"""Verbs that write rows to files: whole, or batch by batch as they become ready. `optimize` and `confirm` of all of them are as of `collect`."""

from __future__ import annotations

import inspect
import io
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import polars as pl

from dreamframe.errors import SchemaError, SettingError
from dreamframe.frame.output import OutputVerbs
from dreamframe.models.habits import described
from dreamframe.plan.optimizer.choice import Optimize
from dreamframe.plan.steps.ailing import said
from dreamframe.run.pieces import handed
from dreamframe.run.storing import Worth
from dreamframe.store.whole_files import whole_file

GROUP_BYTES = 64 << 20  # of the rows that go into a Parquet file together
FEWEST_IN_GROUP, MOST_IN_GROUP = 128, 122_880  # rows; the second is what polars takes
Target = str | os.PathLike[str] | IO[bytes] | IO[str]  # a path, which is made anew, or an open file


class WriteVerbs(OutputVerbs):
    """write_* and sink_*."""

    __slots__ = ()

    def write_csv(self, path: Target, *, spreadsheet_safe: bool = False, optimize: Optimize = True, confirm: float | None = None, **options: Any) -> None:
        """Run and write a CSV file, making its folder, or into an open file; options as polars' write_csv. An earlier file stays whole until this one is.

        A model's text that begins with =, +, -, @, a tab or a line break is a formula to a spreadsheet, which runs it. With `spreadsheet_safe=True` an
        apostrophe stands before such texts and names of columns, as OWASP advises (https://owasp.org/www-community/attacks/CSV_Injection).

        >>> dr.frame({"a": [1]}).write_csv("out/a.csv")
        >>> dr.scan_csv("out/a.csv").to_dicts()
        [{'a': 1}]
        """
        self._write("write_csv", path, options, optimize, confirm, made=spreadsheet_safely if spreadsheet_safe else None)

    def write_parquet(self, path: Target, *, optimize: Optimize = True, confirm: float | None = None, **options: Any) -> None:
        """Run and write a Parquet file, making its folder; options as polars' write_parquet. An earlier file stays whole until this one is.

        >>> dr.frame({"a": [1]}).write_parquet("a.parquet")
        >>> dr.scan_parquet("a.parquet").to_dicts()
        [{'a': 1}]
        """
        self._write("write_parquet", path, options, optimize, confirm)

    def write_ndjson(self, path: Target, *, optimize: Optimize = True, confirm: float | None = None, **options: Any) -> None:
        """Run and write one JSON object a line, making the folder; options as polars' write_ndjson. An earlier file stays whole until this one is.

        >>> dr.frame({"a": [1]}).write_ndjson("a.ndjson")
        >>> dr.scan_ndjson("a.ndjson").to_dicts()
        [{'a': 1}]
        """
        self._write("write_ndjson", path, options, optimize, confirm)

    def write_json(self, path: Target, *, optimize: Optimize = True, confirm: float | None = None) -> None:
        """Run and write a JSON array of row objects, making the folder. An earlier file stays whole until this one is.

        >>> dr.frame({"a": [1]}).write_json("a.json")
        >>> dr.scan_json("a.json").to_dicts()
        [{'a': 1}]
        """
        self._write("write_json", path, {}, optimize, confirm)

    def write_ipc(self, path: Target, *, optimize: Optimize = True, confirm: float | None = None, **options: Any) -> None:
        """Run and write an Arrow IPC file, making its folder; options as polars' write_ipc. An earlier file stays whole until this one is.

        >>> dr.frame({"a": [1]}).write_ipc("a.arrow")
        >>> dr.scan_ipc("a.arrow").to_dicts()
        [{'a': 1}]
        """
        self._write("write_ipc", path, options, optimize, confirm)

    # Batch by batch

    def sink_csv(self, path: Target, *, optimize: Optimize = True, confirm: float | None = None, **options: Any) -> None:
        """Run and write a CSV file batch by batch, so that all rows need not fit into memory; options as polars' sink_csv. Otherwise as `write_csv`.

        >>> dr.frame({"a": [1]}).sink_csv("a.csv")
        >>> dr.scan_csv("a.csv").to_dicts()
        [{'a': 1}]
        """
        self._sink("sink_csv", path, options, optimize, confirm)

    def sink_parquet(self, path: Target, *, optimize: Optimize = True, confirm: float | None = None, **options: Any) -> None:
        """Run and write a Parquet file batch by batch; options as polars' sink_parquet. Otherwise as `write_parquet`.

        >>> dr.frame({"a": [1]}).sink_parquet("a.parquet")
        >>> dr.scan_parquet("a.parquet").to_dicts()
        [{'a': 1}]
        """
        self._sink("sink_parquet", path, options, optimize, confirm)

    def sink_ndjson(self, path: Target, *, optimize: Optimize = True, confirm: float | None = None, **options: Any) -> None:
        """Run and write one JSON object a line batch by batch; options as polars' sink_ndjson. Otherwise as `write_ndjson`.

        >>> dr.frame({"a": [1]}).sink_ndjson("a.ndjson")
        >>> dr.scan_ndjson("a.ndjson").to_dicts()
        [{'a': 1}]
        """
        self._sink("sink_ndjson", path, options, optimize, confirm)

    def sink_ipc(self, path: Target, *, optimize: Optimize = True, confirm: float | None = None, **options: Any) -> None:
        """Run and write an Arrow IPC file batch by batch; options as polars' sink_ipc. Otherwise as `write_ipc`.

        >>> dr.frame({"a": [1]}).sink_ipc("a.arrow")
        >>> dr.scan_ipc("a.arrow").to_dicts()
        [{'a': 1}]
        """
        self._sink("sink_ipc", path, options, optimize, confirm)

    def _write(
        self,
        method: str,
        path: Target,
        options: dict[str, Any],
        optimize: Optimize,
        confirm: float | None,
        *,
        made: Callable[[pl.DataFrame], pl.DataFrame] | None = None,
    ) -> None:
        """Run and write a file that is there wholly or as it was before, whatever stops the writing."""
        check_written(method, path, self.schema, options, of=pl.DataFrame)
        self._confirmed(method, confirm, optimize=optimize)
        if made is None and self._is_streamed(method, options):
            _whole(path, options, lambda target: sunk(self.collect_batches(optimize=optimize), self.schema, f"sink{method[5:]}", target, options))
            return
        rows = self.collect(optimize=optimize) if made is None else made(self.collect(optimize=optimize))
        _whole(path, options, lambda target: getattr(rows, method)(target, **options))

    def _is_streamed(self, method: str, options: Mapping[str, Any]) -> bool:
        """Whether rows may be written as they come: polars can, with these options, and no session keeps them, so that nobody wants them whole."""
        sink = getattr(pl.LazyFrame, f"sink{method[5:]}", None)
        return sink is not None and set(options) <= set(inspect.signature(sink).parameters) and not Worth().is_kept(self.step)

    def _sink(self, method: str, path: Target, options: dict[str, Any], optimize: Optimize, confirm: float | None) -> None:
        """As `_write`, of rows that come batch by batch."""
        check_written(method, path, self.schema, options, of=pl.LazyFrame)
        self._confirmed(method, confirm, optimize=optimize)
        _whole(path, options, lambda target: sunk(self.collect_batches(optimize=optimize), self.schema, method, target, options))


def grouped(batches: Iterator[pl.DataFrame], options: Mapping[str, Any]) -> tuple[Iterator[pl.DataFrame], Mapping[str, Any]]:
    """The same batches, and options by which a group of rows in the Parquet file has no more than GROUP_BYTES: polars holds a whole group, which by itself it
    counts in rows. How long a row is, the first batch tells; `row_group_size=` of the user stands."""
    first = next(batches, None)
    if first is None or options.get("row_group_size") is not None:
        return itertools.chain(() if first is None else (first,), batches), options
    n_rows = GROUP_BYTES * first.height // max(first.estimated_size(), 1)
    size = {"row_group_size": max(n_rows, FEWEST_IN_GROUP)} if n_rows < MOST_IN_GROUP else {}
    return itertools.chain((first,), batches), {**options, **size}


def sunk(batches: Iterator[pl.DataFrame], schema: pl.Schema, method: str, target: Any, options: Mapping[str, Any]) -> None:
    """Let polars write batches as they come. What they raise is raised as it is: polars would make a text of it."""
    from polars.io.plugins import register_io_source

    if method == "sink_parquet":
        batches, options = grouped(batches, options)
    failed: list[BaseException] = []

    def source(columns: list[str] | None, predicate: object, n_rows: object, size: object) -> Iterator[pl.DataFrame]:  # noqa: ARG001  polars calls it so
        try:
            for batch in batches:
                yield from handed(batch if columns is None else batch.select(columns))
        except GeneratorExit:
            raise
        except BaseException as exc:
            failed.append(exc)
            raise

    try:
        getattr(register_io_source(source, schema=schema), method)(target, **options)
    except Exception:
        if failed:
            raise failed[0] from None
        raise


def _whole(path: Target, options: Mapping[str, Any], write: Callable[[Any], object]) -> None:
    """Write to an open file, to an address or a folder of many files as polars does; to a path, so that an earlier file stays until this one is whole."""
    if not isinstance(path, (str, os.PathLike)) or "://" in str(path) or options.get("partition_by") is not None:
        write(path)
        return
    target = Path(path).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(target) as beside:
        write(beside)


def check_written(method: str, path: object, schema: pl.Schema, options: Mapping[str, Any], *, of: type) -> None:
    """Raise SettingError or SchemaError for what a writer would refuse when all rows are there and paid for. It is tried on no rows."""
    _check_target(method, path, options)
    known = set(inspect.signature(getattr(of, method)).parameters) - {"self", "file", "path", "lazy"}
    if unknown := [name for name in options if name not in known]:
        raise SettingError.unknown(unknown[0], possible=known, where=method)
    for name, dtype in schema.items():
        if method.endswith("json") and _holds(dtype, pl.Binary):
            raise SchemaError(
                f"{method}: column {name!r} holds bytes ({dtype}), which JSON has no way to write. Write them as text first, "
                f".with_columns(pl.col({name!r}).bin.encode('base64')), or write Parquet."
            )
        if method.endswith("csv") and (dtype.is_nested() or dtype in (pl.Binary, pl.Duration)):
            ways = {pl.Binary: ".bin.encode('base64')", pl.Duration: ".dt.to_string()", pl.Struct: ".struct.json_encode()", pl.List: ".list.join(', ')"}
            way = ways.get(dtype.base_type())
            text = f"Write it as text first, .with_columns(pl.col({name!r}){way}), or write" if way else "Write"
            raise SchemaError(f"{method}: column {name!r} has type {dtype}, which CSV has not. {text} Parquet or JSON lines.")
    if options.get("partition_by") is None and "storage_options" not in options:
        try:  # no rows at all
            getattr(of(schema=schema), method)(io.BytesIO(), **options)
        except (TypeError, ValueError) as exc:
            raise SettingError(f"{method}: {said(exc)}.") from exc
        except pl.exceptions.PolarsError as exc:
            raise (SettingError if options else SchemaError)(f"{method}: {said(exc)}.") from exc


def _check_target(method: str, path: object, options: Mapping[str, Any]) -> None:
    """Raise SettingError for what no file can be written to: what is no path, a folder, a place below a file, an open file that takes no bytes."""
    if path is None:
        raise SettingError(f"{method}: name a file, or pass one that is open. The text itself is .collect().write_csv() and the like.")
    if hasattr(path, "write"):
        if getattr(path, "closed", False) or (callable(can := getattr(path, "writable", None)) and not can()):
            raise SettingError(f"{method}: {described(path)} is closed, or open for reading alone; open it with mode 'wb'.")
        if isinstance(path, io.StringIO) and method.endswith(("parquet", "ipc")):
            raise SettingError(f"{method}: {described(path)} holds text, and this format is bytes; pass io.BytesIO().")
        return
    if type(path).__module__.startswith("polars."):  # its own ways to name many files
        return
    if not isinstance(path, (str, os.PathLike)):
        raise SettingError(f"{method}: {described(path)} is not the path of a file.")
    if "://" in str(path) or options.get("partition_by") is not None:
        return
    target = Path(path).expanduser()
    if not str(path) or os.path.isdir(target):
        raise SettingError(f"{method}: {str(path)!r} is a folder; name a file in it.")
    above = next((folder for folder in target.parents if os.path.exists(folder)), None)
    if above is not None and not os.path.isdir(above):
        raise SettingError(f"{method}: {str(above)!r} is a file, so there can be no {str(path)!r}.")


def _holds(dtype: Any, kind: type[pl.DataType]) -> bool:
    """Whether values of a type hold values of another."""
    if isinstance(dtype, pl.Struct):
        return any(_holds(f.dtype, kind) for f in dtype.fields)
    return isinstance(dtype, kind) or (isinstance(dtype, pl.List | pl.Array) and _holds(dtype.inner, kind))


FORMULA = r"^\s*[=+\-@\x{FF1D}\x{FF0B}\x{FF0D}\x{FF20}]|^[\t\r\n]"  # the last four are their full-width forms, which some spreadsheets read as well


def spreadsheet_safely(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows with an apostrophe before every text, label and column name that a spreadsheet would run."""
    texts = [name for name, dtype in rows.schema.items() if dtype in (pl.String, pl.Categorical, pl.Enum)]
    as_text = [pl.col(name).cast(pl.String) for name in texts]
    safe = rows.with_columns(pl.when(text.str.contains(FORMULA)).then("'" + text).otherwise(text).alias(n) for n, text in zip(texts, as_text, strict=True))
    is_formula = pl.Series(rows.columns, dtype=pl.String).str.contains(FORMULA).to_list()
    return safe.rename({name: f"'{name}" for name, bad in zip(rows.columns, is_formula, strict=True) if bad})
