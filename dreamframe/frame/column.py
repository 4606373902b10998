"""A column of a frame, as the labels of a prompt: `schema=other["label"]`. It is no values, and says so to whoever takes it for some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import polars as pl

from dreamframe.models.edges import Values, as_edge
from dreamframe.plan.step import Step
from dreamframe.plan.steps.algebra import relational

NO_VALUES = "a frame is a plan, and has no values to give. {} As the labels that an answer may be: schema=df[{!r}]."
OPERATORS = (
    "lt le gt ge eq ne add radd sub rsub mul rmul truediv rtruediv floordiv mod pow and rand or ror xor invert neg getitem iter len bool contains call"
)


def column_of(name: str) -> str:
    """What is written for a column."""
    column = f"pl.col({name!r})"
    return f"In a verb, the column is {column}, e.g. df.filter({column}.is_not_null()); alone: df.select({name!r}); its values: df.collect()[{name!r}]."


class Column:
    """What `df["label"]` gives."""

    __slots__ = ("_step", "name")

    def __init__(self, step: Step, name: str) -> None:
        self._step, self.name = step, name

    @property
    def edge(self) -> Values:
        """The values, as a plan holds them: of this column alone, so that no model is asked for the others."""
        alone = relational("select", inputs=(self._step,), args=([pl.col(self.name)],))
        return Values(alone, self.name)

    def __repr__(self) -> str:
        dtype = self._step.schema[self.name]
        return f"column {self.name!r} ({dtype}) of a plan: the labels of a prompt, schema=df[{self.name!r}]; in a verb pl.col({self.name!r})"

    __hash__ = object.__hash__

    if not TYPE_CHECKING:  # type checkers say themselves that there is no such thing

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            raise AttributeError(self._no_values(), name=name)

    def _no_values(self) -> str:
        return NO_VALUES.format(column_of(self.name), self.name)


def _refusing(name: str) -> Any:
    def refuse(self: Column, *_: object) -> NoReturn:
        raise TypeError(self._no_values())

    refuse.__name__ = refuse.__qualname__ = name
    return refuse


for _name in OPERATORS.split():
    setattr(Column, f"__{_name}__", _refusing(f"__{_name}__"))


@as_edge.register
def _(value: Column) -> Values:
    return value.edge
