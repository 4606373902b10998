"""Frames over spreadsheets, databases and Delta tables, as polars reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from dreamframe.frame.elsewhere import name_of, public, read_now
from dreamframe.frame.frame import Frame


def scan_excel(source: Any, **options: Any) -> Frame:
    """Read a spreadsheet, by polars' read_excel and with its options (`sheet_name=`, `columns=`, …): a path, bytes or an open file.

    It is read now, and the plan is keyed by the rows that were read. Raises MissingExtraError without fastexcel, PlanError for what cannot be read.

    >>> try:
    ...     dr.scan_excel("gone.xlsx")
    ... except (dr.errors.PlanError, dr.errors.MissingExtraError) as exc:
    ...     print(str(exc).split()[0].rstrip(':'))
    scan_excel
    """
    where = str(source) if isinstance(source, (str, Path)) else name_of(source)
    return Frame(read_now("scan_excel", lambda: pl.read_excel(source, **options), where=Path(where).name, at=where))


def scan_database(query: Any, connection: Any, **options: Any) -> Frame:
    """Read the result of a query, by polars' read_database and with its options. `connection` is an open connection or cursor, an engine of SQLAlchemy,
    or the address of a database (by polars' read_database_uri).

    It is read now, and the plan is keyed by the rows that were read: a query whose result is the same asks nothing again. Raises MissingExtraError where
    a driver is missing, PlanError for what the database refuses, without a password that the address holds.

    >>> import sqlite3
    >>> bank = sqlite3.connect(":memory:")
    >>> _ = bank.execute("create table t as select 1 as a, 'x' as b")
    >>> dr.scan_database("select * from t", bank).to_dicts()
    [{'a': 1, 'b': 'x'}]
    """
    if isinstance(connection, str):
        where = f"a query of {public(connection)}"
        return Frame(read_now("scan_database", lambda: pl.read_database_uri(query, connection, **options), where=where, at=connection))
    where = f"a query by {type(connection).__module__.split('.')[0]}"
    return Frame(read_now("scan_database", lambda: pl.read_database(query, connection, **options), where=where))


def scan_delta(source: Any, **options: Any) -> Frame:
    """Read a Delta table, by polars' scan_delta and with its options (`version=`, …): a folder, an address, or a `DeltaTable`.

    It is read now, and the plan is keyed by the rows that were read. Raises MissingExtraError without deltalake, PlanError for what is not such a table.

    >>> try:
    ...     dr.scan_delta("gone")
    ... except (dr.errors.PlanError, dr.errors.MissingExtraError) as exc:
    ...     print(str(exc).split()[0].rstrip(':'))
    scan_delta
    """
    where = public(str(source)) if isinstance(source, (str, Path)) else "a Delta table"
    return Frame(read_now("scan_delta", lambda: pl.scan_delta(source, **options).collect(), where=where, at=str(source)))
