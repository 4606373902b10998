"""A page of the rows of an output: searched, filtered and sorted where they lie, a hundred at a time."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from dreamframe.errors import SettingError
from dreamframe.session.page.cells import cell, kind_of
from dreamframe.session.page.folder import AT_HAND, Held
from dreamframe.session.page.states import states

PAGE = 100  # rows
MOST_NEAR = 16_384  # bytes of a picture that comes with a page of rows
OPS = ("is", "null", "between", "has")


@dataclass(frozen=True)
class Wanted:
    """Which rows of an output are looked at, and in what order."""

    search: str = ""
    sort: str = ""
    is_descending: bool = False
    where: tuple[tuple[str, str, Any], ...] = field(default=())  # column, one of OPS, value
    state: str = ""

    @staticmethod
    def of(query: Mapping[str, str]) -> Wanted:
        """What the parameters of an address say. Raises SettingError for what cannot be meant."""
        try:
            where = [(str(c), str(op), tuple(v) if isinstance(v, list) else v) for c, op, v in json.loads(query.get("where") or "[]")]
            hash(tuple(where))
        except (ValueError, TypeError, RecursionError) as exc:
            raise SettingError("where= is not a list of column, what, value") from exc
        return Wanted(query.get("search", ""), query.get("sort", ""), query.get("desc") == "1", tuple(where), query.get("state", ""))

    @property
    def is_all(self) -> bool:
        """Whether nothing is left out or moved."""
        return not (self.search or self.sort or self.where or self.state)


def page(held: Held, name: str, query: Mapping[str, str]) -> dict[str, Any]:
    """The rows of one page, with the position of each in the output."""
    wanted, no = Wanted.of(query), number(query.get("page", "0"), most=10**9)
    table = held.rows(name)
    columns = list(table.schema)
    if wanted.is_all:
        n, at = table.height, range(min(no * PAGE, table.height), min((no + 1) * PAGE, table.height))
        rows = table.slice(no * PAGE, PAGE)
    else:
        order = held.once(("order", name, held.version(name), wanted), lambda: _in_state(held, name, wanted.state, positions(table, wanted)))
        n, part = len(order), order[no * PAGE : (no + 1) * PAGE]
        at, rows = part.to_list(), table[part]  # type: ignore[assignment]
    known = states(held, name)
    marks = {} if known is None else {i: known.marks[row] for i, row in enumerate(at) if row in known.marks}
    which = {"columns": columns, "n": n, "total": table.height, "is_part": name.startswith(AT_HAND), "page": no, "of": PAGE, "at": list(at)}
    return {**which, "states": {} if known is None else known.counted(), "marks": marks, "rows": _cells(name, rows, list(at))}


def _in_state(held: Held, name: str, state: str, rows: pl.Series) -> pl.Series:
    if not state or (known := states(held, name)) is None:
        return rows
    are = known.are(state)
    rows = rows.filter(rows < len(are))  # a run that goes on may have given more meanwhile
    return rows.filter(are.gather(rows))


def _cells(name: str, rows: pl.DataFrame, at: Sequence[int]) -> list[list[Any]]:
    """The cells of a few rows. Larger pictures do not come with them: where they are stands in their place."""

    def near(value: Any, row: int, column: str) -> Any:
        if isinstance(value, bytes) and len(value) > MOST_NEAR and "picture" in cell(value):
            return {"far": {"output": name, "row": row, "column": column}, "n": len(value)}
        return cell(value)

    return [[near(value, i, column) for column, value in zip(rows.columns, row, strict=True)] for i, row in zip(at, rows.iter_rows(), strict=True)]


def one(held: Held, name: str, row: int, column: str) -> dict[str, Any]:
    """One picture. Raises SettingError where there is none."""
    table = held.rows(name)
    _dtype(table, column)
    found = cell(table.get_column(column)[row]) if row < table.height else None
    if not isinstance(found, dict) or "picture" not in found:
        raise SettingError(f"there is no picture in row {row:,} of {column[:80]!r}")
    return found


def number(text: str, *, most: int) -> int:
    """A whole number of an address. Raises SettingError."""
    if not text.isascii() or not text.isdigit() or int(text[:20]) > most:
        raise SettingError(f"{text[:40]!r} is not a number from 0 to {most:,}")
    return int(text)


def positions(table: pl.DataFrame, wanted: Wanted) -> pl.Series:
    """Where the wanted rows are in the table, in the wanted order; rows that are equal keep theirs, nulls come last."""
    kept = [*([_holds(table, wanted.search)] if wanted.search else []), *(_condition(table, *one) for one in wanted.where)]
    lazy = table.lazy().with_row_index("#row")
    for condition in kept:
        lazy = lazy.filter(condition)
    if wanted.sort:
        dtype = _dtype(table, wanted.sort)
        if kind_of(dtype) in ("list", "fields", "vector", "bytes", "other"):
            raise SettingError(f"rows are not sorted by {wanted.sort[:80]!r}, a column of {dtype}")
        lazy = lazy.select("#row", pl.col(wanted.sort)).sort(wanted.sort, descending=wanted.is_descending, nulls_last=True, maintain_order=True)
    return lazy.select("#row").collect().to_series()


def find(table: pl.DataFrame, text: str) -> pl.Series:
    """Where a text stands."""
    return positions(table, Wanted(text))


def _holds(table: pl.DataFrame, text: str) -> pl.Expr:
    """Whether some column has the text in it, whatever its case where it is written small."""
    low = text == text.lower()
    found = [pl.lit(value=False)]
    for column, dtype in table.schema.items():
        as_text = as_texts(pl.col(column), dtype)
        if as_text is not None:
            found.append((as_text.str.to_lowercase() if low else as_text).str.contains(text, literal=True).fill_null(value=False))
    return pl.any_horizontal(found)


def as_texts(column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """What is searched of a column; None for vectors and bytes."""
    kind = kind_of(dtype)
    if kind in ("text", "label", "number", "bool", "time"):
        return column if dtype == pl.String else column.cast(pl.String)
    if kind == "fields" and isinstance(dtype, pl.Struct):
        parts = [part for f in dtype.fields if (part := as_texts(column.struct.field(f.name), f.dtype)) is not None]  # type: ignore[arg-type]
        return pl.concat_str(parts, separator="\n", ignore_nulls=True) if parts else None
    if kind == "list" and isinstance(dtype, pl.List) and kind_of(dtype.inner) in ("text", "label", "number"):  # type: ignore[arg-type]
        return column.cast(pl.List(pl.String)).list.join("\n", ignore_nulls=True)
    return None


def _condition(table: pl.DataFrame, column: str, op: str, value: Any) -> pl.Expr:
    dtype = _dtype(table, column)
    which = pl.col(column)
    if op == "null":
        return which.is_null() if value else which.is_not_null()
    if op == "between" and isinstance(value, Sequence) and len(value) == 2 and all(isinstance(v, (int, float)) for v in value):
        measured = which.str.len_chars() if kind_of(dtype) == "text" else which.list.len() if isinstance(dtype, pl.List) else which
        if kind_of(dtype) in ("text", "number") or isinstance(dtype, pl.List):
            return measured.cast(pl.Float64).is_between(float(value[0]), float(value[1]))
    if op == "is" and kind_of(dtype) in ("text", "label", "number", "bool", "time"):
        return which.cast(pl.String) == pl.lit(str(value).lower() if isinstance(value, bool) else str(value))
    if op == "has" and (text := as_texts(which, dtype)) is not None:
        return text.str.contains(str(value), literal=True)
    raise SettingError(f"rows are not chosen by {column[:80]!r} {op[:20]!r}; there are {', '.join(OPS)}")


def _dtype(table: pl.DataFrame, column: str) -> pl.DataType:
    if column not in table.schema:
        raise SettingError(f"there is no column {column[:80]!r}")
    return table.schema[column]
