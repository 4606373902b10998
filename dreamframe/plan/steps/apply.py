"""Users' own functions as steps: on each row, or on the whole table."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import polars as pl

from dreamframe.errors import SchemaError
from dreamframe.models.request import Failure, RowContext
from dreamframe.plan.aside import AT_ONCE, aside, passable
from dreamframe.plan.step import RowStep, TableStep, kept_columns, runtime, step


@step
class MapRows(RowStep):
    """New columns from a function of a row."""

    function: Callable[[dict[str, Any]], Mapping[str, Any]]
    columns: tuple[tuple[str, Any], ...]  # (name, polars type)
    timeout_s: float | None = runtime()
    workers: int = runtime(default=1)

    is_expensive: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return self.name or "map"

    def functions(self) -> object:
        return super().functions(), self.function

    def check(self) -> None:
        self.adds(*(name for name, _ in self.columns if name not in self.inputs[0].schema))

    def passes(self) -> Mapping[str, str]:
        made = {name for name, _ in self.columns}
        return {c: c for c in kept_columns(self) if c not in made}

    def output_schema(self) -> pl.Schema:
        return pl.Schema({**self.inputs[0].schema, **dict(self.columns)})

    def describe(self) -> str:
        return f"MAP {', '.join(name for name, _ in self.columns)} ← {getattr(self.function, '__name__', type(self.function).__name__)}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        given = list(rows.iter_rows(named=True))
        if self.timeout_s is None and self.workers == 1:
            async with ctx.once("at once", lambda: asyncio.Semaphore(AT_ONCE)):
                made = await aside(lambda: [self._made(row) for row in given])
        else:
            gate = ctx.once("gate", lambda: asyncio.Semaphore(self.workers))
            made = await asyncio.gather(*(self._apart(row, gate) for row in given))
        for position, result in enumerate(made):
            if isinstance(result, Exception):
                ctx.fail(position, Failure.of(result, request=repr(given[position])))
        values = [{} if isinstance(m, Exception) else m for m in made]
        return rows.with_columns(pl.Series(name, [v.get(name) for v in values], dtype=dtype, strict=True) for name, dtype in self.columns)

    async def _apart(self, row: dict[str, Any], gate: asyncio.Semaphore) -> Mapping[str, Any] | Exception:
        """One row in a thread of its own: one that does not come back within the time is left behind and holds up nobody."""
        async with gate:
            loop = asyncio.get_running_loop()
            done: asyncio.Future[Mapping[str, Any] | Exception] = loop.create_future()

            def settle(result: Mapping[str, Any] | Exception) -> None:
                if not done.done():
                    done.set_result(result)

            def work() -> None:
                result = self._made(row)
                with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
                    loop.call_soon_threadsafe(settle, result)

            context = contextvars.copy_context()  # as asyncio.to_thread does: how decimals are rounded, for one
            threading.Thread(target=context.run, args=(work,), name=f"dreamframe-{self.label}", daemon=True).start()
            try:
                return await asyncio.wait_for(done, self.timeout_s)
            except TimeoutError:
                return TimeoutError(f"{self.label}: no result within {self.timeout_s:g} s")

    def _made(self, row: dict[str, Any]) -> Mapping[str, Any] | Exception:
        try:
            return self._typed(self.function(row))
        except BaseException as exc:  # noqa: BLE001  a user's function may raise anything, SystemExit too; the row is then a failed row
            return passable(exc)

    def _typed(self, made: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(made, Mapping):
            raise SchemaError(f"{self.label}: the function gave a {type(made).__name__}, not a dict of columns")
        names = [name for name, _ in self.columns]
        if unknown := [n for n in made if n not in names]:
            raise SchemaError(f"{self.label}: the function gave {unknown[0]!r}, which schema= does not name ({', '.join(names)})")
        for name, dtype in self.columns:
            pl.Series(name, [made.get(name)], dtype=dtype, strict=True)  # raises where the value is not of the type
            if dtype.is_nested() and (lost := unknown_field(made.get(name), dtype)) is not None:
                raise SchemaError(f"{self.label}: the function gave a field {lost!r} in {name!r}, which schema= does not name ({dtype})")
        return made


def unknown_field(value: Any, dtype: Any) -> str | None:
    """The first field of a value that its type does not name: polars would leave it out without a word."""
    if isinstance(dtype, pl.Struct) and isinstance(value, Mapping):
        types = {f.name: f.dtype for f in dtype.fields}
        found = (unknown_field(v, types[n]) if n in types else str(n) for n, v in value.items())
    elif isinstance(dtype, pl.List | pl.Array) and dtype.inner.is_nested() and isinstance(value, list | tuple):
        found = (unknown_field(v, dtype.inner) for v in value)
    else:
        return None
    return next((name for name in found if name is not None), None)


@step
class MapBatches(TableStep):
    """A new table from a function of the whole one, or of so many of its rows at a time."""

    function: Callable[[pl.DataFrame], pl.DataFrame]
    columns: tuple[tuple[str, Any], ...] | None = None
    batch_size: int | None = None

    is_expensive: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return self.name or "map_batches"

    def functions(self) -> object:
        return super().functions(), self.function

    def key_fields(self) -> Mapping[str, object]:
        return {n: v for n, v in super().key_fields().items() if n != "batch_size" or v is not None}  # until there was one, steps had keys without it

    def output_schema(self) -> pl.Schema:
        return pl.Schema(dict(self.columns)) if self.columns is not None else self.inputs[0].schema

    def describe(self) -> str:
        return f"MAP BATCHES ← {getattr(self.function, '__name__', type(self.function).__name__)}"

    async def run(self, tables: tuple[pl.DataFrame, ...], ctx: RowContext) -> pl.DataFrame:  # noqa: ARG002
        parts = [tables[0]] if self.batch_size is None else list(tables[0].iter_slices(self.batch_size)) or [tables[0]]
        made = [self._checked(await aside(lambda part=part: self.function(part))) for part in parts]  # type: ignore[misc]
        return pl.concat(made) if len(made) > 1 else made[0]

    def _checked(self, made: pl.DataFrame) -> pl.DataFrame:
        if not isinstance(made, pl.DataFrame):
            raise SchemaError(f"{self.label}: the function gave a {type(made).__name__}, not a polars DataFrame.")
        if made.schema != self.schema:
            declared = dict(self.schema)
            raise SchemaError(f"{self.label}: the function gave {dict(made.schema)}, but {declared} was declared. Pass schema= with the result's columns.")
        return made
