"""What makes a class a step's record: which fields are its identity, and which only steer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


def runtime(*, default: Any = None, default_factory: Callable[[], Any] | None = None) -> Any:
    """Declare a field that steers how a step runs, never what it makes: it stays out of the fingerprint.

    >>> import dataclasses
    >>> @dr.step
    ... class Shout(dr.RowStep):
    ...     column: str
    ...     batch_size: int = runtime(default=8)
    ...     def output_schema(self): return self.inputs[0].schema
    ...     async def run(self, rows, ctx): return rows.with_columns(pl.col(self.column).str.to_uppercase())
    >>> Shout.version, [f.name for f in dataclasses.fields(Shout) if f.metadata.get("runtime")]
    (1, ['name', 'authority', 'cited', 'batch_size'])
    """
    if default_factory is not None:
        return field(default_factory=default_factory, metadata={"runtime": True})
    return field(default=default, metadata={"runtime": True})


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field, runtime))
def step(cls: type[T]) -> type[T]:
    """Make a step class a frozen, keyword-only record. Every field is hashed unless declared `runtime(...)`.

    >>> @dr.step
    ... class Shout(dr.RowStep):
    ...     column: str
    ...     def output_schema(self): return self.inputs[0].schema
    ...     async def run(self, rows, ctx): return rows.with_columns(pl.col(self.column).str.to_uppercase())
    >>> dr.Frame(Shout(inputs=(dr.frame({"t": ["tea"]}).step,), column="t")).to_dicts()
    [{'t': 'TEA'}]
    """
    return dataclass(frozen=True, kw_only=True, eq=False, repr=False)(cls)
