"""The program in each row, run in a process of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, ClassVar

import polars as pl

from dreamframe.errors import SchemaError, one_of
from dreamframe.models.request import Failure, RowContext
from dreamframe.models.sandbox.isolation import chosen
from dreamframe.models.sandbox.limits import LANGUAGES, Limits, Ran
from dreamframe.models.sandbox.process import run
from dreamframe.plan.aside import aside
from dreamframe.plan.schemas import with_columns
from dreamframe.plan.step import RowStep, kept_columns, step

if TYPE_CHECKING:
    import asyncio

RAN = pl.Struct({"ok": pl.Boolean, "stdout": pl.String, "stderr": pl.String, "error": pl.String, "seconds": pl.Float64})


@step
class RunCode(RowStep):
    """What became of the program of each row: whether it came to its end, what it wrote, and what ended it otherwise."""

    column: str
    tests: str | None = None
    timeout: float = 5.0  # seconds a row
    memory: int = 512 * 10**6  # bytes of each process
    language: str = "python"
    into: str = "run"

    is_expensive: ClassVar[bool] = True

    @property
    def label(self) -> str:
        return self.name or "run_code"

    def key_fields(self) -> Mapping[str, object]:
        own = super().key_fields()
        return {**own, "interpreter": f"{sys.version_info[0]}.{sys.version_info[1]}"} if self.language == "python" else own

    def check(self) -> None:
        one_of(self.language, LANGUAGES, "language", where=self.label)
        super().check()
        self.adds(self.into)
        need_texts(self, self.column)
        if self.tests is not None:
            need_texts(self, self.tests, lists=True)

    def reads(self) -> frozenset[str]:
        return frozenset(c for c in (self.column, self.tests) if c is not None)

    def passes(self) -> Mapping[str, str]:
        return kept_columns(self)

    def output_schema(self) -> pl.Schema:
        return with_columns(self.inputs[0].schema, {self.into: RAN})

    def describe(self) -> str:
        tests = f", tests {self.tests}" if self.tests is not None else ""
        return f"RUN CODE {self.into} ← {self.column}{tests} ({self.language}, at most {self.timeout:g} s and {self.memory / 1e6:g} MB)"

    async def run(self, rows: pl.DataFrame, ctx: RowContext) -> pl.DataFrame:
        import asyncio

        gate = ctx.once("gate", lambda: asyncio.Semaphore(cores()))
        walls = await aside(chosen)
        ctx.once("told", lambda: ctx.note(str(walls), warns=bool(walls.missing), not_held=len(walls.missing)))
        tests = rows[self.tests].to_list() if self.tests is not None else [None] * rows.height
        made = await asyncio.gather(*(self._ran(*row, gate) for row in zip(rows[self.column].to_list(), tests, strict=True)))
        for position, result in enumerate(made):
            if isinstance(result, Exception):
                ctx.fail(position, Failure.of(result, request=str(rows[self.column][position])))
        values = [asdict(m) if isinstance(m, Ran) else None for m in made]
        return rows.with_columns(pl.Series(self.into, values, dtype=RAN))

    async def _ran(self, code: str | None, tests: Any, gate: asyncio.Semaphore) -> Ran | Exception | None:
        if code is None or (self.tests is not None and tests is None):
            return None
        limits = Limits(timeout_s=self.timeout, memory=self.memory)
        async with gate:
            try:
                return await aside(lambda: run(code, tests=as_text(tests), language=self.language, limits=limits, walls=chosen().walls))
            except OSError as exc:  # no process can be started
                return exc


def as_text(tests: str | list[str | None] | None) -> str | None:
    """Tests as one text: those of a list one after another."""
    return "\n".join(t for t in tests if t is not None) if isinstance(tests, list) else tests


def need_texts(step: RowStep, column: str, *, lists: bool = False) -> None:
    """Raise SchemaError for a column that does not hold texts, or lists of them."""
    dtype = step.need(column)
    inner = dtype.inner if lists and isinstance(dtype, pl.List) else dtype
    if inner not in (pl.String, pl.Null):
        raise SchemaError(f"{step.label}: {column!r} is {dtype}, not text{' or a list of texts' if lists else ''}; name the column of the code.")


def cores() -> int:
    """Programs that run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
