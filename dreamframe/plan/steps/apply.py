"""Users' own functions as steps: on each row, or on the whole table."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.errors import SchemaError
from dreamframe.models.habits import described
from dreamframe.models.request import Failure, RowContext
from dreamframe.plan.aside import AT_ONCE, aside, passable
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import RowStep, TableStep, kept_columns, runtime, step

if TYPE_CHECKING:
    import asyncio


@step
class MapRows(RowStep):
    """New columns from a function of a row."""

    function: Callable[[dict[str, Any]], Mapping[str, Any]]
    columns: tuple[tuple[str, Any], ...]  # (name, polars type)
    of_value: bool = False  # whether it gives the value of the one column, and not a dict
    timeout_s: float | None = runtime()
    workers: int = runtime(default=1)

    is_expensive: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return self.name or "map"

    def functions(self) -> object:
        return super().functions(), self.function

    def key_fields(self) -> Mapping[str, object]:
        own = dict(super().key_fields())
        if not self.of_value:  # functions that give dicts have the keys they always had
            del own["of_value"]
        return own

    def check(self) -> None:
        self.adds(*(name for name, _ in self.columns if name not in self.inputs[0].schema))

    def passes(self) -> Mapping[str, str]:
        made = {name for name, _ in self.columns}
        return {c: c for c in kept_columns(self) if c not in made}

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, dict(self.columns))

    def describe(self) -> str:
        return f"MAP {', '.join(name for name, _ in self.columns)} ← {getattr(self.function, '__name__', type(self.function).__name__)}"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        import asyncio

        given = list(rows.iter_rows(named=True))
        gate = ctx.once("gate", lambda: asyncio.Semaphore(self.workers))
        made: list[Any]
        if is_async(self.function):
            made = await asyncio.gather(*(self._awaited(row, gate) for row in given))
        elif self.timeout_s is None and self.workers == 1:
            async with ctx.once("at once", lambda: asyncio.Semaphore(AT_ONCE)):
                made = await aside(lambda: [self._made(row) for row in given])
        else:
            made = await asyncio.gather(*(self._apart(row, gate) for row in given))
        if any(map(inspect.isawaitable, made)):  # of a function that calls another one, which is async
            made = await asyncio.gather(*(self._awaited(m, gate) if inspect.isawaitable(m) else done(m) for m in made))
        for position, result in enumerate(made):
            if isinstance(result, Exception):
                ctx.fail(position, Failure.of(result, request=repr(given[position])))
        values = [{} if isinstance(m, Exception) else m for m in made]
        return rows.with_columns(pl.Series(name, [v.get(name) for v in values], dtype=dtype, strict=True) for name, dtype in self.columns)

    async def _apart(self, row: dict[str, Any], gate: asyncio.Semaphore) -> Mapping[str, Any] | Exception:
        """One row in a thread of its own: one that does not come back within the time is left behind and holds up nobody."""
        import asyncio

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
                return self._late()

    async def _awaited(self, row: Any, gate: asyncio.Semaphore) -> Mapping[str, Any] | Exception:
        """What an async function makes of a row, or what a call of one gives, in the event loop of the run."""
        import asyncio

        async with gate:
            try:
                call: Any = row if inspect.isawaitable(row) else self.function(row)
                return self._typed(await asyncio.wait_for(call, self.timeout_s))
            except TimeoutError as exc:
                return self._late() if self.timeout_s is not None else exc
            except (Exception, SystemExit) as exc:  # noqa: BLE001  as in `_made`
                return passable(exc)

    def _late(self) -> TimeoutError:
        return TimeoutError(f"{self.label}: no result within {self.timeout_s:g} s")

    def _made(self, row: dict[str, Any]) -> Mapping[str, Any] | Exception:
        try:
            made = self.function(row)
            return made if inspect.isawaitable(made) else self._typed(made)
        except BaseException as exc:  # noqa: BLE001  a user's function may raise anything, SystemExit too; the row is then a failed row
            return passable(exc)

    def _typed(self, made: Any) -> Mapping[str, Any]:
        if self.of_value:
            made = {self.columns[0][0]: made}
        if not isinstance(made, Mapping):
            raise SchemaError(
                f"{self.label}: the function gave {described(made)}, not a dict of columns. One column of such values: map(function, into='c', schema=int)"
            )
        names = [name for name, _ in self.columns]
        if unknown := [n for n in made if n not in names]:
            raise SchemaError(f"{self.label}: the function gave {unknown[0]!r}, which schema= does not name ({', '.join(names)})")
        for name, dtype in self.columns:
            pl.Series(name, [made.get(name)], dtype=dtype, strict=True)  # raises where the value is not of the type
            if dtype.is_nested() and (lost := unknown_field(made.get(name), dtype)) is not None:
                raise SchemaError(f"{self.label}: the function gave a field {lost!r} in {name!r}, which schema= does not name ({dtype})")
        return made


def is_async(function: Any) -> bool:
    """Whether a call of a function gives what must be awaited, as far as can be told without one."""
    function = getattr(function, "function", function)  # of what dr.versioned made
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


async def done(made: Any) -> Any:
    """What is there already, for whoever awaits it."""
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
        made = [self._checked(await self._called(part)) for part in parts]
        return pl.concat(made) if len(made) > 1 else made[0]

    async def _called(self, part: pl.DataFrame) -> Any:
        made = await aside(lambda: self.function(part))
        return await made if inspect.isawaitable(made) else made

    def _checked(self, made: pl.DataFrame) -> pl.DataFrame:
        if not isinstance(made, pl.DataFrame):
            raise SchemaError(f"{self.label}: the function gave a {type(made).__name__}, not a polars DataFrame.")
        if made.schema != self.schema:
            declared = dict(self.schema)
            raise SchemaError(f"{self.label}: the function gave {dict(made.schema)}, but {declared} was declared. Pass schema= with the result's columns.")
        return made
