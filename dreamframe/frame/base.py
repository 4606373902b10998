"""What every group of verbs stands on: a frame is a step, and a verb makes a new frame over it."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any, Self

import polars as pl

from dreamframe.errors import PlanError, SettingError
from dreamframe.frame.habits import Habits
from dreamframe.frame.tracebacks import short_in
from dreamframe.frame.value import Value
from dreamframe.identity.owned import own
from dreamframe.models.edges import Rows, as_edge
from dreamframe.plan.model_columns import hoist, need_columns, placeholders_in
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import relational


class Verbs(Value, Habits):
    """Holds the step; a frame never changes after it was made."""

    __slots__ = ("step",)
    step: Step

    def __init__(self, step: Step) -> None:
        object.__setattr__(self, "step", step)

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)
        short_in(cls)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a frame is immutable: verbs give new frames (tried to set {name!r}). To add a column: df.with_columns(...)")

    def _over(self, step: Step) -> Self:
        return type(self)(step)

    def _relational(self, verb: str, *args: Any, named: str | None = None, **options: Any) -> Self:
        """The frame that a polars verb gives over this one. `named` is the verb that the user called, where it is another."""
        return self._over(relational(verb, inputs=(self.step,), args=own(args), options=own(tuple(sorted(options.items()))), name=named))

    def _hoisted(self, verb: str, exprs: Iterable[pl.Expr]) -> tuple[Self, list[pl.Expr], list[str]]:
        """This frame with the model columns of `exprs` computed, the expressions to use over it, and the columns to drop afterwards."""
        given = list(exprs)
        need_columns(given, self.step.schema, step=verb)
        if not any(placeholders_in(e) for e in given):
            return self, given, []
        frame, given, packed = self._packed(verb, given)
        step, added = hoist(frame.step, given, verb=verb)
        return self._over(step), given, [*packed, *added]

    def _packed(self, verb: str, exprs: list[pl.Expr]) -> tuple[Self, list[pl.Expr], list[str]]:
        """Evaluate wildcards before the placeholder columns are there to be seen: each as a struct, unpacked by the verb."""
        frame, out, packed = self, [], []
        for i, expr in enumerate(exprs):
            if placeholders_in(expr) or not expr.meta.has_multiple_outputs():
                out.append(expr)
                continue
            if verb not in ("select", "with_columns") or not _keeps_rows(expr, self.step.schema):
                raise PlanError(
                    f"{verb}: a wildcard ({expr}) and a model call stand in one call, and the wildcard would see the model's own column. "
                    "Do it in two: first .with_columns(dr.prompt(..., into='answer')), then the wildcard."
                )
            name = f"wildcard {i} of {verb}"
            frame = frame._relational("with_columns", [pl.struct(expr).alias(name)], named=verb)
            out.append(pl.col(name).struct.unnest())
            packed.append(name)
        return frame, out, packed

    def _dropping(self, columns: list[str], *, named: str) -> Self:
        return self._relational("drop", columns, named=named) if columns else self


@as_edge.register
def _(value: Verbs) -> Rows:
    return Rows(value.step)


def _keeps_rows(expr: pl.Expr, schema: pl.Schema) -> bool:
    """Whether a wildcard expression gives a row for each row, told on two empty-valued rows of the schema."""
    two = pl.DataFrame({name: pl.Series([None, None], dtype=dtype) for name, dtype in schema.items()})
    try:
        return two.select(expr).height == two.height
    except pl.exceptions.PolarsError:
        return False


def whole(value: Any, argument: str, *, verb: str, least: int | None = 0) -> int:
    """An argument as a whole number of at least `least`. Raises SettingError."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or (least is not None and number < least):
        what = "a whole number" if least is None else "a number of rows"
        raise SettingError(f"{verb}: {argument}={value!r} is not {what}.")
    return number
